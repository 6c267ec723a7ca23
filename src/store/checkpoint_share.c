/* Reading a checkpoint on any number of ranks. Rank 0 alone reads HDF5's headers and tells the others where the arrays
 * are; every rank reads its slices, and the joined checksums are compared. So each byte leaves the disk once, and
 * opening costs the same for 1 and for 1,000 ranks. */
#include "checkpoint.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct place {
    uint64_t offset;
    uint32_t crc;
};

struct reader {
    const struct parallel *parallel;
    const char *path;
    const struct checkpoint *opened; /* by the caller, or NULL */
    int n;
    const struct store_slice *slices;
    struct place *places;    /* [n] */
    uint32_t *mine, *joined; /* [n] CRC-32 of this rank's slices, and on rank 0 of the arrays */
};

static enum iddpm_status prepare(struct reader *r)
{
    size_t n = (size_t)r->n;
    TRY(ckpt_check_slices(r->path, r->n, r->slices));
    TRY(mem_alloc(&r->places, n, sizeof *r->places, "places in a checkpoint"));
    TRY(mem_alloc(&r->mine, n, sizeof *r->mine, "checksums of a checkpoint"));
    return mem_alloc(&r->joined, n, sizeof *r->joined, "checksums of a checkpoint");
}

static void release(struct reader *r)
{
    free(r->places);
    free(r->mine);
    free(r->joined);
}

/* Finds what is asked for and compares shapes. */
static enum iddpm_status locate_in(struct reader *r, const struct checkpoint *c)
{
    for (int k = 0, i = -1; k < r->n; k++) {
        const struct store_array *asked = &r->slices[k].array;
        bool next = ++i < c->table.n && strcmp(c->arrays[i].path, asked->path) == 0; /* mostly, in the file's order */
        if (!next) i = checkpoint_find(c, asked->path);
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
    if (r->opened) return locate_in(r, r->opened);
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
    for (int i = 0; i < r->n && status == IDDPM_OK; i++) {
        watchdog_at("reading a checkpoint", -1);
        status = ckpt_read_slice(fd, r->path, &r->slices[i], r->places[i].offset, &r->mine[i]);
    }
    close(fd);
    return status;
}

/* Rank 0 */
static enum iddpm_status compare_all(const struct reader *r)
{
    for (int i = 0; i < r->n; i++) TRY(ckpt_compare_crc(r->path, &r->slices[i].array, r->places[i].crc, r->joined[i]));
    return IDDPM_OK;
}

/* Collective */
static enum iddpm_status read_together(struct reader *r)
{
    const struct parallel *parallel = r->parallel;
    watchdog_at("opening a checkpoint", -1);
    TRY(parallel_agree(parallel, prepare(r)));
    TRY(parallel_agree(parallel, parallel->rank == 0 ? locate(r) : IDDPM_OK));
    TRY(parallel_broadcast(parallel, r->places, (size_t)r->n * sizeof *r->places));
    TRY(parallel_agree(parallel, read_slices(r)));
    watchdog_at("comparing the checksums of a checkpoint", -1);
    enum iddpm_status status = ckpt_join_crcs(parallel, r->path, r->n, r->slices, r->mine, r->joined);
    if (status == IDDPM_OK && parallel->rank == 0) status = compare_all(r);
    return parallel_agree(parallel, status);
}

enum iddpm_status checkpoint_read_slices(const struct parallel *parallel, const char *path,
                                         const struct checkpoint *opened, int n, const struct store_slice *slices)
{
    struct reader r = {.parallel = parallel, .path = path, .opened = opened, .n = n, .slices = slices};
    enum iddpm_status status = read_together(&r);
    release(&r);
    return status;
}

/* ---- whole arrays ------------------------------------------------------------------------------------------------ */

/* Collective: the equal slices of one array to all ranks. counts, begins: [size]. */
static void share(const struct parallel *parallel, const struct store_array *array, int *counts, int *begins)
{
    for (int rank = 0; rank < parallel->size; rank++) {
        struct store_slice slice = store_equal_slice(array, rank, parallel->size);
        begins[rank] = (int)slice.first;
        counts[rank] = (int)slice.count;
    }
    MPI_Datatype element; /* counted in elements, so that an int reaches over 2 GiB */
    MPI_Type_contiguous((int)store_type_bytes(array->type), MPI_BYTE, &element);
    MPI_Type_commit(&element);
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, array->data, counts, begins, element, parallel->comm);
    MPI_Type_free(&element);
}

static enum iddpm_status check_sizes(const char *path, int n, const struct store_array *arrays)
{
    for (int i = 0; i < n; i++) {
        TRY(store_array_check(path, &arrays[i]));
        if (store_array_elements(&arrays[i]) > INT32_MAX)
            return iddpm_error(IDDPM_FAILED, "%s: %s has more elements than ranks can share (2^31 - 1)", path,
                               arrays[i].path);
    }
    return IDDPM_OK;
}

enum iddpm_status checkpoint_read_all(const struct parallel *parallel, const char *path, int n,
                                      const struct store_array *arrays)
{
    size_t size = (size_t)parallel->size;
    struct store_slice *slices = NULL;
    int *counts = NULL, *begins = NULL;
    enum iddpm_status status = check_sizes(path, n, arrays);
    if (status == IDDPM_OK) status = mem_alloc(&slices, (size_t)n, sizeof *slices, "slices of a checkpoint");
    if (status == IDDPM_OK) status = mem_alloc(&counts, size, sizeof *counts, "sizes of slices");
    if (status == IDDPM_OK) status = mem_alloc(&begins, size, sizeof *begins, "beginnings of slices");
    status = parallel_agree(parallel, status);
    for (int i = 0; i < n && status == IDDPM_OK; i++)
        slices[i] = store_equal_slice(&arrays[i], parallel->rank, parallel->size);
    if (status == IDDPM_OK) status = checkpoint_read_slices(parallel, path, NULL, n, slices);
    for (int i = 0; i < n && status == IDDPM_OK; i++) share(parallel, &arrays[i], counts, begins);
    free(slices);
    free(counts);
    free(begins);
    return status;
}
