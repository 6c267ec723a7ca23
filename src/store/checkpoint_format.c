#include "checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum iddpm_status ckpt_compare_crc(const char *path, const struct store_array *array, uint32_t noted, uint32_t found)
{
    if (noted == found) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: damaged: the checksum of %s is %08" PRIx32 ", but %08" PRIx32 " was written",
                       path, array->path, found, noted);
}

/* ---- plain reading ----------------------------------------------------------------------------------------------- */

enum iddpm_status ckpt_open_plain(int *fd, const char *path, int flags)
{
    *fd = open(path, flags | O_CLOEXEC);
    if (*fd < 0) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(errno));
    return IDDPM_OK;
}

enum iddpm_status ckpt_read_bytes(int fd, const char *path, uint64_t offset, size_t bytes, void *data, uint32_t *crc)
{
    enum { PIECE = 1 << 18 }; /* stays in the cache between reading and summing */
    unsigned char nowhere[PIECE], *to = data;
    uint32_t sum = 0;
    while (bytes) {
        unsigned char *into = data ? to : nowhere;
        ssize_t got = pread(fd, into, bytes < PIECE ? bytes : PIECE, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return iddpm_error(IDDPM_FAILED, "%s: cannot read: %s", path, strerror(errno));
        if (got == 0) return iddpm_error(IDDPM_FAILED, "%s: the file ends too early", path);
        sum = libdeflate_crc32(sum, into, (size_t)got);
        bytes -= (size_t)got, offset += (size_t)got, to += data ? got : 0;
    }
    *crc = sum;
    return IDDPM_OK;
}

/* ---- the table of checksums -------------------------------------------------------------------------------------- */

static size_t row_bytes(const struct ckpt_table *table)
{
    return table->length + sizeof(uint32_t);
}

static char *row(const struct ckpt_table *table, int i)
{
    return table->rows + (size_t)i * row_bytes(table);
}

enum iddpm_status ckpt_table_create(struct ckpt_table *table, int n, const struct store_slice *slices)
{
    *table = (struct ckpt_table){n, sizeof CKPT_TABLE, NULL};
    for (int i = 0; i < n; i++)
        if (strlen(slices[i].array.path) + 1 > table->length) table->length = strlen(slices[i].array.path) + 1;
    TRY(mem_alloc(&table->rows, (size_t)n + 1, row_bytes(table), "checksums"));
    for (int i = 0; i < n; i++) strcpy(row(table, i), slices[i].array.path);
    strcpy(row(table, n), CKPT_TABLE);
    return IDDPM_OK;
}

void ckpt_table_destroy(struct ckpt_table *table)
{
    free(table->rows);
    *table = (struct ckpt_table){0};
}

const char *ckpt_table_path(const struct ckpt_table *table, int i)
{
    return row(table, i);
}

uint32_t ckpt_table_crc(const struct ckpt_table *table, int i)
{
    uint32_t crc;
    memcpy(&crc, row(table, i) + table->length, sizeof crc);
    return crc;
}

void ckpt_table_set_crc(struct ckpt_table *table, int i, uint32_t crc)
{
    memcpy(row(table, i) + table->length, &crc, sizeof crc);
}

size_t ckpt_table_bytes(const struct ckpt_table *table, int rows)
{
    return (size_t)rows * row_bytes(table);
}

static uint32_t own_crc(const struct ckpt_table *table)
{
    return libdeflate_crc32(0, table->rows, ckpt_table_bytes(table, table->n));
}

void ckpt_table_seal(struct ckpt_table *table)
{
    ckpt_table_set_crc(table, table->n, own_crc(table));
}

bool ckpt_table_is_sound(const struct ckpt_table *table)
{
    const char *last = row(table, table->n);
    size_t used = strlen(CKPT_TABLE);
    if (table->length <= used || memcmp(last, CKPT_TABLE, used) != 0) return false;
    for (size_t i = used; i < table->length; i++)
        if (last[i]) return false;
    for (int i = 0; i < table->n; i++)
        if (row(table, i)[table->length - 1]) return false;
    return ckpt_table_crc(table, table->n) == own_crc(table);
}

hid_t ckpt_table_type(size_t length)
{
    HID path = H5Tcopy(H5T_C_S1);
    hid_t type = H5Tcreate(H5T_COMPOUND, length + sizeof(uint32_t));
    if (type >= 0 && H5Tset_size(path, length) >= 0 && H5Tset_strpad(path, H5T_STR_NULLPAD) >= 0 &&
        H5Tset_cset(path, H5T_CSET_UTF8) >= 0 && H5Tinsert(type, "path", 0, path) >= 0 &&
        H5Tinsert(type, "crc32", length, H5T_NATIVE_UINT32) >= 0)
        return type;
    hdf5_release(&type);
    return -1;
}
