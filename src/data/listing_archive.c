/* Pictures in an archive: the same data set as of the folder that it unpacks to, byte for byte. */
#include "listing.h"
#include "tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum iddpm_status add_tar_member(void *context, const struct tar_member *member)
{
    return listing_add(context, member->name, member->offset, member->size);
}

static enum iddpm_status list_zip(struct listing *listing)
{
    for (size_t i = 0; i < listing->zip.count; i++) {
        const struct zip_member *member = &listing->zip.members[i];
        size_t n = strlen(member->name);
        if (n && member->name[n - 1] == '/') continue; /* a folder */
        TRY(listing_add(listing, member->name, i, member->size));
    }
    return IDDPM_OK;
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

/* As a walk through the folders: the end of a folder's name sorts before any character. */
static int compare_paths(const char *a, const char *b)
{
    for (; *a == *b && *a; a++, b++) continue;
    int x = *a == '/' ? 1 : (unsigned char)*a + (*a != 0), y = *b == '/' ? 1 : (unsigned char)*b + (*b != 0);
    return x - y;
}

static int by_path(const void *a, const void *b, void *names)
{
    const struct listed *x = a, *y = b;
    int order = compare_paths((const char *)names + x->name, (const char *)names + y->name);
    return order ? order : x->name < y->name ? -1 : x->name > y->name; /* names were added in the archive's order */
}

/* Of several members of one name the last one is what unpacking leaves. */
static void sort_files(struct listing *listing)
{
    size_t n = 0;
    qsort_r(listing->files, listing->count, sizeof *listing->files, by_path, listing->names);
    for (size_t i = 0; i < listing->count; i++) {
        if (n && strcmp(listing->names + listing->files[n - 1].name, listing_name(listing, i)) == 0) n--;
        listing->files[n++] = listing->files[i];
    }
    listing->count = n;
}

enum iddpm_status listing_archive_open(struct listing *listing)
{
    if (listing->form == LISTING_TAR) {
        TRY(tar_each(listing->archive, listing->source, add_tar_member, listing));
    } else {
        TRY(zip_open(&listing->zip, listing->source));
        TRY(list_zip(listing));
    }
    if (listing->count) sort_files(listing);
    return IDDPM_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status unzip(struct listing *listing, const struct listed *file)
{
    struct zip_stream stream;
    enum iddpm_status status = zip_stream_open(&stream, &listing->zip, &listing->zip.members[file->offset]);
    if (status == IDDPM_OK) status = zip_stream_read(&stream, listing->bytes, (size_t)file->size);
    zip_stream_close(&stream);
    return status;
}

enum iddpm_status listing_bytes(struct listing *listing, size_t i, const uint8_t **bytes, size_t *n)
{
    const struct listed *file = &listing->files[i];
    TRY(mem_grow(&listing->bytes, &listing->bytes_capacity, (size_t)file->size + 1, 1, "a picture of an archive"));
    *bytes = listing->bytes;
    *n = (size_t)file->size;
    if (listing->form == LISTING_ZIP) return unzip(listing, file);
    ssize_t got = pread(listing->archive, listing->bytes, *n, (off_t)file->offset);
    if (got == (ssize_t)*n) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "cannot read: %s", got < 0 ? strerror(errno) : "the archive became shorter");
}

void listing_expect(const struct listing *listing, size_t i)
{
    if (listing->form != LISTING_TAR) return;
    posix_fadvise(listing->archive, (off_t)listing->files[i].offset, (off_t)listing->files[i].size,
                  POSIX_FADV_WILLNEED);
}
