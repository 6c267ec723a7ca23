/* Results larger than memory: a file of one writer, row by row.
 *
 * HDF5 makes the file with its arrays, contiguous and at known places, and closes it; the numbers are written plainly
 * behind its back. So a full disk is met by our own writes alone, and memory does not grow. */
#include "hdf5.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rows_writer {
    char path[PATH_SIZE], temporary[PATH_SIZE];
    int fd;
    struct place {
        uint64_t offset, rows; /* the former bytes */
        size_t row, element;   /* elements of a row; bytes */
    } * places;
};

static void destroy(struct rows_writer *writer)
{
    if (writer->fd >= 0) close(writer->fd);
    free(writer->places);
    free(writer);
}

void rows_abandon(struct rows_writer *writer)
{
    if (!writer) return;
    if (*writer->temporary) unlink(writer->temporary);
    destroy(writer);
}

/* ---- the file by HDF5 -------------------------------------------------------------------------------------------- */

static enum iddpm_status make_array(struct rows_writer *writer, hid_t file, int i, const struct store_array *array)
{
    struct place *place = &writer->places[i];
    HID dataset = hdf5_create_dataset(file, array);
    if (dataset < 0) return hdf5_error(writer->temporary, "make the data set %s", array->path);
    size_t elements = 1;
    for (int d = 1; d < array->ndim; d++) elements *= array->dims[d];
    *place = (struct place){H5Dget_offset(dataset), array->dims[0], elements, store_type_bytes(array->type)};
    return IDDPM_OK;
}

static enum iddpm_status fill(struct rows_writer *writer, hid_t file, int n_arrays, const struct store_array *arrays,
                              int n_attributes, const struct store_attribute *attributes)
{
    for (int i = 0; i < n_arrays; i++) TRY(make_array(writer, file, i, &arrays[i]));
    for (int i = 0; i < n_attributes; i++)
        if (hdf5_write_attribute(file, &attributes[i]) < 0)
            return hdf5_error(writer->temporary, "make the attribute %s", attributes[i].name);
    return H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 ? hdf5_error(writer->temporary, "write") : IDDPM_OK;
}

/* A file may not be as large as that (a quota, a file system's limit): HDF5 could then not even close it. */
static enum iddpm_status try_size(const struct rows_writer *writer, int n_arrays, const struct store_array *arrays)
{
    uint64_t bytes = 0;
    for (int i = 0; i < n_arrays; i++) {
        TRY(store_array_check(writer->path, &arrays[i]));
        bytes += store_array_elements(&arrays[i]) * store_type_bytes(arrays[i].type);
    }
    int fd = open(writer->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int error = fd < 0 || ftruncate(fd, (off_t)bytes) != 0 ? errno : 0;
    if (fd >= 0) close(fd);
    if (!error) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cannot make a file of %llu bytes: %s", writer->temporary,
                       (unsigned long long)bytes, strerror(error));
}

static enum iddpm_status make_file(struct rows_writer *writer, int n_arrays, const struct store_array *arrays,
                                   int n_attributes, const struct store_attribute *attributes)
{
    hdf5_start();
    HID access = hdf5_access();
    HID create = hdf5_file_properties();
    hid_t file = H5Fcreate(writer->temporary, H5F_ACC_TRUNC, create, access);
    if (file < 0) return hdf5_error(writer->temporary, "make the file");
    enum iddpm_status status = fill(writer, file, n_arrays, arrays, n_attributes, attributes);
    /* Closing writes too, and what it cannot write HDF5 would try again at exit: giving back our own space makes room.
     */
    if (status != IDDPM_OK && truncate(writer->temporary, 0) != 0) errno = 0;
    if (H5Fclose(file) < 0 && status == IDDPM_OK) status = hdf5_error(writer->temporary, "close");
    return status;
}

static enum iddpm_status open_plainly(struct rows_writer *writer)
{
    writer->fd = open(writer->temporary, O_WRONLY | O_CLOEXEC);
    if (writer->fd < 0) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", writer->temporary, strerror(errno));
    return store_reserve(writer->fd, writer->temporary);
}

enum iddpm_status rows_create(struct rows_writer **out, const char *path, int n_arrays,
                              const struct store_array *arrays, int n_attributes,
                              const struct store_attribute *attributes)
{
    struct rows_writer *writer;
    *out = NULL;
    if (strlen(path) + sizeof ".tmp" > PATH_SIZE)
        return iddpm_error(IDDPM_USAGE, "%.80s...: the path is too long", path);
    TRY(mem_alloc(&writer, 1, sizeof *writer, path));
    writer->fd = -1;
    strcpy(writer->path, path);
    snprintf(writer->temporary, sizeof writer->temporary, "%s.tmp", path);
    enum iddpm_status status = mem_alloc(&writer->places, (size_t)n_arrays, sizeof *writer->places, path);
    if (status == IDDPM_OK) status = try_size(writer, n_arrays, arrays);
    if (status == IDDPM_OK) status = make_file(writer, n_arrays, arrays, n_attributes, attributes);
    if (status == IDDPM_OK) status = open_plainly(writer);
    if (status == IDDPM_OK)
        *out = writer;
    else
        rows_abandon(writer);
    return status;
}

/* ---- the numbers ------------------------------------------------------------------------------------------------- */

enum iddpm_status rows_write_elements(struct rows_writer *writer, int i, uint64_t first, uint64_t count,
                                      const void *data)
{
    const struct place *place = &writer->places[i];
    const uint64_t all = place->rows * place->row;
    if (first > all || count > all - first)
        return iddpm_error(IDDPM_FAILED, "%s: array %d has no elements %llu to %llu", writer->path, i,
                           (unsigned long long)first, (unsigned long long)(first + count));
    const char *from = data;
    size_t bytes = (size_t)count * place->element;
    off_t at = (off_t)(place->offset + first * place->element);
    while (bytes) {
        ssize_t n = pwrite(writer->fd, from, bytes, at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", writer->temporary,
                               n < 0 ? strerror(errno) : "the disk is full");
        from += n;
        at += n;
        bytes -= (size_t)n;
    }
    return IDDPM_OK;
}

enum iddpm_status rows_write(struct rows_writer *writer, int i, uint64_t first, uint64_t count, const void *data)
{
    const size_t row = writer->places[i].row;
    return rows_write_elements(writer, i, first * row, count * row, data);
}

enum iddpm_status rows_finish(struct rows_writer *writer)
{
    int error = fsync(writer->fd) != 0 ? errno : 0;
    if (close(writer->fd) != 0 && !error) error = errno;
    writer->fd = -1;
    if (!error && rename(writer->temporary, writer->path) != 0) error = errno;
    if (error) {
        enum iddpm_status status = iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", writer->path, strerror(error));
        rows_abandon(writer);
        return status;
    }
    if (store_sync_folder_of(writer->path) != IDDPM_OK) log_warn("%s", iddpm_error_text());
    destroy(writer);
    return IDDPM_OK;
}
