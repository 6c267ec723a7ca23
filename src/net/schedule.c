/* The order in which ops run, an array of entries. */
#include "graph.h"

#include <stdlib.h>

bool schedule_add(struct net *net, int op, enum action action)
{
    if (mem_grow(&net->schedule, &net->room_schedule, net->n_schedule + 1, sizeof *net->schedule, "schedule") !=
        IDDPM_OK) {
        net->status = IDDPM_FAILED;
        return false;
    }
    net->schedule[net->n_schedule++] = (struct entry){op, action, NONE, NONE};
    return true;
}

int entry_reads(const struct net *net, const struct entry *entry, int values[OP_INPUTS])
{
    const struct op *op = &net->ops[entry->op];
    bool forward = entry->action == FORWARD || entry->action == AGAIN;
    bool backward = entry->action == (op->kind->backward_params ? BACKWARD_PARAMS : BACKWARD);
    int n = 0;
    for (int k = 0; k < OP_INPUTS; k++)
        if (op->in[k] != NONE && (forward || (backward && reads_in_backward(op, k)))) values[n++] = op->in[k];
    return n;
}

/* Whether the output of an op costs little to make again, from values which stay. `cheap`: the outputs of these ops do
 * not. */
static bool is_cheap(const struct net *net, const struct op *op, const bool *cheap)
{
    if (!op->kind->again || net->values[op->out].parent != NONE) return false;
    for (int k = 0; k < OP_INPUTS; k++) {
        if (op->in[k] == NONE) continue;
        int maker = net->values[op->in[k]].maker;
        if (!reads_in_backward(op, k) || (maker != NONE && cheap[maker])) return false;
    }
    return true;
}

/* What costs little to make is not kept for the backward pass, but made again before its first reader there. */
static void add_again(struct net *net, int reader, bool *cheap)
{
    const struct op *op = &net->ops[reader];
    for (int k = 0; k < OP_INPUTS; k++) {
        int maker = reads_in_backward(op, k) ? net->values[op->in[k]].maker : NONE;
        if (maker == NONE || !cheap[maker]) continue;
        schedule_add(net, maker, AGAIN);
        cheap[maker] = false;
    }
}

enum iddpm_status schedule_plain(struct net *net)
{
    int n = (int)net->n_ops;
    bool *cheap; /* ops whose output is still to be made again */
    net->n_schedule = 0;
    for (int i = 0; i < n; i++)
        if (net->ops[i].kind->forward) schedule_add(net, i, FORWARD);
    net->n_forward = net->n_schedule;
    if (net->mode == NET_INFERENCE) return net->status;
    TRY(mem_alloc(&cheap, net->n_ops, sizeof *cheap, "schedule"));
    for (int i = 0; i < n && !net->recompute; i++) cheap[i] = is_cheap(net, &net->ops[i], cheap);
    for (int i = n - 1; i >= 0; i--) {
        if (!has_backward(net, &net->ops[i])) continue;
        add_again(net, i, cheap);
        if (net->ops[i].kind->backward_params) schedule_add(net, i, BACKWARD_PARAMS);
        schedule_add(net, i, BACKWARD);
    }
    free(cheap);
    return net->status;
}
