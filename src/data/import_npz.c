/* Images of an NPZ file as the authors' scripts write them: arr_0 uint8 [n][h][w][c] (or grey [n][h][w]), and with
 * classes arr_1 [n]. */
#include "npz.h"

#include "import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct npz_spool {
    FILE *spool; /* arr_0 unpacked, so that images can be had in any order without holding them all */
    size_t bytes;
    uint64_t count;
    int64_t *labels; /* NULL: unlabelled */
};

static void npz_spool_close(void *state)
{
    struct npz_spool *images = state;
    if (images->spool) fclose(images->spool);
    free(images->labels);
    free(images);
}

static enum iddpm_status npz_spool_fetch(void *state, uint64_t i, uint8_t *image, int64_t *label)
{
    const struct npz_spool *images = state;
    *label = images->labels ? images->labels[i] : -1;
    ssize_t n = pread(fileno(images->spool), image, images->bytes, (off_t)(i * images->bytes));
    if (n == (ssize_t)images->bytes) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "cannot read an unpacked image: %s", n < 0 ? strerror(errno) : "end of file");
}

/* A file in `folder` that has no name and goes with its last descriptor. */
static enum iddpm_status make_spool(const char *folder, FILE **out)
{
    char path[PATH_SIZE];
    TRY(path_join(path, folder, "import.tmp"));
    *out = fopen(path, "w+b");
    if (!*out) return iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", path, strerror(errno));
    unlink(path);
    return IDDPM_OK;
}

static enum iddpm_status unpack(struct zip_stream *stream, FILE *spool, const char *folder)
{
    uint8_t block[65536];
    while (stream->left) {
        size_t n = stream->left < sizeof block ? stream->left : sizeof block;
        TRY(zip_stream_read(stream, block, n));
        if (fwrite(block, 1, n, spool) != n) return iddpm_error(IDDPM_FAILED, "%s: %s", folder, strerror(errno));
    }
    return fflush(spool) == 0 ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: %s", folder, strerror(errno));
}

static enum iddpm_status open_images(const struct zip *zip, const char *scratch, struct dataset *dataset,
                                     struct npz_spool *images)
{
    struct zip_stream stream;
    struct npz_array array;
    enum iddpm_status status = npz_open_images(&stream, zip, &array);
    images->count = array.dims[0];
    images->bytes = (size_t)(array.dims[1] * array.dims[2] * array.dims[3]);
    if (status == IDDPM_OK)
        status = import_describe(dataset, (int)array.dims[1], (int)array.dims[2], (int)array.dims[3], zip->path,
                                 "not stated");
    if (status == IDDPM_OK) status = make_spool(scratch, &images->spool);
    if (status == IDDPM_OK) status = unpack(&stream, images->spool, scratch);
    zip_stream_close(&stream);
    return status;
}

/* Classes have no names in an NPZ file; they are called by their numbers. */
static enum iddpm_status open_labels(const struct zip *zip, struct dataset *dataset, struct npz_spool *images)
{
    int64_t most = -1;
    TRY(npz_labels(zip, images->count, &images->labels));
    if (!images->labels) return IDDPM_OK;
    for (uint64_t i = 0; i < images->count; i++)
        if (images->labels[i] > most) most = images->labels[i];
    TRY(mem_alloc(&dataset->class_names, (size_t)(most + 1), sizeof *dataset->class_names, "classes"));
    for (int64_t i = 0; i <= most; i++) {
        char name[24];
        snprintf(name, sizeof name, "%lld", (long long)i);
        TRY(import_add_class(dataset, name));
    }
    return IDDPM_OK;
}

enum iddpm_status import_npz_open(const struct import_options *options, const char *scratch, struct dataset *dataset,
                                  struct import_source *source)
{
    struct npz_spool *images;
    struct zip zip;
    TRY(mem_alloc(&images, 1, sizeof *images, options->source));
    source->state = images;
    source->fetch = npz_spool_fetch;
    source->close = npz_spool_close;
    import_identify(source, options->source);
    enum iddpm_status status = zip_open(&zip, options->source, "an NPZ file");
    if (status == IDDPM_OK) status = open_images(&zip, scratch, dataset, images);
    if (status == IDDPM_OK) status = open_labels(&zip, dataset, images);
    zip_close(&zip);
    source->count = images->count;
    return status;
}
