/* Images of an NPZ file as the authors' scripts write them: arr_0 uint8 [n][h][w][c] (or grey [n][h][w]), and with
 * classes arr_1 [n]. */
#include "npz.h"

#include "import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLASSES_MAX 1000000

struct npz_images {
    FILE *spool; /* arr_0 unpacked, so that images can be had in any order without holding them all */
    size_t bytes;
    uint64_t count;
    int64_t *labels; /* NULL: unlabelled */
};

static void npz_images_close(void *state)
{
    struct npz_images *images = state;
    if (images->spool) fclose(images->spool);
    free(images->labels);
    free(images);
}

static enum iddpm_status npz_images_fetch(void *state, uint64_t i, uint8_t *image, int64_t *label)
{
    const struct npz_images *images = state;
    *label = images->labels ? images->labels[i] : -1;
    ssize_t n = pread(fileno(images->spool), image, images->bytes, (off_t)(i * images->bytes));
    if (n == (ssize_t)images->bytes) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "cannot read an unpacked image: %s", n < 0 ? strerror(errno) : "end of file");
}

static const struct zip_member *find(const struct zip *zip, const char *name)
{
    for (size_t i = 0; i < zip->count; i++)
        if (strcmp(zip->members[i].name, name) == 0) return &zip->members[i];
    return NULL;
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

static enum iddpm_status describe(const struct zip *zip, const struct npz_array *array, struct dataset *dataset,
                                  struct npz_images *images)
{
    uint64_t c = array->ndim == 3 ? 1 : array->dims[3];
    if (array->type != STORE_U8 || array->ndim < 3 || array->ndim > 4 || (c != 1 && c != 3) || !array->dims[0] ||
        !array->dims[1] || !array->dims[2] || array->dims[1] > INT16_MAX || array->dims[2] > INT16_MAX)
        return iddpm_error(IDDPM_FAILED, "%s: arr_0 must be uint8 images [n][h][w][3], [n][h][w][1] or [n][h][w]",
                           zip->path);
    images->count = array->dims[0];
    images->bytes = (size_t)(array->dims[1] * array->dims[2] * c);
    return import_describe(dataset, (int)array->dims[1], (int)array->dims[2], (int)c, zip->path, "not stated");
}

static enum iddpm_status open_images(const struct zip *zip, const char *scratch, struct dataset *dataset,
                                     struct npz_images *images)
{
    struct zip_stream stream;
    struct npz_array array;
    const struct zip_member *member = find(zip, "arr_0.npy");
    if (!member) return iddpm_error(IDDPM_FAILED, "%s: has no array arr_0, which should hold the images", zip->path);
    enum iddpm_status status = npz_stream_open(&stream, zip, member, &array);
    if (status == IDDPM_OK) status = describe(zip, &array, dataset, images);
    if (status == IDDPM_OK) status = make_spool(scratch, &images->spool);
    if (status == IDDPM_OK) status = unpack(&stream, images->spool, scratch);
    zip_stream_close(&stream);
    return status;
}

static enum iddpm_status take_labels(const struct zip *zip, const struct npz_array *array, struct npz_images *images,
                                     int64_t *most)
{
    if (array->type == STORE_F32 || array->type == STORE_F64 || array->ndim != 1 || array->dims[0] != images->count)
        return iddpm_error(IDDPM_FAILED, "%s: arr_1 must be a whole number for each of the %llu images of arr_0",
                           zip->path, (unsigned long long)images->count);
    TRY(mem_alloc(&images->labels, images->count, sizeof *images->labels, "labels"));
    for (uint64_t i = 0; i < images->count; i++) {
        int64_t label = array->type == STORE_U8    ? ((const uint8_t *)array->data)[i]
                        : array->type == STORE_I32 ? ((const int32_t *)array->data)[i]
                                                   : ((const int64_t *)array->data)[i];
        if (label < -1 || label >= CLASSES_MAX)
            return iddpm_error(IDDPM_FAILED, "%s: arr_1: label %lld of image %llu: 0 to %d, or -1 for none", zip->path,
                               (long long)label, (unsigned long long)i, CLASSES_MAX - 1);
        images->labels[i] = label;
        if (label > *most) *most = label;
    }
    return IDDPM_OK;
}

/* Classes have no names in an NPZ file; they are called by their numbers. */
static enum iddpm_status open_labels(const char *path, const struct zip *zip, struct dataset *dataset,
                                     struct npz_images *images)
{
    struct zip_stream stream;
    struct npz_array array;
    const struct zip_member *member = find(zip, "arr_1.npy");
    int64_t most = -1;
    if (!member) return IDDPM_OK;
    enum iddpm_status status = npz_stream_open(&stream, zip, member, &array);
    if (status == IDDPM_OK) status = mem_alloc(&array.data, npz_bytes(&array), 1, path);
    if (status == IDDPM_OK) status = zip_stream_read(&stream, array.data, npz_bytes(&array));
    if (status == IDDPM_OK) status = take_labels(zip, &array, images, &most);
    zip_stream_close(&stream);
    free(array.data);
    TRY(status);
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
    struct npz_images *images;
    struct zip zip;
    TRY(mem_alloc(&images, 1, sizeof *images, options->source));
    *source = (struct import_source){.fetch = npz_images_fetch, .close = npz_images_close, .state = images};
    enum iddpm_status status = zip_open(&zip, options->source);
    if (status == IDDPM_OK) status = open_images(&zip, scratch, dataset, images);
    if (status == IDDPM_OK) status = open_labels(options->source, &zip, dataset, images);
    zip_close(&zip);
    source->count = images->count;
    return status;
}
