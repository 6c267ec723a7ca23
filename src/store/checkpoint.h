/* The format of a checkpoint, shared by its writer and its readers.
 *
 *   /                 attributes format_version, program, step, config
 *   /params/... etc.  the arrays, contiguous, in the machine's own numbers
 *   /checksums        rows {path, crc32}: one per array in the order of writing; the last is the table's own, its
 * CRC-32 over the rows before it
 *
 * CRC-32 is zlib's, of an array's bytes in C order. Each rank works on an equal range of elements of every array. */
#ifndef IDDPM_STORE_CHECKPOINT_H
#define IDDPM_STORE_CHECKPOINT_H

#include "hdf5.h"

#define CKPT_FORMAT_VERSION 1
#define CKPT_TABLE "checksums"

/* Rank `rank` of `size` works on the elements [ckpt_begin(n, rank, size), ckpt_begin(n, rank + 1, size)). */
size_t ckpt_begin(size_t elements, int rank, int size);
/* CRC-32 of an array from those of its slices, crcs[rank * stride]. */
uint32_t ckpt_join(const struct store_array *array, const uint32_t *crcs, size_t stride, int size);

/* An error naming the array when the checksum noted in the file is not that of what was read. */
enum iddpm_status ckpt_compare_crc(const char *path, const struct store_array *array, uint32_t noted, uint32_t found);

/* Opens for reading or writing (O_RDONLY, O_WRONLY) without HDF5. */
enum iddpm_status ckpt_open_plain(int *fd, const char *path, int flags);
/* Reads `bytes` at `offset` into data (NULL: nowhere) and gives their CRC-32. */
enum iddpm_status ckpt_read_bytes(int fd, const char *path, uint64_t offset, size_t bytes, void *data, uint32_t *crc);
/* The same for this rank's slice of an array that begins at `offset`; array->data is the whole array. */
enum iddpm_status ckpt_read_slice(int fd, const char *path, const struct store_array *array, uint64_t offset, int rank,
                                  int size, uint32_t *crc);

/* ---- the table of checksums -------------------------------------------------------------------------------------- */

struct ckpt_table {
    int n;         /* arrays; there are n + 1 rows */
    size_t length; /* bytes of a path with at least one NUL behind it; a row has 4 more */
    char *rows;
};
enum iddpm_status ckpt_table_create(struct ckpt_table *table, int n, const struct store_array *arrays);
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
