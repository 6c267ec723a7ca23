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
            *stopped = cancelled ? !cut
                                 : strstr(line, "stopped by a signal") || strstr(line, "everything saved") ||
                                       strstr(line, LOG_OWNED);
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
    bool local;   /* a study_run holds the lock */
    bool *wanted; /* [rows of jobs.csv] by a task */
};

/* The newest row of a task, or an older one whose job is still there: a job that was lost sight of may be both. */
static const struct job_row *find_row(const struct look *look, const struct tasks *tasks, const struct task *task)
{
    const struct job_row *rows = tasks->jobs.rows, *newest = jobs_find(&tasks->jobs, task->point->name, task->name);
    const struct job_row *found = newest;
    for (const struct job_row *row = newest; row; row = row > rows ? row - 1 : NULL) {
        if (strcmp(row->point, newest->point) != 0 || strcmp(row->task, newest->task) != 0) break;
        look->wanted[row - rows] = true;
        if (!queue_find_row(&tasks->queue, found) && queue_find_row(&tasks->queue, row)) found = row;
    }
    return found;
}

static void look_at_task(const struct look *look, struct tasks *tasks, const char *folder, struct task *task)
{
    char why[8], log[PATH_SIZE];
    const struct job_row *row = task->row = find_row(look, tasks, task);
    if (row) snprintf(task->job, sizeof task->job, "%s", row->job);
    if (row) task->index = row->index;
    const struct queued *queued = row ? queue_find_row(&tasks->queue, row) : NULL;
    bool here = row && look->local && row->order == tasks->jobs.newest.order && strcmp(row->job, "local") == 0;
    task->state = queued ? (queued->running ? STUDY_RUNNING : STUDY_QUEUED) : here ? STUDY_RUNNING : STUDY_WAITING;
    /* in this order: what has left the queue has left its files */
    if (task->state == STUDY_WAITING && task_is_done(task)) task->state = STUDY_DONE;
    if (task->state == STUDY_WAITING && row && jobs_log_path(folder, row, log) == IDDPM_OK)
        task->state = log_state(log, why, sizeof why);
}

/* A training of which everything is measured is done without its checkpoints, which take room. */
static bool is_measured(const struct tasks *tasks, int training)
{
    int i = training + 1;
    if (!task_is_missing(&tasks->of[training])) return false;
    for (; i < tasks->n && tasks->of[i].evaluation; i++)
        if (tasks->of[i].state != STUDY_DONE) return false;
    return i > training + 1;
}

static enum iddpm_status look_at_all(struct tasks *tasks, const struct study *study, bool locked)
{
    struct holder holder;
    struct look look = {.local = !locked && lock_held(study->folder, &holder) && strcmp(holder.what, "local") == 0};
    TRY(mem_alloc(&look.wanted, (size_t)tasks->jobs.n + 1, sizeof *look.wanted, "jobs of a study"));
    for (int i = 0; i < tasks->n; i++) look_at_task(&look, tasks, study->folder, &tasks->of[i]);
    for (int i = 0; i < tasks->n; i++)
        if (!tasks->of[i].evaluation && is_measured(tasks, i)) tasks->of[i].state = STUDY_DONE;
    for (int i = 0; i < tasks->jobs.n; i++) {
        if (look.wanted[i] || !queue_find_row(&tasks->queue, &tasks->jobs.rows[i])) continue;
        tasks->strays++;
        tasks->stray = &tasks->jobs.rows[i];
    }
    free(look.wanted);
    return IDDPM_OK;
}

void tasks_warn_of_strays(const struct tasks *tasks)
{
    if (tasks->strays > 0)
        log_warn("%d task%s queued or running that the study's file no longer has, as %s %s in job %s: `iddpm study "
                 "cancel` ends them with the others, `scancel` them alone",
                 tasks->strays, tasks->strays > 1 ? "s are" : " is", tasks->stray->point, tasks->stray->task,
                 tasks->stray->job);
}

/* ---- what Slurm has ---------------------------------------------------------------------------------------------- */

static bool uses_slurm(const struct study *study, const struct jobs *jobs)
{
    int64_t job;
    for (int i = 0; i < jobs->n; i++)
        if (text_integer(jobs->rows[i].job, &job)) return true;
    return lists_count(study->folder) > 0;
}

static enum iddpm_status ask_slurm(struct tasks *tasks, const struct study *study, enum queue_need need)
{
    if (need != QUEUE_NEEDED && !uses_slurm(study, &tasks->jobs)) return IDDPM_OK;
    enum iddpm_status status = queue_read(&tasks->queue);
    if (status == IDDPM_OK || need == QUEUE_NEEDED) return status;
    queue_free(&tasks->queue);
    if (need == QUEUE_DECIDES)
        return iddpm_error(status,
                           "%.600s (what Slurm has of %s is not known; when that is nothing for certain, move its "
                           "jobs.csv and tasks/*.txt away)",
                           iddpm_error_text(), study->folder);
    log_warn("what is queued is not known: %s", iddpm_error_text());
    return IDDPM_OK;
}

static enum iddpm_status adopt(struct tasks *tasks, const struct study *study)
{
    int n;
    TRY(lists_adopt(study->folder, &tasks->jobs, &tasks->queue, &n));
    if (n == 0) return IDDPM_OK;
    log_warn("%d task%s in Slurm of %s that jobs.csv did not have: added", n, n > 1 ? "s are" : " is", study->folder);
    jobs_free(&tasks->jobs);
    return jobs_read(&tasks->jobs, study->folder);
}

enum iddpm_status tasks_read(struct tasks *tasks, const struct study *study, bool locked, enum queue_need need)
{
    *tasks = (struct tasks){0};
    TRY(make_tasks(tasks, study));
    TRY(jobs_read(&tasks->jobs, study->folder));
    TRY(ask_slurm(tasks, study, need));
    if (locked) TRY(adopt(tasks, study));
    return look_at_all(tasks, study, locked);
}

void tasks_free(struct tasks *tasks)
{
    free(tasks->of);
    jobs_free(&tasks->jobs);
    queue_free(&tasks->queue);
}
