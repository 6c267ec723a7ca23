/* Imports that are killed, stopped, or meet a full disk at each of their operations on files, one after the other: what
 * is left is no data set, and the same import then ends with the same bytes as one in a go.
 *
 * The operations are those of the C library that this program takes the place of, for itself and for HDF5. */
#include "importing.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IMAGES = 7, RECORD = 3073, SHARDS = 3 };

static enum { NOTHING, KILL, STOP, DISK_FULL, SHORT, INTRUDER } what;
static int cleared;        /* complete data sets that were cleared up later */
static int at, operations; /* it happens at operation number `at` */

/* Whether the operation is to fail. */
static bool happens(void)
{
    if (what == NOTHING || ++operations != at) return false;
    if (what == KILL) kill(getpid(), SIGKILL);
    if (what == STOP) raise(SIGTERM);
    errno = ENOSPC;
    return what == DISK_FULL;
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    if (happens()) return -1;
    if (operations == at && what == SHORT) return syscall(SYS_write, fd, parts->iov_base, parts->iov_len / 2);
    if (operations == at && what == INTRUDER) syscall(SYS_writev, fd, parts, n);
    return syscall(SYS_writev, fd, parts, n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    return happens() ? -1 : syscall(SYS_pwrite64, fd, bytes, n, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off_t offset)
{
    return happens() ? -1 : syscall(SYS_pwrite64, fd, bytes, n, offset);
}

int rename(const char *from, const char *to)
{
    return happens() ? -1 : (int)syscall(SYS_renameat2, -100, from, -100, to, 0);
}

/* Without the disk: what is killed here is a process. */
int fsync(int fd)
{
    (void)fd;
    return happens() ? -1 : 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return happens() ? -1 : 0;
}

int unlink(const char *path)
{
    if (what == DISK_FULL) return (int)syscall(SYS_unlinkat, -100, path, 0); /* needs no room */
    return happens() ? -1 : (int)syscall(SYS_unlinkat, -100, path, 0);
}

/* ---------------------------------------------------------------------------------------------------------------- */

static char source[PATH_SIZE], whole[PATH_SIZE];
static char target[PATH_SIZE];

/* Records of CIFAR-10's form, and what an import of them in a go makes. */
static int make_source(void **state)
{
    uint8_t records[IMAGES * RECORD];
    struct import_result result;
    (void)state;
    for (int i = 0; i < IMAGES * RECORD; i++) records[i] = (uint8_t)(i % RECORD ? i * 31 / 7 : i / RECORD % 10);
    must(path_join(source, scratch, "batch.bin"));
    must(path_join(whole, scratch, "whole"));
    scratch_write(source, records, sizeof records);
    const struct import_options import_options = {
        .kind = IMPORT_CIFAR10, .source = source, .target = whole, .shards = SHARDS};
    must(data_import(&import_options, &result));
    return 0;
}

static struct import_options options(double save_seconds)
{
    return (struct import_options){
        .kind = IMPORT_CIFAR10, .source = source, .target = target, .shards = SHARDS, .save_seconds = save_seconds};
}

/* In a process of its own; its exit status, or 256 + the signal that ended it. */
static int run(int kind, int when, double save_seconds)
{
    int status;
    pid_t child = fork();
    if (!child) {
        struct import_result result;
        struct import_options import_options = options(save_seconds);
        signal(SIGSEGV, SIG_DFL); /* cmocka would go on with the next test here */
        signal(SIGABRT, SIG_DFL);
        stop_install();
        what = kind;
        at = when;
        _exit((int)data_import(&import_options, &result));
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

static void assert_same_file(const char *name)
{
    char a[PATH_SIZE], b[PATH_SIZE];
    size_t n, m;
    must(path_join(a, whole, name));
    must(path_join(b, target, name));
    uint8_t *x = scratch_read(a, &n), *y = scratch_read(b, &m);
    if (n != m || memcmp(x, y, n) != 0) fail_msg("%s differs from that of an import in a go", b);
    free(x), free(y);
}

static void assert_whole(void)
{
    static const char *const names[] = {"index.json", "shard-0000.h5", "shard-0001.h5", "shard-0002.h5"};
    for (int i = 0; i < SHARDS + 1; i++) assert_same_file(names[i]);
    assert_int_equal(scratch_entries(target), SHARDS + 1);
}

/* The index is the last: a folder that has it has all the rest, and is only not yet cleared of what went before. */
static bool complete(void)
{
    struct dataset *dataset;
    if (dataset_open(&dataset, target) != IDDPM_OK) return false;
    must(dataset_verify(dataset));
    dataset_close(dataset);
    return true;
}

/* The folder of a complete data set; only with import.part does it not refuse another import. */
static void clearing_up_goes_on(double save_seconds)
{
    char part[PATH_SIZE];
    must(path_join(part, target, "import.part"));
    bool left = path_exists(part);
    cleared += left;
    assert_int_equal(run(NOTHING, 0, save_seconds), left ? 0 : IDDPM_USAGE);
    assert_whole();
}

/* From the beginning, once with `kind` at operation `when`, then to the end. False when that operation was never
 * reached. */
static bool interrupted(int kind, int when, double save_seconds, int expected)
{
    snprintf(target, sizeof target, "%s", fresh());
    int status = run(kind, when, save_seconds);
    if (status == 0) {
        assert_true(complete());
        return kind == STOP && when < 20; /* a short import that was never saved is brought to its end */
    }
    if (status != expected) fail_msg("operation %d: status %d, not %d", when, status, expected);
    if (complete()) {
        clearing_up_goes_on(save_seconds);
        return true;
    }
    assert_int_equal(run(NOTHING, 0, save_seconds), 0);
    assert_whole();
    scratch_remove(target);
    return true;
}

/* At every `step`-th operation. */
static void interruptions(int kind, int step, double save_seconds, int expected, int least)
{
    int when = 1;
    while (interrupted(kind, when, save_seconds, expected)) when += step;
    if (when < least) fail_msg("only %d operations were reached", when);
}

static void killed_at_every_operation(void **state)
{
    (void)state;
    interruptions(KILL, 1, 1e-9, 256 + SIGKILL, 11 * IMAGES / 2);
    assert_true(cleared > SHARDS);
    interruptions(KILL, 1, 1e9, 256 + SIGKILL, IMAGES); /* never saved */
}

static void stopped_at_every_third_operation(void **state)
{
    (void)state;
    interruptions(STOP, 3, 1e-9, IDDPM_STOPPED, 5 * IMAGES);
}

static void a_disk_that_is_full_at_every_second_operation(void **state)
{
    (void)state;
    interruptions(DISK_FULL, 2, 1e-9, IDDPM_FAILED, 5 * IMAGES);
}

static void killed_again_and_again(void **state)
{
    int starts = 1, status;
    (void)state;
    snprintf(target, sizeof target, "%s", fresh());
    /* between two kills there is time for some images, or for a shard */
    while ((status = run(KILL, 30, 1e-9)) == 256 + SIGKILL && !complete() && starts < 100) starts++;
    assert_true(status == 0 || complete());
    assert_true(starts > 3);
    for (int s = 0; s < SHARDS; s++) {
        char name[32];
        snprintf(name, sizeof name, "shard-%04d.h5", s);
        assert_same_file(name);
    }
}

static void a_write_that_is_cut_goes_on(void **state)
{
    (void)state;
    snprintf(target, sizeof target, "%s", fresh());
    assert_int_equal(run(SHORT, 2, 1e9), 0);
    assert_whole();
}

static void what_another_process_writes_is_found(void **state)
{
    (void)state;
    snprintf(target, sizeof target, "%s", fresh());
    assert_int_equal(run(INTRUDER, IMAGES, 1e9), IDDPM_FAILED);
    assert_int_equal(scratch_entries(target), -1);
}

/* ---- what does not go on ----------------------------------------------------------------------------------------- */

/* Kills an import as soon as it has made this file. */
static void begin(const char *name)
{
    char lock[PATH_SIZE], made[PATH_SIZE];
    for (int when = 40;; when++) {
        snprintf(target, sizeof target, "%s", fresh());
        assert_int_equal(run(KILL, when, 1e-9), 256 + SIGKILL);
        must(path_join(made, target, name));
        if (path_exists(made)) break;
        scratch_remove(target);
    }
    must(path_join(lock, target, "import.lock"));
    assert_int_equal(unlink(lock), 0); /* the one of an import that ends goes, and files are counted */
}

static void assert_not_continued(const struct import_options *import_options, enum iddpm_status status,
                                 const char *reason)
{
    begin("import.part");
    assert_refused(import_options, status, reason);
    assert_int_equal(run(NOTHING, 0, 0), 0); /* what was done has stayed */
    assert_whole();
}

static void another_import_is_refused(void **state)
{
    static const char reason[] = "holds the beginning of another import";
    struct import_options other = options(0);
    (void)state;
    other.seed = 1;
    assert_not_continued(&other, IDDPM_USAGE, reason);
    other = options(0);
    other.shards = SHARDS + 1;
    assert_not_continued(&other, IDDPM_USAGE, reason);
    other = options(0);
    other.authors_classes = true;
    assert_not_continued(&other, IDDPM_USAGE, reason);
    other = options(0);
    other.kind = IMPORT_DIGITS;
    other.source = NULL;
    assert_not_continued(&other, IDDPM_USAGE, reason);
    other = options(0);
    other.source = "nowhere";
    assert_not_continued(&other, IDDPM_FAILED, "nowhere");
}

static void damage(const char *name, long place)
{
    char path[PATH_SIZE];
    size_t n;
    must(path_join(path, target, name));
    uint8_t *bytes = scratch_read(path, &n);
    if (place >= 0) bytes[place] ^= 1;
    scratch_write(path, bytes, place < 0 ? n / 2 : n);
    free(bytes);
}

static void damaged_files_are_named(void **state)
{
    struct import_options same = options(0);
    (void)state;
    begin("import.part");
    damage("import.part", 100);
    assert_refused(&same, IDDPM_FAILED, "import.part: damaged; remove the folder");
    begin("import.part");
    damage("import.part", -1);
    assert_refused(&same, IDDPM_FAILED, "import.part: damaged; remove the folder");
    begin("shard-0000.h5");
    damage("shard-0000.h5", 6000);
    assert_refused(&same, IDDPM_FAILED, "shard-0000.h5: damaged");
    begin("import.part");
    damage("shard-0001.part", -1);
    assert_refused(&same, IDDPM_FAILED, "shard-0001.part: damaged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(killed_at_every_operation, make_source),
        cmocka_unit_test(stopped_at_every_third_operation),
        cmocka_unit_test(a_disk_that_is_full_at_every_second_operation),
        cmocka_unit_test(killed_again_and_again),
        cmocka_unit_test(a_write_that_is_cut_goes_on),
        cmocka_unit_test(what_another_process_writes_is_found),
        cmocka_unit_test(another_import_is_refused),
        cmocka_unit_test(damaged_files_are_named),
    };
    return IMPORTING_RUN(tests);
}
