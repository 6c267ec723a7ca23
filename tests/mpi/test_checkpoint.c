#include "arrays.h"
#include "check.h"
#include "iddpm/store.h"
#include "ranks.h"

#include <fcntl.h>
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG "run:\n  dir: runs/x\n  seed: 7\n"

static char folder[PATH_SIZE], path[PATH_SIZE];

static enum iddpm_status write_with(const struct parallel *parallel, const char *to, int seed)
{
    struct store_array arrays[ARRAYS];
    arrays_create(arrays, seed, true);
    enum iddpm_status status = arrays_write(parallel, to, seed, CONFIG, ARRAYS, arrays);
    arrays_destroy(arrays);
    return status;
}

/* Collective: all ranks read `from` together and find what `seed` made. */
static void check_all(const struct parallel *parallel, const char *from, int seed)
{
    struct store_array arrays[ARRAYS];
    arrays_create(arrays, 0, false);
    enum iddpm_status status = checkpoint_read_all(parallel, from, ARRAYS, arrays);
    if (status != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    for (int i = 0; i < ARRAYS; i++) arrays_check(&arrays[i], i, seed);
    arrays_destroy(arrays);
}

static void expect_text(const char *part)
{
    if (!strstr(iddpm_error_text(), part)) fail_msg("'%s' does not say '%s'", iddpm_error_text(), part);
}

static int make_folder(void **state)
{
    (void)state;
    ranks_make_folder(folder);
    return path_join(path, folder, "step-00000012.h5");
}

static int remove_folder(void **state)
{
    (void)state;
    ranks_remove_folder(folder);
    return H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) != 0; /* nothing is left open in HDF5 */
}

static void one_reader(void **state)
{
    (void)state;
    assert_int_equal(write_with(&ranks, path, 12), IDDPM_OK);
    struct checkpoint *c;
    assert_int_equal(checkpoint_open(&c, path), IDDPM_OK);
    assert_int_equal(checkpoint_step(c), 12);
    assert_string_equal(checkpoint_config(c), CONFIG);
    assert_int_equal(checkpoint_count(c), ARRAYS);
    assert_int_equal(checkpoint_find(c, "params/out.2.bias"), -1);
    struct store_array expected[ARRAYS];
    arrays_create(expected, 12, false);
    for (int i = 0; i < ARRAYS; i++) {
        assert_int_equal(checkpoint_find(c, expected[i].path), i);
        struct store_array found = checkpoint_array(c, i);
        assert_int_equal(found.type, expected[i].type);
        assert_int_equal(found.ndim, expected[i].ndim);
        for (int d = 0; d < found.ndim; d++) assert_int_equal(found.dims[d], expected[i].dims[d]);
        assert_int_equal(checkpoint_read(c, i, expected[i].data), IDDPM_OK);
        arrays_check(&expected[i], i, 12);
    }
    assert_int_equal(checkpoint_verify(c), IDDPM_OK);
    arrays_destroy(expected);
    checkpoint_close(c);
}

static void all_readers_and_replacement(void **state)
{
    (void)state;
    assert_int_equal(write_with(&ranks, path, 12), IDDPM_OK);
    check_all(&ranks, path, 12);
    parallel_barrier(&ranks);
    assert_int_equal(write_with(&ranks, path, 13), IDDPM_OK);
    check_all(&ranks, path, 13);
    if (ranks.rank == 0) assert_int_equal(ranks_count_files(folder), 1);
    /* some arrays, in another order */
    struct store_array arrays[ARRAYS], two[2];
    arrays_create(arrays, 0, false);
    two[0] = arrays[4], two[1] = arrays[0];
    assert_int_equal(checkpoint_read_all(&ranks, path, 2, two), IDDPM_OK);
    arrays_check(&two[0], 4, 13);
    arrays_check(&two[1], 0, 13);
    arrays_destroy(arrays);
}

static char *read_file(const char *from, size_t *bytes)
{
    FILE *stream = fopen(from, "rb");
    struct stat info;
    assert_non_null(stream);
    assert_int_equal(fstat(fileno(stream), &info), 0);
    char *data = malloc((size_t)info.st_size);
    *bytes = fread(data, 1, (size_t)info.st_size, stream);
    fclose(stream);
    return data;
}

/* Written by 1, 2, ... ranks: the same file, byte for byte, which any number reads. */
static void other_numbers_of_ranks(void **state)
{
    (void)state;
    assert_int_equal(write_with(&ranks, path, 5), IDDPM_OK);
    for (int size = 1; size <= ranks.size; size++) {
        struct parallel few = {MPI_COMM_NULL, ranks.rank, size};
        MPI_Comm_split(ranks.comm, ranks.rank < size, ranks.rank, &few.comm);
        char other[PATH_SIZE];
        assert_int_equal(path_join(other, folder, "other.h5"), IDDPM_OK);
        if (ranks.rank < size) {
            assert_int_equal(write_with(&few, other, 5), IDDPM_OK);
            check_all(&few, path, 5);
        }
        MPI_Comm_free(&few.comm);
        check_all(&ranks, other, 5);
        if (ranks.rank == 0) {
            size_t bytes, other_bytes;
            char *data = read_file(path, &bytes), *other_data = read_file(other, &other_bytes);
            assert_int_equal(bytes, other_bytes);
            assert_memory_equal(data, other_data, bytes);
            free(data);
            free(other_data);
        }
        parallel_barrier(&ranks);
    }
}

/* As any other HDF5 program finds it. */
static void plain_hdf5(void **state)
{
    (void)state;
    assert_int_equal(write_with(&ranks, path, 3), IDDPM_OK);
    if (ranks.rank == 0) {
        hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
        hid_t dataset = H5Dopen2(file, "ema/0.9999/input_blocks.0.0.weight", H5P_DEFAULT);
        struct store_array arrays[ARRAYS];
        arrays_create(arrays, 3, false);
        assert_true(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, arrays[3].data) >= 0);
        arrays_check(&arrays[3], 3, 3);
        arrays_destroy(arrays);
        H5Dclose(dataset);
        H5Fclose(file);
    }
    parallel_barrier(&ranks);
}

static void no_arrays_long_config(void **state)
{
    (void)state;
    size_t length = 300000; /* more than an object header holds */
    char *config = calloc(length + 1, 1);
    memset(config, '#', length);
    assert_int_equal(arrays_write(&ranks, path, 0, config, 0, NULL), IDDPM_OK);
    struct checkpoint *c;
    assert_int_equal(checkpoint_open(&c, path), IDDPM_OK);
    assert_int_equal(checkpoint_count(c), 0);
    assert_string_equal(checkpoint_config(c), config);
    checkpoint_close(c);
    assert_int_equal(checkpoint_read_all(&ranks, path, 0, NULL), IDDPM_OK);
    free(config);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

/* Rank 0 adds 1 to a byte of the file. */
static void change_byte(haddr_t offset, int by)
{
    parallel_barrier(&ranks);
    if (ranks.rank == 0) {
        unsigned char byte;
        int fd = open(path, O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
        byte = (unsigned char)(byte + by);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
        close(fd);
    }
    parallel_barrier(&ranks);
}

static void check_damage(const struct store_array *asked, const char *name)
{
    assert_int_equal(checkpoint_read_all(&ranks, path, ARRAYS, asked), IDDPM_FAILED);
    expect_text("damaged");
    expect_text(name);
    struct checkpoint *c;
    enum iddpm_status status = checkpoint_open(&c, path);
    if (status == IDDPM_OK) status = checkpoint_verify(c);
    assert_int_equal(status, IDDPM_FAILED);
    expect_text(name);
    checkpoint_close(c);
}

/* Where the bytes of a data set are. */
static void find_bytes(const char *name, haddr_t *first, hsize_t *bytes)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    *first = H5Dget_offset(dataset);
    *bytes = H5Dget_storage_size(dataset);
    H5Dclose(dataset);
    H5Fclose(file);
}

static void flipped_bytes(void **state)
{
    (void)state;
    assert_int_equal(write_with(&ranks, path, 8), IDDPM_OK);
    struct store_array arrays[ARRAYS];
    arrays_create(arrays, 0, false);
    for (int i = 0; i <= ARRAYS; i++) {
        const char *name = i < ARRAYS ? arrays[i].path : "checksums";
        haddr_t first;
        hsize_t bytes;
        find_bytes(name, &first, &bytes);
        /* ends and middle; and all over the table, whose rows have unused bytes */
        hsize_t stride = i < ARRAYS ? bytes / 2 : 7;
        for (hsize_t k = 0; k < bytes; k += stride ? stride : 1) {
            change_byte(first + k, 1);
            check_damage(arrays, name);
            change_byte(first + k, -1);
        }
        if (bytes) change_byte(first + bytes - 1, 64);
        if (bytes) check_damage(arrays, name);
        if (bytes) change_byte(first + bytes - 1, -64);
    }
    arrays_destroy(arrays);
    check_all(&ranks, path, 8);
}

static void truncated_files(void **state)
{
    (void)state;
    assert_int_equal(write_with(&ranks, path, 8), IDDPM_OK);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    const off_t sizes[] = {info.st_size - 1, info.st_size / 2, 100, 8, 0};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        parallel_barrier(&ranks);
        if (ranks.rank == 0) assert_int_equal(truncate(path, sizes[i]), 0);
        parallel_barrier(&ranks);
        assert_int_equal(checkpoint_read_all(&ranks, path, 0, NULL), IDDPM_FAILED);
        expect_text(path);
        struct checkpoint *c;
        assert_int_equal(checkpoint_open(&c, path), IDDPM_FAILED);
        assert_null(c);
        expect_text(path);
    }
}

static void foreign_files(void **state)
{
    (void)state;
    struct checkpoint *c;
    assert_int_equal(checkpoint_open(&c, "/nowhere/step-00000001.h5"), IDDPM_FAILED);
    expect_text("No such file");
    assert_int_equal(checkpoint_read_all(&ranks, folder, 0, NULL), IDDPM_FAILED);
    if (ranks.rank == 0) {
        assert_int_equal(path_write_text(path, "certainly no HDF5, though quite long enough for a superblock"), 0);
        assert_int_equal(checkpoint_open(&c, path), IDDPM_FAILED);
        expect_text("no HDF5 file");
        const struct store_attribute attributes[] = {{"format_version", STORE_INTEGER, .integer = 1},
                                                     {"step", STORE_INTEGER, .integer = 4},
                                                     {"config", STORE_TEXT, .text = "a: b\n"}};
        const char *const missing[] = {"format_version", "step", "config", "checksums"};
        for (int n = 0; n < 4; n++) {
            assert_int_equal(store_write(path, 0, NULL, n, attributes), IDDPM_OK);
            assert_int_equal(checkpoint_open(&c, path), IDDPM_FAILED);
            expect_text(missing[n]);
        }
        const struct store_attribute newer = {"format_version", STORE_INTEGER, .integer = 99};
        assert_int_equal(store_write(path, 0, NULL, 1, &newer), IDDPM_OK);
        assert_int_equal(checkpoint_open(&c, path), IDDPM_FAILED);
        expect_text("99");
    }
    parallel_barrier(&ranks);
}

static void wrong_shapes(void **state)
{
    (void)state;
    assert_int_equal(write_with(&ranks, path, 8), IDDPM_OK);
    struct store_array arrays[ARRAYS], asked;
    arrays_create(arrays, 0, false);
    asked = arrays[0];
    asked.dims[0] = 4;
    assert_int_equal(checkpoint_read_all(&ranks, path, 1, &asked), IDDPM_FAILED);
    expect_text("params/input_blocks.0.0.weight is float32 [5][3][3][3] in the file, but float32 [4][3][3][3]");
    asked = arrays[1];
    asked.type = STORE_I32;
    assert_int_equal(checkpoint_read_all(&ranks, path, 1, &asked), IDDPM_FAILED);
    expect_text("float32 [5] in the file, but int32 [5]");
    asked = arrays[1];
    asked.ndim = 0;
    assert_int_equal(checkpoint_read_all(&ranks, path, 1, &asked), IDDPM_FAILED);
    expect_text("but float32 scalar");
    asked.path = "params/none";
    assert_int_equal(checkpoint_read_all(&ranks, path, 1, &asked), IDDPM_FAILED);
    expect_text("has no array params/none");
    arrays_destroy(arrays);
}

/* ---- writing that cannot work ------------------------------------------------------------------------------------ */

static void refused_writes(void **state)
{
    (void)state;
    assert_int_equal(write_with(&ranks, "/nowhere/at/all.h5", 1), IDDPM_FAILED);
    expect_text("/nowhere/at/all.h5");
    expect_text("cannot create: no such file");
    float x[6] = {0};
    struct store_array twice[2] = {{"params/x", STORE_F32, 1, {2}, x}, {"params/x", STORE_F32, 1, {2}, x}};
    assert_int_equal(arrays_write(&ranks, path, 1, "", 2, twice), IDDPM_FAILED);
    expect_text("params/x");
    struct store_array below[2] = {{"params", STORE_F32, 1, {2}, x}, {"params/x", STORE_F32, 1, {2}, x}};
    assert_int_equal(arrays_write(&ranks, path, 1, "", 2, below), IDDPM_FAILED);
    struct store_array deep = {"params/x", STORE_F32, STORE_DIMS + 1, {1, 1, 1, 1}, x};
    assert_int_equal(arrays_write(&ranks, path, 1, "", 1, &deep), IDDPM_FAILED);
    struct store_array huge = {"params/x", STORE_F32, 3, {1ull << 40, 1ull << 40, 2}, x};
    assert_int_equal(arrays_write(&ranks, path, 1, "", 1, &huge), IDDPM_FAILED);
    expect_text("larger than can be addressed");
    parallel_barrier(&ranks);
    if (ranks.rank == 0) assert_int_equal(ranks_count_files(folder), 0);
}

/* What a killed run leaves does not stand in the way; a folder of that name does, and is named. */
static void stale_temporary_file(void **state)
{
    (void)state;
    char temporary[PATH_SIZE + 8];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (ranks.rank == 0) assert_int_equal(path_write_text(temporary, "left over"), IDDPM_OK);
    parallel_barrier(&ranks);
    assert_int_equal(write_with(&ranks, path, 21), IDDPM_OK);
    check_all(&ranks, path, 21);
    if (ranks.rank == 0) {
        assert_int_equal(ranks_count_files(folder), 1);
        assert_int_equal(mkdir(temporary, 0777), 0);
    }
    parallel_barrier(&ranks);
    assert_int_equal(write_with(&ranks, path, 22), IDDPM_FAILED);
    expect_text(temporary);
    check_all(&ranks, path, 21);
    parallel_barrier(&ranks);
    if (ranks.rank == 0) rmdir(temporary);
    parallel_barrier(&ranks);
}

/* The guard is asked once, on rank 0, when all is written but the name, and what it says is what happens. */
struct guarded {
    int asked;
    bool refuses, temporary_there, former_there;
};

static enum iddpm_status ask_guard(void *context)
{
    struct guarded *guarded = context;
    char temporary[PATH_SIZE + 32];
    snprintf(temporary, sizeof temporary, "%s.0123456789abcdef.tmp", path);
    guarded->asked++;
    guarded->temporary_there = path_exists(temporary);
    guarded->former_there = path_exists(path);
    return guarded->refuses ? iddpm_error(IDDPM_FAILED, "taken over") : IDDPM_OK;
}

static enum iddpm_status write_guarded(int seed, struct guarded *guarded)
{
    const struct checkpoint_guard guard = {"0123456789abcdef", ask_guard, guarded};
    const struct checkpoint_options options = {.guard = &guard};
    struct store_array arrays[ARRAYS];
    struct store_slice slices[ARRAYS];
    arrays_create(arrays, seed, true);
    for (int i = 0; i < ARRAYS; i++) slices[i] = store_equal_slice(&arrays[i], ranks.rank, ranks.size);
    enum iddpm_status status = checkpoint_write(&ranks, path, seed, CONFIG, ARRAYS, slices, &options);
    arrays_destroy(arrays);
    return status;
}

static void guard_before_the_name(void **state)
{
    (void)state;
    struct guarded yes = {0}, no = {.refuses = true};
    assert_int_equal(write_guarded(31, &yes), IDDPM_OK);
    check_all(&ranks, path, 31);
    assert_int_equal(yes.asked, ranks.rank == 0);
    if (ranks.rank == 0) assert_true(yes.temporary_there && !yes.former_there);
    assert_int_equal(write_guarded(32, &no), IDDPM_FAILED);
    expect_text("taken over");
    assert_int_equal(no.asked, ranks.rank == 0);
    if (ranks.rank == 0) assert_true(no.temporary_there && no.former_there);
    check_all(&ranks, path, 31);
    if (ranks.rank == 0) assert_int_equal(ranks_count_files(folder), 1);
    parallel_barrier(&ranks);
}

/* ---- how it is written ------------------------------------------------------------------------------------------- */

static int opened;            /* files through MPI-IO */
static char hint_seen[2][64]; /* with these hints */

int MPI_File_open(MPI_Comm comm, const char *name, int mode, MPI_Info info, MPI_File *file)
{
    static const char *const names[2] = {"romio_ds_write", "striping_factor"};
    for (int i = 0; i < 2; i++) {
        int found = 0;
        if (info != MPI_INFO_NULL) MPI_Info_get(info, names[i], sizeof hint_seen[i] - 1, hint_seen[i], &found);
        if (!found) hint_seen[i][0] = 0;
    }
    opened++;
    return PMPI_File_open(comm, name, mode, info, file);
}

static void hints_and_alignment(void **state)
{
    enum { ALIGNMENT = 4096 };
    const struct checkpoint_options options = {.hints = "romio_ds_write=disable,striping_factor=8",
                                               .alignment = ALIGNMENT};
    struct store_array arrays[ARRAYS];
    int aligned = 0;
    arrays_options = &options;
    opened = 0;
    other_numbers_of_ranks(state); /* the same file on any number of them */
    assert_true(opened > 1);
    assert_string_equal(hint_seen[0], "disable");
    assert_string_equal(hint_seen[1], "8");
    arrays_create(arrays, 0, false);
    for (int i = 0; i < ARRAYS; i++) {
        haddr_t first;
        hsize_t bytes;
        find_bytes(arrays[i].path, &first, &bytes);
        if (bytes < ALIGNMENT) continue;
        aligned++;
        assert_int_equal(first % ALIGNMENT, 0);
    }
    assert_true(aligned > 1);
    arrays_destroy(arrays);
    arrays_options = NULL;
    assert_int_equal(write_with(&ranks, path, 3), IDDPM_OK);
    assert_string_equal(hint_seen[0], "");
}

static void hints_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "romio_ds_write", "=1",       "cb_nodes=", "cb_nodes=1,",
        ",cb_nodes=1",    "a=1,,b=2", "a = 1",     "averyveryveryverylongnameofahintthatisnone=1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct checkpoint_options options = {.hints = bad[i]};
        if (store_check_hints(bad[i]) != IDDPM_USAGE) fail_msg("'%s' is taken for hints", bad[i]);
        arrays_options = &options;
        assert_int_equal(write_with(&ranks, path, 1), IDDPM_USAGE);
    }
    arrays_options = NULL;
    static const char *const good[] = {"", "a=1", "romio_ds_write=disable,cb_config_list=*:1", "a=b=c"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) assert_int_equal(store_check_hints(good[i]), IDDPM_OK);
    parallel_barrier(&ranks);
    if (ranks.rank == 0) assert_int_equal(ranks_count_files(folder), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(int argc, char **argv)
{
    if (ranks_start(&argc, &argv, 60)) return 1;
    const struct CMUnitTest tests[] = {
        TEST(one_reader),
        TEST(all_readers_and_replacement),
        TEST(other_numbers_of_ranks),
        TEST(plain_hdf5),
        TEST(no_arrays_long_config),
        TEST(flipped_bytes),
        TEST(truncated_files),
        TEST(foreign_files),
        TEST(wrong_shapes),
        TEST(refused_writes),
        TEST(stale_temporary_file),
        TEST(guard_before_the_name),
        TEST(hints_and_alignment),
        TEST(hints_that_are_none),
    };
    return ranks_end(cmocka_run_group_tests(tests, NULL, NULL));
}
