/* Private to src/study: the tasks of a study, each a command on one point: its training, and its evaluations. */
#ifndef IDDPM_STUDY_TASKS_H
#define IDDPM_STUDY_TASKS_H

#include "jobs.h"

#define JOB_TEXT 32

struct task {
    const struct study_point *point;
    const struct study_evaluation *evaluation; /* NULL: training */
    int unit;                                  /* tasks of the same kind, of all points: 0 training */
    int n_steps;
    int64_t steps[STUDY_SAVES_MAX]; /* checkpoints that it measures; of training, all */
    char name[TASK_NAME];
    enum study_state state;
    const struct job_row *row; /* where it was last; NULL: nowhere */
    char job[JOB_TEXT];        /* in which it is queued or runs; "" or "local" without Slurm */
    int64_t index;             /* there */
};
struct tasks {
    int n, units;
    struct task *of; /* by point: its training, then its evaluations */
    struct jobs jobs;
    struct queue queue;
    int strays; /* queued or running, and no longer in the study's file */
    const struct job_row *stray;
};

/* What when squeue does not answer. */
enum queue_need {
    QUEUE_HELPS,   /* a warning */
    QUEUE_DECIDES, /* an error when Slurm may have something of this study; else it is not asked */
    QUEUE_NEEDED   /* an error */
};
/* With their states. `locked`: this process holds the lock, so nobody runs the study here. What Slurm
 * has of the study without a row in jobs.csv then gets one. */
enum iddpm_status tasks_read(struct tasks *tasks, const struct study *study, bool locked, enum queue_need need);
void tasks_warn_of_strays(const struct tasks *tasks);
void tasks_free(struct tasks *tasks);
static inline bool task_is_missing(const struct task *task)
{
    return task->state != STUDY_DONE && task->state != STUDY_QUEUED && task->state != STUDY_RUNNING;
}
/* Whether all its results are there. */
bool task_is_done(const struct task *task);
/* In the error of a training whose run is in the hands of another process. */
#define LOG_OWNED " is being trained by "
/* How it ended that the log tells of: STUDY_WAITING when there is none. why[size]: its last error. */
enum study_state log_state(const char *log, char *why, size_t size);

/* ---- commands.c -------------------------------------------------------------------------------------------------- */

enum { WORDS_MAX = 40 };
struct words {
    int n;
    char *of[WORDS_MAX + 1]; /* ends with NULL */
};
/* Appends a word, printf style. */
enum iddpm_status words_add(struct words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));
void words_free(struct words *words);
/* As one line that a shell, and xargs, cut into the same words; free(). */
enum iddpm_status words_line(const struct words *words, char **out);
/* What follows "iddpm train|nll|sample". */
enum iddpm_status task_words(const struct study *study, const struct task *task, struct words *words);
/* Path of its job script. */
enum iddpm_status task_script(const struct study_tools *tools, const struct task *task, struct words *words);

/* ---- keep.c ------------------------------------------------------------------------------------------------------ */

/* STUDY/tasks/POINT.yaml into out[PATH_SIZE]: its whole configuration. */
enum iddpm_status point_config_path(const struct study *study, const struct study_point *point, char *out);
/* IDDPM_USAGE with the difference, when a point that has begun would get another configuration, or cannot be trained on
 * `ranks`. */
enum iddpm_status study_check(const struct study *study, int ranks);
/* Makes the folders and writes the file, its base and every point's configuration into them. */
enum iddpm_status study_keep(const struct study *study);

/* ---- settings.c -------------------------------------------------------------------------------------------------- */

/* IDDPM_USAGE when results under this name were measured otherwise. */
enum iddpm_status settings_check(const struct study *study, const struct study_evaluation *evaluation);
/* Writes them into the study's folder, for the next check. */
enum iddpm_status settings_keep(const struct study *study, const struct study_evaluation *evaluation);

#endif
