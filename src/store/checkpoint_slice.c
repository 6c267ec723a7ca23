/* Slices: the part of every array that a rank writes or reads, and the checksum of an array from those of its slices.
 */
#include "checkpoint.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static size_t equal_begin(size_t elements, int rank, int size)
{
    size_t each = elements / (size_t)size, over = elements % (size_t)size;
    return each * (size_t)rank + ((size_t)rank < over ? (size_t)rank : over);
}

struct store_slice store_equal_slice(const struct store_array *array, int rank, int size)
{
    size_t n = store_array_elements(array), first = equal_begin(n, rank, size);
    struct store_slice slice = {*array, first, equal_begin(n, rank + 1, size) - first};
    if (array->data) slice.array.data = (char *)array->data + first * store_type_bytes(array->type);
    return slice;
}

enum iddpm_status ckpt_check_slices(const char *path, int n, const struct store_slice *slices)
{
    for (int i = 0; i < n; i++) {
        const struct store_slice *slice = &slices[i];
        TRY(store_array_check(path, &slice->array));
        size_t elements = store_array_elements(&slice->array);
        if (slice->first > elements || slice->count > elements - slice->first)
            return iddpm_error(IDDPM_FAILED, "%s: %s has no elements from %zu to %zu", path, slice->array.path,
                               slice->first, slice->first + slice->count);
    }
    return IDDPM_OK;
}

size_t ckpt_slice_bytes(const struct store_slice *slice)
{
    return slice->count * store_type_bytes(slice->array.type);
}

enum iddpm_status ckpt_read_slice(int fd, const char *path, const struct store_slice *slice, uint64_t offset,
                                  uint32_t *crc)
{
    uint64_t begin = offset + slice->first * store_type_bytes(slice->array.type);
    return ckpt_read_bytes(fd, path, begin, ckpt_slice_bytes(slice), slice->array.data, crc);
}

/* ---- checksums --------------------------------------------------------------------------------------------------- */

struct piece {
    uint64_t first, count;
    int32_t array;
    uint32_t crc;
};

static int in_order(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->array != y->array) return x->array < y->array ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

/* Joins the sorted pieces of array i, the first of which is pieces[*at]. */
static enum iddpm_status join_array(const char *path, int i, const struct store_array *array,
                                    const struct piece *pieces, size_t n, size_t *at, uint32_t *out)
{
    uint64_t done = 0, elements = store_array_elements(array);
    uLong crc = crc32_z(0, NULL, 0);
    for (; *at < n && pieces[*at].array == i && pieces[*at].first == done; (*at)++) {
        done += pieces[*at].count;
        crc = crc32_combine(crc, pieces[*at].crc, (z_off_t)(pieces[*at].count * store_type_bytes(array->type)));
    }
    *out = (uint32_t)crc;
    if (done == elements) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: the ranks' slices of %s do not make the whole array", path, array->path);
}

/* Rank 0 */
static enum iddpm_status join(const char *path, int n, const struct store_slice *slices, struct piece *pieces,
                              size_t count, uint32_t *joined)
{
    size_t at = 0;
    if (count) qsort(pieces, count, sizeof *pieces, in_order);
    for (int i = 0; i < n; i++) TRY(join_array(path, i, &slices[i].array, pieces, count, &at, &joined[i]));
    return IDDPM_OK;
}

enum iddpm_status ckpt_join_crcs(const struct parallel *parallel, const char *path, int n,
                                 const struct store_slice *slices, const uint32_t *crcs, uint32_t *joined)
{
    struct piece *mine, *all = NULL;
    size_t count = 0, bytes;
    enum iddpm_status status = mem_alloc(&mine, (size_t)n, sizeof *mine, "checksums of a checkpoint");
    status = parallel_agree(parallel, status);
    for (int i = 0; i < n && status == IDDPM_OK; i++)
        if (slices[i].count) mine[count++] = (struct piece){slices[i].first, slices[i].count, i, crcs[i]};
    if (status == IDDPM_OK) status = parallel_collect(parallel, mine, count * sizeof *mine, &all, &bytes);
    if (status == IDDPM_OK && parallel->rank == 0) status = join(path, n, slices, all, bytes / sizeof *all, joined);
    free(mine);
    free(all);
    return status;
}
