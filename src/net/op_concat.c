/* Concatenation along channels: slices of one value; or, where values are dropped and made again, so that half of one
 * must not keep the other half alive, a copy. */
#include "graph.h"

/* Both are slices of a new value. */
static int join(struct net *net, int a, int b)
{
    struct value left = net->values[a], right = net->values[b];
    int rest, root_a = graph_root(net, a, &rest), root_b = graph_root(net, b, &rest);
    int c = graph_value(net, left.h, left.w, left.c + right.c, left.element, left.needs_grad || right.needs_grad);
    if (c == NONE) return NONE;
    if (net->values[root_a].c != left.c || net->values[root_b].c != right.c)
        return graph_fail(net, "a tensor can be concatenated only once");
    net->values[root_a].parent = net->values[root_b].parent = c;
    net->values[root_b].parent_offset = left.c;
    return c;
}

int net_concat(struct net *net, int a, int b)
{
    if (graph_broken(net, a) || graph_broken(net, b)) return NONE;
    struct value left = net->values[a], right = net->values[b];
    if (left.element != right.element) return graph_fail(net, "tensors of two elements cannot be concatenated");
    if (left.h != right.h || left.w != right.w)
        return graph_fail(
            net, "%dx%d and %dx%d tensors cannot be concatenated: image sizes must halve evenly at every level", left.h,
            left.w, right.h, right.w);
    if (!net->recompute) return join(net, a, b);
    struct op op = {.kind = &op_concat, .in = {a, b, NONE}, .param = NONE};
    return graph_op(net, op, left.h, left.w, left.c + right.c);
}

static struct tensor part(struct tensor whole, int first, int c)
{
    whole.p = (char *)whole.p + (size_t)first * element_size(whole.element);
    whole.c = c;
    return whole;
}

static void copy(struct tensor from, struct tensor to, int n, bool accumulate)
{
    copy_rows(from.element, tensor_rows(&from, n), from.c, from.p, from.pitch, to.p, to.pitch, accumulate);
}

static void forward(const struct net *net, const struct op *op, const struct net_run *run)
{
    struct tensor y = tensor_value(net, op->out);
    for (int k = 0, first = 0; k < 2; k++) {
        struct tensor x = tensor_value(net, op->in[k]);
        copy(x, part(y, first, x.c), run->n, false);
        first += x.c;
    }
}

static void backward(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    (void)grads;
    struct tensor dy = tensor_grad(net, op->out);
    for (int k = 0, first = 0; k < 2; k++) {
        struct tensor dx = tensor_grad(net, op->in[k]);
        if (dx.p) copy(part(dy, first, dx.c), dx, run->n, op->accumulate[k]);
        first += dx.c;
    }
}

const struct op_kind op_concat = {.name = "concat", .forward = forward, .backward = backward};
