/* Private to src/study: what was submitted (STUDY/jobs.csv), and what of it Slurm has. */
#ifndef IDDPM_STUDY_JOBS_H
#define IDDPM_STUDY_JOBS_H

#include "iddpm/study.h"

#define TASK_NAME (STUDY_NAME + 24)

struct job_row {
    const char *time, *job, *point, *task; /* job: a number, or "local" */
    const char *log;                       /* from the study's folder */
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
/* Where the log is, into out[PATH_SIZE]. */
enum iddpm_status jobs_log_path(const char *folder, const struct job_row *row, char *out);

/* ---- queue.c ----------------------------------------------------------------------------------------------------- */

struct queue {
    char *text;
    int n;
    size_t capacity;
    struct queued {
        int64_t job, index;
        bool running;
        const char *comment; /* that it was submitted with */
    } * of;                  /* sorted */
};
/* Every task of an array that this user has in Slurm. IDDPM_FAILED when squeue cannot be asked. */
enum iddpm_status queue_read(struct queue *queue);
void queue_free(struct queue *queue);
/* NULL: not there. */
const struct queued *queue_find(const struct queue *queue, int64_t job, int64_t index);
/* That of a row of jobs.csv. */
const struct queued *queue_find_row(const struct queue *queue, const struct job_row *row);
/* For a queue made by hand: adds one; queue_sort before anything is looked for. */
enum iddpm_status queue_add(struct queue *queue, struct queued queued);
void queue_sort(struct queue *queue);

/* ---- lists.c ----------------------------------------------------------------------------------------------------- */

/* The highest number of STUDY/tasks/NNNN-TASK.txt; 0: there is none. */
int lists_count(const char *folder);
/* What an array of this list has for a comment, into out[]: by it the array is found when jobs.csv has no row. */
enum iddpm_status list_comment(const char *list, char *out, size_t size);
/* The line of a list, before the command of a task, that names it. */
void list_name_task(FILE *stream, int index, const char *point, const char *task);
/* Appends to jobs.csv what Slurm runs by the study's lists and what has no row: submit died, or had no answer. */
enum iddpm_status lists_adopt(const char *folder, const struct jobs *jobs, const struct queue *queue, int *adopted);

#endif
