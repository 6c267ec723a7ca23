/* Writing of NPZ files, also of arrays larger than memory. */
#include "npz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MEMBERS = 8, NAME_WRITTEN = 72, HEADER_WRITTEN = 256 /* enough for five dimensions of 20 digits */ };

struct npz_writer {
    char path[PATH_SIZE], temporary[PATH_SIZE + 8];
    FILE *stream;
    size_t n;
    struct zip_member members[MEMBERS];
    char names[MEMBERS][NAME_WRITTEN];
    uint64_t left; /* bytes that the present array still needs */
};

/* Magic, version 1.0, length, dictionary; padded with blanks to a multiple of 64 bytes, a line feed last. */
static size_t make_header(const struct npz_array *array, char out[HEADER_WRITTEN])
{
    char *at = out + 10;
    at += sprintf(at, "{'descr': '%s', 'fortran_order': False, 'shape': (", npz_type_name(array->type));
    for (int i = 0; i < array->ndim; i++) at += sprintf(at, "%llu, ", (unsigned long long)array->dims[i]);
    if (array->ndim > 1) at -= 2; /* (3,) but (3, 4) */
    if (array->ndim == 1) at -= 1;
    at += sprintf(at, "), }");
    size_t size = ((size_t)(at - out) + 1 + 63) / 64 * 64;
    memset(at, ' ', (size_t)(out + size - 1 - at));
    out[size - 1] = '\n';
    memcpy(out, NPZ_MAGIC "\1\0", 8);
    out[8] = (char)((size - 10) & 255);
    out[9] = (char)((size - 10) >> 8);
    return size;
}

enum iddpm_status npz_writer_open(struct npz_writer **out, const char *path)
{
    TRY(mem_alloc(out, 1, sizeof **out, path));
    struct npz_writer *writer = *out;
    snprintf(writer->path, sizeof writer->path, "%s", path);
    snprintf(writer->temporary, sizeof writer->temporary, "%s.tmp", path);
    writer->stream = fopen(writer->temporary, "wb");
    if (writer->stream) return IDDPM_OK;
    enum iddpm_status status = iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", path, strerror(errno));
    free(writer);
    *out = NULL;
    return status;
}

/* Ends the present array. */
static enum iddpm_status end_array(struct npz_writer *writer)
{
    if (writer->n == 0) return IDDPM_OK;
    if (writer->left)
        return iddpm_error(IDDPM_FAILED, "%llu bytes of %s are missing", (unsigned long long)writer->left,
                           writer->members[writer->n - 1].name);
    return zip_end_member(writer->stream, &writer->members[writer->n - 1]);
}

enum iddpm_status npz_writer_begin(struct npz_writer *writer, const struct npz_array *array)
{
    char header[HEADER_WRITTEN];
    size_t size = make_header(array, header);
    TRY(end_array(writer));
    if (writer->n == MEMBERS) return iddpm_error(IDDPM_FAILED, "too many arrays");
    char *name = writer->names[writer->n];
    struct zip_member *member = &writer->members[writer->n++];
    snprintf(name, NAME_WRITTEN, "%s.npy", array->name);
    member->name = name;
    writer->left = npz_bytes(array);
    member->size = size + writer->left;
    TRY(zip_begin_member(writer->stream, member));
    return zip_add(writer->stream, member, header, size);
}

enum iddpm_status npz_writer_add(struct npz_writer *writer, const void *data, size_t bytes)
{
    if (writer->n == 0 || bytes > writer->left) return iddpm_error(IDDPM_FAILED, "more bytes than the array has");
    writer->left -= bytes;
    return zip_add(writer->stream, &writer->members[writer->n - 1], data, bytes);
}

static enum iddpm_status finish(struct npz_writer *writer)
{
    TRY(end_array(writer));
    TRY(zip_write_directory(writer->stream, writer->n, writer->members));
    if (fflush(writer->stream) != 0 || fsync(fileno(writer->stream)) != 0)
        return iddpm_error(IDDPM_FAILED, "%s", strerror(errno));
    return IDDPM_OK;
}

enum iddpm_status npz_writer_close(struct npz_writer *writer, enum iddpm_status status)
{
    if (status == IDDPM_OK) status = finish(writer);
    if (fclose(writer->stream) != 0 && status == IDDPM_OK) status = iddpm_error(IDDPM_FAILED, "%s", strerror(errno));
    if (status == IDDPM_OK && rename(writer->temporary, writer->path) != 0)
        status = iddpm_error(IDDPM_FAILED, "%s", strerror(errno));
    if (status != IDDPM_OK) {
        unlink(writer->temporary);
        iddpm_error_context(status, "%s: cannot write", writer->path);
    }
    free(writer);
    return status;
}

enum iddpm_status npz_write(const char *path, int n, const struct npz_array *arrays)
{
    struct npz_writer *writer;
    TRY(npz_writer_open(&writer, path));
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < n && status == IDDPM_OK; i++) {
        status = npz_writer_begin(writer, &arrays[i]);
        if (status == IDDPM_OK) status = npz_writer_add(writer, arrays[i].data, npz_bytes(&arrays[i]));
    }
    return npz_writer_close(writer, status);
}
