#include "arrays.h"
#include "check.h"

#include <stdlib.h>

static const struct store_array shapes[ARRAYS] = {
    {"params/input_blocks.0.0.weight", STORE_F32, 4, {5, 3, 3, 3}, NULL},
    {"params/input_blocks.0.0.bias", STORE_F32, 1, {5}, NULL},
    {"params/out.2.weight", STORE_F32, 4, {7, 11, 13, 17}, NULL},
    {"ema/0.9999/input_blocks.0.0.weight", STORE_F32, 4, {5, 3, 3, 3}, NULL},
    {"ema/0.9999/wide", STORE_F32, 2, {1, 100003}, NULL},
    {"adam/m/one", STORE_F64, 1, {1}, NULL},
    {"adam/m/flat", STORE_F64, 3, {2, 1, 33}, NULL},
    {"sampler/counts", STORE_I64, 1, {3}, NULL},
    {"sampler/scalar", STORE_I32, 0, {0}, NULL},
    {"sampler/bytes", STORE_U8, 2, {41, 25}, NULL},
    {"sampler/nothing", STORE_F32, 2, {0, 4}, NULL},
};

size_t arrays_bytes(const struct store_array *array)
{
    size_t bytes = store_type_bytes(array->type);
    for (int d = 0; d < array->ndim; d++) bytes *= array->dims[d];
    return bytes;
}

/* Finite in every type: bytes 0x01 to 0x3f */
static unsigned char byte(int seed, int i, size_t k)
{
    return (unsigned char)(1 + (k * 2654435761u + (size_t)(seed * 977 + i * 131)) / 7 % 63);
}

void arrays_create(struct store_array *arrays, int seed, bool fill)
{
    for (int i = 0; i < ARRAYS; i++) {
        arrays[i] = shapes[i];
        size_t bytes = arrays_bytes(&shapes[i]);
        unsigned char *data = arrays[i].data = calloc(bytes + 1, 1);
        for (size_t k = 0; k < bytes && fill; k++) data[k] = byte(seed, i, k);
    }
}

void arrays_destroy(struct store_array *arrays)
{
    for (int i = 0; i < ARRAYS; i++) free(arrays[i].data);
}

void arrays_check(const struct store_array *array, int i, int seed)
{
    const unsigned char *data = array->data;
    for (size_t k = 0; k < arrays_bytes(array); k++)
        if (data[k] != byte(seed, i, k)) fail_msg("%s differs at byte %zu", array->path, k);
}

const struct checkpoint_options *arrays_options;

enum iddpm_status arrays_write(const struct parallel *parallel, const char *path, int64_t step, const char *text, int n,
                               const struct store_array *arrays)
{
    struct store_slice *slices;
    assert_int_equal(mem_alloc(&slices, (size_t)n, sizeof *slices, "slices"), IDDPM_OK);
    for (int i = 0; i < n; i++) slices[i] = store_equal_slice(&arrays[i], parallel->rank, parallel->size);
    enum iddpm_status status = checkpoint_write(parallel, path, step, text, n, slices, arrays_options);
    free(slices);
    return status;
}
