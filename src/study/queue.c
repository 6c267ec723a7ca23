/* What Slurm has of this user, asked of squeue. */
#include "jobs.h"

#include <stdlib.h>
#include <string.h>

enum { ANSWER_SIZE = 64 << 20, SAID = 512 };
#define ANSWER_SECONDS 60.0

static int by_job(const void *a, const void *b)
{
    const struct queued *p = a, *q = b;
    if (p->job != q->job) return p->job < q->job ? -1 : 1;
    return p->index < q->index ? -1 : p->index > q->index;
}

enum iddpm_status queue_add(struct queue *queue, struct queued queued)
{
    TRY(mem_grow(&queue->of, &queue->capacity, (size_t)queue->n + 1, sizeof *queue->of, "queue"));
    queue->of[queue->n++] = queued;
    return IDDPM_OK;
}

void queue_sort(struct queue *queue)
{
    if (queue->n > 0) qsort(queue->of, (size_t)queue->n, sizeof *queue->of, by_job);
}

/* "JOB INDEX STATE COMMENT" of arrays; what is no array is none of ours. */
static enum iddpm_status read_line(struct queue *queue, const char *line)
{
    char job[32], index[32], state[32];
    struct queued q;
    int n = 0;
    if (sscanf(line, "%31s %31s %31s %n", job, index, state, &n) != 3) return IDDPM_OK;
    if (!text_integer(job, &q.job) || !text_integer(index, &q.index)) return IDDPM_OK;
    q.running = strcmp(state, "PENDING") != 0 && strncmp(state, "REQUEUE", 7) != 0;
    q.comment = line + n;
    return queue_add(queue, q);
}

enum iddpm_status queue_read(struct queue *queue)
{
    char *const argv[] = {"squeue", "-h", "-r", "--me", "-o", "%F %K %T %k", NULL};
    char said[SAID] = "";
    *queue = (struct queue){0};
    TRY(mem_alloc(&queue->text, ANSWER_SIZE, 1, "the queue"));
    struct command command = {queue->text, said, ANSWER_SIZE, sizeof said, 0};
    enum iddpm_status status = IDDPM_OK;
    if (!command_run(argv, ANSWER_SECONDS, &command))
        status = iddpm_error(IDDPM_FAILED, "squeue cannot be run: is Slurm here? Without it: --local RANKS");
    else if (command.status != 0)
        status = iddpm_error(IDDPM_FAILED, "squeue does not answer: %.400s", said);
    for (char *line = queue->text, *end; status == IDDPM_OK && (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        status = read_line(queue, line);
    }
    queue_sort(queue);
    return status;
}

void queue_free(struct queue *queue)
{
    free(queue->of);
    free(queue->text);
    *queue = (struct queue){0};
}

const struct queued *queue_find(const struct queue *queue, int64_t job, int64_t index)
{
    const struct queued wanted = {.job = job, .index = index};
    return queue->n > 0 ? bsearch(&wanted, queue->of, (size_t)queue->n, sizeof *queue->of, by_job) : NULL;
}

const struct queued *queue_find_row(const struct queue *queue, const struct job_row *row)
{
    int64_t job;
    return text_integer(row->job, &job) ? queue_find(queue, job, row->index) : NULL;
}
