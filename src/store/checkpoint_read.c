/* Reading checkpoints. HDF5 says what is in the file and where; the numbers, contiguous by format, are then read
 * plainly and summed, so that nothing stays open inside HDF5 and many ranks do not all read its headers. */
#include "checkpoint.h"

#include <fcntl.h>
#include <inttypes.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status read_attributes(struct checkpoint *c, hid_t file)
{
    int64_t version;
    if (hdf5_read_value(file, "format_version", H5T_NATIVE_INT64, &version) < 0) {
        H5Eclear2(H5E_DEFAULT);
        return iddpm_error(IDDPM_FAILED, "%s: this is no checkpoint of iddpm: it has no attribute format_version",
                           c->path);
    }
    if (version != CKPT_FORMAT_VERSION)
        return iddpm_error(IDDPM_FAILED, "%s: its format_version is %" PRId64 "; this iddpm reads %d", c->path, version,
                           CKPT_FORMAT_VERSION);
    if (hdf5_read_value(file, "step", H5T_NATIVE_INT64, &c->step) < 0)
        return hdf5_error(c->path, "read the attribute step");
    if (hdf5_read_text(file, "config", &c->config) < 0) return hdf5_error(c->path, "read the attribute config");
    return IDDPM_OK;
}

static enum iddpm_status read_table(struct checkpoint *c, hid_t file)
{
    HID dataset = H5Dopen2(file, CKPT_TABLE, H5P_DEFAULT);
    if (dataset < 0) return hdf5_error(c->path, "open the data set " CKPT_TABLE);
    HID space = H5Dget_space(dataset);
    HID stored = H5Dget_type(dataset);
    size_t bytes = H5Tget_size(stored);
    hssize_t rows = H5Sget_simple_extent_npoints(space);
    c->table.length = bytes > sizeof(uint32_t) ? bytes - sizeof(uint32_t) : 1;
    HID type = ckpt_table_type(c->table.length);
    if (rows < 1 || rows > INT32_MAX || H5Tequal(type, stored) <= 0)
        return iddpm_error(IDDPM_FAILED, "%s: the data set " CKPT_TABLE " is not one of a checkpoint", c->path);
    c->table.n = (int)rows - 1;
    TRY(mem_alloc(&c->table.rows, (size_t)rows, bytes, c->path));
    if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, c->table.rows) < 0)
        return hdf5_error(c->path, "read the data set " CKPT_TABLE);
    if (!ckpt_table_is_sound(&c->table))
        return iddpm_error(IDDPM_FAILED, "%s: damaged: the checksum of " CKPT_TABLE " is wrong", c->path);
    return IDDPM_OK;
}

static enum iddpm_status find_array(struct checkpoint *c, hid_t file, int i)
{
    struct store_array *array = &c->arrays[i];
    array->path = ckpt_table_path(&c->table, i);
    HID dataset = H5Dopen2(file, array->path, H5P_DEFAULT);
    if (dataset < 0) return hdf5_error(c->path, "open the data set %s", array->path);
    HID create = H5Dget_create_plist(dataset);
    if (!hdf5_describe(dataset, array) || H5Pget_layout(create) != H5D_CONTIGUOUS)
        return iddpm_error(IDDPM_FAILED, "%s: %s has a type, shape or layout that iddpm did not write", c->path,
                           array->path);
    TRY(store_array_check(c->path, array));
    c->offsets[i] = H5Dget_offset(dataset);
    if (c->offsets[i] == HADDR_UNDEF && store_array_elements(array))
        return iddpm_error(IDDPM_FAILED, "%s: %s has no data", c->path, array->path);
    return IDDPM_OK;
}

static enum iddpm_status read_description(struct checkpoint *c, hid_t file)
{
    TRY(read_attributes(c, file));
    TRY(read_table(c, file));
    TRY(mem_alloc(&c->arrays, (size_t)c->table.n, sizeof *c->arrays, c->path));
    TRY(mem_alloc(&c->offsets, (size_t)c->table.n, sizeof *c->offsets, c->path));
    for (int i = 0; i < c->table.n; i++) TRY(find_array(c, file, i));
    return ckpt_open_plain(&c->fd, c->path, O_RDONLY);
}

enum iddpm_status checkpoint_open(struct checkpoint **out, const char *path)
{
    hdf5_start();
    *out = NULL;
    hid_t file;
    TRY(hdf5_open(&file, path));
    struct checkpoint *c = calloc(1, sizeof *c);
    if (c) c->fd = -1, c->path = mem_strdup(path);
    enum iddpm_status status = c && c->path ? read_description(c, file) : iddpm_error(IDDPM_FAILED, "no memory");
    H5Fclose(file);
    if (status != IDDPM_OK)
        checkpoint_close(c);
    else
        *out = c;
    return status;
}

void checkpoint_close(struct checkpoint *c)
{
    if (!c) return;
    if (c->fd >= 0) close(c->fd);
    ckpt_table_destroy(&c->table);
    free(c->arrays);
    free(c->offsets);
    free(c->config);
    free(c->path);
    free(c);
}

/* ---- what is in it ----------------------------------------------------------------------------------------------- */

int64_t checkpoint_step(const struct checkpoint *c)
{
    return c->step;
}

const char *checkpoint_config(const struct checkpoint *c)
{
    return c->config;
}

int checkpoint_count(const struct checkpoint *c)
{
    return c->table.n;
}

struct store_array checkpoint_array(const struct checkpoint *c, int i)
{
    return c->arrays[i];
}

int checkpoint_find(const struct checkpoint *c, const char *path)
{
    for (int i = 0; i < c->table.n; i++)
        if (strcmp(c->arrays[i].path, path) == 0) return i;
    return -1;
}

uint32_t checkpoint_group_crc(const struct checkpoint *c, const char *group)
{
    size_t length = strlen(group);
    uint32_t sum = 0;
    for (int i = 0; i < c->table.n; i++) {
        const char *path = c->arrays[i].path;
        uint32_t crc = ckpt_table_crc(&c->table, i);
        if (strncmp(path, group, length) == 0 && path[length] == '/') sum = libdeflate_crc32(sum, &crc, sizeof crc);
    }
    return sum;
}

/* ---- one reader -------------------------------------------------------------------------------------------------- */

enum iddpm_status checkpoint_read(const struct checkpoint *c, int i, void *data)
{
    struct store_array array = c->arrays[i];
    array.data = data;
    uint32_t crc;
    struct store_slice whole = store_equal_slice(&array, 0, 1);
    TRY(ckpt_read_slice(c->fd, c->path, &whole, c->offsets[i], &crc));
    return ckpt_compare_crc(c->path, &array, ckpt_table_crc(&c->table, i), crc);
}

enum iddpm_status checkpoint_verify(const struct checkpoint *c)
{
    for (int i = 0; i < c->table.n; i++) {
        watchdog_at("comparing the checksums of a checkpoint", -1);
        TRY(checkpoint_read(c, i, NULL));
    }
    return IDDPM_OK;
}
