/* Who may write a run: claims against owner files of other jobs, alive and dead. The file under test is taken in whole,
 * for its times of waiting. */
#include "../../src/train/owner.c"

#include "../../src/train/metrics.h"

#include "check.h"
#include "scratch.h"

#include <pthread.h>
#include <sys/wait.h>

static char folder[PATH_SIZE], run[PATH_SIZE];
static struct owner first, second;
static enum job_state answer; /* of the batch system */
static char asked[64];

static enum job_state ask(const char *id)
{
    snprintf(asked, sizeof asked, "%s", id);
    return answer;
}

static const struct parallel alone = {MPI_COMM_NULL, 0, 1};
static const struct train_job no_job = {"", "", "", 0, 0, ask};

static enum iddpm_status claim_as(struct owner *owner, const struct train_job *job)
{
    *owner = (struct owner){.parallel = &alone, .file = -1};
    return claim(owner, job, run);
}

static int start(void **state)
{
    (void)state;
    lock_patience = process_patience = heartbeat_patience = 0.2;
    scratch_make(folder);
    answer = JOB_UNKNOWN;
    asked[0] = 0;
    first = second = (struct owner){0};
    return path_join(run, folder, "run") != IDDPM_OK;
}

static int end(void **state)
{
    (void)state;
    if (second.parallel) owner_release(&second);
    if (first.parallel) owner_release(&first);
    scratch_remove(folder);
    return 0;
}

static void says(const char *part)
{
    if (!strstr(iddpm_error_text(), part)) fail_msg("'%s' does not say '%s'", iddpm_error_text(), part);
}

/* The first claim as another host would have made it. */
static void move_to(const char *host)
{
    snprintf(first.mine.v[OWNER_HOST], sizeof first.mine.v[0], "%s", host);
    must(write_record(&first));
}

static void refused(const struct train_job *job, const char *part)
{
    assert_int_equal(claim_as(&second, job), IDDPM_USAGE);
    says("is being trained by");
    says(part);
    must(owner_check(&first));
}

static void taken_over(const struct train_job *job)
{
    must(claim_as(&second, job));
    must(owner_check(&second));
    assert_int_equal(owner_check(&first), IDDPM_FAILED);
    says("was taken over by");
    assert_true(first.lost && !second.lost);
    owner_release(&first); /* not its file any more */
    must(owner_check(&second));
}

static void comes_and_goes(void **state)
{
    (void)state;
    must(claim_as(&first, &no_job));
    must(owner_check(&first));
    assert_int_equal(scratch_entries(run), 1);
    owner_release(&first);
    assert_false(path_exists(run)); /* it had made the folder, and nothing is in it */
    must(path_make_folders(run));
    must(claim_as(&first, NULL));
    owner_release(&first);
    assert_int_equal(scratch_entries(run), 0);
}

static void removed_by_hand(void **state)
{
    (void)state;
    must(claim_as(&first, &no_job));
    unlink(first.path);
    assert_int_equal(owner_check(&first), IDDPM_FAILED);
    says("owner was removed");
}

/* A file that cannot be opened is not one that is gone. Nothing but a link to itself does that to root as well. */
static void cannot_be_read(void **state)
{
    (void)state;
    struct timespec when;
    bool there;
    must(claim_as(&first, &no_job));
    unlink(first.path);
    assert_int_equal(symlink("owner", first.path), 0);
    assert_int_equal(owner_check(&first), IDDPM_FAILED);
    says("owner: cannot open");
    assert_false(first.lost);
    assert_int_equal(claim_as(&second, &no_job), IDDPM_FAILED);
    says("owner: cannot open");
    assert_int_equal(last_touched(first.path, &when, &there), IDDPM_FAILED);
    assert_int_equal(shows_life(&first, &there), IDDPM_FAILED);
    must(write_record(&first));
    must(owner_check(&first));
    must(last_touched(first.path, &when, &there));
    assert_true(there);
}

static void living_process(void **state)
{
    (void)state;
    must(claim_as(&first, &no_job));
    char part[64];
    snprintf(part, sizeof part, "process %ld on ", (long)getpid());
    refused(&no_job, part);
}

/* The number is used again, by a process that started at another time. */
static void other_process_of_that_number(void **state)
{
    (void)state;
    must(claim_as(&first, &no_job));
    snprintf(first.mine.v[OWNER_STARTED], sizeof first.mine.v[0], "%lld",
             (long long)number(&first.mine, OWNER_STARTED) + 1);
    must(write_record(&first));
    taken_over(&no_job);
}

static void dead_process(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) _exit(claim_as(&first, &no_job));
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(info.si_status, 0);
    must(claim_as(&second, &no_job)); /* it is a zombie yet */
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* Neither file of metrics is cut back by a job that does not own the run any more. */
static void metrics_of_another(void **state)
{
    (void)state;
    static const char *const names[] = {"metrics.jsonl", "progress.csv"}, *const texts[] = {
                                                                              "{\"step\": 1}\n{\"step\": 2}\n",
                                                                              "step\n1\n2\n"};
    for (int i = 0; i < 2; i++) { /* each alone: the first must not stand before the second */
        struct metrics metrics = {0};
        char path[PATH_SIZE], *text;
        must(claim_as(&first, &no_job));
        must(path_join(path, run, names[i]));
        must(path_write_text(path, texts[i]));
        strcpy(first.mine.v[OWNER_TOKEN], "of another");
        must(write_record(&first));
        strcpy(first.mine.v[OWNER_TOKEN], first.token);
        assert_int_equal(metrics_open(&metrics, &first, run, 1), IDDPM_FAILED);
        says("was taken over by");
        metrics_close(&metrics);
        must(path_read_text(path, 1000, &text));
        assert_string_equal(text, texts[i]);
        free(text);
        unlink(path);
        unlink(first.path);
        owner_release(&first);
    }
}

static void restarted_job(void **state)
{
    (void)state;
    const struct train_job before = {"12", "c", "", 0, 0, ask}, after = {"12", "c", "", 1, 0, ask};
    must(claim_as(&first, &before));
    taken_over(&after);
    assert_int_equal(claim_as(&first, &before), IDDPM_FAILED);
    says("was taken over by job 12 (restart 1), process");
    must(owner_check(&second));
    assert_string_equal(asked, "");
}

/* The number of a job means nothing in another cluster. */
static void other_cluster(void **state)
{
    (void)state;
    const struct train_job before = {"12", "c", "", 0, 0, ask}, after = {"12", "d", "", 1, 0, ask};
    must(claim_as(&first, &before));
    refused(&after, "job 12 (restart 0)");
    move_to("elsewhere");
    answer = JOB_RUNNING;
    taken_over(&after); /* it shows no sign of life */
    assert_string_equal(asked, "");
}

static void other_job_elsewhere(void **state)
{
    (void)state;
    const struct train_job before = {"12", "c", "11_3", 2, 0, ask}, after = {"13", "c", "", 0, 0, ask};
    must(claim_as(&first, &before));
    move_to("elsewhere");
    answer = JOB_RUNNING;
    refused(&after, "job 12, array task 11_3 (restart 2)");
    says("scancel 11_3"); /* 12 may be the number of the whole array as well */
    assert_string_equal(asked, "11_3");
    answer = JOB_ENDED;
    taken_over(&after);
}

static volatile bool beating;

static void *beat(void *owner)
{
    while (beating) {
        owner_beat(owner);
        clock_sleep(0.02);
    }
    return NULL;
}

static void signs_of_life(void **state)
{
    (void)state;
    pthread_t thread;
    must(claim_as(&first, &no_job));
    move_to("elsewhere");
    close(first.file); /* of the file before */
    first.file = open(first.path, O_RDWR | O_CLOEXEC);
    heartbeat_patience = 5;
    beating = true;
    assert_int_equal(pthread_create(&thread, NULL, beat, &first), 0);
    refused(&no_job, "on elsewhere, since");
    beating = false;
    pthread_join(thread, NULL);
    heartbeat_patience = 0.2;
    taken_over(&no_job);
}

/* Of a full disk, say. */
static void empty_file(void **state)
{
    (void)state;
    must(path_make_folders(run));
    must(claim_as(&first, &no_job));
    must(path_write_text(first.path, ""));
    must(claim_as(&second, &no_job));
}

static void lock_left_behind(void **state)
{
    (void)state;
    char path[PATH_SIZE];
    must(path_make_folders(run));
    must(path_join(path, run, "owner.lock"));
    must(path_write_text(path, ""));
    must(claim_as(&first, &no_job));
    assert_false(path_exists(path));
}

static void no_place(void **state)
{
    (void)state;
    must(path_write_text(run, "a file"));
    assert_int_equal(claim_as(&first, &no_job), IDDPM_FAILED);
    says(run);
}

/* Many claim what a dead job left, at one time: one has it, the others are told so. */
static void at_once(void **state)
{
    (void)state;
    enum { CLAIMS = 16 };
    pid_t children[CLAIMS];
    int go[2], owners = 0;
    must(claim_as(&first, &no_job));
    snprintf(first.mine.v[OWNER_STARTED], sizeof first.mine.v[0], "1");
    must(write_record(&first));
    lock_patience = 10; /* as in earnest: a busy machine is no reason to break the lock */
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < CLAIMS; i++)
        if ((children[i] = fork()) == 0) {
            char byte;
            close(go[1]);
            ssize_t n = read(go[0], &byte, 1); /* the end, for all together */
            enum iddpm_status status = n == 0 ? claim_as(&second, &no_job) : IDDPM_FAILED;
            clock_sleep(status == IDDPM_OK ? 2 : 0); /* lives until all have seen it */
            _exit(status == IDDPM_OK ? owner_check(&second) : status);
        }
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < CLAIMS; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status));
        owners += WEXITSTATUS(status) == IDDPM_OK;
        assert_true(WEXITSTATUS(status) == IDDPM_OK || WEXITSTATUS(status) == IDDPM_USAGE);
    }
    assert_int_equal(owners, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(comes_and_goes),
        TEST(removed_by_hand),
        TEST(cannot_be_read),
        TEST(living_process),
        TEST(other_process_of_that_number),
        TEST(dead_process),
        TEST(metrics_of_another),
        TEST(restarted_job),
        TEST(other_cluster),
        TEST(other_job_elsewhere),
        TEST(signs_of_life),
        TEST(empty_file),
        TEST(lock_left_behind),
        TEST(no_place),
        TEST(at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
