#include "check.h"
#include "iddpm/store.h"

#include <hdf5.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[PATH_SIZE], path[PATH_SIZE];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/iddpm-test-XXXXXX");
    return mkdtemp(folder) == NULL || path_join(path, folder, "result.h5") != IDDPM_OK;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder) || H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) != 0;
}

static void expect_text(const char *part)
{
    if (!strstr(iddpm_error_text(), part)) fail_msg("'%s' does not say '%s'", iddpm_error_text(), part);
}

static double vb[2][3] = {{1, 2, 3}, {4, 5, 6.5}};
static int64_t labels[4] = {-1, 0, 7, INT64_MAX};
static uint8_t pixels[1] = {255};
static int32_t count = -9;
static const struct store_array arrays[] = {
    {"terms/vb", STORE_F64, 2, {2, 3}, vb},
    {"labels", STORE_I64, 1, {4}, labels},
    {"images/all", STORE_U8, 4, {1, 1, 1, 1}, pixels},
    {"count", STORE_I32, 0, {0}, &count},
    {"nothing", STORE_F32, 2, {0, 3}, NULL},
};
static const struct store_attribute attributes[] = {
    {"weights", STORE_TEXT, .text = "ema/0.9999"},
    {"empty", STORE_TEXT, .text = ""},
    {"bpd", STORE_NUMBER, .number = 3.125},
    {"step", STORE_INTEGER, .integer = 1ll << 40},
};

static enum iddpm_status write_all(void)
{
    return store_write(path, sizeof arrays / sizeof arrays[0], arrays, sizeof attributes / sizeof attributes[0],
                       attributes);
}

static void round_trip(void **state)
{
    (void)state;
    assert_int_equal(write_all(), IDDPM_OK);
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        struct store_array found;
        assert_int_equal(store_read(path, arrays[i].path, arrays[i].type, &found), IDDPM_OK);
        assert_int_equal(found.ndim, arrays[i].ndim);
        size_t bytes = store_type_bytes(found.type);
        for (int d = 0; d < found.ndim; d++) {
            assert_int_equal(found.dims[d], arrays[i].dims[d]);
            bytes *= found.dims[d];
        }
        if (bytes) assert_memory_equal(found.data, arrays[i].data, bytes);
        free(found.data);
    }
    char *text;
    double number;
    assert_int_equal(store_read_text(path, "/", "weights", &text), IDDPM_OK);
    assert_string_equal(text, "ema/0.9999");
    free(text);
    assert_int_equal(store_read_text(path, "/", "empty", &text), IDDPM_OK);
    assert_string_equal(text, "");
    free(text);
    assert_int_equal(store_read_number(path, "/", "bpd", &number), IDDPM_OK);
    assert_true(number == 3.125);
    assert_int_equal(store_read_number(path, "/", "step", &number), IDDPM_OK);
    assert_true(number == 1099511627776.0);
}

static void replaced_whole(void **state)
{
    (void)state;
    assert_int_equal(write_all(), IDDPM_OK);
    assert_int_equal(store_write(path, 1, &arrays[1], 0, NULL), IDDPM_OK);
    struct store_array found;
    assert_int_equal(store_read(path, "terms/vb", STORE_F64, &found), IDDPM_FAILED);
    assert_int_equal(store_read(path, "labels", STORE_I64, &found), IDDPM_OK);
    free(found.data);
}

static void missing_and_wrong(void **state)
{
    (void)state;
    struct store_array found;
    char *text;
    double number;
    assert_int_equal(store_read(path, "labels", STORE_I64, &found), IDDPM_FAILED);
    expect_text("result.h5: cannot open: No such file");
    assert_int_equal(path_write_text(path, "no HDF5"), IDDPM_OK);
    assert_int_equal(store_read(path, "labels", STORE_I64, &found), IDDPM_FAILED);
    expect_text("result.h5: this is no HDF5 file");
    assert_int_equal(write_all(), IDDPM_OK);
    assert_int_equal(store_read(path, "terms/mse", STORE_F64, &found), IDDPM_FAILED);
    expect_text("cannot open the data set terms/mse");
    assert_null(found.data);
    assert_int_equal(store_read(path, "terms", STORE_F64, &found), IDDPM_FAILED);
    expect_text("terms");
    assert_int_equal(store_read(path, "labels", STORE_F64, &found), IDDPM_FAILED);
    expect_text("labels is int64 [4] in the file, but float64 is needed");
    assert_int_equal(store_read_text(path, "/", "config", &text), IDDPM_FAILED);
    expect_text("cannot read the attribute config");
    assert_null(text);
    assert_int_equal(store_read_text(path, "/", "bpd", &text), IDDPM_FAILED);
    assert_int_equal(store_read_number(path, "/none", "bpd", &number), IDDPM_FAILED);
    expect_text("cannot open /none");
    assert_int_equal(truncate(path, 300), 0);
    assert_int_equal(store_read(path, "labels", STORE_I64, &found), IDDPM_FAILED);
    expect_text("truncated");
}

/* A limit on the size of files stands for a full disk: the older file stays, and nothing else. */
static void no_room(void **state)
{
    (void)state;
    assert_int_equal(write_all(), IDDPM_OK);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, little = {100000, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &before);
    little.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &little);
    static float many[50000];
    const struct store_array big = {"big", STORE_F32, 1, {50000}, many};
    enum iddpm_status status = store_write(path, 1, &big, 0, NULL);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, IDDPM_FAILED);
    expect_text("result.h5: cannot write: File too large");
    struct store_array found;
    assert_int_equal(store_read(path, "labels", STORE_I64, &found), IDDPM_OK);
    free(found.data);
    assert_int_equal(store_write(path, 1, &big, 0, NULL), IDDPM_OK); /* no temporary file is in the way */
}

static void refused(void **state)
{
    (void)state;
    assert_int_equal(store_write("/nowhere/x.h5", 1, arrays, 0, NULL), IDDPM_FAILED);
    expect_text("/nowhere/x.h5: cannot write: No such file");
    const struct store_array twice[2] = {arrays[1], arrays[1]};
    assert_int_equal(store_write(path, 2, twice, 0, NULL), IDDPM_FAILED);
    expect_text("cannot make the data set labels: name already exists");
    assert_false(path_exists(path));
}

/* ---- arrays that come row by row --------------------------------------------------------------------------------- */

static const struct store_array by_rows[] = {
    {"terms/vb", STORE_F64, 2, {2, 3}, NULL},
    {"labels", STORE_I64, 1, {4}, NULL},
    {"nothing", STORE_F32, 2, {0, 3}, NULL},
};

static enum iddpm_status write_rows(struct rows_writer *writer)
{
    TRY(rows_write(writer, 0, 1, 1, vb[1]));
    TRY(rows_write(writer, 1, 0, 3, labels));
    TRY(rows_write(writer, 0, 0, 1, vb[0]));
    TRY(rows_write_elements(writer, 1, 3, 1, labels + 3));
    return rows_write(writer, 2, 0, 0, NULL);
}

/* In any order of rows; the name is taken when all is there. */
static void rows_round_trip(void **state)
{
    (void)state;
    struct rows_writer *writer;
    struct store_array found;
    double number;
    assert_int_equal(rows_create(&writer, path, 3, by_rows, 4, attributes), IDDPM_OK);
    assert_int_equal(write_rows(writer), IDDPM_OK);
    assert_false(path_exists(path));
    assert_int_equal(rows_finish(writer), IDDPM_OK);
    for (int i = 0; i < 2; i++) {
        const void *expected = i == 0 ? (const void *)vb : labels;
        assert_int_equal(store_read(path, by_rows[i].path, by_rows[i].type, &found), IDDPM_OK);
        assert_int_equal(store_array_elements(&found), store_array_elements(&by_rows[i]));
        assert_memory_equal(found.data, expected, store_array_elements(&found) * 8);
        free(found.data);
    }
    assert_int_equal(store_read(path, "nothing", STORE_F32, &found), IDDPM_OK);
    assert_int_equal(found.dims[0], 0);
    free(found.data);
    assert_int_equal(store_read_number(path, "/", "bpd", &number), IDDPM_OK);
    assert_true(number == 3.125);
}

/* What stands there stays until the new file is whole, and after every failure. */
static void rows_leave_the_old_file(void **state)
{
    (void)state;
    struct rows_writer *writer;
    struct store_array found;
    assert_int_equal(write_all(), IDDPM_OK);
    assert_int_equal(rows_create(&writer, path, 3, by_rows, 0, NULL), IDDPM_OK);
    assert_int_equal(rows_write(writer, 1, 3, 2, labels), IDDPM_FAILED);
    expect_text("result.h5: array 1 has no elements 3 to 5");
    rows_abandon(writer);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, little;
    getrlimit(RLIMIT_FSIZE, &before);
    little = (struct rlimit){100000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &little);
    const struct store_array big = {"big", STORE_F32, 2, {50000, 2}, NULL};
    enum iddpm_status status = rows_create(&writer, path, 1, &big, 0, NULL);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, IDDPM_FAILED);
    expect_text("result.h5.tmp");
    assert_null(writer);
    assert_int_equal(store_read(path, "images/all", STORE_U8, &found), IDDPM_OK);
    free(found.data);
    assert_int_equal(rows_create(&writer, "/nowhere/x.h5", 3, by_rows, 0, NULL), IDDPM_FAILED);
    expect_text("/nowhere/x.h5");
    rows_abandon(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(round_trip), TEST(replaced_whole),  TEST(missing_and_wrong),       TEST(no_room),
        TEST(refused),    TEST(rows_round_trip), TEST(rows_leave_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
