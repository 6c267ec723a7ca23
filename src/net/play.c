/* A training step played under a budget of memory: each op that must run needs its inputs; those that are not there are
 * made first, and for that theirs. Where there is no room, the value goes whose making again costs least for its size
 * and the time until it is wanted (Kirisame et al. 2021, Dynamic Tensor Rematerialization; the time since its last use
 * stands there for the future, which is known here). */
#include "play.h"

#include <limits.h>
#include <math.h>

enum { NEVER = INT_MAX };

static size_t scratch_of(const struct net *net, int op)
{
    const struct op_kind *kind = net->ops[op].kind;
    return kind->scratch ? kind->scratch(net, &net->ops[op]) : 0;
}

static int wanted(struct play *play, int v)
{
    struct item *item = &play->items[v];
    if (item->wanted_round == play->round) return item->wanted;
    item->wanted_round = play->round;
    item->wanted = item->next_read < item->n_reads ? item->reads[item->next_read] : NEVER;
    for (int i = 0; i < item->n_readers; i++) {
        int out = play->net->ops[item->readers[i]].out;
        if (play->items[out].here || !play->items[out].made) continue;
        int then = wanted(play, out);
        if (then < item->wanted) item->wanted = then;
    }
    return item->wanted;
}

/* Missing inputs mostly have the same ancestors: the dearest one counts, not their sum. */
static double price(struct play *play, int v)
{
    struct item *item = &play->items[v];
    if (item->price_round == play->round) return item->price;
    const struct op *op = &play->net->ops[play->net->values[v].maker];
    double inputs = 0;
    for (int k = 0; k < OP_INPUTS; k++)
        if (op->in[k] != NONE && !play->items[op->in[k]].here) inputs = fmax(inputs, price(play, op->in[k]));
    item->price_round = play->round;
    return item->price = item->cost + inputs;
}

/* Of the values that are not held the one that is least worth its memory; of those that nobody wants the largest. */
static bool drop_one(struct play *play)
{
    struct item *least = NULL;
    double least_worth = INFINITY;
    play->round++;
    for (int v = 0; v < (int)play->net->n_values; v++) {
        struct item *item = &play->items[v];
        if (!item->here || item->holders) continue;
        int then = wanted(play, v);
        double floats = (double)item->floats;
        double worth = then == NEVER ? -floats : price(play, v) / floats / (then - play->now + 1);
        if (worth >= least_worth) continue;
        least_worth = worth;
        least = item;
    }
    if (!least) return false;
    least->here = false;
    play->used -= least->floats;
    return true;
}

static bool make_room(struct play *play, size_t floats)
{
    while (play->used + play->gradients + floats > play->budget)
        if (!drop_one(play)) return false;
    return true;
}

/* An op whose inputs are held gives its value. */
static bool run(struct play *play, int op, enum action action)
{
    struct net *net = play->net;
    struct item *out = &play->items[net->ops[op].out];
    if (!make_room(play, scratch_of(net, op) + out->floats)) return false;
    if (out->made && action == FORWARD && net->ops[op].kind->macs)
        net->recomputed += net->ops[op].kind->macs(net, &net->ops[op]);
    out->here = out->made = true;
    play->used += out->floats;
    return schedule_add(net, op, action) && net->recomputed <= play->allowed;
}

static bool hold(struct play *play, int n, const int values[OP_INPUTS]);

static void let_go(struct play *play, int n, const int values[OP_INPUTS])
{
    for (int k = 0; k < n; k++) play->items[values[k]].holders--;
}

static bool make_again(struct play *play, int v)
{
    int op = play->net->values[v].maker, values[OP_INPUTS];
    struct entry entry = {.op = op, .action = play->net->ops[op].kind->again ? AGAIN : FORWARD};
    int n = entry_reads(play->net, &entry, values);
    if (!hold(play, n, values) || !run(play, op, entry.action)) return false;
    let_go(play, n, values);
    return true;
}

/* What is there is held before the rest is made, which would drop it otherwise. */
static bool hold(struct play *play, int n, const int values[OP_INPUTS])
{
    bool held[OP_INPUTS];
    for (int k = 0; k < n; k++) {
        held[k] = play->items[values[k]].here;
        if (held[k]) play->items[values[k]].holders++;
    }
    for (int k = 0; k < n; k++) {
        if (held[k]) continue;
        if (!play->items[values[k]].here && !make_again(play, values[k])) return false;
        play->items[values[k]].holders++;
    }
    return true;
}

static bool play_entry(struct play *play, const struct entry *entry)
{
    struct net *net = play->net;
    int values[OP_INPUTS], n = entry_reads(net, entry, values);
    play->gradients = play->between[play->now];
    if (!hold(play, n, values)) return false;
    play->gradients = play->during[play->now];
    if (entry->action == FORWARD) {
        if (!run(play, entry->op, FORWARD)) return false;
    } else if (!make_room(play, scratch_of(net, entry->op)) || !schedule_add(net, entry->op, entry->action)) {
        return false;
    }
    let_go(play, n, values);
    for (int k = 0; k < n; k++) {
        struct item *item = &play->items[values[k]];
        while (item->next_read < item->n_reads && item->reads[item->next_read] <= play->now) item->next_read++;
    }
    if (entry->action == FORWARD && net->ops[entry->op].out == net->output) play->items[net->output].holders++;
    return true;
}

/* Inputs are there, and stay. */
static void start(struct play *play)
{
    struct net *net = play->net;
    play->used = net->n_schedule = net->recomputed = 0;
    for (size_t v = 0; v < net->n_values; v++) {
        struct item *item = &play->items[v];
        item->next_read = 0;
        item->here = item->made = net->ops[net->values[v].maker].kind == &op_input;
        item->holders = item->here;
        if (item->here) play->used += item->floats;
    }
}

bool play_schedule(struct play *play, size_t budget)
{
    play->budget = budget;
    start(play);
    for (play->now = 0; play->now < (int)play->n_plain; play->now++) {
        if (play->now == (int)play->n_forward) play->net->n_forward = play->net->n_schedule;
        if (!play_entry(play, &play->plain[play->now])) return false;
    }
    return true;
}
