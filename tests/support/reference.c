#include "reference.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reference {
    hid_t file;
    char path[TEST_PATH_SIZE];
};

/* ---- where things are -------------------------------------------------------------------------------------------- */

void tests_path(char *out, const char *name)
{
    const char *folder = getenv("IDDPM_TESTS_DIR");
    static const char here[] = __FILE__; /* .../tests/support/reference.c */
    int length = (int)(sizeof here - sizeof "/support/reference.c");
    if (folder)
        snprintf(out, TEST_PATH_SIZE, "%s/%s", folder, name);
    else
        snprintf(out, TEST_PATH_SIZE, "%.*s/%s", length, here, name);
}

static void reference_path(char *out, const char *name, const char *suffix)
{
    const char *folder = getenv("IDDPM_REFERENCE");
    char standard[TEST_PATH_SIZE];
    tests_path(standard, "reference/small");
    if (snprintf(out, TEST_PATH_SIZE, "%s/%s%s", folder ? folder : standard, name, suffix) >= TEST_PATH_SIZE)
        fail_msg("IDDPM_REFERENCE: the path is too long");
}

uint64_t rule_seed(void)
{
    static uint64_t seed; /* 0: not read yet */
    if (seed) return seed;
    char path[TEST_PATH_SIZE];
    reference_path(path, "seed", "");
    FILE *file = fopen(path, "r");
    unsigned long long value = 1;
    if (file && (fscanf(file, "%llu", &value) != 1 || !value)) fail_msg("%s: holds no seed", path);
    if (file) fclose(file);
    return seed = value;
}

struct reference *reference_open(const char *name)
{
    struct reference *reference = calloc(1, sizeof *reference);
    reference_path(reference->path, name, ".h5");
    H5E_BEGIN_TRY reference->file = H5Fopen(reference->path, H5F_ACC_RDONLY, H5P_DEFAULT);
    H5E_END_TRY
    if (reference->file < 0) fail_msg("%s: cannot open this HDF5 file", reference->path);
    return reference;
}

void reference_close(struct reference *reference)
{
    H5Fclose(reference->file);
    free(reference);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static hid_t open_group(const struct reference *reference, const char *group)
{
    hid_t id;
    H5E_BEGIN_TRY id = H5Gopen(reference->file, *group ? group : "/", H5P_DEFAULT);
    H5E_END_TRY
    if (id < 0) fail_msg("%s: no group \"%s\"", reference->path, group);
    return id;
}

static void add_name(struct names *names, const char *name)
{
    names->name = realloc(names->name, ((size_t)names->n + 1) * sizeof *names->name);
    names->name[names->n++] = strdup(name);
}

/* A data set or an attribute; by calls that are the same in all versions of HDF5. */
static bool holds_values(hid_t group)
{
    hid_t attribute;
    H5E_BEGIN_TRY attribute = H5Aopen_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, 0, H5P_DEFAULT, H5P_DEFAULT);
    H5E_END_TRY
    if (attribute >= 0) H5Aclose(attribute);
    bool values = attribute >= 0;
    H5G_info_t info;
    H5Gget_info(group, &info);
    for (hsize_t i = 0; i < info.nlinks && !values; i++) {
        hid_t child = H5Oopen_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, H5P_DEFAULT);
        values = H5Iget_type(child) == H5I_DATASET;
        H5Oclose(child);
    }
    return values;
}

/* Appends the groups below `group`: only the direct ones, by name, or all that hold values, by path. */
static void list_groups(const struct reference *reference, const char *group, bool deep, struct names *names)
{
    hid_t parent = open_group(reference, group);
    H5G_info_t info;
    H5Gget_info(parent, &info);
    for (hsize_t i = 0; i < info.nlinks; i++) {
        char name[256], path[TEST_PATH_SIZE];
        H5Lget_name_by_idx(parent, ".", H5_INDEX_NAME, H5_ITER_INC, i, name, sizeof name, H5P_DEFAULT);
        hid_t child = H5Oopen(parent, name, H5P_DEFAULT);
        snprintf(path, sizeof path, "%s%s%s", group, *group ? "/" : "", name);
        if (H5Iget_type(child) == H5I_GROUP && (!deep || holds_values(child))) add_name(names, deep ? path : name);
        if (H5Iget_type(child) == H5I_GROUP && deep) list_groups(reference, path, deep, names);
        H5Oclose(child);
    }
    H5Gclose(parent);
}

struct names reference_groups(const struct reference *reference, const char *group)
{
    struct names names = {0};
    list_groups(reference, group, false, &names);
    return names;
}

struct names reference_cases(const struct reference *reference, const char *group)
{
    struct names names = {0};
    list_groups(reference, group, true, &names);
    return names;
}

void names_free(struct names *names)
{
    for (int i = 0; i < names->n; i++) free(names->name[i]);
    free(names->name);
    *names = (struct names){0};
}

/* ---- data sets --------------------------------------------------------------------------------------------------- */

bool reference_has(const struct reference *reference, const char *group, const char *name)
{
    hid_t parent = open_group(reference, group);
    bool has = H5Lexists(parent, name, H5P_DEFAULT) > 0;
    H5Gclose(parent);
    return has;
}

struct array reference_array(const struct reference *reference, const char *group, const char *name)
{
    if (!reference_has(reference, group, name)) fail_msg("%s: \"%s\" has no %s", reference->path, group, name);
    hid_t parent = open_group(reference, group), set = H5Dopen(parent, name, H5P_DEFAULT), space = H5Dget_space(set);
    struct array array = {.ndim = H5Sget_simple_extent_ndims(space), .size = 1};
    hsize_t dims[H5S_MAX_RANK];
    if (array.ndim > ARRAY_DIMS) fail_msg("%s: %s/%s has %d dimensions", reference->path, group, name, array.ndim);
    H5Sget_simple_extent_dims(space, dims, NULL);
    for (int d = 0; d < array.ndim; d++) array.size *= array.dims[d] = (size_t)dims[d];
    array.data = malloc((array.size ? array.size : 1) * sizeof *array.data);
    if (H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, array.data) < 0)
        fail_msg("%s: cannot read %s/%s as numbers", reference->path, group, name);
    H5Sclose(space);
    H5Dclose(set);
    H5Gclose(parent);
    return array;
}

void array_free(struct array *array)
{
    free(array->data);
    *array = (struct array){0};
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

bool reference_has_attribute(const struct reference *reference, const char *group, const char *name)
{
    hid_t parent = open_group(reference, group);
    bool has = H5Aexists(parent, name) > 0;
    H5Gclose(parent);
    return has;
}

static hid_t open_attribute(const struct reference *reference, const char *group, const char *name)
{
    if (!reference_has_attribute(reference, group, name))
        fail_msg("%s: \"%s\" has no attribute %s", reference->path, group, name);
    hid_t parent = open_group(reference, group), attribute = H5Aopen(parent, name, H5P_DEFAULT);
    H5Gclose(parent);
    return attribute;
}

int reference_numbers(const struct reference *reference, const char *group, const char *name, int room, double *out)
{
    hid_t attribute = open_attribute(reference, group, name), space = H5Aget_space(attribute);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    if (n > room) fail_msg("%s: %s of \"%s\" has %lld numbers", reference->path, name, group, (long long)n);
    if (H5Aread(attribute, H5T_NATIVE_DOUBLE, out) < 0)
        fail_msg("%s: %s of \"%s\" is no number", reference->path, name, group);
    H5Sclose(space);
    H5Aclose(attribute);
    return (int)n;
}

double reference_number(const struct reference *reference, const char *group, const char *name)
{
    double number = 0;
    reference_numbers(reference, group, name, 1, &number);
    return number;
}

char *reference_text(const struct reference *reference, const char *group, const char *name)
{
    hid_t attribute = open_attribute(reference, group, name), type = H5Aget_type(attribute);
    char *text = NULL;
    if (H5Tis_variable_str(type) > 0) {
        hid_t memory = H5Tcopy(H5T_C_S1);
        H5Tset_size(memory, H5T_VARIABLE);
        H5Tset_cset(memory, H5Tget_cset(type));
        char *read = NULL; /* stays NULL for an empty text */
        if (H5Aread(attribute, memory, &read) < 0) fail_msg("%s: cannot read %s", reference->path, name);
        text = strdup(read ? read : "");
        H5free_memory(read);
        H5Tclose(memory);
    } else if (H5Tget_class(type) == H5T_STRING) {
        text = calloc(H5Tget_size(type) + 1, 1);
        if (H5Aread(attribute, type, text) < 0) fail_msg("%s: cannot read %s", reference->path, name);
    } else {
        fail_msg("%s: %s of \"%s\" is no text", reference->path, name, group);
    }
    H5Tclose(type);
    H5Aclose(attribute);
    return text;
}

struct json *reference_json(const struct reference *reference, const char *group, const char *name)
{
    char *text = reference_text(reference, group, name);
    struct json *json = json_parse(text);
    free(text);
    return json;
}
