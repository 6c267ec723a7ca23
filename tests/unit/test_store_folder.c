#include "check.h"
#include "iddpm/store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[PATH_SIZE];

static const char *in_folder(const char *name)
{
    static char path[PATH_SIZE];
    assert_int_equal(path_join(path, folder, name), IDDPM_OK);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/iddpm-test-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static const char *const names[] = {"step-00000100.h5",
                                    "step-00000200.h5",
                                    "step-00000300.h5",
                                    "step-00000350.h5",
                                    "step-00000400.h5",
                                    "step-123456789.h5", /* past eight digits */
                                    "step-00000500.h5.tmp",
                                    "step-00000001.h5.tmp", /* of a killed run */
                                    "step-00000600.h5.0123456789abcdef.tmp",
                                    "step-00000600.h5.fedcba9876543210.tmp", /* of another job */
                                    "step-100.h5",
                                    "step-000000100.h5",
                                    "step--0000100.h5",
                                    "step-+0000100.h5",
                                    "step- 0000100.h5",
                                    "step-00000100.h5.bak",
                                    "step-00000100.h5.bak.tmp",
                                    "step-00000100.h5..tmp",
                                    "step-00000100.h5.01",
                                    "step-00000100.h5.01tmp",
                                    "step-00000100.hdf5",
                                    "astep-00000100.h5",
                                    "step-0000010x.h5",
                                    "model.h5.tmp",
                                    "step-.h5",
                                    "notes.txt",
                                    "step-99999999999999999999.h5"};
enum { NAMES = sizeof names / sizeof names[0], CHECKPOINTS = 6, TEMPORARY = 4 };

static int remove_folder(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES; i++) unlink(in_folder(names[i]));
    return rmdir(folder);
}

static void make_all(void)
{
    for (int i = 0; i < NAMES; i++) assert_int_equal(path_write_text(in_folder(names[i]), "x"), IDDPM_OK);
}

static void check_steps(int n, const int64_t *expected)
{
    int64_t *steps;
    int found;
    assert_int_equal(checkpoint_list(folder, &steps, &found), IDDPM_OK);
    assert_int_equal(found, n);
    for (int i = 0; i < n; i++) assert_int_equal(steps[i], expected[i]);
    free(steps);
}

static void paths(void **state)
{
    (void)state;
    char path[PATH_SIZE];
    assert_int_equal(checkpoint_path(path, "runs/x/checkpoints", 1500), IDDPM_OK);
    assert_string_equal(path, "runs/x/checkpoints/step-00001500.h5");
    assert_int_equal(checkpoint_path(path, "a/", 0), IDDPM_OK);
    assert_string_equal(path, "a/step-00000000.h5");
}

static void listing(void **state)
{
    (void)state;
    check_steps(0, NULL);
    make_all();
    check_steps(6, (int64_t[]){100, 200, 300, 350, 400, 123456789});
    int64_t *steps;
    int n;
    assert_int_equal(checkpoint_list("/nowhere", &steps, &n), IDDPM_FAILED);
    assert_null(steps);
    assert_int_equal(n, 0);
}

/* Foreign files stay, whatever they are called. */
static void check_foreign(void)
{
    for (int i = CHECKPOINTS; i < NAMES; i++)
        assert_int_equal(path_exists(in_folder(names[i])), i >= CHECKPOINTS + TEMPORARY);
}

static enum iddpm_status prune(const char *in, int64_t last, int newest, int64_t period)
{
    return checkpoint_prune(in, last, &(struct checkpoint_kept){.newest = newest, .period = period});
}

static void newest_are_kept(void **state)
{
    (void)state;
    make_all();
    assert_int_equal(prune(folder, INT64_MAX, 2, 0), IDDPM_OK);
    check_steps(2, (int64_t[]){400, 123456789});
    check_foreign();
    assert_int_equal(prune(folder, INT64_MAX, 5, 0), IDDPM_OK);
    check_steps(2, (int64_t[]){400, 123456789});
}

/* Files newer than the one just written are not trusted: they neither stay in its place nor go. */
static void later_ones_do_not_count(void **state)
{
    (void)state;
    make_all();
    assert_int_equal(prune(folder, 300, 1, 0), IDDPM_OK);
    int64_t *steps;
    int n;
    assert_int_equal(checkpoint_list(folder, &steps, &n), IDDPM_OK);
    assert_true(n >= 2 && steps[0] == 300 && steps[n - 1] == 123456789);
    free(steps);
}

/* Step 350 was saved on a signal; it is no 3rd save, though 350 / 100 is 3. */
static void every_kth_is_kept(void **state)
{
    (void)state;
    make_all();
    assert_int_equal(prune(folder, INT64_MAX, 1, 300), IDDPM_OK);
    check_steps(2, (int64_t[]){300, 123456789});
    check_foreign();
}

/* Of the steps asked for, also one without a file. */
static void steps_asked_for_are_kept(void **state)
{
    (void)state;
    make_all();
    const struct checkpoint_kept kept = {.newest = 1, .n_steps = 3, .steps = (int64_t[]){100, 101, 350}};
    assert_int_equal(checkpoint_prune(folder, INT64_MAX, &kept), IDDPM_OK);
    check_steps(3, (int64_t[]){100, 350, 123456789});
    check_foreign();
}

static void the_last_one_stays(void **state)
{
    (void)state;
    make_all();
    assert_int_equal(prune(folder, INT64_MAX, 0, 0), IDDPM_OK);
    check_steps(1, (int64_t[]){123456789});
    assert_int_equal(prune("/nowhere", INT64_MAX, 1, 0), IDDPM_FAILED);
}

static void what_cannot_be_removed(void **state)
{
    (void)state;
    assert_int_equal(path_write_text(in_folder("step-00000100.h5"), "x"), IDDPM_OK);
    assert_int_equal(mkdir(in_folder("step-00000050.h5"), 0777), 0);
    assert_int_equal(prune(folder, INT64_MAX, 1, 0), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "step-00000050.h5: cannot remove"));
    rmdir(in_folder("step-00000050.h5"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(paths),
        TEST(listing),
        TEST(newest_are_kept),
        TEST(later_ones_do_not_count),
        TEST(every_kth_is_kept),
        TEST(steps_asked_for_are_kept),
        TEST(the_last_one_stays),
        TEST(what_cannot_be_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
