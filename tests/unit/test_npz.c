/* NPZ: files of numpy are read, ours come back, damaged ones are refused. */
#include "iddpm/data.h"
#include "reference.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[PATH_SIZE];

static const struct npz_array *find(int n, const struct npz_array *arrays, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(arrays[i].name, name) == 0) return &arrays[i];
    fail_msg("no array %s", name);
    return NULL;
}

static void assert_array(const struct npz_array *array, enum store_type type, int ndim, const uint64_t *dims,
                         const void *data, size_t bytes)
{
    assert_int_equal(array->type, type);
    assert_int_equal(array->ndim, ndim);
    for (int i = 0; i < ndim; i++) assert_int_equal(array->dims[i], dims[i]);
    assert_memory_equal(array->data, data, bytes);
}

static void arrays_of_numpy_are_read(void **state)
{
    char path[PATH_SIZE];
    int n;
    struct npz_array *arrays;
    (void)state;
    tests_path(path, "data/npz/kinds.npz");
    assert_int_equal(npz_read(path, &n, &arrays), IDDPM_OK);
    assert_int_equal(n, 6);
    assert_array(find(n, arrays, "half"), STORE_F32, 0, NULL, (float[]){0.5f}, 4);
    assert_array(find(n, arrays, "row"), STORE_I32, 1, (uint64_t[]){3}, (int32_t[]){1, -2, 3}, 12);
    assert_array(find(n, arrays, "table"), STORE_F64, 2, (uint64_t[]){3, 2},
                 (double[]){1.5, 2.5, 3.5, -4.5, 1e300, -0.0}, 48);
    assert_array(find(n, arrays, "long"), STORE_I64, 1, (uint64_t[]){2}, (int64_t[]){INT64_C(1) << 40, -1}, 16);
    assert_array(find(n, arrays, "none"), STORE_U8, 2, (uint64_t[]){0, 3}, "", 0);
    assert_array(find(n, arrays, "cube"), STORE_F32, 4, (uint64_t[]){2, 2, 2, 1}, (float[]){0, 1, 2, 3, 4, 5, 6, 7},
                 32);
    npz_free(n, arrays);
}

static void compressed_arrays_are_read(void **state)
{
    char path[PATH_SIZE];
    int n;
    struct npz_array *arrays;
    uint8_t want[6 * 4 * 5 * 3];
    (void)state;
    for (size_t i = 0; i < sizeof want; i++) want[i] = (uint8_t)(i * 7);
    tests_path(path, "data/npz/compressed.npz");
    assert_int_equal(npz_read(path, &n, &arrays), IDDPM_OK);
    assert_int_equal(n, 2);
    assert_array(find(n, arrays, "arr_0"), STORE_U8, 4, (uint64_t[]){6, 4, 5, 3}, want, sizeof want);
    assert_array(find(n, arrays, "arr_1"), STORE_I64, 1, (uint64_t[]){6}, (int64_t[]){2, 0, 1, 2, 0, 2}, 48);
    npz_free(n, arrays);
}

/* In order, again from the front, and over a gap; stored and deflated. */
static void images_are_read_in_order(void **state)
{
    static const char *const files[] = {"ours.npz", "data/npz/compressed.npz"};
    enum { N = 6, IMAGE = 4 * 5 * 3 };
    char path[PATH_SIZE], hash[65] = "";
    uint8_t want[N * IMAGE], got[N * IMAGE];
    (void)state;
    for (size_t i = 0; i < sizeof want; i++) want[i] = (uint8_t)(i * 7);
    const struct npz_array arrays[] = {{"arr_0", STORE_U8, 4, {N, 4, 5, 3}, want},
                                       {"arr_1", STORE_I64, 1, {N}, (int64_t[]){2, 0, 1, 2, 0, 2}}};
    assert_int_equal(path_join(path, folder, files[0]), IDDPM_OK);
    assert_int_equal(npz_write(path, 2, arrays), IDDPM_OK);
    for (int i = 0; i < 2; i++) {
        struct npz_images *images;
        if (i == 1) tests_path(path, files[1]);
        assert_int_equal(npz_images_open(&images, path), IDDPM_OK);
        assert_int_equal(images->images, N);
        assert_int_equal(images->width, 5);
        assert_memory_equal(images->labels, arrays[1].data, N * sizeof(int64_t));
        static const uint64_t asked[][2] = {{0, 2}, {2, 1}, {5, 1}, {1, 3}, {0, N}, {N, 0}};
        for (size_t k = 0; k < sizeof asked / sizeof *asked; k++) {
            assert_int_equal(npz_images_read(images, asked[k][0], asked[k][1], got), IDDPM_OK);
            assert_memory_equal(got, want + asked[k][0] * IMAGE, asked[k][1] * IMAGE);
        }
        assert_int_equal(npz_images_read(images, N - 1, 2, got), IDDPM_FAILED);
        if (i == 0) strcpy(hash, images->hash);
        assert_string_equal(images->hash, hash); /* of the contents, however they are packed */
        npz_images_close(images);
        if (i == 0) unlink(path);
    }
}

static void files_without_images_are_refused(void **state)
{
    char path[PATH_SIZE];
    struct npz_images *images;
    (void)state;
    const struct npz_array arrays[] = {{"arr_1", STORE_I64, 1, {1}, (int64_t[]){2}},
                                       {"arr_0", STORE_F32, 4, {1, 1, 1, 1}, (float[]){0}}};
    assert_int_equal(path_join(path, folder, "none.npz"), IDDPM_OK);
    for (int n = 1; n <= 2; n++) {
        assert_int_equal(npz_write(path, n, arrays), IDDPM_OK);
        assert_int_equal(npz_images_open(&images, path), IDDPM_FAILED);
        assert_non_null(strstr(iddpm_error_text(), n == 1 ? "no array arr_0" : "must be uint8 images"));
        assert_null(images);
    }
    unlink(path);
}

static void what_is_written_comes_back(void **state)
{
    char path[PATH_SIZE];
    int n;
    struct npz_array *back;
    uint8_t pixels[2 * 70000];
    (void)state;
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * i >> 3);
    const struct npz_array arrays[] = {
        {"arr_0", STORE_U8, 4, {2, 700, 100, 1}, pixels},   {"arr_1", STORE_I64, 1, {2}, (int64_t[]){-5, 7}},
        {"scalar", STORE_F64, 0, {0}, (double[]){0.1}},     {"nothing", STORE_F32, 2, {4, 0}, NULL},
        {"numbers", STORE_I32, 2, {1, 1}, (int32_t[]){-9}},
    };
    assert_int_equal(path_join(path, folder, "ours.npz"), IDDPM_OK);
    assert_int_equal(npz_write(path, 5, arrays), IDDPM_OK);
    assert_int_equal(npz_write(path, 5, arrays), IDDPM_OK); /* replaces */
    assert_int_equal(scratch_entries(folder), 1);
    assert_int_equal(npz_read(path, &n, &back), IDDPM_OK);
    assert_int_equal(n, 5);
    static const size_t bytes[] = {sizeof pixels, 16, 8, 0, 4};
    for (int i = 0; i < n; i++) {
        assert_string_equal(back[i].name, arrays[i].name);
        assert_array(&back[i], arrays[i].type, arrays[i].ndim, arrays[i].dims, arrays[i].data ? arrays[i].data : "",
                     bytes[i]);
    }
    npz_free(n, back);
    assert_int_equal(npz_write("/nowhere/at/all.npz", 5, arrays), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "/nowhere/at/all.npz"));
}

static void other_arrays_are_refused(void **state)
{
    static const struct {
        const char *name, *reason;
    } cases[] = {{"data/npz/fortran.npz", "Fortran order"},
                 {"data/npz/bool.npz", "'|b1'"},
                 {"data/npz/six.npz", "too many dimensions"},
                 {"data/README.md", "not an NPZ file"},
                 {"data/npz/nowhere.npz", "No such file"},
                 {"data/image-folder-awkward/bad_empty.jpg", "too short"},
                 {"data/npz", "cannot"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[PATH_SIZE];
        int n;
        struct npz_array *arrays;
        tests_path(path, cases[i].name);
        assert_int_equal(npz_read(path, &n, &arrays), IDDPM_FAILED);
        assert_null(arrays);
        assert_non_null(strstr(iddpm_error_text(), cases[i].name));
        if (!strstr(iddpm_error_text(), cases[i].reason)) fail_msg("no '%s': %s", cases[i].reason, iddpm_error_text());
    }
}

static void read_anything(const char *path)
{
    int n;
    struct npz_array *arrays;
    iddpm_error(IDDPM_OK, "%s", "");
    enum iddpm_status status = npz_read(path, &n, &arrays);
    assert_true(status == IDDPM_OK || (n == 0 && !arrays && *iddpm_error_text()));
    npz_free(n, arrays);
}

static void changed_files_do_no_harm(void **state)
{
    static const char *const names[] = {"data/npz/compressed.npz", "data/npz/kinds.npz"};
    (void)state;
    for (int f = 0; f < 2; f++) {
        char path[PATH_SIZE], copy[PATH_SIZE];
        tests_path(path, names[f]);
        assert_int_equal(path_join(copy, folder, "changed.npz"), IDDPM_OK);
        scratch_mutate(path, copy, 500, read_anything);
    }
}

static void a_changed_number_is_noticed(void **state)
{
    char path[PATH_SIZE], copy[PATH_SIZE];
    int count;
    size_t n;
    struct npz_array *arrays;
    (void)state;
    tests_path(path, "data/npz/kinds.npz");
    uint8_t *bytes = scratch_read(path, &n), *at = memmem(bytes, n, (double[]){3.5, -4.5}, 16);
    assert_non_null(at);
    at[6] ^= 1;
    assert_int_equal(path_join(copy, folder, "changed.npz"), IDDPM_OK);
    scratch_write(copy, bytes, n);
    assert_int_equal(npz_read(copy, &count, &arrays), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "table.npy"));
    assert_non_null(strstr(iddpm_error_text(), "CRC"));
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_of_numpy_are_read),   cmocka_unit_test(compressed_arrays_are_read),
        cmocka_unit_test(images_are_read_in_order),   cmocka_unit_test(files_without_images_are_refused),
        cmocka_unit_test(what_is_written_comes_back), cmocka_unit_test(other_arrays_are_refused),
        cmocka_unit_test(changed_files_do_no_harm),   cmocka_unit_test(a_changed_number_is_noticed),
    };
    scratch_make(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
