/* What Slurm has of this user, asked of squeue. */
#include "jobs.h"

#include <stdlib.h>
#include <string.h>

enum { ANSWER_SIZE = 16 << 20, SAID = 512 };
#define ANSWER_SECONDS 60.0

static int by_job(const void *a, const void *b)
{
    const struct queued *p = a, *q = b;
    if (p->job != q->job) return p->job < q->job ? -1 : 1;
    return p->index < q->index ? -1 : p->index > q->index;
}

/* "JOB INDEX STATE" of arrays; what is no array is none of ours. */
static enum iddpm_status read_line(struct queue *queue, const char *line)
{
    char job[32], index[32], state[32];
    struct queued q;
    if (sscanf(line, "%31s %31s %31s", job, index, state) != 3) return IDDPM_OK;
    if (!text_integer(job, &q.job) || !text_integer(index, &q.index)) return IDDPM_OK;
    q.running = strcmp(state, "PENDING") != 0 && strncmp(state, "REQUEUE", 7) != 0;
    TRY(mem_grow(&queue->of, &queue->capacity, (size_t)queue->n + 1, sizeof *queue->of, "queue"));
    queue->of[queue->n++] = q;
    return IDDPM_OK;
}

enum iddpm_status queue_read(struct queue *queue)
{
    char *const argv[] = {"squeue", "-h", "-r", "--me", "-o", "%F %K %T", NULL};
    char said[SAID] = "", *text;
    *queue = (struct queue){0};
    TRY(mem_alloc(&text, ANSWER_SIZE, 1, "the queue"));
    struct command command = {text, said, ANSWER_SIZE, sizeof said, 0};
    enum iddpm_status status = IDDPM_OK;
    if (!command_run(argv, ANSWER_SECONDS, &command))
        status = iddpm_error(IDDPM_FAILED, "squeue cannot be run: is Slurm here? Without it: --local RANKS");
    else if (command.status != 0)
        status = iddpm_error(IDDPM_FAILED, "squeue does not answer: %.400s", said);
    for (char *line = text, *end; status == IDDPM_OK && (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        status = read_line(queue, line);
    }
    free(text);
    if (queue->n > 0) qsort(queue->of, (size_t)queue->n, sizeof *queue->of, by_job);
    return status;
}

void queue_free(struct queue *queue)
{
    free(queue->of);
}

const struct queued *queue_find(const struct queue *queue, int64_t job, int64_t index)
{
    const struct queued wanted = {.job = job, .index = index};
    return queue->n > 0 ? bsearch(&wanted, queue->of, (size_t)queue->n, sizeof *queue->of, by_job) : NULL;
}
