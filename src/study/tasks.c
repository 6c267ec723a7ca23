#include "tasks.h"

#include "iddpm/store.h"

#include "lock.h"

#include <stdlib.h>
#include <string.h>

/* ---- what there is to do ----------------------------------------------------------------------------------------- */

enum { UNITS = STUDY_SAVES_MAX }; /* of an evaluation: pictures are a task for each checkpoint */

static void add_training(struct tasks *tasks, const struct study_point *point)
{
    struct task *task = &tasks->of[tasks->n++];
    *task = (struct task){.point = point, .n_steps = point->n_saves};
    memcpy(task->steps, point->saves, sizeof task->steps);
    snprintf(task->name, sizeof task->name, "train");
}

static void add_evaluation(struct tasks *tasks, const struct study *study, const struct study_point *point, int e)
{
    const struct study_evaluation *evaluation = &study->evaluations[e];
    int64_t steps[STUDY_SAVES_MAX];
    int n = study_evaluation_steps(point, evaluation, steps), parts = evaluation->kind == STUDY_NLL ? 1 : n;
    for (int k = 0; k < parts; k++) {
        struct task *task = &tasks->of[tasks->n++];
        *task = (struct task){.point = point, .evaluation = evaluation, .unit = 1 + e * UNITS + k};
        task->n_steps = parts > 1 ? 1 : n;
        memcpy(task->steps, steps + (parts > 1 ? k : 0), (size_t)task->n_steps * sizeof *steps);
        if (parts > 1)
            snprintf(task->name, sizeof task->name, "%s-%lld", evaluation->name, (long long)steps[k]);
        else
            snprintf(task->name, sizeof task->name, "%s", evaluation->name);
    }
}

static enum iddpm_status make_tasks(struct tasks *tasks, const struct study *study)
{
    size_t most = 1;
    for (int e = 0; e < study->n_evaluations; e++) most += study->evaluations[e].kind == STUDY_NLL ? 1 : UNITS;
    TRY(mem_alloc(&tasks->of, most * (size_t)study->n_points, sizeof *tasks->of, "tasks of a study"));
    tasks->units = 1 + study->n_evaluations * UNITS;
    for (int i = 0; i < study->n_points; i++) {
        add_training(tasks, &study->points[i]);
        for (int e = 0; e < study->n_evaluations; e++) add_evaluation(tasks, study, &study->points[i], e);
    }
    return IDDPM_OK;
}

/* ---- what there is ----------------------------------------------------------------------------------------------- */

bool task_is_done(const struct task *task)
{
    char path[PATH_SIZE], folder[PATH_SIZE];
    if (!task->evaluation)
        return path_join(folder, task->point->run, "checkpoints") == IDDPM_OK &&
               checkpoint_path(path, folder, task->point->steps) == IDDPM_OK && path_exists(path);
    for (int i = 0; i < task->n_steps; i++)
        if (study_result_path(task->point, task->evaluation, task->steps[i], path) != IDDPM_OK || !path_exists(path))
            return false;
    return true;
}

/* The last line that says what went wrong, in the end of a log. */
static const char *find_reason(char *text, bool *stopped)
{
    const char *said = NULL, *last = NULL;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        const char *error = strstr(line, "iddpm: ");
        bool cancelled = strstr(line, " CANCELLED AT ") != NULL, cut = strstr(line, " DUE TO ") != NULL;
        if (line[strspn(line, "- ")]) last = line;
        if (cancelled || (error && !strstr(line, "iddpm: warning: "))) {
            said = cancelled ? line : error + strlen("iddpm: ");
            *stopped = cancelled ? !cut : strstr(line, "stopped by a signal") || strstr(line, "everything saved");
        }
    }
    return said ? said : last;
}

enum study_state log_state(const char *log, char *why, size_t size)
{
    char text[8192];
    bool stopped = false;
    *why = 0;
    FILE *stream = fopen(log, "rb");
    if (!stream) return STUDY_WAITING;
    if (fseek(stream, -(long)sizeof text + 1, SEEK_END) != 0) rewind(stream);
    text[fread(text, 1, sizeof text - 1, stream)] = 0;
    fclose(stream);
    for (char *c = text; *c; c++)
        if (*c == '\r') *c = '\n';
    const char *reason = find_reason(text, &stopped);
    snprintf(why, size, "%.*s", (int)size - 1, reason ? reason : "it said nothing");
    return stopped ? STUDY_STOPPED : STUDY_FAILED;
}

struct look {
    const struct study *study;
    struct queue queue;
    bool local; /* a study_run holds the lock */
};

static void look_at_task(const struct look *look, const struct tasks *tasks, struct task *task)
{
    char why[8];
    const struct job_row *row = task->row = jobs_find(&tasks->jobs, task->point->name, task->name);
    int64_t job;
    if (row) snprintf(task->job, sizeof task->job, "%s", row->job);
    if (row) task->index = row->index;
    const struct queued *queued =
        row && text_integer(row->job, &job) ? queue_find(&look->queue, job, row->index) : NULL;
    bool here = row && look->local && row->order == tasks->jobs.newest.order && strcmp(row->job, "local") == 0;
    task->state = queued ? (queued->running ? STUDY_RUNNING : STUDY_QUEUED) : here ? STUDY_RUNNING : STUDY_WAITING;
    /* in this order: what has left the queue has left its files */
    if (task->state == STUDY_WAITING && task_is_done(task)) task->state = STUDY_DONE;
    if (task->state == STUDY_WAITING && row) task->state = log_state(row->log, why, sizeof why);
}

static bool asks_slurm(const struct jobs *jobs)
{
    int64_t job;
    for (int i = 0; i < jobs->n; i++)
        if (text_integer(jobs->rows[i].job, &job)) return true;
    return false;
}

enum iddpm_status tasks_read(struct tasks *tasks, const struct study *study, bool locked, bool need_queue)
{
    struct look look = {.study = study};
    struct holder holder;
    *tasks = (struct tasks){0};
    TRY(make_tasks(tasks, study));
    TRY(jobs_read(&tasks->jobs, study->folder));
    enum iddpm_status status = IDDPM_OK;
    if (need_queue || asks_slurm(&tasks->jobs)) status = queue_read(&look.queue);
    if (status != IDDPM_OK && !need_queue) {
        log_warn("what is queued is not known: %s", iddpm_error_text());
        status = IDDPM_OK;
    }
    look.local = !locked && lock_held(study->folder, &holder) && strcmp(holder.what, "local") == 0;
    for (int i = 0; i < tasks->n && status == IDDPM_OK; i++) look_at_task(&look, tasks, &tasks->of[i]);
    queue_free(&look.queue);
    return status;
}

void tasks_free(struct tasks *tasks)
{
    free(tasks->of);
    jobs_free(&tasks->jobs);
}
