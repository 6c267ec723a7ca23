/* Float32 to bfloat16 and back, where the torso of a network begins and ends. */
#include "graph.h"

int net_convert(struct net *net, int x, enum element element)
{
    if (graph_broken(net, x)) return NONE;
    struct value in = net->values[x];
    if (in.element == element) return x;
    struct op op = {.kind = &op_convert, .in = {x, NONE, NONE}, .param = NONE, .element = element};
    return graph_op(net, op, in.h, in.w, in.c);
}

static void convert(struct tensor from, struct tensor to, int n, bool accumulate)
{
    if (to.element == ELEMENT_FLOAT32)
        rows_to_float(from.element, tensor_rows(&from, n), from.c, from.p, from.pitch, to.p, to.pitch, accumulate);
    else
        rows_from_float(to.element, tensor_rows(&from, n), from.c, from.p, from.pitch, to.p, to.pitch, accumulate);
}

static void forward(const struct net *net, const struct op *op, const struct net_run *run)
{
    convert(tensor_value(net, op->in[0]), tensor_value(net, op->out), run->n, false);
}

static void backward(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    (void)grads;
    struct tensor dx = tensor_grad(net, op->in[0]);
    if (dx.p) convert(tensor_grad(net, op->out), dx, run->n, op->accumulate[0]);
}

const struct op_kind op_convert = {.name = "convert", .forward = forward, .backward = backward};
