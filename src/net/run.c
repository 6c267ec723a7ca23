/* Running: the entries of the schedule, one after the other. */
#include "graph.h"

#include <stdlib.h>

enum iddpm_status net_finish(struct net *net, bool allocate)
{
    if (net->status == IDDPM_OK && net->output == NONE) graph_fail(net, "the network has no output");
    if (net->status == IDDPM_OK && net->values[net->output].element != ELEMENT_FLOAT32)
        graph_fail(net, "the output of the network is not float32");
    if (net->status == IDDPM_OK && net_plan(net) == IDDPM_FAILED) return IDDPM_FAILED;
    if (net->status != IDDPM_OK) return iddpm_error(net->status, "%s", net->error ? net->error : "no memory");
    net->finished = true;
    if (!allocate) return IDDPM_OK;
    TRY(mem_map(&net->arena, net->arena_floats, sizeof *net->arena, "activations of the network"));
    return mem_map(&net->packed, net->packed_floats, sizeof *net->packed, "packed weights of the network");
}

static int input_value(const struct net *net, int k)
{
    for (size_t i = 0; i < net->n_ops; i++)
        if (net->ops[i].kind == &op_input && k-- == 0) return net->ops[i].out;
    return NONE;
}

float *net_input_data(struct net *net, int k)
{
    return tensor_value(net, input_value(net, k)).p;
}

int net_input_pitch(const struct net *net, int k)
{
    return net->values[input_value(net, k)].pitch;
}

const float *net_input_grad(const struct net *net, int k)
{
    return tensor_grad(net, input_value(net, k)).p;
}

const float *net_output_data(const struct net *net)
{
    return tensor_value(net, net->output).p;
}

float *net_output_grad(struct net *net)
{
    return tensor_grad(net, net->output).p;
}

bool net_kept(const struct net *net, int i, struct net_kept *out)
{
    if (i < 0 || (size_t)i >= net->n_kept) return false;
    const struct kept *kept = &net->kept[i];
    struct tensor t = tensor_value(net, kept->value);
    *out = (struct net_kept){kept->name, net->arena ? t.p : NULL, t.element, t.h, t.w, t.c, t.pitch};
    return true;
}

void graph_residual_backward(const struct net *net, const struct op *op, const struct net_run *run)
{
    int residual = op->in[OP_RESIDUAL];
    if (residual == NONE) return;
    struct tensor dr = tensor_grad(net, residual), dy = tensor_grad(net, op->out);
    if (dr.p && dr.p != dy.p)
        copy_rows(dy.element, tensor_rows(&dy, run->n), dy.c, dy.p, dy.pitch, dr.p, dr.pitch,
                  op->accumulate[OP_RESIDUAL]);
}

static size_t image_floats(const struct value *value)
{
    return (size_t)value->h * (size_t)value->w * (size_t)value->c;
}

static void tell_on_op(const struct net *net, const struct op *op, bool backward, const struct net_run *run)
{
    const struct value *y = net_value(net, op->out);
    struct net_op_info info = {op->kind->name, backward, y->h, y->w, 0, y->c, op->stride, 0, image_floats(y), 0};
    if (op->in[0] != NONE) info.c_in = net_value(net, op->in[0])->c;
    for (int k = 0; k < OP_INPUTS; k++)
        if (op->in[k] != NONE) info.floats += image_floats(net_value(net, op->in[k]));
    for (int k = 0; k < op->n_params; k++) info.params += net->params[op->param + k].public.size;
    if (op->kind->macs) info.macs = op->kind->macs(net, op);
    run->on_op(run->on_op_context, &info);
}

/* The op's parameters, which lie one after the other: elements of flat arrays, padding included. Returns their number.
 */
static size_t op_elements(const struct net *net, const struct op *op, size_t *first)
{
    size_t next = (size_t)(op->param + op->n_params);
    *first = op->n_params ? net->params[op->param].public.offset : 0;
    if (op->n_params == 0) return 0;
    return (next < net->n_params ? net->params[next].public.offset : net->flat_size) - *first;
}

/* Elements of flat arrays whose gradients the op gives are set to 0 in front of that, and not all at the start: so they
 * stay in the cache. */
static void run_backward(struct net *net, const struct entry *entry, const struct net_run *run, float *grads)
{
    const struct op *op = &net->ops[entry->op];
    const struct op_kind *kind = op->kind;
    bool params = entry->action == BACKWARD_PARAMS;
    size_t first, count = op_elements(net, op, &first);
    if (run->set_grads && params == (kind->backward_params != NULL)) clear_floats(count, grads + first);
    (params ? kind->backward_params : kind->backward)(net, op, run, grads);
    if (params) return; /* the op's backward pass ends with what follows */
    if (run->on_op) tell_on_op(net, op, true, run);
    if (run->after_op) run->after_op(run->after_op_context, first, count);
}

static void run_entry(struct net *net, const struct entry *entry, const struct net_run *run, float *grads)
{
    struct op *op = &net->ops[entry->op];
    op->scratch = entry->scratch;
    if (entry->action == BACKWARD_PARAMS || entry->action == BACKWARD) {
        run_backward(net, entry, run, grads);
        return;
    }
    net->values[op->out].buffer = entry->out;
    (entry->action == AGAIN ? op->kind->again : op->kind->forward)(net, op, run);
    if (run->on_op && entry->action == FORWARD) tell_on_op(net, op, false, run);
}

void net_forward(struct net *net, const struct net_run *run)
{
    kernels_set_threads(net->threads); /* what the scratch was planned for */
    for (size_t i = 0; i < net->n_forward; i++) run_entry(net, &net->schedule[i], run, NULL);
}

void net_backward(struct net *net, const struct net_run *run, float *grads)
{
    kernels_set_threads(net->threads);
    for (size_t i = net->n_forward; i < net->n_schedule; i++) run_entry(net, &net->schedule[i], run, grads);
}

size_t net_arena_bytes(const struct net *net)
{
    return net->arena_floats * sizeof(float);
}
