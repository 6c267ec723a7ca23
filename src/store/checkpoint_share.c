/* Reading a checkpoint on any number of ranks. Rank 0 alone reads HDF5's headers and tells the others where the arrays
 * are; every rank reads its slice of each, the joined checksums are compared, and the slices are shared. So each byte
 * leaves the disk once, and opening costs the same for 1 and for 1,000 ranks. */
#include "checkpoint.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct place {
    uint64_t offset;
    uint32_t crc;
};

struct reader {
    const struct parallel *parallel;
    const char *path;
    int n;
    const struct store_array *arrays;
    struct place *places; /* [n] */
    uint32_t *mine, *all; /* CRC-32 of slices: [n] of this rank, [size][n] of all */
    int *counts, *begins; /* [size] elements of an array's slices */
};

static enum iddpm_status prepare(struct reader *r)
{
    size_t n = (size_t)r->n, size = (size_t)r->parallel->size;
    for (int i = 0; i < r->n; i++) {
        TRY(store_array_check(r->path, &r->arrays[i]));
        if (store_array_elements(&r->arrays[i]) > INT32_MAX)
            return iddpm_error(IDDPM_FAILED, "%s: %s has more elements than ranks can share (2^31 - 1)", r->path,
                               r->arrays[i].path);
    }
    TRY(mem_alloc(&r->places, n, sizeof *r->places, "places in a checkpoint"));
    TRY(mem_alloc(&r->mine, n, sizeof *r->mine, "checksums of a checkpoint"));
    TRY(mem_alloc(&r->all, n * size, sizeof *r->all, "checksums of a checkpoint"));
    TRY(mem_alloc(&r->counts, size, sizeof *r->counts, "sizes of slices"));
    return mem_alloc(&r->begins, size, sizeof *r->begins, "beginnings of slices");
}

static void release(struct reader *r)
{
    free(r->places);
    free(r->mine);
    free(r->all);
    free(r->counts);
    free(r->begins);
}

/* Finds what is asked for and compares shapes. */
static enum iddpm_status locate_in(struct reader *r, const struct checkpoint *c)
{
    for (int k = 0; k < r->n; k++) {
        const struct store_array *asked = &r->arrays[k];
        int i = checkpoint_find(c, asked->path);
        if (i < 0) return iddpm_error(IDDPM_FAILED, "%s: has no array %s", r->path, asked->path);
        const struct store_array *found = &c->arrays[i];
        bool same = found->type == asked->type && found->ndim == asked->ndim;
        for (int d = 0; d < asked->ndim && same; d++) same = found->dims[d] == asked->dims[d];
        char there[STORE_SHAPE_TEXT], here[STORE_SHAPE_TEXT];
        if (!same)
            return iddpm_error(IDDPM_FAILED, "%s: %s is %s in the file, but %s is needed", r->path, asked->path,
                               store_shape_text(found, there), store_shape_text(asked, here));
        r->places[k] = (struct place){c->offsets[i], ckpt_table_crc(&c->table, i)};
    }
    return IDDPM_OK;
}

static enum iddpm_status locate(struct reader *r)
{
    struct checkpoint *c;
    TRY(checkpoint_open(&c, r->path));
    enum iddpm_status status = locate_in(r, c);
    checkpoint_close(c);
    return status;
}

static enum iddpm_status read_slices(struct reader *r)
{
    int fd;
    TRY(ckpt_open_plain(&fd, r->path, O_RDONLY));
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < r->n && status == IDDPM_OK; i++)
        status = ckpt_read_slice(fd, r->path, &r->arrays[i], r->places[i].offset, r->parallel->rank, r->parallel->size,
                                 &r->mine[i]);
    close(fd);
    return status;
}

static enum iddpm_status compare_all(const struct reader *r)
{
    for (int i = 0; i < r->n; i++)
        TRY(ckpt_compare_crc(r->path, &r->arrays[i], r->places[i].crc,
                             ckpt_join(&r->arrays[i], r->all + i, (size_t)r->n, r->parallel->size)));
    return IDDPM_OK;
}

/* Collective: the slices of one array to all ranks. */
static void share(const struct reader *r, const struct store_array *array)
{
    size_t n = store_array_elements(array), bytes = store_type_bytes(array->type);
    int size = r->parallel->size;
    for (int rank = 0; rank < size; rank++) {
        r->begins[rank] = (int)ckpt_begin(n, rank, size);
        r->counts[rank] = (int)ckpt_begin(n, rank + 1, size) - r->begins[rank];
    }
    MPI_Datatype element; /* counted in elements, so that an int reaches over 2 GiB */
    MPI_Type_contiguous((int)bytes, MPI_BYTE, &element);
    MPI_Type_commit(&element);
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, array->data, r->counts, r->begins, element, r->parallel->comm);
    MPI_Type_free(&element);
}

/* Collective */
static enum iddpm_status read_together(struct reader *r)
{
    const struct parallel *parallel = r->parallel;
    TRY(parallel_agree(parallel, prepare(r)));
    TRY(parallel_agree(parallel, parallel->rank == 0 ? locate(r) : IDDPM_OK));
    TRY(parallel_broadcast(parallel, r->places, (size_t)r->n * sizeof *r->places));
    TRY(parallel_agree(parallel, read_slices(r)));
    TRY(parallel_gather(parallel, r->mine, (size_t)r->n * sizeof *r->mine, r->all));
    TRY(compare_all(r)); /* the same on every rank */
    for (int i = 0; i < r->n; i++) share(r, &r->arrays[i]);
    return IDDPM_OK;
}

enum iddpm_status checkpoint_read_all(const struct parallel *parallel, const char *path, int n,
                                      const struct store_array *arrays)
{
    struct reader r = {.parallel = parallel, .path = path, .n = n, .arrays = arrays};
    enum iddpm_status status = read_together(&r);
    release(&r);
    return status;
}
