#include "tasks.h"

#include "lock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS 60.0

/* True when a study_run holds the lock: it is asked to save and end, when it runs on this machine. */
static bool end_local(const struct study *study, char *said, size_t size, enum iddpm_status *status)
{
    struct holder holder;
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    if (!lock_held(study->folder, &holder) || strcmp(holder.what, "local") != 0 || holder.pid <= 1) return false;
    if (strcmp(host, holder.host) != 0)
        *status = iddpm_error(IDDPM_FAILED, "the study runs on %s, in process %lld: cancel it there", holder.host,
                              (long long)holder.pid);
    else if (kill((pid_t)holder.pid, SIGTERM) != 0 && errno != ESRCH)
        *status = iddpm_error(IDDPM_FAILED, "process %lld cannot be ended: %s", (long long)holder.pid, strerror(errno));
    else
        snprintf(said, size, "process %lld, which runs the study here, was asked to save and end",
                 (long long)holder.pid);
    return true;
}

/* Arrays as a whole: all their tasks are the study's. */
static enum iddpm_status add_arrays(const struct tasks *tasks, struct words *words, int *n)
{
    for (int i = 0; i < tasks->n; i++) {
        const struct task *task = &tasks->of[i];
        bool there = (task->state == STUDY_QUEUED || task->state == STUDY_RUNNING) && strcmp(task->job, "local") != 0;
        bool known = false;
        for (int k = 1; k < words->n; k++) known = known || strcmp(words->of[k], task->job) == 0;
        *n += there;
        if (there && !known && words->n < WORDS_MAX) TRY(words_add(words, "%s", task->job));
    }
    return IDDPM_OK;
}

/* As many arrays as a command line has room for; the caller asks again while there are some. */
static enum iddpm_status cancel_some(const struct study *study, int *n)
{
    struct tasks tasks = {0};
    struct words words = {0};
    char out[1024] = "", err[1024] = "";
    struct command command = {out, err, sizeof out, sizeof err, 0};
    enum iddpm_status status = tasks_read(&tasks, study, true, false);
    if (status == IDDPM_OK) status = words_add(&words, "scancel");
    *n = 0;
    if (status == IDDPM_OK) status = add_arrays(&tasks, &words, n);
    if (status == IDDPM_OK && *n > 0 && (!command_run(words.of, SECONDS, &command) || command.status != 0))
        status = iddpm_error(IDDPM_FAILED, "scancel failed: %.900s", err);
    words_free(&words);
    tasks_free(&tasks);
    return status;
}

enum iddpm_status study_cancel(const struct study *study, char *said, size_t size)
{
    enum iddpm_status status = IDDPM_OK;
    int lock = -1, n = 0, all = 0;
    snprintf(said, size, "nothing is queued or running");
    if (!path_exists(study->folder) || end_local(study, said, size, &status)) return status;
    TRY(lock_take(study->folder, "cancel", &lock));
    double until = clock_seconds() + SECONDS;
    do {
        status = cancel_some(study, &n);
        if (all == 0) all = n;
        if (n > 0) clock_sleep(0.5);
    } while (status == IDDPM_OK && n > 0 && clock_seconds() < until);
    close(lock);
    if (status == IDDPM_OK && all > 0) snprintf(said, size, "%d tasks were cancelled", all);
    return status;
}
