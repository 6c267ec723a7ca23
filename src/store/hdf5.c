#include "hdf5.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CAUSE_SIZE = 1024 };

void hdf5_release(hid_t *id)
{
    if (*id < 0) return;
    /* every call empties the error stack, which hdf5_error may still be asked about */
    hid_t errors = H5Eget_num(H5E_DEFAULT) > 0 ? H5Eget_current_stack() : -1;
    H5Idec_ref(*id);
    if (errors >= 0) H5Eset_current_stack(errors);
}

void hdf5_start(void)
{
    static bool started;
    if (started) return;
    started = true;
    H5dont_atexit();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* The innermost record of the stack says what happened; those above it only where. */
static herr_t innermost(unsigned n, const H5E_error2_t *record, void *text)
{
    if (n == 0) snprintf(text, CAUSE_SIZE, "%s", record->desc);
    return 0;
}

/* "MPI_File_open failed: MPI error string is 'MPI_ERR_X: text'" is "text" to a user. */
static const char *plain_cause(char *cause)
{
    const char *frame = "MPI error string is '";
    char *text = strstr(cause, frame), *end = strrchr(cause, '\'');
    if (!text) return cause;
    text += strlen(frame);
    if (end > text) *end = 0;
    char *colon = strstr(text, ": ");
    return colon ? colon + 2 : text;
}

enum iddpm_status hdf5_error(const char *path, const char *format, ...)
{
    char cause[CAUSE_SIZE] = "no cause given by HDF5", what[512];
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, cause);
    H5Eclear2(H5E_DEFAULT);
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return iddpm_error(IDDPM_FAILED, "%s: cannot %s: %s", path, what, plain_cause(cause));
}

hid_t hdf5_access(void)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0) H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
    return access;
}

hid_t hdf5_file_properties(void)
{
    hid_t create = H5Pcreate(H5P_FILE_CREATE);
    if (create >= 0) H5Pset_obj_track_times(create, false);
    return create;
}

/* What is wrong with a file that HDF5 cannot open. */
static enum iddpm_status open_error(const char *path)
{
    FILE *plain = fopen(path, "rb");
    if (!plain) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(errno));
    fclose(plain);
    hid_t errors = H5Eget_current_stack(); /* the next call empties it */
    bool is_hdf5 = H5Fis_hdf5(path) > 0;
    H5Eset_current_stack(errors);
    if (is_hdf5) return hdf5_error(path, "open");
    H5Eclear2(H5E_DEFAULT);
    return iddpm_error(IDDPM_FAILED, "%s: this is no HDF5 file, or its beginning is damaged", path);
}

enum iddpm_status hdf5_open(hid_t *file, const char *path)
{
    HID access = hdf5_access();
    H5Pset_file_locking(access, false, true);
    *file = H5Fopen(path, H5F_ACC_RDONLY, access);
    return *file < 0 ? open_error(path) : IDDPM_OK;
}

/* ---- types and shapes -------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [STORE_F32] = {"float32", 4}, [STORE_F64] = {"float64", 8}, [STORE_I64] = {"int64", 8},
    [STORE_I32] = {"int32", 4},   [STORE_U8] = {"uint8", 1},
};
enum { TYPES = sizeof types / sizeof types[0] };

hid_t hdf5_type(enum store_type type)
{
    switch (type) { /* the names are variables of the library, so this cannot be part of the table */
    case STORE_F32:
        return H5T_NATIVE_FLOAT;
    case STORE_F64:
        return H5T_NATIVE_DOUBLE;
    case STORE_I64:
        return H5T_NATIVE_INT64;
    case STORE_I32:
        return H5T_NATIVE_INT32;
    case STORE_U8:
        return H5T_NATIVE_UINT8;
    }
    return -1;
}

const char *hdf5_type_name(enum store_type type)
{
    return types[type].name;
}

size_t store_type_bytes(enum store_type type)
{
    return types[type].bytes;
}

bool hdf5_find_type(hid_t id, enum store_type *out)
{
    for (int i = 0; i < TYPES; i++) {
        *out = (enum store_type)i;
        if (H5Tequal(id, hdf5_type(*out)) > 0) return true;
    }
    return false;
}

size_t store_array_elements(const struct store_array *array)
{
    size_t n = 1;
    for (int i = 0; i < array->ndim; i++) n *= array->dims[i];
    return n;
}

enum iddpm_status store_array_check(const char *file, const struct store_array *array)
{
    if (array->ndim < 0 || array->ndim > STORE_DIMS)
        return iddpm_error(IDDPM_FAILED, "%s: %s has %d dimensions; at most %d are possible", file, array->path,
                           array->ndim, STORE_DIMS);
    size_t bytes = store_type_bytes(array->type);
    for (int i = 0; i < array->ndim; i++)
        if (__builtin_mul_overflow(bytes, array->dims[i], &bytes))
            return iddpm_error(IDDPM_FAILED, "%s: %s is larger than can be addressed", file, array->path);
    return IDDPM_OK;
}

const char *store_shape_text(const struct store_array *array, char *out)
{
    int used = snprintf(out, STORE_SHAPE_TEXT, "%s%s", hdf5_type_name(array->type), array->ndim ? " " : " scalar");
    for (int i = 0; i < array->ndim; i++)
        used += snprintf(out + used, STORE_SHAPE_TEXT - (size_t)used, "[%llu]", (unsigned long long)array->dims[i]);
    return out;
}

/* ---- data sets --------------------------------------------------------------------------------------------------- */

hid_t hdf5_create_properties(void)
{
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    if (H5Pset_layout(create, H5D_CONTIGUOUS) >= 0 && H5Pset_alloc_time(create, H5D_ALLOC_TIME_EARLY) >= 0 &&
        H5Pset_fill_time(create, H5D_FILL_TIME_NEVER) >= 0 && H5Pset_obj_track_times(create, false) >= 0)
        return create;
    hdf5_release(&create);
    return -1;
}

/* The groups on the way to `path`, one by one: those that HDF5 makes on the way carry the time. */
static int create_groups(hid_t file, const char *path)
{
    HID create = H5Pcreate(H5P_GROUP_CREATE);
    if (H5Pset_obj_track_times(create, false) < 0) return -1;
    char group[PATH_SIZE];
    for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
        if (snprintf(group, sizeof group, "%.*s", (int)(slash - path), path) >= (int)sizeof group) return -1;
        if (!group[0] || H5Lexists(file, group, H5P_DEFAULT) > 0) continue;
        HID made = H5Gcreate2(file, group, H5P_DEFAULT, create, H5P_DEFAULT);
        if (made < 0) return -1;
    }
    return 0;
}

hid_t hdf5_create_dataset(hid_t file, const struct store_array *array)
{
    hsize_t dims[STORE_DIMS];
    for (int i = 0; i < array->ndim; i++) dims[i] = array->dims[i];
    HID space = array->ndim ? H5Screate_simple(array->ndim, dims, NULL) : H5Screate(H5S_SCALAR);
    HID create = hdf5_create_properties();
    if (create_groups(file, array->path) < 0) return -1;
    return H5Dcreate2(file, array->path, hdf5_type(array->type), space, H5P_DEFAULT, create, H5P_DEFAULT);
}

bool hdf5_describe(hid_t dataset, struct store_array *out)
{
    HID space = H5Dget_space(dataset);
    HID type = H5Dget_type(dataset);
    int ndim = H5Sget_simple_extent_ndims(space);
    if (ndim < 0 || ndim > STORE_DIMS || H5Sget_simple_extent_type(space) == H5S_NULL ||
        !hdf5_find_type(type, &out->type))
        return false;
    hsize_t dims[STORE_DIMS] = {0};
    H5Sget_simple_extent_dims(space, dims, NULL);
    out->ndim = ndim;
    for (int i = 0; i < STORE_DIMS; i++) out->dims[i] = dims[i];
    return true;
}

enum iddpm_status store_reserve(int fd, const char *path)
{
    struct stat info;
    int error = fstat(fd, &info) != 0 ? errno : EINTR;
    while (error == EINTR) error = posix_fallocate(fd, 0, info.st_size);
    if (!error) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cannot reserve %lld bytes: %s", path, (long long)info.st_size,
                       strerror(error));
}

enum iddpm_status store_sync_folder_of(const char *path)
{
    char folder[PATH_SIZE];
    const char *slash = strrchr(path, '/');
    int length = !slash ? 1 : slash == path ? 1 : (int)(slash - path);
    snprintf(folder, sizeof folder, "%.*s", length, slash ? path : ".");
    return path_sync_folder(folder);
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

static hid_t text_type(size_t bytes)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0) {
        H5Tset_size(type, bytes);
        H5Tset_cset(type, H5T_CSET_UTF8);
    }
    return type;
}

int hdf5_write_attribute(hid_t object, const struct store_attribute *attribute)
{
    HID space = H5Screate(H5S_SCALAR);
    HID text = attribute->kind == STORE_TEXT ? text_type(strlen(attribute->text) + 1) : -1;
    hid_t type = text;
    const void *value = attribute->text;
    if (attribute->kind == STORE_NUMBER) type = H5T_NATIVE_DOUBLE, value = &attribute->number;
    if (attribute->kind == STORE_INTEGER) type = H5T_NATIVE_INT64, value = &attribute->integer;
    HID created = H5Acreate2(object, attribute->name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    return created < 0 || H5Awrite(created, type, value) < 0 ? -1 : 0;
}

int hdf5_read_text(hid_t object, const char *name, char **out)
{
    *out = NULL;
    HID attribute = H5Aopen(object, name, H5P_DEFAULT);
    HID stored = attribute < 0 ? -1 : H5Aget_type(attribute);
    if (stored < 0 || H5Tget_class(stored) != H5T_STRING) return -1;
    if (H5Tis_variable_str(stored) > 0) { /* as h5py writes them */
        HID memory = text_type(H5T_VARIABLE);
        char *text = NULL;
        if (H5Tset_cset(memory, H5Tget_cset(stored)) < 0 || H5Aread(attribute, memory, &text) < 0) return -1;
        *out = mem_strdup(text ? text : "");
        H5free_memory(text);
    } else {
        size_t bytes = H5Tget_size(stored);
        HID memory = text_type(bytes + 1);
        *out = calloc(bytes + 1, 1);
        if (!*out || H5Tset_cset(memory, H5Tget_cset(stored)) < 0 || H5Aread(attribute, memory, *out) < 0) {
            free(*out);
            *out = NULL;
        }
    }
    return *out ? 0 : -1;
}

int hdf5_read_value(hid_t object, const char *name, hid_t memory_type, void *out)
{
    HID attribute = H5Aopen(object, name, H5P_DEFAULT);
    return attribute < 0 || H5Aread(attribute, memory_type, out) < 0 ? -1 : 0;
}
