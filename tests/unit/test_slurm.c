/* What Slurm is asked and how its answers are read, against a squeue that this test writes. The program's files are in
 * no library, so the one under test is taken in whole. */
#include "../../src/cli/slurm.c"

#include "check.h"
#include "scratch.h"

#include <sys/stat.h>
#include <unistd.h>

static void durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } good[] = {{"90", 5400},
                {"1:30", 90},
                {"0:05", 5},
                {"2:00:01", 7201},
                {"1-0", 86400},
                {"1-2", 93600},
                {"1-2:30", 95400},
                {"1-02:30:05", 95405},
                {"100:00", 6000},
                {"0", 0},
                {"999999999", 6e10 - 60}};
    static const char *const bad[] = {"",
                                      "x",
                                      "1:",
                                      ":1",
                                      "1:2:3:4",
                                      "1-2:3:4:5",
                                      "-1",
                                      "1--2",
                                      "1-",
                                      "1-2-3",
                                      "1:2-3",
                                      " 1",
                                      "1 ",
                                      "1.5",
                                      "UNLIMITED",
                                      "NOT_SET",
                                      "+1:2",
                                      "1e3",
                                      "INVALID",
                                      "1:+2",
                                      "9999999999",
                                      "N/A",
                                      "2026-01-01T00:00:00"};
    double seconds;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!slurm_duration(good[i].text, &seconds) || seconds != good[i].seconds)
            fail_msg("%s gave %g", good[i].text, seconds);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (slurm_duration(bad[i], &seconds)) fail_msg("'%s' was taken for %g s", bad[i], seconds);
}

static char folder[PATH_SIZE], squeue[PATH_SIZE];

static int start(void **state)
{
    (void)state;
    char path[2 * PATH_SIZE];
    scratch_make(folder);
    snprintf(path, sizeof path, "%s:/usr/bin:/bin", folder);
    return setenv("PATH", path, 1) || path_join(squeue, folder, "squeue") != IDDPM_OK;
}

static int end(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static void squeue_is(const char *script)
{
    char text[1024];
    snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
    must(path_write_text(squeue, text));
    assert_int_equal(chmod(squeue, 0755), 0);
}

static void states(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        enum job_state state;
    } cases[] = {
        {"[ \"$*\" = '-h -j 12 -o %T' ] && echo RUNNING", JOB_RUNNING},
        {"echo SUSPENDED", JOB_RUNNING},
        {"echo 'squeue: warning: an option is old' >&2; echo RUNNING", JOB_RUNNING},
        {"echo this is a cluster; echo; echo ' RUNNING '", JOB_RUNNING},
        {"yes | head -c 100000; echo RUNNING; yes | head -c 100000 >&2", JOB_RUNNING},
        {"echo COMPLETED", JOB_ENDED},
        {"echo CANCELLED", JOB_ENDED},
        {"true", JOB_ENDED},
        {"echo squeue: warning >&2", JOB_ENDED},
        {"echo COMPLETING", JOB_UNKNOWN},
        {"echo PENDING", JOB_UNKNOWN},
        {"echo NODE_FAIL", JOB_UNKNOWN},
        {"echo RUNNINGLY", JOB_UNKNOWN},
        {"echo this is a cluster", JOB_UNKNOWN},
        {"echo Invalid job id; exit 1", JOB_UNKNOWN},
        {"echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", JOB_ENDED},
        {"echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1", JOB_UNKNOWN},
        {"echo RUNNING; exit 1", JOB_UNKNOWN},
        {"kill -9 $$", JOB_UNKNOWN},
        {"head -c 100000 /dev/zero; exit 1", JOB_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        squeue_is(cases[i].script);
        enum job_state found = slurm_job_state("12");
        if (found != cases[i].state) fail_msg("'%s' gave %d", cases[i].script, (int)found);
    }
    unlink(squeue);
    setenv("PATH", folder, 1);
    assert_int_equal(slurm_job_state("12"), JOB_UNKNOWN);
    assert_true(slurm_time_left("12") == 0);
}

static void time_left(void **state)
{
    (void)state;
    squeue_is("[ \"$*\" = '-h -j 12 -o %L' ] && echo 1-00:00:10");
    assert_true(slurm_time_left("12") == 86410);
    assert_true(slurm_time_left("13") == 0); /* the script's status is 1 then */
    static const char *const none[] = {"echo UNLIMITED", "echo NOT_SET", "true", "echo 1:00; exit 1"};
    squeue_is("echo warning >&2; echo news of the cluster; echo 1:30; echo late >&2");
    assert_true(slurm_time_left("12") == 90);
    for (int i = 0; i < 4; i++) {
        squeue_is(none[i]);
        if (slurm_time_left("12") != 0) fail_msg("'%s' gave a time", none[i]);
    }
}

/* A controller that does not answer must not hold up a job. */
static void no_answer(void **state)
{
    (void)state;
    answer_seconds = 0.5;
    squeue_is("exec sleep 60");
    double began = clock_seconds();
    assert_int_equal(slurm_job_state("12"), JOB_UNKNOWN);
    assert_true(clock_seconds() - began < 30);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(durations), TEST(states), TEST(time_left), TEST(no_answer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
