/* A sum over ranks whose bits do not depend on how many there are, and of which each rank keeps a part.
 *
 * Leaf gradients are added in a fixed binary tree: first inside a rank, whose leaves are contiguous, then here, where
 * level k joins ranks r and r xor 2^k, nearest first. At each level a rank gives its partner one half of the elements
 * that it still adds up and receives the other: halving ends with the part that the rank owns (parallel_own), after
 * n (size - 1) / size elements sent. Doubling, the same way back, brings all parts to all ranks: parallel_gather_parts.
 *
 * The array is cut into buckets, each of which goes through the levels by itself, so that those which are ready travel
 * while the others are still computed. At most SLOTS buckets are under way, taken up in the order in which they became
 * ready, which is the same on all ranks; nothing but a receive is waited for. So the first unfinished bucket is under
 * way on every rank, its levels end one after the other, and nobody waits for ever. */
#include "iddpm/parallel.h"

#include <stdlib.h>
#include <string.h>

enum { LEVELS_MAX = 31, SLOTS = 4 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static struct part intersection(struct part a, struct part b)
{
    size_t first = a.first > b.first ? a.first : b.first;
    size_t end = smaller(a.first + a.count, b.first + b.count);
    return (struct part){first, end > first ? end - first : 0};
}

/* ---- who owns what ------------------------------------------------------------------------------------------------
 */

/* The lower or upper half, in whole blocks. */
static struct part half_of(struct part whole, size_t block, bool upper)
{
    size_t lower = whole.count / block / 2 * block;
    return upper ? (struct part){whole.first + lower, whole.count - lower} : (struct part){whole.first, lower};
}

struct part parallel_own(int rank, int size, size_t n, size_t block)
{
    struct part own = {0, n};
    for (int bit = 1; bit < size; bit *= 2) own = half_of(own, block, rank & bit);
    return own;
}

/* ---- halving ------------------------------------------------------------------------------------------------------
 */

struct bucket {
    struct part part;
    size_t ready; /* elements */
};

/* A bucket under way. */
struct task {
    int bucket, level;
    struct part now;     /* what of it this rank still adds up */
    MPI_Request receive; /* of the partner's sums of `now`, into `arrived` */
    float *arrived;
    bool busy;
};

struct reducer {
    const struct parallel *parallel;
    reducer_add_fn *add;
    int levels, n_buckets;
    struct part mine[LEVELS_MAX], theirs[LEVELS_MAX]; /* halves at each level */
    struct bucket *buckets;
    int *queue, queued, taken; /* buckets in the order in which they became ready; how many of them were taken up */
    struct task tasks[SLOTS];
    MPI_Request *sends;
    int n_sends;
    float *data, *scratch;
    size_t n;
};

enum iddpm_status reducer_create(struct reducer **out, const struct parallel *parallel, size_t n, size_t block,
                                 reducer_add_fn *add)
{
    TRY(mem_alloc(out, 1, sizeof **out, "reduction"));
    struct reducer *r = *out;
    struct part now = {0, n};
    *r = (struct reducer){
        .parallel = parallel, .add = add, .n = n, .n_buckets = (int)((n + REDUCER_BUCKET - 1) / REDUCER_BUCKET)};
    for (int bit = 1; bit < parallel->size; bit *= 2, r->levels++) {
        r->mine[r->levels] = half_of(now, block, parallel->rank & bit);
        r->theirs[r->levels] = half_of(now, block, !(parallel->rank & bit));
        now = r->mine[r->levels];
    }
    size_t buckets = (size_t)r->n_buckets;
    enum iddpm_status status = mem_alloc(&r->buckets, buckets, sizeof *r->buckets, "reduction");
    if (status == IDDPM_OK) status = mem_alloc(&r->queue, buckets, sizeof *r->queue, "reduction");
    if (status == IDDPM_OK && r->levels)
        status = mem_alloc(&r->sends, buckets * (size_t)r->levels, sizeof *r->sends, "reduction");
    if (status == IDDPM_OK && r->levels)
        status = mem_alloc(&r->scratch, (size_t)SLOTS * REDUCER_BUCKET, sizeof(float), "pieces of the gradient");
    if (status != IDDPM_OK) {
        reducer_destroy(r);
        *out = NULL;
        return status;
    }
    for (int b = 0; b < r->n_buckets; b++)
        r->buckets[b].part =
            intersection((struct part){0, n}, (struct part){(size_t)b * REDUCER_BUCKET, REDUCER_BUCKET});
    return IDDPM_OK;
}

void reducer_destroy(struct reducer *r)
{
    if (!r) return;
    free(r->buckets);
    free(r->queue);
    free(r->sends);
    free(r->scratch);
    free(r);
}

size_t reducer_bytes(const struct parallel *parallel)
{
    return parallel->size > 1 ? (size_t)SLOTS * REDUCER_BUCKET * sizeof(float) : 0;
}

void reducer_begin(struct reducer *r, float *data)
{
    r->data = data;
    r->queued = r->taken = r->n_sends = 0;
    for (int b = 0; b < r->n_buckets; b++) r->buckets[b].ready = 0;
}

/* Goes through the levels until something must be waited for. */
static void go_on(struct reducer *r, struct task *task)
{
    for (; task->level < r->levels && task->now.count; task->level++) {
        int partner = r->parallel->rank ^ (1 << task->level);
        struct part give = intersection(task->now, r->theirs[task->level]);
        task->now = intersection(task->now, r->mine[task->level]);
        if (give.count)
            MPI_Isend(r->data + give.first, (int)give.count, MPI_FLOAT, partner, task->bucket, r->parallel->comm,
                      &r->sends[r->n_sends++]);
        if (!task->now.count) break;
        MPI_Irecv(task->arrived, (int)task->now.count, MPI_FLOAT, partner, task->bucket, r->parallel->comm,
                  &task->receive);
        return;
    }
    task->busy = false;
}

static void add_arrived(struct reducer *r, struct task *task)
{
    r->add(task->now.count, task->arrived, r->data + task->now.first);
    task->level++;
    go_on(r, task);
}

static void take_up(struct reducer *r)
{
    for (int slot = 0; slot < SLOTS && r->taken < r->queued; slot++) {
        struct task *task = &r->tasks[slot];
        while (!task->busy && r->taken < r->queued) {
            int bucket = r->queue[r->taken++];
            float *arrived = r->scratch + (size_t)slot * REDUCER_BUCKET;
            *task = (struct task){bucket, 0, r->buckets[bucket].part, MPI_REQUEST_NULL, arrived, true};
            go_on(r, task);
        }
    }
}

void reducer_progress(struct reducer *r)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        struct task *task = &r->tasks[slot];
        int arrived = 0;
        if (!task->busy) continue;
        MPI_Test(&task->receive, &arrived, MPI_STATUS_IGNORE);
        if (arrived) add_arrived(r, task);
    }
    take_up(r);
}

static void enqueue(struct reducer *r, int bucket)
{
    if (r->levels) r->queue[r->queued++] = bucket;
}

void reducer_ready(struct reducer *r, size_t first, size_t count)
{
    while (count) {
        struct bucket *bucket = &r->buckets[first / REDUCER_BUCKET];
        size_t here = intersection(bucket->part, (struct part){first, count}).count;
        bucket->ready += here;
        if (bucket->ready == bucket->part.count) enqueue(r, (int)(first / REDUCER_BUCKET));
        first += here, count -= here;
    }
}

/* What was never said to be ready, in an order (bits of the number reversed) in which neighbours in time belong to
 * different halves at every level: both partners then give and receive at once. */
static void enqueue_rest(struct reducer *r)
{
    int bits = 0;
    while (1 << bits < r->n_buckets) bits++;
    for (int i = 0; i < 1 << bits; i++) {
        int b = 0;
        for (int bit = 0; bit < bits; bit++) b |= (i >> bit & 1) << (bits - 1 - bit);
        if (b < r->n_buckets && r->buckets[b].ready < r->buckets[b].part.count) enqueue(r, b);
    }
}

void reducer_finish(struct reducer *r)
{
    enqueue_rest(r);
    take_up(r);
    for (;;) {
        MPI_Request receives[SLOTS];
        int slot;
        for (int i = 0; i < SLOTS; i++) receives[i] = r->tasks[i].busy ? r->tasks[i].receive : MPI_REQUEST_NULL;
        MPI_Waitany(SLOTS, receives, &slot, MPI_STATUS_IGNORE);
        if (slot == MPI_UNDEFINED) break;
        add_arrived(r, &r->tasks[slot]);
        take_up(r);
    }
    MPI_Waitall(r->n_sends, r->sends, MPI_STATUSES_IGNORE);
}

/* ---- doubling -----------------------------------------------------------------------------------------------------
 */

static void exchange(const struct parallel *parallel, int partner, const char *out, size_t out_bytes, char *in,
                     size_t in_bytes)
{
    const size_t most = REDUCER_BUCKET * sizeof(float);
    for (size_t done = 0; done < out_bytes || done < in_bytes; done += most) {
        size_t n_out = done < out_bytes ? smaller(out_bytes - done, most) : 0;
        size_t n_in = done < in_bytes ? smaller(in_bytes - done, most) : 0;
        MPI_Sendrecv(out + done, (int)n_out, MPI_BYTE, partner, 0, in + done, (int)n_in, MPI_BYTE, partner, 0,
                     parallel->comm, MPI_STATUS_IGNORE);
    }
}

void parallel_gather_parts(const struct parallel *parallel, void *data, size_t n, size_t block, size_t size)
{
    struct part whole[LEVELS_MAX], now = {0, n};
    char *bytes = data;
    int levels = 0;
    for (int bit = 1; bit < parallel->size; bit *= 2, levels++) {
        whole[levels] = now;
        now = half_of(now, block, parallel->rank & bit);
    }
    while (levels-- > 0) {
        int bit = 1 << levels;
        struct part theirs = half_of(whole[levels], block, !(parallel->rank & bit));
        exchange(parallel, parallel->rank ^ bit, bytes + now.first * size, now.count * size,
                 bytes + theirs.first * size, theirs.count * size);
        now = whole[levels];
    }
}
