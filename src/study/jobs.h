/* Private to src/study: what was submitted (STUDY/jobs.csv), and what of it Slurm has. */
#ifndef IDDPM_STUDY_JOBS_H
#define IDDPM_STUDY_JOBS_H

#include "iddpm/study.h"

#define TASK_NAME (STUDY_NAME + 24)

struct job_row {
    const char *time, *job, *point, *task, *log; /* job: a number, or "local" */
    int64_t index;
    int order;
};
struct jobs {
    char *text;
    int n;
    struct job_row *rows;  /* by point and task, older ones first */
    struct job_row newest; /* of all */
};
/* None is fine; a line that is not whole is passed over. */
enum iddpm_status jobs_read(struct jobs *jobs, const char *folder);
void jobs_free(struct jobs *jobs);
/* The newest of a task, NULL when it was never submitted. */
const struct job_row *jobs_find(const struct jobs *jobs, const char *point, const char *task);
/* Appends; lines are whole, also when there are two writers. */
enum iddpm_status jobs_append(const char *folder, const struct job_row *row);

/* ---- queue.c ----------------------------------------------------------------------------------------------------- */

struct queue {
    int n;
    size_t capacity;
    struct queued {
        int64_t job, index;
        bool running;
    } * of; /* sorted */
};
/* Every task of an array that this user has in Slurm. IDDPM_FAILED when squeue cannot be asked. */
enum iddpm_status queue_read(struct queue *queue);
void queue_free(struct queue *queue);
/* NULL: not there. */
const struct queued *queue_find(const struct queue *queue, int64_t job, int64_t index);

#endif
