/* Every file operation of a checkpoint fails once, from then on, or is cut short, on each rank and on all at a time:
 * no hang, the same error everywhere, the former checkpoint intact, nothing else left, and the next one succeeds. */
#include "arrays.h"
#include "check.h"
#include "fail_io.h"
#include "iddpm/store.h"
#include "ranks.h"

#include <dlfcn.h>
#include <errno.h>
#include <hdf5.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define EVERYONE -1
#define PATIENCE 20 /* seconds for any one write */

static fail_io_arm_fn *arm;
static fail_io_disarm_fn *disarm;
static char folder[PATH_SIZE], path[PATH_SIZE];
static struct store_array arrays[ARRAYS];

static enum iddpm_status write_step(int step)
{
    alarm(PATIENCE);
    return arrays_write(&ranks, path, step, "config", ARRAYS, arrays);
}

/* Rank 0 finds a whole checkpoint of this step and no other file. */
static void check_checkpoint(int step, const char *after)
{
    parallel_barrier(&ranks);
    if (ranks.rank == 0) {
        struct checkpoint *c;
        enum iddpm_status status = checkpoint_open(&c, path);
        if (status == IDDPM_OK) status = checkpoint_verify(c);
        if (status != IDDPM_OK) fail_msg("after %s: %s", after, iddpm_error_text());
        if (checkpoint_step(c) != step) fail_msg("after %s: step %d expected", after, step);
        checkpoint_close(c);
        if (ranks_count_files(folder) != 1) fail_msg("after %s: files are left in %s", after, folder);
    }
    if (H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) != 0) fail_msg("after %s: HDF5 has open ids", after);
    parallel_barrier(&ranks);
}

static void check_same_error(enum iddpm_status status, const char *after)
{
    int largest = parallel_max_int(&ranks, status), smallest = -parallel_max_int(&ranks, -(int)status);
    if (largest != smallest) fail_msg("after %s: ranks return %d to %d", after, smallest, largest);
    char text[1024] = "";
    snprintf(text, sizeof text, "%s", iddpm_error_text());
    parallel_broadcast(&ranks, text, sizeof text);
    if (status != IDDPM_OK && strcmp(text, iddpm_error_text()) != 0)
        fail_msg("after %s: '%s' here, '%s' on rank 0", after, iddpm_error_text(), text);
}

/* Writes checkpoint `step` with a fault; returns the status. */
static enum iddpm_status write_with_fault(int step, int target, enum fail_io_kind kind, long call, int error,
                                          long *calls)
{
    bool mine = target == EVERYONE || target == ranks.rank;
    if (mine) arm(folder, kind, call, error);
    enum iddpm_status status = write_step(step);
    long seen = disarm();
    if (calls) *calls = parallel_max_int(&ranks, mine ? (int)seen : 0);
    return status;
}

/* All calls k of one rank, or of all. Returns how many writes failed. */
static int each_call(int target, enum fail_io_kind kind, int error, const char *name)
{
    long calls = 0;
    int failures = 0, step = 1;
    assert_int_equal(write_with_fault(step, target, kind, LONG_MAX, error, &calls), IDDPM_OK);
    assert_true(calls > 3);
    for (long call = 1; call <= calls; call++) {
        char what[128];
        snprintf(what, sizeof what, "%s in call %ld of %ld on rank %d", name, call, calls, target);
        enum iddpm_status status = write_with_fault(step + 1, target, kind, call, error, NULL);
        check_same_error(status, what);
        if (status == IDDPM_OK) step++;
        if (status != IDDPM_OK) failures++;
        check_checkpoint(step, what);
        status = write_step(++step);
        if (status != IDDPM_OK) fail_msg("after %s the next write fails: %s", what, iddpm_error_text());
        check_checkpoint(step, what);
    }
    if (ranks.rank == 0) printf("%s on rank %d: %d failures, %ld calls\n", name, target, failures, calls);
    return failures;
}

static void each_rank(enum fail_io_kind kind, int error, const char *name, bool fatal)
{
    for (int target = ranks.size > 1 ? EVERYONE : 0; target < ranks.size; target++) {
        int failures = each_call(target, kind, error, name);
        assert_true(fatal ? failures > 3 : failures == 0);
    }
}

static void fails_once(void **state)
{
    (void)state;
    each_rank(FAIL_IO_ONCE, EIO, "EIO", true);
}

static void fails_from_then_on(void **state)
{
    (void)state;
    each_rank(FAIL_IO_FOREVER, ENOSPC, "ENOSPC", true);
}

static void short_writes(void **state)
{
    (void)state;
    each_rank(FAIL_IO_SHORT, 0, "short write", false);
}

/* The text names file and cause. */
static void message(void **state)
{
    (void)state;
    int last = ranks.size - 1;
    char where[64];
    snprintf(where, sizeof where, "rank %d on ", last);
    assert_int_equal(write_step(1), IDDPM_OK);
    assert_int_equal(write_with_fault(2, last, FAIL_IO_FOREVER, 1, ENOSPC, NULL), IDDPM_FAILED);
    const char *text = iddpm_error_text();
    if (!strcasestr(text, strerror(ENOSPC)) || !strstr(text, path)) fail_msg("%s", text);
    if (ranks.size > 1 && !strstr(text, where)) fail_msg("%s", text);
}

static void reading_fails(void **state)
{
    (void)state;
    assert_int_equal(write_step(1), IDDPM_OK);
    struct store_array found[ARRAYS];
    arrays_create(found, 0, false);
    for (int target = 0; target < ranks.size; target++) {
        long calls = 1;
        for (long call = 0; call <= calls; call++) { /* call 0 only counts */
            alarm(PATIENCE);
            if (target == ranks.rank) arm(folder, FAIL_IO_READ, call, EIO);
            enum iddpm_status status = checkpoint_read_all(&ranks, path, ARRAYS, found);
            long seen = disarm();
            if (call == 0) calls = parallel_max_int(&ranks, target == ranks.rank ? (int)seen : 0);
            check_same_error(status, "a failed read");
            assert_int_equal(status, call ? IDDPM_FAILED : IDDPM_OK);
        }
        assert_true(calls > 3);
    }
    assert_int_equal(checkpoint_read_all(&ranks, path, ARRAYS, found), IDDPM_OK);
    for (int i = 0; i < ARRAYS; i++) arrays_check(&found[i], i, 1);
    arrays_destroy(found);
}

static void full_disk(void **state)
{
    (void)state;
    /* room for one checkpoint of these arrays, not for two */
    bool mounted = ranks.rank == 0 && mount("tmpfs", folder, "tmpfs", 0, "size=768k") == 0;
    if (!parallel_max_int(&ranks, mounted)) {
        if (ranks.rank == 0) printf("full_disk: skipped, a tmpfs cannot be mounted: %s\n", strerror(errno));
        skip();
    }
    enum iddpm_status first = write_step(1), second = write_step(2), after = IDDPM_FAILED;
    const char *text = iddpm_error_text();
    bool named = strstr(text, strerror(ENOSPC)) && strstr(text, "reserve");
    parallel_barrier(&ranks);
    int files = ranks_count_files(folder);
    parallel_barrier(&ranks);
    if (ranks.rank == 0) unlink(path);
    parallel_barrier(&ranks);
    if (first == IDDPM_OK) after = write_step(3);
    parallel_barrier(&ranks);
    if (mounted) umount2(folder, MNT_DETACH);
    assert_int_equal(first, IDDPM_OK);
    assert_int_equal(second, IDDPM_FAILED);
    assert_int_equal(files, 1);
    assert_int_equal(after, IDDPM_OK);
    assert_true(named);
}

static int make_folder(void **state)
{
    (void)state;
    ranks_make_folder(folder);
    arrays_create(arrays, 1, true);
    return path_join(path, folder, "step-00000001.h5");
}

static int remove_folder(void **state)
{
    (void)state;
    arrays_destroy(arrays);
    ranks_remove_folder(folder);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(int argc, char **argv)
{
    if (ranks_start(&argc, &argv, PATIENCE)) return 1;
    arm = (fail_io_arm_fn *)(uintptr_t)dlsym(RTLD_DEFAULT, "fail_io_arm");
    disarm = (fail_io_disarm_fn *)(uintptr_t)dlsym(RTLD_DEFAULT, "fail_io_disarm");
    if (!arm || !disarm) parallel_abort(&ranks, IDDPM_USAGE, "run this with LD_PRELOAD=libfail_io.so");
    const struct CMUnitTest tests[] = {
        TEST(message),      TEST(fails_once),    TEST(fails_from_then_on),
        TEST(short_writes), TEST(reading_fails), TEST(full_disk),
    };
    return ranks_end(cmocka_run_group_tests(tests, NULL, NULL));
}
