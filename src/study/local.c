/* The tasks of a study on this machine, one after the other, by the job scripts that Slurm would run. */
#include "tasks.h"

#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct local {
    const struct study *study;
    const struct study_tools *tools;
    int ranks, failed, missing, done; /* tasks */
    int left;                         /* trainings that go on without this process */
    bool dry;
    char names[1024]; /* of the failed */
};

/* ---- one command ------------------------------------------------------------------------------------------------- */

/* In the child. Its own group keeps a terminal's ^C off it; when this process dies, it is asked to save and end. */
static void become(char *const *argv, int log, pid_t parent)
{
    int nothing = open("/dev/null", O_RDONLY);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    if (getppid() != parent || dup2(nothing, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0)
        return;
    execvp(argv[0], argv);
    dprintf(STDERR_FILENO, "iddpm: %s cannot be run: %s\n", argv[0], strerror(errno));
}

/* Until it ends; a signal to this process is passed on once, as USR1, on which it saves. */
static int wait_for(pid_t pid)
{
    bool told = false;
    int status;
    while (true) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (ended < 0 && errno != EINTR) return 1;
        if (stop_signal() && !told) told = kill(pid, SIGUSR1) == 0;
        clock_sleep(0.05);
    }
}

static enum iddpm_status run_words(const struct words *words, const char *log, int *ended)
{
    int file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", log, strerror(errno));
    pid_t parent = getpid();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        become(words->of, file, parent);
        raise(SIGKILL); /* no cleaning up of what is the parent's */
    }
    close(file);
    if (pid < 0) return iddpm_error(IDDPM_FAILED, "no process can be started: %s", strerror(errno));
    *ended = wait_for(pid);
    return IDDPM_OK;
}

/* ---- a task ------------------------------------------------------------------------------------------------------ */

static enum iddpm_status make_words(const struct local *local, const struct task *task, struct words *words)
{
    TRY(words_add(words, "env"));
    TRY(words_add(words, "RANKS=%d", local->ranks));
    TRY(words_add(words, "IDDPM=%s", local->tools->program));
    TRY(words_add(words, "bash"));
    TRY(task_script(local->tools, task, words));
    return task_words(local->study, task, words);
}

static void name_failed(struct local *local, const struct task *task)
{
    size_t used = strlen(local->names);
    local->failed++;
    snprintf(local->names + used, sizeof local->names - used, "%s%s %s", used ? ", " : "", task->point->name,
             task->name);
}

/* What a killed study has left behind saves and ends by itself. */
static void report_failure(struct local *local, struct task *task, int ended, const char *log)
{
    char why[512];
    log_state(log, why, sizeof why);
    if (ended == 2 && strstr(why, LOG_OWNED)) {
        task->state = STUDY_RUNNING;
        local->left++;
        log_warn("%s %s is passed over: %s", task->point->name, task->name, why);
        return;
    }
    name_failed(local, task);
    log_warn("%s %s failed with status %d: %s (%s)", task->point->name, task->name, ended, why, log);
}

static void report(struct local *local, struct task *task, int ended, const char *log, double seconds)
{
    bool done = ended == 0 && task_is_done(task);
    task->state = done ? STUDY_DONE : ended == 75 ? STUDY_STOPPED : STUDY_FAILED;
    if (done)
        log_info("  done in %.0f s", seconds);
    else if (ended == 75)
        log_info("  stopped with everything saved after %.0f s", seconds);
    else
        report_failure(local, task, ended, log);
}

static enum iddpm_status run_task(struct local *local, struct task *task)
{
    struct words words = {0};
    char name[STUDY_NAME + TASK_NAME + 16], log[PATH_SIZE], now[TIME_TEXT], *line = NULL;
    int ended = 1;
    snprintf(name, sizeof name, "logs/%s-%s.log", task->point->name, task->name);
    TRY(path_join(log, local->study->folder, name));
    enum iddpm_status status = make_words(local, task, &words);
    double start = clock_seconds();
    time_text(now);
    const struct job_row row = {now, "local", task->point->name, task->name, name, 0, 0};
    if (status == IDDPM_OK && local->dry) {
        status = words_line(&words, &line);
        if (status == IDDPM_OK) printf("%s\n", line);
        free(line);
        task->state = STUDY_DONE;
    } else if (status == IDDPM_OK) {
        log_info("task %d of %d: %s %s", ++local->done, local->missing, task->name, task->point->name);
        status = jobs_append(local->study->folder, &row);
        if (status == IDDPM_OK) status = run_words(&words, log, &ended);
        if (status == IDDPM_OK) report(local, task, ended, log, clock_seconds() - start);
    }
    words_free(&words);
    return status;
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static enum iddpm_status run_all(struct local *local, struct tasks *tasks)
{
    const struct task *training = NULL;
    for (int i = 0; i < tasks->n; i++) local->missing += task_is_missing(&tasks->of[i]);
    for (int i = 0; i < tasks->n; i++) {
        struct task *task = &tasks->of[i];
        if (!task->evaluation) training = task;
        if (!task_is_missing(task)) continue;
        if (task->evaluation && training->state != STUDY_DONE) continue; /* the training failed, or is Slurm's */
        TRY(run_task(local, task));
        if (stop_signal() || task->state == STUDY_STOPPED)
            return iddpm_error(IDDPM_STOPPED, "study: stopped, with everything saved; the same command continues");
    }
    if (local->failed == 0 && local->left > 0)
        return iddpm_error(IDDPM_STOPPED, "study: %d training%s of another process: the same command goes on after it",
                           local->left, local->left > 1 ? "s are those" : " is that");
    if (local->failed == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "study: %d task%s failed: %s", local->failed, local->failed > 1 ? "s" : "",
                       local->names);
}

static enum iddpm_status run(const struct study *study, struct local *local)
{
    struct tasks tasks = {0};
    TRY(study_check(study, local->ranks));
    if (!local->dry) TRY(study_keep(study));
    enum iddpm_status status = tasks_read(&tasks, study, !local->dry, local->dry ? QUEUE_HELPS : QUEUE_DECIDES);
    if (status == IDDPM_OK) tasks_warn_of_strays(&tasks);
    if (status == IDDPM_OK) status = run_all(local, &tasks);
    if (status == IDDPM_OK && local->missing == 0) log_info("%s: nothing is missing", study->folder);
    tasks_free(&tasks);
    return status;
}

enum iddpm_status study_run(const struct study *study, const struct study_tools *tools, int ranks, bool dry)
{
    struct local local = {.study = study, .tools = tools, .ranks = ranks, .dry = dry};
    int lock = -1;
    if (dry) return run(study, &local);
    TRY(path_make_folders(study->folder));
    TRY(lock_take(study->folder, "local", &lock));
    enum iddpm_status status = run(study, &local);
    lock_release(lock);
    return status;
}
