/* Linear layers and 1x1 convolutions: one matrix product over all positions, optionally added to a residual. */
#include "graph.h"

int net_linear(struct net *net, const char *name, int x, int c_out, int kernel_dims, int residual, enum net_init init)
{
    if (graph_broken(net, x)) return NONE;
    struct value in = net->values[x];
    struct op op = {.kind = &op_linear, .in = {x, NONE, residual}};
    op.param = graph_param(net, name, ".weight", 2 + kernel_dims, (uint64_t[]){(uint64_t)c_out, (uint64_t)in.c, 1, 1});
    int bias = graph_param(net, name, ".bias", 1, (uint64_t[]){(uint64_t)c_out});
    if (init == NET_INIT_ZERO) {
        graph_init(net, op.param, INIT_ZERO);
        graph_init(net, bias, INIT_ZERO);
    } else {
        graph_init_uniform(net, op.param, in.c);
        graph_init_uniform(net, bias, in.c);
    }
    return graph_op(net, op, in.h, in.w, c_out);
}

static struct linear_shape shape_of(const struct net *net, const struct op *op, int n)
{
    struct tensor x = tensor_value(net, op->in[0]), y = tensor_value(net, op->out);
    return (struct linear_shape){tensor_rows(&x, n), x.c, y.c, x.pitch, y.pitch, x.element};
}

static void forward(const struct net *net, const struct op *op, const struct net_run *run)
{
    struct linear_shape shape = shape_of(net, op, run->n);
    struct tensor residual = {0};
    if (op->in[OP_RESIDUAL] != NONE) residual = tensor_value(net, op->in[OP_RESIDUAL]);
    linear_forward(&shape, tensor_value(net, op->in[0]).p, op_param(net, op, 0), op_param(net, op, 1), residual.p,
                   residual.pitch, tensor_value(net, op->out).p, op_buffer(net, op->scratch));
}

static void backward_params(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    struct linear_shape shape = shape_of(net, op, run->n);
    linear_backward_weight(&shape, tensor_value(net, op->in[0]).p, tensor_grad(net, op->out).p,
                           op_param_grad(net, op, 0, grads), op_param_grad(net, op, 1, grads),
                           op_buffer(net, op->scratch));
}

static void backward(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    (void)grads;
    struct linear_shape shape = shape_of(net, op, run->n);
    void *dx = tensor_grad(net, op->in[0]).p;
    graph_residual_backward(net, op, run);
    if (dx)
        linear_backward_input(&shape, tensor_grad(net, op->out).p, op_param(net, op, 0), dx, op->accumulate[0],
                              op_buffer(net, op->scratch));
}

static size_t scratch(const struct net *net, const struct op *op)
{
    struct linear_shape shape = shape_of(net, op, net->batch);
    return linear_scratch_size(&shape, net->threads);
}

static uint64_t macs(const struct net *net, const struct op *op)
{
    const struct value *x = net_value(net, op->in[0]), *y = net_value(net, op->out);
    return (uint64_t)y->h * (uint64_t)y->w * (uint64_t)y->c * (uint64_t)x->c;
}

const struct op_kind op_linear = {.name = "linear",
                                  .forward = forward,
                                  .backward = backward,
                                  .backward_params = backward_params,
                                  .reads_in_backward = 1u << 0,
                                  .scratch = scratch,
                                  .macs = macs};
