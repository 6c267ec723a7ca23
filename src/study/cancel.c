#include "tasks.h"

#include "lock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS 60.0

/* When a study_run holds the lock, it is asked to save and end, when it runs on this machine. */
static enum iddpm_status end_local(const struct study *study, char *said, size_t size)
{
    struct holder holder;
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    if (!lock_held(study->folder, &holder) || strcmp(holder.what, "local") != 0 || holder.pid <= 1) return IDDPM_OK;
    if (strcmp(host, holder.host) != 0)
        return iddpm_error(IDDPM_FAILED, "the study runs on %s, in process %lld: cancel it there", holder.host,
                           (long long)holder.pid);
    if (kill((pid_t)holder.pid, SIGTERM) != 0 && errno != ESRCH)
        return iddpm_error(IDDPM_FAILED, "process %lld cannot be ended: %s", (long long)holder.pid, strerror(errno));
    snprintf(said, size, "process %lld, which runs the study here, was asked to save and end", (long long)holder.pid);
    return IDDPM_OK;
}

/* Arrays as a whole: all their tasks are the study's, also those that its file has no longer. */
static enum iddpm_status add_arrays(const struct tasks *tasks, struct words *words, int *n)
{
    for (int i = 0; i < tasks->jobs.n; i++) {
        const struct job_row *row = &tasks->jobs.rows[i];
        bool known = false;
        if (!queue_find_row(&tasks->queue, row)) continue;
        for (int k = 1; k < words->n; k++) known = known || strcmp(words->of[k], row->job) == 0;
        ++*n;
        if (!known && words->n < WORDS_MAX) TRY(words_add(words, "%s", row->job));
    }
    return IDDPM_OK;
}

/* As many arrays as a command line has room for; the caller asks again while there are some. first[JOB_TEXT]: one. */
static enum iddpm_status cancel_some(const struct study *study, bool locked, int *n, char *first)
{
    struct tasks tasks = {0};
    struct words words = {0};
    char out[1024] = "", err[1024] = "";
    struct command command = {out, err, sizeof out, sizeof err, 0};
    enum iddpm_status status = tasks_read(&tasks, study, locked, QUEUE_DECIDES);
    if (status == IDDPM_OK) status = words_add(&words, "scancel");
    *n = 0;
    if (status == IDDPM_OK) status = add_arrays(&tasks, &words, n);
    if (*n > 0) snprintf(first, JOB_TEXT, "%s", words.of[1]);
    if (status == IDDPM_OK && *n > 0 && (!command_run(words.of, SECONDS, &command) || command.status != 0))
        status = iddpm_error(IDDPM_FAILED, "scancel failed: %.900s", err);
    words_free(&words);
    tasks_free(&tasks);
    return status;
}

static enum iddpm_status cancel_all(const struct study *study, bool locked, int *all)
{
    char first[JOB_TEXT];
    int n = 0;
    double until = clock_seconds() + SECONDS;
    do {
        TRY(cancel_some(study, locked, &n, first));
        if (*all == 0) *all = n;
        if (n > 0) clock_sleep(0.5);
    } while (n > 0 && clock_seconds() < until);
    if (n == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%d task%s of %s still in Slurm %.0f s after scancel, one of them in job %s", n,
                       n > 1 ? "s are" : " is", study->folder, SECONDS, first);
}

enum iddpm_status study_cancel(const struct study *study, char *said, size_t size)
{
    struct holder holder;
    char local[256] = "";
    int lock = -1, all = 0;
    snprintf(said, size, "nothing is queued or running");
    if (!path_exists(study->folder)) return IDDPM_OK;
    /* a study_run keeps the lock until its training has saved: what Slurm has does not wait for that */
    bool runs = lock_held(study->folder, &holder) && strcmp(holder.what, "local") == 0;
    if (!runs) TRY(lock_take(study->folder, "cancel", &lock));
    enum iddpm_status status = cancel_all(study, !runs, &all), ended = IDDPM_OK;
    if (!runs) lock_release(lock);
    if (status != IDDPM_OK && runs) log_warn("%s", iddpm_error_text());
    if (runs) ended = end_local(study, local, sizeof local);
    if (all > 0)
        snprintf(said, size, "%d tasks were cancelled%s%s", all, *local ? "; " : "", local);
    else if (*local)
        snprintf(said, size, "%s", local);
    return ended != IDDPM_OK ? ended : status;
}
