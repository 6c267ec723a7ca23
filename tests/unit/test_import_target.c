/* The folder that an import makes: what is refused, what a killed import and a full disk leave. */
#include "importing.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_target_in_use_is_refused(void **state)
{
    char path[PATH_SIZE];
    struct import_options options = {.kind = IMPORT_DIGITS, .split = "test", .target = fresh()};
    (void)state;
    import(&options);
    assert_refused(&options, IDDPM_USAGE, "holds a data set already");
    struct dataset *dataset;
    assert_int_equal(dataset_open(&dataset, options.target), IDDPM_OK); /* it was not touched */
    assert_int_equal(dataset_verify(dataset), IDDPM_OK);
    dataset_close(dataset);

    options.target = fresh();
    assert_int_equal(path_make_folders(options.target), IDDPM_OK);
    assert_int_equal(path_join(path, options.target, "thesis.tex"), IDDPM_OK);
    scratch_write(path, "", 0);
    assert_refused(&options, IDDPM_USAGE, "holds other files (thesis.tex)");
    options.target = path;
    assert_refused(&options, IDDPM_FAILED, "a file of that name is there");
    options.target = "/proc/nowhere";
    assert_refused(&options, IDDPM_FAILED, "/proc/nowhere");
}

static void the_rest_of_a_killed_import_is_cleared(void **state)
{
    char path[PATH_SIZE];
    struct import_options options = {.kind = IMPORT_DIGITS, .split = "test", .target = fresh(), .shards = 2};
    struct dataset *dataset;
    static const char *const left[] = {"shard-0001.h5", "shard-0007.h5", "index.json.tmp", "import.lock"};
    (void)state;
    assert_int_equal(path_make_folders(options.target), IDDPM_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(path_join(path, options.target, left[i]), IDDPM_OK);
        scratch_write(path, "x", 1);
    }
    assert_int_equal(dataset_open(&dataset, options.target), IDDPM_FAILED);
    assert_int_equal(import(&options).images, 300);
    assert_int_equal(scratch_entries(options.target), 3);
}

/* Runs an import of CIFAR-10's form in a process of its own. */
static pid_t start_import(const char *target)
{
    pid_t child = fork();
    if (child) return child;
    struct import_result result;
    signal(SIGXFSZ, SIG_IGN);
    enum iddpm_status status = data_import(
        &(struct import_options){.kind = IMPORT_CIFAR10, .source = carried("data/cifar10-format"), .target = target},
        &result);
    if (status != IDDPM_OK && !strstr(iddpm_error_text(), "shard-00")) status = IDDPM_USAGE; /* names no file */
    _exit((int)status);
}

static void a_killed_import_leaves_no_data_set(void **state)
{
    const char *target = fresh();
    int finished = 0, status;
    (void)state;
    for (int delay = 0; !finished && delay < 100; delay++) { /* milliseconds */
        struct dataset *dataset;
        pid_t child = start_import(target);
        usleep((useconds_t)delay * 1000);
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        finished = dataset_open(&dataset, target) == IDDPM_OK;
        if (!finished) continue;
        assert_int_equal(dataset_verify(dataset), IDDPM_OK); /* seen at all, it is whole */
        dataset_close(dataset);
    }
    if (!finished) {
        waitpid(start_import(target), &status, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

static void a_full_disk_leaves_nothing(void **state)
{
    struct rlimit before, full;
    const char *target = fresh();
    int status;
    (void)state;
    getrlimit(RLIMIT_FSIZE, &before);
    for (rlim_t bytes = 256; bytes < 100000; bytes *= 5) {
        full = (struct rlimit){bytes, before.rlim_max};
        setrlimit(RLIMIT_FSIZE, &full);
        pid_t child = start_import(target);
        setrlimit(RLIMIT_FSIZE, &before);
        waitpid(child, &status, 0);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), IDDPM_FAILED);
        assert_int_equal(scratch_entries(target), -1);
    }
    waitpid(start_import(target), &status, 0);
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void two_imports_do_not_share_a_target(void **state)
{
    const char *target = fresh();
    struct import_options options = {.kind = IMPORT_DIGITS, .target = target};
    (void)state;
    assert_int_equal(path_make_folders(target), IDDPM_OK);
    char lock[PATH_SIZE];
    assert_int_equal(path_join(lock, target, "import.lock"), IDDPM_OK);
    scratch_write(lock, "", 0);
    int other = open(lock, O_RDWR); /* as another process would have it */
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
    assert_refused(&options, IDDPM_USAGE, "another import is writing here");
    close(other);
    import(&options);
}

static const char *ending; /* the lock of an import that ends while ours waits for it; NULL: none */
static int next;           /* the import that comes after it */

/* In place of the C library's. */
int flock(int fd, int operation)
{
    if (ending) {
        assert_int_equal(unlink(ending), 0);
        next = open(ending, O_RDWR | O_CREAT, 0666);
        assert_int_equal(syscall(SYS_flock, next, LOCK_EX), 0);
        ending = NULL;
    }
    return (int)syscall(SYS_flock, fd, operation);
}

static void a_lock_without_its_name_does_not_count(void **state)
{
    struct import_options options = {.kind = IMPORT_DIGITS, .split = "test", .target = fresh()};
    char lock[PATH_SIZE];
    (void)state;
    assert_int_equal(path_make_folders(options.target), IDDPM_OK);
    assert_int_equal(path_join(lock, options.target, "import.lock"), IDDPM_OK);
    scratch_write(lock, "", 0);
    ending = lock;
    assert_refused(&options, IDDPM_USAGE, "another import is writing here");
    close(next);
    import(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_in_use_is_refused),         cmocka_unit_test(the_rest_of_a_killed_import_is_cleared),
        cmocka_unit_test(a_killed_import_leaves_no_data_set), cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(two_imports_do_not_share_a_target),  cmocka_unit_test(a_lock_without_its_name_does_not_count),
    };
    return IMPORTING_RUN(tests);
}
