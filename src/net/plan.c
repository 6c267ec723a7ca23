/* Where values, gradients and scratch lie. Every buffer is live from its first write to its last read in the schedule;
 * buffers that are live at different times share memory: largest first, each at the lowest offset that fits. */
#include "graph.h"

#include <limits.h>
#include <stdlib.h>

enum { ALIGN_FLOATS = 16, BEFORE = -1 };

static int end_position(const struct net *net)
{
    return (int)net->n_schedule;
}

static int new_buffer(struct net *net, size_t floats)
{
    if (mem_grow(&net->buffers, &net->room_buffers, net->n_buffers + 1, sizeof *net->buffers, "network") != IDDPM_OK) {
        net->status = IDDPM_FAILED;
        return NONE;
    }
    net->buffers[net->n_buffers] = (struct buffer){floats, INT_MAX, INT_MIN, 0};
    return (int)net->n_buffers++;
}

static void touch(struct net *net, int buffer, int position)
{
    if (buffer == NONE) return;
    struct buffer *b = &net->buffers[buffer];
    if (position < b->first) b->first = position;
    if (position > b->last) b->last = position;
}

static bool is_sliced(const struct net *net, int v)
{
    for (size_t i = 0; i < net->n_values; i++)
        if (net->values[i].parent == v) return true;
    return false;
}

static bool is_kept(const struct net *net, int v)
{
    for (size_t i = 0; i < net->n_kept; i++)
        if (net->kept[i].value == v) return true;
    return false;
}

/* Whether nobody reads what a group norm has read once it is done: it may write over it. */
static bool can_write_over(const struct net *net, size_t op)
{
    int x = net->ops[op].in[0], y = net->ops[op].out;
    if (net->ops[op].kind != &op_group_norm || net->mode == NET_TRAINING || x == net->output) return false;
    if (is_kept(net, x)) return false;
    if (net->values[x].parent != NONE || net->values[y].parent != NONE || is_sliced(net, x)) return false;
    for (size_t i = 0; i < net->n_ops; i++) {
        if (net->ops[i].kind == &op_input && net->ops[i].out == x) return false; /* the caller's */
        for (int k = 0; k < OP_INPUTS && i > op; k++)
            if (net->ops[i].in[k] == x) return false;
    }
    return true;
}

/* Memory that was just read takes writes faster than any other. */
static void share_in_place(struct net *net)
{
    for (size_t i = 0; i < net->n_ops && net->status == IDDPM_OK; i++)
        if (can_write_over(net, i)) net->values[net->ops[i].out].buffer = net->values[net->ops[i].in[0]].buffer;
}

/* Roots get buffers; slices take their root's. */
static void place_values(struct net *net)
{
    for (size_t v = 0; v < net->n_values && net->status == IDDPM_OK; v++) {
        struct value *value = &net->values[v];
        value->pitch = value->c;
        if (value->parent != NONE) continue;
        size_t elements = (size_t)net->batch * (size_t)value->h * (size_t)value->w * (size_t)value->c;
        size_t floats = (elements * element_size(value->element) + sizeof(float) - 1) / sizeof(float);
        value->buffer = new_buffer(net, floats);
        if (value->needs_grad) value->grad_buffer = new_buffer(net, floats);
    }
    share_in_place(net);
    for (size_t v = 0; v < net->n_values && net->status == IDDPM_OK; v++) {
        struct value *value = &net->values[v];
        const struct value *root = &net->values[graph_root(net, (int)v, &value->offset)];
        value->root_buffer = value->buffer = root->buffer;
        if (value->needs_grad) value->grad_buffer = root->grad_buffer;
        value->pitch = root->c;
    }
}

/* A gradient counts as written when the value's own, or that of a value it is a slice of, was. */
static bool grad_written(const struct net *net, int v)
{
    for (; v != NONE; v = net->values[v].parent)
        if (net->values[v].grad_written) return true;
    return false;
}

/* A residual is added as it is, so its gradient is that of the output: when it is the first part of it, both can be one
 * buffer, and nothing is copied. Slices keep their place in the concatenation's gradient. */
static void share_residual_grad(struct net *net, const struct op *op)
{
    const struct value *from = &net->values[op->out], *to = &net->values[op->in[OP_RESIDUAL]];
    if (from->parent != NONE || to->parent != NONE) return;
    int gone = to->grad_buffer;
    for (size_t v = 0; v < net->n_values; v++) /* residuals of residuals may share it already */
        if (net->values[v].grad_buffer == gone) net->values[v].grad_buffer = from->grad_buffer;
}

/* In reverse order: who writes a gradient first sets it, the others add. */
static void plan_gradients(struct net *net)
{
    net->values[net->output].grad_written = true;
    for (int i = (int)net->n_ops - 1; i >= 0; i--) {
        struct op *op = &net->ops[i];
        for (int k = 0; k < OP_INPUTS; k++) {
            int v = op->in[k];
            if (v == NONE || !net->values[v].needs_grad) continue;
            op->accumulate[k] = grad_written(net, v);
            if (k == OP_RESIDUAL && !op->accumulate[k]) share_residual_grad(net, op);
            net->values[v].grad_written = true;
        }
    }
}

static size_t first_reader(const struct net *net, int v)
{
    for (size_t i = 0; i < net->n_ops; i++)
        for (int k = 0; k < OP_INPUTS; k++)
            if (net->ops[i].in[k] == v) return i;
    return net->n_ops;
}

/* A concatenation's gradient is set by its own readers; one of its parts must not have been read after them, or what
 * that reader added to the gradient, earlier in the backward pass, would be lost. */
static void check_slices(struct net *net)
{
    for (size_t i = 0; i < net->n_ops; i++)
        for (int k = 0; k < OP_INPUTS; k++) {
            int v = net->ops[i].in[k];
            for (int whole = v; whole != NONE; whole = net->values[whole].parent)
                if (net->values[whole].c > net->values[v].c && first_reader(net, whole) < i)
                    graph_fail(net, "a tensor was used after its concatenation had been");
        }
}

/* The first instance of a value has the buffer that place_values gave it, each later one a new one. */
static int instance(struct net *net, int v, bool *made)
{
    struct value *value = &net->values[v];
    if (made[v]) value->buffer = new_buffer(net, net->buffers[value->buffer].floats);
    made[v] = true;
    return value->buffer;
}

static void plan_entry(struct net *net, int at, bool *made)
{
    struct entry *entry = &net->schedule[at];
    struct op *op = &net->ops[entry->op];
    int values[OP_INPUTS], n = entry_reads(net, entry, values);
    for (int k = 0; k < n; k++) touch(net, net->values[values[k]].buffer, at);
    if (entry->action == FORWARD || entry->action == AGAIN)
        touch(net, entry->out = instance(net, op->out, made), at);
    else
        touch(net, net->values[op->out].grad_buffer, at);
    for (int k = 0; k < OP_INPUTS && entry->action == BACKWARD; k++)
        if (op->in[k] != NONE) touch(net, net->values[op->in[k]].grad_buffer, at);
    touch(net, op->saved, at);
    size_t scratch = op->kind->scratch ? op->kind->scratch(net, op) : 0;
    if (scratch == 0) return;
    entry->scratch = new_buffer(net, scratch);
    touch(net, entry->scratch, at);
}

static enum iddpm_status plan_lifetimes(struct net *net)
{
    bool *made;
    TRY(mem_alloc(&made, net->n_values, sizeof *made, "plan"));
    for (size_t i = 0; i < net->n_schedule && net->status == IDDPM_OK; i++) plan_entry(net, (int)i, made);
    free(made);
    for (size_t i = 0; i < net->n_ops; i++) {
        const struct value *out = &net->values[net->ops[i].out];
        if (net->ops[i].kind != &op_input) continue;
        touch(net, out->buffer, BEFORE);
        if (net->want_input_grad) touch(net, out->grad_buffer, end_position(net));
    }
    const struct value *output = &net->values[net->output];
    touch(net, output->buffer, end_position(net));
    touch(net, output->grad_buffer, (int)net->n_forward - 1); /* filled by the caller between the passes */
    for (size_t i = 0; i < net->n_kept; i++) touch(net, net->values[net->kept[i].value].buffer, end_position(net));
    return net->status;
}

static int by_size(const void *a, const void *b)
{
    const struct buffer *x = *(struct buffer *const *)a, *y = *(struct buffer *const *)b;
    if (x->floats != y->floats) return x->floats < y->floats ? 1 : -1;
    return x < y ? -1 : 1;
}

/* Puts a buffer at the lowest offset at which no placed one is live at the same time. `placed`: n, by offset. */
static void first_fit(struct buffer **placed, size_t n, struct buffer *b)
{
    size_t at = 0, i;
    for (i = 0; i < n; i++) {
        if (placed[i]->first > b->last || b->first > placed[i]->last) continue;
        if (at + b->floats <= placed[i]->offset) break;
        size_t end = placed[i]->offset + placed[i]->floats;
        if (end > at) at = end;
    }
    b->offset = at;
    for (i = n; i > 0 && placed[i - 1]->offset > at; i--) placed[i] = placed[i - 1];
    placed[i] = b;
}

static enum iddpm_status place_buffers(struct net *net)
{
    struct buffer **order;
    TRY(mem_alloc(&order, 2 * net->n_buffers, sizeof *order, "plan"));
    size_t n = 0;
    for (size_t i = 0; i < net->n_buffers; i++) {
        struct buffer *b = &net->buffers[i];
        b->floats = (b->floats + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
        if (b->floats && b->last >= b->first) order[n++] = b;
    }
    qsort(order, n, sizeof *order, by_size);
    for (size_t i = 0; i < n; i++) {
        first_fit(order + net->n_buffers, i, order[i]);
        size_t end = order[i]->offset + order[i]->floats;
        if (end > net->arena_floats) net->arena_floats = end;
    }
    free(order);
    return IDDPM_OK;
}

static void plan_packing(struct net *net)
{
    for (size_t i = 0; i < net->n_ops; i++) {
        struct op *op = &net->ops[i];
        for (int pass = 0; op->kind->packed_size && pass < PASSES; pass++) {
            op->packed[pass] = net->packed_floats;
            size_t floats = op->kind->packed_size(net, op, pass);
            net->packed_floats += (floats + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
        }
    }
}

static void plan_saved(struct net *net)
{
    for (size_t i = 0; i < net->n_ops && net->status == IDDPM_OK; i++) {
        struct op *op = &net->ops[i];
        size_t floats = op->kind->saved ? op->kind->saved(net, op) : 0;
        if (floats) op->saved = new_buffer(net, floats);
    }
}

/* Nothing is planned for any schedule. */
static void forget_schedule(struct net *net)
{
    net->n_buffers = net->n_own_buffers;
    net->arena_floats = 0;
    for (size_t b = 0; b < net->n_buffers; b++) {
        net->buffers[b].first = INT_MAX;
        net->buffers[b].last = INT_MIN;
    }
    for (size_t v = 0; v < net->n_values; v++) net->values[v].buffer = net->values[v].root_buffer;
}

enum iddpm_status plan_buffers(struct net *net)
{
    forget_schedule(net);
    TRY(plan_lifetimes(net));
    return place_buffers(net);
}

enum iddpm_status net_plan(struct net *net)
{
    place_values(net);
    if (net->status == IDDPM_OK && net->mode == NET_TRAINING) {
        check_slices(net);
        plan_gradients(net);
    }
    plan_saved(net);
    if (net->status != IDDPM_OK) return net->status;
    net->n_own_buffers = net->n_buffers;
    plan_packing(net);
    TRY(schedule_plain(net));
    TRY(plan_buffers(net));
    return net->recompute ? plan_recomputation(net) : IDDPM_OK;
}
