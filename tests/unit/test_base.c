/* Floor 0 besides randomness: status, memory, paths, clock. */
#include "check.h"
#include "iddpm/base.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- status ------------------------------------------------------------------------------------------------------ */

static void errors_have_text_and_context(void **state)
{
    (void)state;
    assert_int_equal(iddpm_error(IDDPM_USAGE, "key %s: %d is too large", "a.b", 7), IDDPM_USAGE);
    assert_string_equal(iddpm_error_text(), "key a.b: 7 is too large");
    assert_int_equal(iddpm_error_context(IDDPM_USAGE, "rank %d", 3), IDDPM_USAGE);
    assert_string_equal(iddpm_error_text(), "rank 3: key a.b: 7 is too large");
    iddpm_error(IDDPM_FAILED, "again (%s)", iddpm_error_text()); /* from itself */
    assert_string_equal(iddpm_error_text(), "again (rank 3: key a.b: 7 is too large)");
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    char *text = malloc(20001);
    memset(text, 'x', 20000);
    text[20000] = 0;
    iddpm_error(IDDPM_FAILED, "%s", text);
    size_t length = strlen(iddpm_error_text());
    assert_in_range(length, 1000, 19999);
    iddpm_error_context(IDDPM_FAILED, "context");
    assert_memory_equal(iddpm_error_text(), "context: xxx", 12);
    iddpm_error_context(IDDPM_FAILED, "%s", text);
    assert_int_equal(strlen(iddpm_error_text()), length);
    free(text);
}

static void *other_thread(void *text)
{
    iddpm_error(IDDPM_FAILED, "other");
    *(bool *)text = strcmp(iddpm_error_text(), "other") == 0;
    return NULL;
}

static void threads_have_their_own_text(void **state)
{
    (void)state;
    pthread_t thread;
    bool right = false;
    iddpm_error(IDDPM_FAILED, "mine");
    assert_int_equal(pthread_create(&thread, NULL, other_thread, &right), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(right);
    assert_string_equal(iddpm_error_text(), "mine");
}

static enum iddpm_status fail_in_the_middle(int *reached)
{
    *reached = 1;
    TRY(IDDPM_OK);
    *reached = 2;
    TRY(iddpm_error(IDDPM_STOPPED, "stopped"));
    *reached = 3;
    return IDDPM_OK;
}

static void try_returns_the_status(void **state)
{
    (void)state;
    int reached = 0;
    assert_int_equal(fail_in_the_middle(&reached), IDDPM_STOPPED);
    assert_int_equal(reached, 2);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void memory_is_aligned_and_zero(void **state)
{
    (void)state;
    for (size_t count = 0; count < 200; count += 7) {
        double *data;
        assert_int_equal(mem_alloc(&data, count, sizeof *data, "test"), IDDPM_OK);
        assert_non_null(data);
        assert_int_equal((uintptr_t)data % MEM_ALIGN, 0);
        for (size_t i = 0; i < count; i++) assert_true(data[i] == 0);
        free(data);
    }
    assert_true(mem_peak_bytes() > 100000);
}

static void large_memory_is_zero_and_comes_when_touched(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 511, 512, 513, (1 << 18) - 1, 1 << 18, (3 << 18) + 5};
    for (int turn = 0; turn < 2; turn++) /* what was given back may come again */
        for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
            double *data;
            assert_int_equal(mem_map(&data, counts[k], sizeof *data, "test"), IDDPM_OK);
            assert_non_null(data);
            assert_int_equal((uintptr_t)data % MEM_ALIGN, 0);
            for (size_t i = 0; i < counts[k]; i++) assert_true(data[i] == 0);
            for (size_t i = 0; i < counts[k]; i++) data[i] = 1;
            mem_unmap(data);
        }
    mem_unmap(NULL);
#ifndef __SANITIZE_ADDRESS__
    char *lazy;
    uint64_t before = mem_peak_bytes();
    assert_int_equal(mem_map(&lazy, 1 << 30, 1, "test"), IDDPM_OK);
    lazy[5 << 20] = 1;
    mem_unmap(lazy);
    assert_true(mem_peak_bytes() - before < 100 << 20);
#endif
}

static void too_much_memory_is_an_error(void **state)
{
    (void)state;
    static const size_t counts[] = {SIZE_MAX, SIZE_MAX / 8 + 2, SIZE_MAX / 8};
    for (int i = 0; i < 3; i++) {
        void *data = &data;
        assert_int_equal(mem_alloc(&data, counts[i], 8, "the arena"), IDDPM_FAILED);
        assert_null(data);
        assert_non_null(strstr(iddpm_error_text(), "the arena"));
        data = &data;
        assert_int_equal(mem_map(&data, counts[i], 8, "the gradient"), IDDPM_FAILED);
        assert_null(data);
        assert_non_null(strstr(iddpm_error_text(), "the gradient"));
    }
    int *array = NULL;
    size_t capacity = 0;
    static const size_t needs[] = {SIZE_MAX, SIZE_MAX / 4, SIZE_MAX / 2 + 1};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mem_grow(&array, &capacity, needs[i], sizeof *array, "the list"), IDDPM_FAILED);
        assert_non_null(strstr(iddpm_error_text(), "the list"));
        assert_true(!array && !capacity);
    }
}

static void growing_keeps_what_is_there(void **state)
{
    (void)state;
    int *array = NULL;
    size_t capacity = 0, changes = 0;
    for (int i = 0; i < 5000; i++) {
        size_t before = capacity;
        assert_int_equal(mem_grow(&array, &capacity, (size_t)i + 1, sizeof *array, "test"), IDDPM_OK);
        assert_true(capacity > (size_t)i);
        changes += capacity != before;
        array[i] = i;
    }
    for (int i = 0; i < 5000; i++) assert_int_equal(array[i], i);
    assert_in_range(changes, 1, 12); /* doubling */
    free(array);
    char *copy = mem_strdup("text");
    assert_string_equal(copy, "text");
    free(copy);
    assert_null(mem_strdup(NULL));
}

/* ---- paths ------------------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/iddpm-base-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* fails when a test left something */
}

static void joining(void **state)
{
    (void)state;
    char out[PATH_SIZE], long_name[PATH_SIZE];
    assert_int_equal(path_join(out, "a/b", "c.h5"), IDDPM_OK);
    assert_string_equal(out, "a/b/c.h5");
    assert_int_equal(path_join(out, "/", "c"), IDDPM_OK);
    assert_string_equal(out, "/c");
    memset(long_name, 'x', sizeof long_name);
    long_name[PATH_SIZE - 3] = 0; /* with "a/" and the end exactly PATH_SIZE */
    assert_int_equal(path_join(out, "a", long_name), IDDPM_OK);
    assert_int_equal(strlen(out), PATH_SIZE - 1);
    assert_int_equal(path_join(out, "aa", long_name), IDDPM_USAGE);
    assert_non_null(strstr(iddpm_error_text(), "longer than"));
}

static void making_folders(void **state)
{
    (void)state;
    char path[PATH_SIZE], file[PATH_SIZE], below[PATH_SIZE];
    assert_int_equal(path_join(path, folder, "a/b//c/"), IDDPM_OK);
    assert_int_equal(path_make_folders(path), IDDPM_OK);
    assert_int_equal(path_make_folders(path), IDDPM_OK); /* again */
    assert_true(path_is_folder(path) && path_exists(path));
    assert_int_equal(path_sync_folder(path), IDDPM_OK);
    assert_int_equal(path_join(file, path, "file"), IDDPM_OK);
    assert_false(path_exists(file));
    assert_int_equal(path_write_text(file, ""), IDDPM_OK);
    assert_true(path_exists(file) && !path_is_folder(file));
    assert_int_equal(path_make_folders(file), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), file));
    assert_int_equal(path_join(below, file, "d"), IDDPM_OK);
    assert_int_equal(path_make_folders(below), IDDPM_FAILED);
    assert_int_equal(path_sync_folder(below), IDDPM_FAILED);
    assert_int_equal(path_make_folders(""), IDDPM_USAGE);
    assert_int_equal(path_make_folders("/"), IDDPM_OK);
    assert_int_equal(unlink(file), 0);
    static const char *const made[] = {"a/b/c", "a/b", "a"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(path_join(path, folder, made[i]), IDDPM_OK);
        assert_int_equal(rmdir(path), 0);
    }
}

static void texts_are_written_whole(void **state)
{
    (void)state;
    char path[PATH_SIZE], temporary[PATH_SIZE + 4], *read;
    assert_int_equal(path_join(path, folder, "text"), IDDPM_OK);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    static const size_t sizes[] = {0, 1, 4094, 4095, 4096, 100000};
    for (int i = 0; i < 6; i++) {
        char *text = calloc(sizes[i] + 1, 1);
        for (size_t k = 0; k < sizes[i]; k++) text[k] = (char)('a' + k % 26);
        assert_int_equal(path_write_text(path, text), IDDPM_OK); /* over the one before */
        assert_false(path_exists(temporary));
        assert_int_equal(path_read_text(path, sizes[i], &read), IDDPM_OK);
        assert_string_equal(read, text);
        char *small = malloc(sizes[i] + 1);
        assert_int_equal(path_read_small(path, sizes[i] + 1, small), IDDPM_OK);
        assert_string_equal(small, text);
        assert_int_equal(path_read_small(path, sizes[i] ? sizes[i] : 1, small), sizes[i] ? IDDPM_FAILED : IDDPM_OK);
        assert_string_equal(small, "");
        free(small);
        free(read);
        free(text);
    }
    assert_int_equal(path_read_text(path, 99999, &read), IDDPM_FAILED);
    assert_true(!read && strstr(iddpm_error_text(), "longer than 99999") && strstr(iddpm_error_text(), path));
    assert_int_equal(path_write(path, "a\0b", 3), IDDPM_OK);
    assert_int_equal(path_read_text(path, 3, &read), IDDPM_OK);
    assert_memory_equal(read, "a\0b", 4);
    free(read);
    assert_int_equal(unlink(path), 0);
}

static void files_that_cannot_be(void **state)
{
    (void)state;
    char path[PATH_SIZE], *read, long_path[PATH_SIZE];
    assert_int_equal(path_join(path, folder, "no/text"), IDDPM_OK);
    assert_int_equal(path_write_text(path, "x"), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), path));
    assert_int_equal(path_read_text(path, 10, &read), IDDPM_FAILED);
    assert_true(!read && strstr(iddpm_error_text(), path));
    assert_int_equal(path_read_text(folder, 10, &read), IDDPM_FAILED);
    assert_true(!read && strstr(iddpm_error_text(), "directory"));
    char small[8] = "before";
    assert_int_equal(path_read_small(folder, sizeof small, small), IDDPM_FAILED);
    assert_true(!*small && strstr(iddpm_error_text(), "directory"));
    assert_int_equal(path_write_text(folder, "x"), IDDPM_FAILED); /* a folder cannot be replaced */
    char temporary[sizeof folder + 4];
    snprintf(temporary, sizeof temporary, "%s.tmp", folder);
    assert_false(path_exists(temporary));
    memset(long_path, 'x', sizeof long_path);
    long_path[PATH_SIZE - 1] = 0; /* would fit, but not its temporary name */
    assert_int_equal(path_write_text(long_path, "x"), IDDPM_USAGE);
    assert_false(path_exists("") || path_is_folder(""));
}

/* What cannot be looked at is not taken as gone. */
static void files_that_are_not_there(void **state)
{
    (void)state;
    char loop[PATH_SIZE], below[PATH_SIZE], file[PATH_SIZE];
    assert_int_equal(path_join(loop, folder, "loop"), IDDPM_OK);
    assert_int_equal(symlink("loop", loop), 0);
    assert_true(path_exists(loop) && !path_is_folder(loop));
    assert_int_equal(path_join(below, loop, "file"), IDDPM_OK);
    assert_true(path_exists(below));
    assert_int_equal(unlink(loop), 0);
    assert_false(path_exists(loop) || path_exists(below));
    assert_int_equal(path_join(file, folder, "loop"), IDDPM_OK);
    assert_int_equal(path_write_text(file, ""), IDDPM_OK);
    assert_false(path_exists(below)); /* below a file there is nothing */
    assert_int_equal(unlink(file), 0);
}

static void time_goes_on(void **state)
{
    (void)state;
    double start = clock_seconds();
    usleep(2000);
    double taken = clock_seconds() - start;
    assert_true(taken >= 0.002 && taken < 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_have_text_and_context),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(threads_have_their_own_text),
        cmocka_unit_test(try_returns_the_status),
        cmocka_unit_test(memory_is_aligned_and_zero),
        cmocka_unit_test(large_memory_is_zero_and_comes_when_touched),
        cmocka_unit_test(too_much_memory_is_an_error),
        cmocka_unit_test(growing_keeps_what_is_there),
        cmocka_unit_test(joining),
        cmocka_unit_test(making_folders),
        cmocka_unit_test(texts_are_written_whole),
        cmocka_unit_test(files_that_cannot_be),
        cmocka_unit_test(files_that_are_not_there),
        cmocka_unit_test(time_goes_on),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
