/* The format of a checkpoint, shared by its writer and its readers.
 *
 *   /                 attributes format_version, program, step, config
 *   /params/... etc.  the arrays, contiguous, in the machine's own numbers
 *   /checksums        rows {path, crc32}: one per array in the order of writing; the last is the table's own, its
 * CRC-32 over the rows before it
 *
 * CRC-32 is zlib's, of an array's bytes in C order. */
#ifndef IDDPM_STORE_CHECKPOINT_H
#define IDDPM_STORE_CHECKPOINT_H

#include "hdf5.h"

#define CKPT_FORMAT_VERSION 1
#define CKPT_TABLE "checksums"

/* ---- slices (checkpoint_slice.c) --------------------------------------------------------------------------------- */

/* Bounds of every array and of this rank's slice of it. */
enum iddpm_status ckpt_check_slices(const char *path, int n, const struct store_slice *slices);
size_t ckpt_slice_bytes(const struct store_slice *slice);
/* Reads the slice of an array that begins at `offset` of the file into its data (NULL: nowhere) and gives its CRC-32.
 */
enum iddpm_status ckpt_read_slice(int fd, const char *path, const struct store_slice *slice, uint64_t offset,
                                  uint32_t *crc);
/* Collective: each rank gives the CRC-32 of its slices; rank 0 has those of the whole arrays in joined[n]. An error,
 * which may be rank 0's alone, when the slices do not make up an array. What is sent grows with arrays + ranks, not
 * with their product. */
enum iddpm_status ckpt_join_crcs(const struct parallel *parallel, const char *path, int n,
                                 const struct store_slice *slices, const uint32_t *crcs, uint32_t *joined);

/* ---- plain reading ----------------------------------------------------------------------------------------------- */

/* An error naming the array when the checksum noted in the file is not that of what was read. */
enum iddpm_status ckpt_compare_crc(const char *path, const struct store_array *array, uint32_t noted, uint32_t found);

/* Opens for reading or writing (O_RDONLY, O_WRONLY) without HDF5. */
enum iddpm_status ckpt_open_plain(int *fd, const char *path, int flags);
/* Reads `bytes` at `offset` into data (NULL: nowhere) and gives their CRC-32. */
enum iddpm_status ckpt_read_bytes(int fd, const char *path, uint64_t offset, size_t bytes, void *data, uint32_t *crc);

/* Hints for MPI-IO, to be freed by MPI_Info_free; hints.c. */
enum iddpm_status ckpt_info(const char *hints, MPI_Info *out);

/* ---- the table of checksums -------------------------------------------------------------------------------------- */

struct ckpt_table {
    int n;         /* arrays; there are n + 1 rows */
    size_t length; /* bytes of a path with at least one NUL behind it; a row has 4 more */
    char *rows;
};
enum iddpm_status ckpt_table_create(struct ckpt_table *table, int n, const struct store_slice *slices);
void ckpt_table_destroy(struct ckpt_table *table);
const char *ckpt_table_path(const struct ckpt_table *table, int i);
uint32_t ckpt_table_crc(const struct ckpt_table *table, int i);
void ckpt_table_set_crc(struct ckpt_table *table, int i, uint32_t crc);
size_t ckpt_table_bytes(const struct ckpt_table *table, int rows);
void ckpt_table_seal(struct ckpt_table *table); /* the last row, after all others are set */
bool ckpt_table_is_sound(const struct ckpt_table *table);
hid_t ckpt_table_type(size_t length); /* HDF5 type of a row */

/* ---- an open checkpoint ------------------------------------------------------------------------------------------ */

struct checkpoint {
    char *path, *config;
    int64_t step;
    int fd;
    struct ckpt_table table;
    struct store_array *arrays; /* [table.n] */
    uint64_t *offsets;          /* [table.n] */
};

#endif
