/* Which values are dropped in training and made again (net_recompute): the smallest budget of memory under which no
 * more is made again than one forward pass, which is what the authors' checkpointing of every block costs; near it, the
 * schedule with the least product of arena and time. */
#include "play.h"

#include <math.h>
#include <stdlib.h>

/* A float that is read or written takes about as long as so many multiply-adds. */
#define MACS_OF_FLOAT 32.0
#define FORWARDS_OF_STEP 3.0 /* multiply-adds of a step without recomputation: a backward pass has twice as many */
/* The smallest budget is found to one in PRECISION. How well buffers fit together cannot be foretold: of TRIES budgets
 * from there on, that far apart, the arenas are looked at. */
enum { PRECISION = 128, TRIES = 12 };

static enum iddpm_status play_memory(struct play *play)
{
    const struct net *net = play->net;
    size_t most_reads = OP_INPUTS * (play->n_plain + net->n_ops);
    TRY(mem_alloc(&play->items, net->n_values, sizeof *play->items, "plan"));
    TRY(mem_alloc(&play->numbers, most_reads, sizeof *play->numbers, "plan"));
    TRY(mem_alloc(&play->between, play->n_plain, sizeof *play->between, "plan"));
    return mem_alloc(&play->during, play->n_plain, sizeof *play->during, "plan");
}

static void play_free(struct play *play)
{
    free(play->items);
    free(play->numbers);
    free(play->plain);
    free(play->between);
    free(play->during);
}

static void find_costs(struct play *play)
{
    const struct net *net = play->net;
    for (size_t v = 0; v < net->n_values; v++) {
        const struct op *op = &net->ops[net->values[v].maker];
        struct item *item = &play->items[v];
        item->floats = net->buffers[net->values[v].buffer].floats;
        size_t floats = item->floats;
        for (int k = 0; k < OP_INPUTS; k++)
            if (op->in[k] != NONE) floats += net->buffers[net->values[op->in[k]].buffer].floats;
        item->cost = MACS_OF_FLOAT * (double)floats;
        if (op->kind->macs) item->cost += net->batch * (double)op->kind->macs(net, op);
    }
}

/* Counts, and enters where there is a list. */
static void enter(int *list, int *n, int number)
{
    if (list) list[*n] = number;
    ++*n;
}

static void enter_reads(struct play *play)
{
    int values[OP_INPUTS];
    for (size_t i = 0; i < play->n_plain; i++) {
        const struct entry *entry = &play->plain[i];
        int n = entry_reads(play->net, entry, values);
        for (int k = 0; k < n; k++) {
            struct item *item = &play->items[values[k]];
            enter(item->reads, &item->n_reads, (int)i);
            if (entry->action == FORWARD) enter(item->readers, &item->n_readers, entry->op);
        }
    }
}

static void find_reads(struct play *play)
{
    int *next = play->numbers;
    enter_reads(play);
    for (size_t v = 0; v < play->net->n_values; v++) {
        struct item *item = &play->items[v];
        item->reads = next;
        item->readers = next + item->n_reads;
        next += item->n_reads + item->n_readers;
        item->n_reads = item->n_readers = 0;
    }
    enter_reads(play);
}

/* Gradients live as in the plain schedule, by which the buffers are planned at the moment. */
static void find_gradients(struct play *play)
{
    const struct net *net = play->net;
    for (size_t b = 0; b < net->n_own_buffers; b++) {
        const struct buffer *buffer = &net->buffers[b];
        bool gradient = false;
        for (size_t v = 0; v < net->n_values && !gradient; v++) gradient = net->values[v].grad_buffer == (int)b;
        for (int i = buffer->first; gradient && i <= buffer->last && i < (int)play->n_plain; i++) {
            play->during[i] += buffer->floats;
            if (i > buffer->first) play->between[i] += buffer->floats;
        }
    }
}

/* The smallest budget under which a schedule was found; the plain one needs `most`. */
static size_t smallest_budget(struct play *play, size_t most)
{
    size_t too_small = 0, enough = most;
    while (enough - too_small > enough / PRECISION + 1 && play->net->status == IDDPM_OK) {
        size_t budget = too_small + (enough - too_small) / 2;
        *(play_schedule(play, budget) ? &enough : &too_small) = budget;
    }
    return enough;
}

static enum iddpm_status search(struct play *play)
{
    struct net *net = play->net;
    size_t most = 0, best = 0;
    double least = INFINITY;
    for (size_t b = 0; b < net->n_buffers; b++) most += net->buffers[b].floats;
    size_t smallest = smallest_budget(play, most);
    for (size_t i = 0; i < TRIES && net->status == IDDPM_OK; i++) {
        size_t budget = smallest + i * (smallest / PRECISION);
        if (!play_schedule(play, budget)) continue;
        TRY(plan_buffers(net));
        double time = FORWARDS_OF_STEP * (double)net_macs(net) + (double)net->recomputed;
        if ((double)net->arena_floats * time >= least) continue;
        least = (double)net->arena_floats * time;
        best = budget;
    }
    if (play_schedule(play, best)) return IDDPM_OK;
    return net->status != IDDPM_OK ? net->status : iddpm_error(IDDPM_FAILED, "no order of recomputation was found");
}

enum iddpm_status plan_recomputation(struct net *net)
{
    struct play play = {.net = net,
                        .plain = net->schedule,
                        .n_plain = net->n_schedule,
                        .n_forward = net->n_forward,
                        .allowed = net_macs(net)};
    net->schedule = NULL;
    net->n_schedule = net->room_schedule = 0;
    enum iddpm_status status = play_memory(&play);
    if (status == IDDPM_OK) {
        find_costs(&play);
        find_reads(&play);
        find_gradients(&play);
        status = search(&play);
    }
    play_free(&play);
    return status == IDDPM_OK ? plan_buffers(net) : status;
}
