/* Building: values, ops and parameters are appended; the first error is kept for net_finish. */
#include "graph.h"

#include <stdlib.h>
#include <string.h>

enum iddpm_status net_create(struct net **out, int batch, enum net_mode mode, int threads)
{
    TRY(mem_alloc(out, 1, sizeof **out, "network"));
    struct net *net = *out;
    net->batch = batch;
    net->mode = mode;
    net->threads = threads;
    net->output = NONE;
    return IDDPM_OK;
}

void net_destroy(struct net *net)
{
    if (!net) return;
    free(net->values);
    free(net->ops);
    free(net->params);
    free(net->buffers);
    free(net->kept);
    free(net->schedule);
    mem_unmap(net->arena);
    mem_unmap(net->packed);
    free(net->error);
    free(net);
}

int graph_fail(struct net *net, const char *format, ...)
{
    if (net->status != IDDPM_OK) return NONE;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    net->status = IDDPM_USAGE;
    net->error = mem_strdup(text);
    return NONE;
}

bool graph_broken(const struct net *net, int value)
{
    return net->status != IDDPM_OK || value < 0;
}

/* Room for one more element of a growing array; an error is kept like any other. */
static bool more(struct net *net, void *array, size_t *room, size_t n, size_t size)
{
    if (mem_grow(array, room, n + 1, size, "network") == IDDPM_OK) return true;
    graph_fail(net, "%s", iddpm_error_text());
    net->status = IDDPM_FAILED;
    return false;
}

int graph_value(struct net *net, int h, int w, int c, enum element element, bool needs_grad)
{
    if (net->status != IDDPM_OK || !more(net, &net->values, &net->room_values, net->n_values, sizeof *net->values))
        return NONE;
    if (h < 1 || w < 1 || c < 1) return graph_fail(net, "a tensor of %d x %d x %d is empty", h, w, c);
    net->values[net->n_values] = (struct value){.h = h,
                                                .w = w,
                                                .c = c,
                                                .element = element,
                                                .parent = NONE,
                                                .needs_grad = needs_grad,
                                                .buffer = NONE,
                                                .grad_buffer = NONE,
                                                .maker = NONE};
    return (int)net->n_values++;
}

static enum element output_element(const struct net *net, const struct op *op)
{
    if (op->kind == &op_convert) return op->element;
    int from = op->in[0] != NONE ? op->in[0] : op->in[OP_RESIDUAL];
    return from == NONE ? ELEMENT_FLOAT32 : net->values[from].element;
}

int graph_op(struct net *net, struct op op, int h, int w, int c)
{
    bool needs_grad = op.param != NONE || (op.kind == &op_input && net->want_input_grad);
    for (int i = 0; i < OP_INPUTS; i++)
        if (op.in[i] != NONE) needs_grad |= net->values[op.in[i]].needs_grad;
    op.out = graph_value(net, h, w, c, output_element(net, &op), needs_grad && net->mode == NET_TRAINING);
    if (op.out == NONE || !more(net, &net->ops, &net->room_ops, net->n_ops, sizeof *net->ops)) return NONE;
    op.n_params = op.param == NONE ? 0 : (int)net->n_params - op.param;
    op.saved = op.scratch = NONE;
    net->values[op.out].maker = (int)net->n_ops;
    net->ops[net->n_ops++] = op;
    return op.out;
}

int graph_param(struct net *net, const char *name, const char *suffix, int ndim, const uint64_t *dims)
{
    if (net->status != IDDPM_OK || !more(net, &net->params, &net->room_params, net->n_params, sizeof *net->params))
        return NONE;
    struct param *param = &net->params[net->n_params];
    memset(param, 0, sizeof *param);
    snprintf(param->name, sizeof param->name, "%s%s", name, suffix);
    param->public.ndim = ndim;
    param->public.size = 1;
    for (int i = 0; i < ndim; i++) param->public.size *= param->public.dims[i] = dims[i];
    param->public.offset = net->flat_size;
    net->flat_size += (param->public.size + NET_BLOCK - 1) / NET_BLOCK * NET_BLOCK;
    return (int)net->n_params++;
}

int graph_root(const struct net *net, int value, int *offset)
{
    *offset = 0;
    while (net->values[value].parent != NONE) {
        *offset += net->values[value].parent_offset;
        value = net->values[value].parent;
    }
    return value;
}

int net_input(struct net *net, int h, int w, int c)
{
    struct op op = {.kind = &op_input, .in = {NONE, NONE, NONE}, .param = NONE};
    return graph_op(net, op, h, w, c);
}

void net_want_input_grad(struct net *net)
{
    net->want_input_grad = true;
}

void net_recompute(struct net *net)
{
    net->recompute = net->mode == NET_TRAINING;
}

void net_choose_kernels(struct net *net, enum conv_choice choice, const struct net_kernels *measured)
{
    net->conv_choice = choice;
    net->measured = measured;
}

void net_output(struct net *net, int x)
{
    net->output = x;
}

void net_keep(struct net *net, const char *name, int x)
{
    if (net->mode != NET_INFERENCE || graph_broken(net, x) ||
        !more(net, &net->kept, &net->room_kept, net->n_kept, sizeof *net->kept))
        return;
    struct kept *kept = &net->kept[net->n_kept++];
    snprintf(kept->name, sizeof kept->name, "%s", name);
    kept->value = x;
}

int net_channels(const struct net *net, int value)
{
    return value < 0 ? 0 : net->values[value].c;
}

enum element net_precision(const struct net *net)
{
    enum element most = ELEMENT_FLOAT32;
    for (size_t v = 0; v < net->n_values; v++)
        if (net->values[v].element > most) most = net->values[v].element;
    return most;
}

uint64_t net_macs(const struct net *net)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < net->n_ops; i++)
        if (net->ops[i].kind->macs) sum += net->ops[i].kind->macs(net, &net->ops[i]);
    return sum;
}

uint64_t net_recomputed_macs(const struct net *net)
{
    return net->recomputed;
}

/* An input is an op without work: its value is written by the caller before the forward pass. */
const struct op_kind op_input = {.name = "input"};
