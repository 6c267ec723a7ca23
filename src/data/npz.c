/* NPZ, numpy's archives of arrays: a ZIP file with a member NAME.npy for each array (numpy.lib.format, versions 1 to
 * 3). Only little-endian numbers in C order. */
#include "npz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MAX 65536

/* By enum store_type. */
static const char *const types[] = {
    [STORE_F32] = "<f4", [STORE_F64] = "<f8", [STORE_I64] = "<i8", [STORE_I32] = "<i4", [STORE_U8] = "|u1"};
enum { TYPES = sizeof types / sizeof types[0] };

const char *npz_type_name(enum store_type type)
{
    return types[type];
}

size_t npz_bytes(const struct npz_array *array)
{
    size_t bytes = store_type_bytes(array->type);
    for (int i = 0; i < array->ndim; i++) bytes *= array->dims[i];
    return bytes;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status bad_header(const struct zip_stream *stream, const char *what)
{
    return iddpm_error(IDDPM_FAILED, "%s: member %s: %s", stream->zip->path, stream->member->name, what);
}

/* Where the value of 'key' begins in the header, a Python dictionary of constants; NULL when there is none. */
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at) return NULL;
    at += strlen(key);
    return at + strspn(at, " :");
}

static bool parse_shape(const char *text, struct npz_array *array)
{
    array->ndim = 0;
    if (*text++ != '(') return false;
    for (;;) {
        text += strspn(text, " ,");
        if (*text == ')') return true;
        if (array->ndim == STORE_DIMS || *text < '0' || *text > '9') return false;
        char *end;
        errno = 0;
        array->dims[array->ndim++] = strtoull(text, &end, 10);
        if (errno || (*end != ',' && *end != ')')) return false;
        text = end;
    }
}

static enum iddpm_status parse_header(const struct zip_stream *stream, const char *header, struct npz_array *array)
{
    const char *type = value_of(header, "'descr'"), *order = value_of(header, "'fortran_order'"),
               *shape = value_of(header, "'shape'");
    if (!type || !order || !shape) return bad_header(stream, "its header is not one of a numpy array");
    int t = 0;
    while (t < TYPES && strncmp(type + 1, types[t], 3) != 0) t++;
    if (t == TYPES || (type[0] != '\'' && type[0] != '"'))
        return iddpm_error(IDDPM_FAILED,
                           "%s: member %s: type %.16s is not read; uint8, int32, int64, float32 and float64 are",
                           stream->zip->path, stream->member->name, type);
    array->type = (enum store_type)t;
    if (!parse_shape(shape, array)) return bad_header(stream, "its shape is damaged or has too many dimensions");
    if (strncmp(order, "False", 5) != 0 && array->ndim > 1)
        return bad_header(stream, "it is in Fortran order; save numpy.ascontiguousarray of it");
    return IDDPM_OK;
}

/* The header's text, NUL-terminated. */
static enum iddpm_status read_header(struct zip_stream *stream, char *text)
{
    uint8_t start[12];
    TRY(zip_stream_read(stream, start, 10));
    size_t length = (size_t)start[8] | (size_t)start[9] << 8;
    if (memcmp(start, NPZ_MAGIC, 6) != 0 || start[6] < 1 || start[6] > 3)
        return bad_header(stream, "it is no numpy array");
    if (start[6] > 1) {
        TRY(zip_stream_read(stream, start + 10, 2));
        length |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
    }
    if (length >= HEADER_MAX) return bad_header(stream, "its header is too long");
    TRY(zip_stream_read(stream, text, length));
    text[length] = 0;
    return IDDPM_OK;
}

/* The shape must account for all that is left of the member. */
static enum iddpm_status check_size(const struct zip_stream *stream, const struct npz_array *array)
{
    size_t bytes = store_type_bytes(array->type);
    bool overflow = false;
    for (int i = 0; i < array->ndim; i++) overflow |= __builtin_mul_overflow(bytes, array->dims[i], &bytes);
    if (overflow || bytes != stream->left) return bad_header(stream, "its size does not fit its shape");
    return IDDPM_OK;
}

static enum iddpm_status take_name(const struct zip_stream *stream, struct npz_array *array)
{
    const char *name = stream->member->name;
    size_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, ".npy") == 0) length -= 4;
    if (length >= sizeof array->name) return bad_header(stream, "its name is too long");
    memcpy(array->name, name, length);
    array->name[length] = 0;
    return IDDPM_OK;
}

enum iddpm_status npz_stream_open(struct zip_stream *stream, const struct zip *zip, const struct zip_member *member,
                                  struct npz_array *array)
{
    char *text;
    memset(array, 0, sizeof *array);
    TRY(zip_stream_open(stream, zip, member));
    TRY(take_name(stream, array));
    TRY(mem_alloc(&text, HEADER_MAX, 1, zip->path));
    enum iddpm_status status = read_header(stream, text);
    if (status == IDDPM_OK) status = parse_header(stream, text, array);
    if (status == IDDPM_OK) status = check_size(stream, array);
    free(text);
    return status;
}

static enum iddpm_status read_member(const struct zip *zip, const struct zip_member *member, struct npz_array *array)
{
    struct zip_stream stream;
    enum iddpm_status status = npz_stream_open(&stream, zip, member, array);
    if (status == IDDPM_OK) status = mem_alloc(&array->data, npz_bytes(array), 1, zip->path);
    if (status == IDDPM_OK) status = zip_stream_read(&stream, array->data, npz_bytes(array));
    zip_stream_close(&stream);
    return status;
}

enum iddpm_status npz_read(const char *path, int *n, struct npz_array **arrays)
{
    struct zip zip;
    *n = 0;
    *arrays = NULL;
    enum iddpm_status status = zip_open(&zip, path, "an NPZ file");
    if (status == IDDPM_OK) status = mem_alloc(arrays, zip.count, sizeof **arrays, path);
    for (size_t i = 0; status == IDDPM_OK && i < zip.count; i++)
        status = read_member(&zip, &zip.members[i], &(*arrays)[(*n)++]);
    zip_close(&zip);
    if (status != IDDPM_OK) {
        npz_free(*n, *arrays);
        *n = 0;
        *arrays = NULL;
    }
    return status;
}

void npz_free(int n, struct npz_array *arrays)
{
    for (int i = 0; i < n; i++) free(arrays[i].data);
    free(arrays);
}
