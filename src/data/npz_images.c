/* Images of an NPZ file in order, in bounded memory. */
#include "npz.h"
#include "sha256.h"

#include <stdlib.h>
#include <string.h>

enum { LABEL_MAX = 999999, BLOCK = 65536 };

struct npz_images_reader {
    struct zip zip;
    const struct zip_member *member;
    struct zip_stream stream;
    uint64_t next; /* image that the stream gives next */
};

/* ---- what image_sample.py writes, also for the import ------------------------------------------------------------ */

const struct zip_member *npz_find(const struct zip *zip, const char *name)
{
    for (size_t i = 0; i < zip->count; i++)
        if (strcmp(zip->members[i].name, name) == 0) return &zip->members[i];
    return NULL;
}

enum iddpm_status npz_open_images(struct zip_stream *stream, const struct zip *zip, struct npz_array *array)
{
    const struct zip_member *member = npz_find(zip, "arr_0.npy");
    memset(stream, 0, sizeof *stream);
    memset(array, 0, sizeof *array);
    if (!member) return iddpm_error(IDDPM_FAILED, "%s: has no array arr_0, which should hold the images", zip->path);
    TRY(npz_stream_open(stream, zip, member, array));
    if (array->ndim == 3) array->dims[array->ndim++] = 1;
    const uint64_t *dims = array->dims;
    if (array->type == STORE_U8 && array->ndim == 4 && (dims[3] == 1 || dims[3] == 3) && dims[0] && dims[1] &&
        dims[2] && dims[1] <= INT16_MAX && dims[2] <= INT16_MAX)
        return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: arr_0 must be uint8 images [n][h][w][3], [n][h][w][1] or [n][h][w]",
                       zip->path);
}

static enum iddpm_status take_labels(const struct zip *zip, const struct npz_array *array, uint64_t images,
                                     int64_t *labels)
{
    for (uint64_t i = 0; i < images; i++) {
        int64_t label = array->type == STORE_U8    ? ((const uint8_t *)array->data)[i]
                        : array->type == STORE_I32 ? ((const int32_t *)array->data)[i]
                                                   : ((const int64_t *)array->data)[i];
        if (label < -1 || label > LABEL_MAX)
            return iddpm_error(IDDPM_FAILED, "%s: arr_1: label %lld of image %llu: 0 to %d, or -1 for none", zip->path,
                               (long long)label, (unsigned long long)i, LABEL_MAX);
        labels[i] = label;
    }
    return IDDPM_OK;
}

static enum iddpm_status read_labels(struct zip_stream *stream, struct npz_array *array, uint64_t images,
                                     int64_t **labels)
{
    const struct zip *zip = stream->zip;
    if (array->type == STORE_F32 || array->type == STORE_F64 || array->ndim != 1 || array->dims[0] != images)
        return iddpm_error(IDDPM_FAILED, "%s: arr_1 must be a whole number for each of the %llu images of arr_0",
                           zip->path, (unsigned long long)images);
    TRY(mem_alloc(&array->data, npz_bytes(array), 1, zip->path));
    TRY(zip_stream_read(stream, array->data, npz_bytes(array)));
    TRY(mem_alloc(labels, images, sizeof **labels, "labels"));
    return take_labels(zip, array, images, *labels);
}

enum iddpm_status npz_labels(const struct zip *zip, uint64_t images, int64_t **labels)
{
    struct zip_stream stream;
    struct npz_array array;
    const struct zip_member *member = npz_find(zip, "arr_1.npy");
    *labels = NULL;
    if (!member) return IDDPM_OK;
    enum iddpm_status status = npz_stream_open(&stream, zip, member, &array);
    if (status == IDDPM_OK) status = read_labels(&stream, &array, images, labels);
    zip_stream_close(&stream);
    free(array.data);
    if (status == IDDPM_OK) return status;
    free(*labels);
    *labels = NULL;
    return status;
}

/* ---- in order ---------------------------------------------------------------------------------------------------- */

/* To the first image. */
static enum iddpm_status rewind_images(struct npz_images *images)
{
    struct npz_images_reader *reader = images->reader;
    struct npz_array array;
    zip_stream_close(&reader->stream);
    reader->next = 0;
    return npz_open_images(&reader->stream, &reader->zip, &array);
}

/* Passes over n bytes, into the hash unless it is NULL. */
static enum iddpm_status skip(struct npz_images_reader *reader, size_t n, struct sha256 *hash)
{
    uint8_t block[BLOCK];
    for (size_t m; n; n -= m) {
        m = n < sizeof block ? n : sizeof block;
        TRY(zip_stream_read(&reader->stream, block, m));
        if (hash) sha256_add(hash, block, m);
    }
    return IDDPM_OK;
}

static enum iddpm_status open_all(struct npz_images *images)
{
    struct npz_images_reader *reader = images->reader;
    struct npz_array array;
    struct sha256 hash;
    TRY(zip_open(&reader->zip, images->path, "an NPZ file"));
    TRY(npz_open_images(&reader->stream, &reader->zip, &array));
    images->images = array.dims[0];
    images->height = (int)array.dims[1];
    images->width = (int)array.dims[2];
    images->channels = (int)array.dims[3];
    TRY(npz_labels(&reader->zip, images->images, &images->labels));
    TRY(rewind_images(images)); /* the labels were read with the same stream of the file */
    sha256_start(&hash);
    TRY(skip(reader, reader->stream.left, &hash));
    if (images->labels) sha256_add(&hash, images->labels, (size_t)images->images * sizeof *images->labels);
    sha256_hex(&hash, images->hash);
    return rewind_images(images);
}

enum iddpm_status npz_images_open(struct npz_images **out, const char *path)
{
    TRY(mem_alloc(out, 1, sizeof **out, path));
    enum iddpm_status status = mem_alloc(&(*out)->reader, 1, sizeof *(*out)->reader, path);
    (*out)->path = mem_strdup(path);
    if (status == IDDPM_OK && !(*out)->path) status = iddpm_error(IDDPM_FAILED, "%s: no memory", path);
    if (status == IDDPM_OK) status = open_all(*out);
    if (status == IDDPM_OK) return status;
    npz_images_close(*out);
    *out = NULL;
    return status;
}

enum iddpm_status npz_images_read(struct npz_images *images, uint64_t first, uint64_t count, uint8_t *out)
{
    struct npz_images_reader *reader = images->reader;
    size_t image = (size_t)images->height * (size_t)images->width * (size_t)images->channels;
    if (first > images->images || count > images->images - first)
        return iddpm_error(IDDPM_FAILED, "%s: has only %llu images", images->path, (unsigned long long)images->images);
    if (first < reader->next) TRY(rewind_images(images));
    TRY(skip(reader, (size_t)(first - reader->next) * image, NULL));
    TRY(zip_stream_read(&reader->stream, out, (size_t)count * image));
    reader->next = first + count;
    return IDDPM_OK;
}

void npz_images_close(struct npz_images *images)
{
    if (!images) return;
    if (images->reader) {
        zip_stream_close(&images->reader->stream);
        zip_close(&images->reader->zip);
    }
    free(images->reader);
    free(images->labels);
    free(images->path);
    free(images);
}
