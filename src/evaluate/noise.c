#include "noise.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static bool is_npz(const char *path)
{
    size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, ".npz") == 0;
}

static enum iddpm_status take_noise(struct noise *out, const char *path, enum store_type type, int ndim,
                                    const uint64_t *dims, const void *data)
{
    if (ndim < 3 || (type != STORE_F32 && type != STORE_F64))
        return iddpm_error(IDDPM_USAGE,
                           "%s: noise must be float32 or float64 [draws][images] and the dimensions of an image", path);
    out->draws = dims[0];
    out->images = dims[1];
    out->image = 1;
    for (int i = 2; i < ndim; i++) out->image *= (size_t)dims[i];
    size_t n = (size_t)out->draws * (size_t)out->images * out->image;
    TRY(mem_alloc(&out->data, n, sizeof(double), path));
    for (size_t i = 0; i < n; i++)
        out->data[i] = type == STORE_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
    return IDDPM_OK;
}

/* What goes with the images of the noise, when it comes from an encoding. */
static enum iddpm_status take_labels(struct noise *out, const char *path, int ndim, const uint64_t *dims,
                                     const int64_t *labels)
{
    if (ndim != 1 || dims[0] != out->images)
        return iddpm_error(IDDPM_USAGE, "%s: labels must be one for each of its %llu images", path,
                           (unsigned long long)out->images);
    TRY(mem_alloc(&out->labels, (size_t)out->images, sizeof *out->labels, path));
    memcpy(out->labels, labels, (size_t)out->images * sizeof *labels);
    return IDDPM_OK;
}

static enum iddpm_status read_npz(struct noise *out, const char *path)
{
    struct npz_array *arrays;
    int n;
    TRY(npz_read(path, &n, &arrays));
    enum iddpm_status status =
        n > 0 ? take_noise(out, path, arrays[0].type, arrays[0].ndim, arrays[0].dims, arrays[0].data)
              : iddpm_error(IDDPM_USAGE, "%s: holds no array", path);
    if (status == IDDPM_OK && n > 1 && strcmp(arrays[1].name, "arr_1") == 0 && arrays[1].type == STORE_I64)
        status = take_labels(out, path, arrays[1].ndim, arrays[1].dims, arrays[1].data);
    npz_free(n, arrays);
    return status;
}

static enum iddpm_status read_hdf5(struct noise *out, const char *path)
{
    struct store_array array;
    enum iddpm_status status = store_read(path, "noise", STORE_F64, &array);
    if (status != IDDPM_OK) status = store_read(path, "noise", STORE_F32, &array);
    if (status == IDDPM_OK) status = take_noise(out, path, array.type, array.ndim, array.dims, array.data);
    free(array.data);
    TRY(status);
    if (store_read(path, "labels", STORE_I64, &array) != IDDPM_OK) return IDDPM_OK; /* draws alone have none */
    status = take_labels(out, path, array.ndim, array.dims, array.data);
    free(array.data);
    return status;
}

/* A file may be written over by other draws under its name. */
static enum iddpm_status name_noise(struct noise *noise, const char *path)
{
    size_t n = (size_t)noise->draws * (size_t)noise->images * noise->image;
    uLong crc = crc32_z(0, (const Bytef *)noise->data, n * sizeof *noise->data);
    if (noise->labels) crc = crc32_z(crc, (const Bytef *)noise->labels, (size_t)noise->images * sizeof *noise->labels);
    noise->name = path;
    noise->crc32 = (uint32_t)crc;
    if (asprintf(&noise->label, "%s, crc32 %08x", path, (unsigned)noise->crc32) >= 0) return IDDPM_OK;
    noise->label = NULL;
    return iddpm_error(IDDPM_FAILED, "no memory for the name of the noise");
}

const char *noise_label(const struct noise *noise)
{
    if (!noise) return "philox";
    return noise->label ? noise->label : noise->name;
}

enum iddpm_status noise_read(struct noise **out, const char *path)
{
    TRY(mem_alloc(out, 1, sizeof **out, "noise"));
    enum iddpm_status status = is_npz(path) ? read_npz(*out, path) : read_hdf5(*out, path);
    if (status == IDDPM_OK) status = name_noise(*out, path);
    if (status == IDDPM_OK) return status;
    noise_destroy(*out);
    *out = NULL;
    return status;
}

void noise_destroy(struct noise *noise)
{
    if (!noise) return;
    free(noise->data);
    free(noise->labels);
    free(noise->label);
    free(noise);
}

enum iddpm_status noise_check(const struct noise *noise, uint64_t draws, uint64_t images, size_t image)
{
    if (!noise || (noise->draws >= draws && noise->images >= images && noise->image == image)) return IDDPM_OK;
    return iddpm_error(
        IDDPM_USAGE,
        "%s: noise of %llu draws of %llu images of %zu elements; needed are %llu draws of %llu images of "
        "%zu elements",
        noise->name, (unsigned long long)noise->draws, (unsigned long long)noise->images, noise->image,
        (unsigned long long)draws, (unsigned long long)images, image);
}

void noise_draw(const struct noise *noise, uint64_t draw, const struct rng *rng, size_t image, double *out)
{
    if (noise)
        memcpy(out, noise->data + (draw * noise->images + rng->slot) * image, image * sizeof *out);
    else
        rng_normal(rng, image, out);
}
