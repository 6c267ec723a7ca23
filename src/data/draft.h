/* Private to the importers: what an import has done so far, on the disk, so that it can be stopped or killed at any
 * moment and goes on to the same bytes.
 *
 * Images are appended to plain files, one a shard (shard-NNNN.part: pixels, then the label as int64), and made into
 * HDF5 shards at the end, one after the other. From time to time these files are synced, and then import.part is
 * replaced, which says how far they count: whatever is behind that is cut off when the import goes on. */
#ifndef IDDPM_DATA_DRAFT_H
#define IDDPM_DATA_DRAFT_H

#include "index.h"
#include "sha256.h"

#define DRAFT_FILE "import.part"
#define DRAFT_SHARD_NAME "shard-%04d.part"
#define DRAFT_SHARD_TMP "shard-%04d.h5.tmp"

/* As import.part holds it, before class_images[classes] and the CRC-32 of it all; this machine's own numbers. */
struct draft_state {
    char format[16];
    char identity[SHA256_HEX + 7]; /* of the source and the options */
    uint64_t next;                 /* position in the order of dealing */
    uint64_t images, skipped, unlabelled;
    struct sha256 hash; /* of the images so far, as dataset->hash */
};

struct draft {
    const struct dataset *dataset; /* folder, classes and the shape of an image */
    int shards;
    size_t image_bytes;
    int *files; /* [shards]; -1: closed */
    struct draft_state state;
    uint64_t *class_images; /* [classes] */
    bool saved;             /* import.part is there */
    bool complete;          /* the index too: draft_remove is all that is left to do */
};

/* Goes on with what dataset->folder holds, or starts. IDDPM_USAGE when that is of an import with another identity.
 * draft_close also after a failure. */
enum iddpm_status draft_open(struct draft *draft, const struct dataset *dataset, int shards, const char *identity);
void draft_close(struct draft *draft);
/* The next image, into the shard whose turn it is. */
enum iddpm_status draft_append(struct draft *draft, const uint8_t *image, int64_t label);
enum iddpm_status draft_save(struct draft *draft);

/* After the last image, and draft_save where it was called before: makes shard s, unless it was made before the import
 * was interrupted, and removes what it was made from. `count`: its images. */
enum iddpm_status draft_finish_shard(struct draft *draft, int s, uint64_t count, uint32_t *crc);
/* Once the index is there: removes all that is not of the data set. */
enum iddpm_status draft_remove(struct draft *draft);

#endif
