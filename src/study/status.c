/* How far a study is: from the files of its runs, what was submitted, and what Slurm says. */
#include "tasks.h"

#include "iddpm/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TAIL = 4096 };

static double number_after(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    return at ? strtod(at + strlen(key), NULL) : NAN;
}

/* The last whole line of RUN/metrics.jsonl. */
static void read_metrics(const struct study_point *point, struct study_progress *progress)
{
    char path[PATH_SIZE], text[TAIL + 1];
    if (path_join(path, point->run, "metrics.jsonl") != IDDPM_OK) return;
    FILE *stream = fopen(path, "rb");
    if (!stream) return;
    if (fseek(stream, -TAIL, SEEK_END) != 0) rewind(stream);
    text[fread(text, 1, TAIL, stream)] = 0;
    fclose(stream);
    char *end = strrchr(text, '\n');
    if (!end) return;
    *end = 0;
    const char *line = strrchr(text, '\n') ? strrchr(text, '\n') + 1 : text;
    double step = number_after(line, "\"step\": "), rate = number_after(line, "\"images_per_s\": ");
    if (!isfinite(step)) return;
    progress->step = (int64_t)step;
    if (rate > 0)
        progress->seconds_left =
            (double)(point->steps - progress->step) * (double)point->config->train.batch_size / rate;
}

/* Of the newest checkpoint that the first likelihood has. */
static void read_bits(const struct study *study, const struct study_point *point, struct study_progress *progress)
{
    char path[PATH_SIZE];
    int64_t steps[STUDY_SAVES_MAX];
    for (int e = 0; e < study->n_evaluations; e++) {
        if (study->evaluations[e].kind != STUDY_NLL) continue;
        for (int i = study_evaluation_steps(point, &study->evaluations[e], steps) - 1; i >= 0; i--) {
            if (study_result_path(point, &study->evaluations[e], steps[i], path) != IDDPM_OK || !path_exists(path))
                continue;
            if (store_read_number(path, "/", "bits_per_dim", &progress->bits_per_dim) == IDDPM_OK &&
                store_read_number(path, "/", "standard_error", &progress->standard_error) == IDDPM_OK)
                return;
        }
    }
}

static void count_results(const struct task *task, struct study_progress *progress)
{
    char path[PATH_SIZE];
    progress->wanted += task->n_steps;
    for (int i = 0; i < task->n_steps; i++)
        progress->results +=
            study_result_path(task->point, task->evaluation, task->steps[i], path) == IDDPM_OK && path_exists(path);
}

/* What matters most: what failed, then what goes on, then what waits. */
static int rank_of(enum study_state state)
{
    static const int ranks[] = {[STUDY_DONE] = 0,    [STUDY_WAITING] = 1, [STUDY_QUEUED] = 2,
                                [STUDY_STOPPED] = 3, [STUDY_RUNNING] = 4, [STUDY_FAILED] = 5};
    return ranks[state];
}

static void take_state(const char *folder, const struct task *task, struct study_progress *progress)
{
    if (rank_of(task->state) <= rank_of(progress->state)) return;
    progress->state = task->state;
    *progress->why = *progress->log = 0;
    if ((task->state != STUDY_FAILED && task->state != STUDY_STOPPED) || !task->row) return;
    if (jobs_log_path(folder, task->row, progress->log) == IDDPM_OK)
        log_state(progress->log, progress->why, sizeof progress->why);
}

static struct study_progress begin(const struct study *study, const struct task *training)
{
    struct study_progress p = {.state = STUDY_DONE, .seconds_left = NAN, .bits_per_dim = NAN, .standard_error = NAN};
    p.trained = training->state == STUDY_DONE;
    read_metrics(training->point, &p);
    if (p.trained) p.step = training->point->steps, p.seconds_left = 0;
    read_bits(study, training->point, &p);
    return p;
}

enum iddpm_status study_status(const struct study *study, struct study_progress *progress)
{
    struct tasks tasks = {0};
    enum iddpm_status status = tasks_read(&tasks, study, false, QUEUE_HELPS);
    if (status == IDDPM_OK) tasks_warn_of_strays(&tasks);
    for (int i = 0, points = 0; i < tasks.n && status == IDDPM_OK; i++) {
        const struct task *task = &tasks.of[i];
        if (!task->evaluation) progress[points++] = begin(study, task);
        struct study_progress *p = &progress[points - 1];
        if (task->evaluation) count_results(task, p);
        /* evaluations of what is not trained wait for it */
        if (!task->evaluation || p->trained || task->state == STUDY_FAILED) take_state(study->folder, task, p);
    }
    tasks_free(&tasks);
    return status;
}
