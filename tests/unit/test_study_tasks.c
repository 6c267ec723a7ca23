/* What a study keeps of its tasks: command lines in lists, jobs.csv, what a log says of how a task ended. */
#include "../../src/study/lock.h"
#include "../../src/study/tasks.h"

#include "check.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[PATH_SIZE];

static int set_up(void **state)
{
    (void)state;
    scratch_make(folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

/* As job.sh cuts a line of a list. */
static void words_come_through_xargs(void **state)
{
    (void)state;
    static const char *const awkward[] = {"", "a b", "it's", "\"", "\\", "$(touch evil)", "*", "plain-1.0e+05,x=/y"};
    enum { N = sizeof awkward / sizeof *awkward };
    struct words words = {0};
    char *line, command[1024], *shell[] = {"sh", "-c", command, NULL}, out[1024] = "", err[256] = "", wanted[1024] = "";
    for (int i = 0; i < N; i++) {
        must(words_add(&words, "%s", awkward[i]));
        strcat(strcat(wanted, awkward[i]), "\n");
    }
    must(words_line(&words, &line));
    snprintf(command, sizeof command, "xargs printf '%%s\\n' <<'END'\n%s\nEND", line);
    struct command run = {out, err, sizeof out, sizeof err, 0};
    assert_true(command_run(shell, 20, &run));
    assert_int_equal(run.status, 0);
    assert_string_equal(out, wanted);
    free(line);
    words_free(&words);
}

static void the_newest_job_of_a_task_counts(void **state)
{
    (void)state;
    struct jobs jobs;
    char path[PATH_SIZE];
    must(jobs_read(&jobs, folder));
    assert_int_equal(jobs.n, 0);
    assert_null(jobs_find(&jobs, "p", "train"));
    jobs_free(&jobs);
    const struct job_row rows[] = {{"t", "7", "p", "train", "l1", 0, 0},
                                   {"t", "8", "q", "train", "l2", 3, 0},
                                   {"t", "9", "p", "curve", "l3", 0, 0},
                                   {"t", "local", "p", "train", "l4", 1, 0}};
    for (int i = 0; i < 4; i++) must(jobs_append(folder, &rows[i]));
    must(path_join(path, folder, "jobs.csv"));
    FILE *stream = fopen(path, "a"); /* a line that a full disk cut */
    fputs("t,10,p,tra\nt,11,p", stream);
    fclose(stream);
    must(jobs_read(&jobs, folder));
    assert_int_equal(jobs.n, 4);
    assert_string_equal(jobs_find(&jobs, "p", "train")->job, "local");
    assert_int_equal(jobs_find(&jobs, "q", "train")->index, 3);
    assert_string_equal(jobs_find(&jobs, "p", "curve")->log, "l3");
    assert_null(jobs_find(&jobs, "q", "curve"));
    assert_string_equal(jobs.newest.log, "l4");
    jobs_free(&jobs);
    const struct job_row behind = {"t", "12", "q", "curve", "logs/l5", 0, 0}; /* it takes nothing of the next with it */
    must(jobs_append(folder, &behind));
    must(jobs_read(&jobs, folder));
    assert_int_equal(jobs.n, 5);
    assert_string_equal(jobs_find(&jobs, "q", "curve")->job, "12");
    must(jobs_log_path(folder, jobs_find(&jobs, "q", "curve"), path));
    assert_int_equal(strncmp(path, folder, strlen(folder)), 0);
    assert_string_equal(path + strlen(folder), "/logs/l5");
    jobs_free(&jobs);
}

static void logs_say_how_a_task_ended(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
        enum study_state wanted;
    } cases[] = {
        {"step 1\niddpm: warning: w\niddpm: out of luck\n-----\nmpirun: killed\n-----\n", "out of luck", STUDY_FAILED},
        {"iddpm: failed once\niddpm: stopped by a signal at step 3 of 9 with everything saved; run it again\n",
         "stopped by a signal at step 3 of 9 with everything saved; run it again", STUDY_STOPPED},
        {"slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***\n",
         "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-01-01T00:00:00 ***", STUDY_STOPPED},
        {"*** JOB 7 ON n1 CANCELLED AT 2026 DUE TO TIME LIMIT ***\n",
         "*** JOB 7 ON n1 CANCELLED AT 2026 DUE TO TIME LIMIT ***", STUDY_FAILED},
        {"Killed\n-----\n", "Killed", STUDY_FAILED},
        {"iddpm: r is being trained by process 7 on n1\n", "r is being trained by process 7 on n1", STUDY_STOPPED},
        {"", "it said nothing", STUDY_FAILED},
    };
    char path[PATH_SIZE], why[256];
    must(path_join(path, folder, "log"));
    assert_int_equal(log_state(path, why, sizeof why), STUDY_WAITING);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scratch_write(path, cases[i].text, strlen(cases[i].text));
        assert_int_equal(log_state(path, why, sizeof why), cases[i].wanted);
        assert_string_equal(why, cases[i].why);
    }
}

static void the_lock_names_its_holder_and_goes_with_it(void **state)
{
    (void)state;
    struct holder holder;
    char path[PATH_SIZE], text[64];
    int fd;
    assert_false(lock_held(folder, &holder));
    must(lock_take(folder, "submit", &fd));
    assert_true(lock_held(folder, &holder));
    assert_int_equal(holder.pid, getpid());
    assert_string_equal(holder.what, "submit");
    lock_release(fd);
    assert_false(lock_held(folder, &holder));
    must(path_join(path, folder, "lock"));
    must(path_read_small(path, sizeof text, text));
    assert_string_equal(text, ""); /* for the next holder, until its own name is in it */
    must(lock_take(folder, "local", &fd));
    lock_release(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_come_through_xargs),
        cmocka_unit_test(the_newest_job_of_a_task_counts),
        cmocka_unit_test(logs_say_how_a_task_ended),
        cmocka_unit_test(the_lock_names_its_holder_and_goes_with_it),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
