/* Floor 0 as a process sees it: signals and what is printed. Each case runs in a process of its own. */
#include "check.h"
#include "iddpm/base.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/iddpm-base-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* A file of the folder in out[PATH_SIZE]. */
static const char *in_folder(char *out, const char *name)
{
    snprintf(out, PATH_SIZE, "%s/%s", folder, name);
    return out;
}

/* The wait status of `run` in a process whose output goes to the files out and err of the folder. */
static int run_apart(void (*run)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        char path[PATH_SIZE];
        bool opened = freopen(in_folder(path, "out"), "w", stdout) && freopen(in_folder(path, "err"), "w", stderr);
        if (opened) run();
        fflush(NULL);
        _exit(opened ? 0 : 99);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* The text of a file of the folder, which is removed. */
static char *take(const char *name)
{
    char path[PATH_SIZE], *text;
    if (path_read_text(in_folder(path, name), 100000, &text) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    unlink(path);
    return text;
}

static void check_output(const char *name, const char *want)
{
    char *text = take(name);
    assert_string_equal(text, want);
    free(text);
}

/* ---- signals ----------------------------------------------------------------------------------------------------- */

static void expect_flag(int number)
{
    if (stop_signal() != number) _exit(1);
}

static void all_signals_set_the_flag(void)
{
    stop_install();
    expect_flag(0);
    raise(SIGUSR1);
    expect_flag(SIGUSR1);
    raise(SIGUSR1);
    expect_flag(SIGUSR1);
    raise(SIGTERM); /* after a warning this is the first request */
    expect_flag(SIGTERM);
    raise(SIGINT); /* the same request, by another way */
    raise(SIGTERM);
    expect_flag(SIGTERM);
}

static void asks_twice(void)
{
    stop_install();
    raise(SIGTERM);
    expect_flag(SIGTERM);
    sleep(2);
    raise(SIGUSR1); /* never ends the process */
    raise(SIGINT);
    _exit(1); /* not reached */
}

static void stop_flags(void **state)
{
    (void)state;
    assert_int_equal(run_apart(all_signals_set_the_flag), 0);
    int status = run_apart(asks_twice);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    free(take("out"));
    free(take("err"));
}

/* ---- log --------------------------------------------------------------------------------------------------------- */

static void write_log(void)
{
    char path[PATH_SIZE];
    log_info("before %d", 1);
    if (log_open(in_folder(path, "log")) != IDDPM_OK) _exit(1);
    log_info("step %d", 2);
    log_warn("slow");
    log_error("lost");
    log_set_quiet(true);
    log_info("hidden");
    log_warn("hidden");
    log_error("rank 3");
    log_set_quiet(false);
    if (log_open(path) != IDDPM_OK) _exit(1); /* appends */
    log_info("again");
    if (log_open(NULL) != IDDPM_OK) _exit(1);
    log_info("after");
    if (log_open("/no/such/folder/log") != IDDPM_FAILED || !strstr(iddpm_error_text(), "/no/such/folder/log")) _exit(1);
    log_info("still");
}

static void log_goes_to_people_and_file(void **state)
{
    (void)state;
    assert_int_equal(run_apart(write_log), 0);
    check_output("out", "before 1\nstep 2\nagain\nafter\nstill\n");
    check_output("err", "iddpm: warning: slow\niddpm: lost\niddpm: rank 3\n");
    check_output("log", "step 2\niddpm: warning: slow\niddpm: lost\niddpm: rank 3\nagain\n");
}

static void show_progress(void)
{
    struct log_progress progress;
    log_progress_start(&progress, "train", "steps", 100, 200);
    log_progress_show(&progress, 101, NULL); /* too soon where there is no terminal */
    progress.seconds = 0;
    log_progress_show(&progress, 150, "loss 0.03");
    progress.seconds = 1000;
    log_progress_show(&progress, 200, NULL); /* the end always shows */
    log_set_quiet(true);
    log_progress_show(&progress, 200, NULL);
    log_set_quiet(false);
    log_progress_start(&progress, "empty", "images", 0, 0);
    log_progress_show(&progress, 0, NULL);
}

static void progress_without_a_terminal(void **state)
{
    (void)state;
    assert_int_equal(run_apart(show_progress), 0);
    char *text = take("out"), *line = text;
    free(take("err"));
    static const char *const starts[] = {"train: 150/200 steps", "train: 200/200 steps", "empty: 0/0 images"};
    static const char *const ends[] = {"left  loss 0.03", "taken", "taken"};
    for (int i = 0; i < 3; i++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        *end = 0;
        assert_memory_equal(line, starts[i], strlen(starts[i]));
        assert_string_equal(end - strlen(ends[i]), ends[i]);
        assert_null(strstr(line, "nan") ? line : strstr(line, "inf"));
        line = end + 1;
    }
    assert_int_equal(*line, 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stop_flags), cmocka_unit_test(log_goes_to_people_and_file),
                                       cmocka_unit_test(progress_without_a_terminal)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
