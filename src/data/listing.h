/* Private to `import folder`: the pictures of a source, in the order of the authors' loader (image_datasets.py):
 * folders recursively, entries sorted by their names, files with the endings jpg, jpeg, png and gif, and here webp too,
 * in any case. The source is a folder (listing.c), or an archive (listing_archive.c), which lists as the folder that it
 * would unpack to, but for symbolic links. */
#ifndef IDDPM_DATA_LISTING_H
#define IDDPM_DATA_LISTING_H

#include "sha256.h"
#include "zip.h"

/* 24 bytes and the name for each picture: some 70 MB for the 1.28 million of ImageNet. A ZIP archive's directory keeps
 * 40 bytes and the name of each besides (zip.h). */
struct listed {
    uint64_t name;         /* where it begins in listing->names */
    uint64_t offset, size; /* in a tar archive; of a ZIP archive's, `offset` is the number of the member */
};

/* A hard link in a tar archive; both names begin in listing->names. */
struct listed_link {
    uint64_t name, target;
};

struct listing {
    const char *source;
    bool strict; /* what cannot be listed fails, and is not skipped */
    enum { LISTING_FOLDER, LISTING_TAR, LISTING_ZIP } form;
    int archive; /* tar: descriptor, else -1 */
    struct zip zip;
    struct sha256 identity; /* of a folder: sizes and times of the last change of its files */
    char *names;            /* relative to the source, each ended by a 0 */
    size_t names_size, names_capacity;
    struct listed *files;
    size_t count, capacity;
    struct listed_link *links;
    size_t link_count, link_capacity;
    uint64_t skipped;
    size_t notes;   /* of files left out by their names, and of hidden ones */
    uint8_t *bytes; /* of the picture being read from an archive */
    size_t bytes_capacity;
};

/* listing_close also after a failure. `source` must live as long. */
enum iddpm_status listing_open(struct listing *listing, const char *source, bool strict);
void listing_close(struct listing *listing);
const char *listing_name(const struct listing *listing, size_t i);
/* Its bytes, until the next call; for a folder there are none, and its file is to be opened. */
enum iddpm_status listing_bytes(struct listing *listing, size_t i, const uint8_t **bytes, size_t *n);
void listing_expect(const struct listing *listing, size_t i); /* it will be read soon */

/* For those who list. */
const char *listing_base_name(const char *path);
bool listing_ends(const char *name, const char *ending); /* ending without the dot, in any case */
bool listing_is_picture(const char *name);               /* by its ending */
/* Takes a file when its name, relative to the source, is that of a picture. */
enum iddpm_status listing_add(struct listing *listing, const char *name, uint64_t offset, uint64_t size);
/* Appends to listing->names. */
enum iddpm_status listing_add_name(struct listing *listing, const char *name);
/* Something that cannot be listed is skipped like a picture that cannot be read. */
enum iddpm_status listing_skip(struct listing *listing, const char *name, const char *reason);
void listing_note(struct listing *listing, const char *name, const char *what);
enum iddpm_status listing_archive_open(struct listing *listing); /* listing->form TAR or ZIP */

#endif
