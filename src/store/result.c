/* Results: small HDF5 files of one writer. The file is made in memory and written plainly, so HDF5 never meets an I/O
 * error, and what the system says about one (no space left) reaches the user. */
#include "hdf5.h"

#include <stdlib.h>

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status fill(hid_t file, const char *path, int n_arrays, const struct store_array *arrays,
                              int n_attributes, const struct store_attribute *attributes)
{
    for (int i = 0; i < n_arrays; i++) {
        TRY(store_array_check(path, &arrays[i]));
        HID dataset = hdf5_create_dataset(file, &arrays[i]);
        if (dataset < 0) return hdf5_error(path, "make the data set %s", arrays[i].path);
        if (store_array_elements(&arrays[i]) &&
            H5Dwrite(dataset, hdf5_type(arrays[i].type), H5S_ALL, H5S_ALL, H5P_DEFAULT, arrays[i].data) < 0)
            return hdf5_error(path, "write the data set %s", arrays[i].path);
    }
    for (int i = 0; i < n_attributes; i++)
        if (hdf5_write_attribute(file, &attributes[i]) < 0)
            return hdf5_error(path, "make the attribute %s", attributes[i].name);
    return IDDPM_OK;
}

/* Writes what HDF5 made in memory as `path`. */
static enum iddpm_status save(hid_t file, const char *path)
{
    /* The driver's own memory: H5Fget_file_image clears the mark of an open file in its copy, which the 1.8 format has
     * no use for, and leaves the checksum over it wrong (1.10.8). */
    void **memory;
    if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 || H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&memory) < 0)
        return hdf5_error(path, "make the file");
    ssize_t bytes = H5Fget_file_image(file, NULL, 0); /* the size alone */
    if (bytes < 0) return hdf5_error(path, "make the file");
    TRY(path_write(path, *memory, (size_t)bytes));
    if (store_sync_folder_of(path) != IDDPM_OK) log_warn("%s", iddpm_error_text());
    return IDDPM_OK;
}

enum iddpm_status store_write(const char *path, int n_arrays, const struct store_array *arrays, int n_attributes,
                              const struct store_attribute *attributes)
{
    hdf5_start();
    HID access = hdf5_access();
    HID create = hdf5_file_properties();
    H5Pset_fapl_core(access, (size_t)1 << 20, false);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, create, access);
    if (file < 0) return hdf5_error(path, "make the file");
    enum iddpm_status status = fill(file, path, n_arrays, arrays, n_attributes, attributes);
    if (status == IDDPM_OK) status = save(file, path);
    H5Fclose(file);
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status read_array(hid_t file, const char *path, enum store_type type, struct store_array *array)
{
    HID dataset = H5Dopen2(file, array->path, H5P_DEFAULT);
    if (dataset < 0) return hdf5_error(path, "open the data set %s", array->path);
    char found[STORE_SHAPE_TEXT];
    if (!hdf5_describe(dataset, array))
        return iddpm_error(IDDPM_FAILED, "%s: %s has a type or shape that iddpm cannot read", path, array->path);
    if (array->type != type)
        return iddpm_error(IDDPM_FAILED, "%s: %s is %s in the file, but %s is needed", path, array->path,
                           store_shape_text(array, found), hdf5_type_name(type));
    TRY(store_array_check(path, array));
    size_t n = store_array_elements(array);
    TRY(mem_alloc(&array->data, n, store_type_bytes(type), array->path));
    if (n == 0 || H5Dread(dataset, hdf5_type(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, array->data) >= 0) return IDDPM_OK;
    free(array->data);
    array->data = NULL;
    return hdf5_error(path, "read %s", array->path);
}

enum iddpm_status store_read(const char *path, const char *array_path, enum store_type type, struct store_array *array)
{
    hdf5_start();
    *array = (struct store_array){.path = array_path, .type = type};
    hid_t file;
    TRY(hdf5_open(&file, path));
    enum iddpm_status status = read_array(file, path, type, array);
    H5Fclose(file);
    return status;
}

/* An object of a file, opened for its attributes. */
static enum iddpm_status open_object(const char *path, const char *object, hid_t *file, hid_t *id)
{
    hdf5_start();
    TRY(hdf5_open(file, path));
    *id = H5Oopen(*file, object, H5P_DEFAULT);
    if (*id >= 0) return IDDPM_OK;
    enum iddpm_status status = hdf5_error(path, "open %s", object);
    H5Fclose(*file);
    return status;
}

enum iddpm_status store_read_text(const char *path, const char *object, const char *attribute, char **out)
{
    *out = NULL;
    hid_t file, id;
    TRY(open_object(path, object, &file, &id));
    enum iddpm_status status = IDDPM_OK;
    if (hdf5_read_text(id, attribute, out) < 0) status = hdf5_error(path, "read the attribute %s", attribute);
    H5Oclose(id);
    H5Fclose(file);
    return status;
}

enum iddpm_status store_read_number(const char *path, const char *object, const char *attribute, double *out)
{
    hid_t file, id;
    TRY(open_object(path, object, &file, &id));
    enum iddpm_status status = IDDPM_OK;
    if (hdf5_read_value(id, attribute, H5T_NATIVE_DOUBLE, out) < 0)
        status = hdf5_error(path, "read the attribute %s", attribute);
    H5Oclose(id);
    H5Fclose(file);
    return status;
}

static enum iddpm_status read_attribute(hid_t file, const char *path, struct store_attribute *attribute)
{
    char *text = NULL;
    int failed = 0;
    if (attribute->kind == STORE_TEXT) failed = hdf5_read_text(file, attribute->name, &text);
    if (attribute->kind == STORE_NUMBER)
        failed = hdf5_read_value(file, attribute->name, H5T_NATIVE_DOUBLE, &attribute->number);
    if (attribute->kind == STORE_INTEGER)
        failed = hdf5_read_value(file, attribute->name, H5T_NATIVE_INT64, &attribute->integer);
    attribute->text = text;
    return failed < 0 ? hdf5_error(path, "read the attribute %s", attribute->name) : IDDPM_OK;
}

enum iddpm_status store_read_attributes(const char *path, int n, struct store_attribute *attributes)
{
    hdf5_start();
    hid_t file;
    for (int i = 0; i < n; i++) attributes[i].text = NULL;
    TRY(hdf5_open(&file, path));
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < n && status == IDDPM_OK; i++) status = read_attribute(file, path, &attributes[i]);
    H5Fclose(file);
    if (status != IDDPM_OK) store_free_texts(n, attributes);
    return status;
}

void store_free_texts(int n, struct store_attribute *attributes)
{
    for (int i = 0; i < n; i++) {
        free((char *)attributes[i].text);
        attributes[i].text = NULL;
    }
}
