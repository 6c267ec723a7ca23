/* What a network knows beside its image: the timestep, the class; and the SiLU of their embedding. */
#include "graph.h"

int net_timesteps(struct net *net, int dim)
{
    struct op op = {.kind = &op_timesteps, .in = {NONE, NONE, NONE}, .param = NONE};
    return graph_op(net, op, 1, 1, dim);
}

int net_label_embedding(struct net *net, const char *name, int x, int classes)
{
    if (graph_broken(net, x)) return NONE;
    struct value in = net->values[x];
    struct op op = {.kind = &op_label_embedding, .in = {NONE, NONE, x}};
    op.param = graph_param(net, name, ".weight", 2, (uint64_t[]){(uint64_t)classes, (uint64_t)in.c});
    graph_init(net, op.param, INIT_NORMAL);
    return graph_op(net, op, in.h, in.w, in.c);
}

int net_silu(struct net *net, int x)
{
    if (graph_broken(net, x)) return NONE;
    struct value in = net->values[x];
    struct op op = {.kind = &op_silu, .in = {x, NONE, NONE}, .param = NONE};
    return graph_op(net, op, in.h, in.w, in.c);
}

static void timesteps(const struct net *net, const struct op *op, const struct net_run *run)
{
    struct tensor y = tensor_value(net, op->out);
    timestep_embedding(run->n, run->timesteps, y.c, y.p, y.pitch);
}

static void label_forward(const struct net *net, const struct op *op, const struct net_run *run)
{
    struct tensor x = tensor_value(net, op->in[OP_RESIDUAL]), y = tensor_value(net, op->out);
    const float *table = op_param(net, op, 0), *from = x.p;
    float *to = y.p;
    for (int i = 0; i < run->n; i++)
        for (int k = 0; k < y.c; k++)
            to[(int64_t)i * y.pitch + k] = from[(int64_t)i * x.pitch + k] + table[run->labels[i] * y.c + k];
}

static void label_backward(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    struct tensor dy = tensor_grad(net, op->out);
    float *table = op_param_grad(net, op, 0, grads);
    const float *from = dy.p;
    graph_residual_backward(net, op, run);
    for (int i = 0; i < run->n; i++)
        for (int k = 0; k < dy.c; k++) table[run->labels[i] * dy.c + k] += from[(int64_t)i * dy.pitch + k];
}

static void silu(const struct net *net, const struct op *op, const struct net_run *run)
{
    struct tensor x = tensor_value(net, op->in[0]), y = tensor_value(net, op->out);
    silu_forward(tensor_rows(&x, run->n), x.c, x.p, x.pitch, y.p, y.pitch);
}

static void silu_back(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    (void)grads;
    struct tensor x = tensor_value(net, op->in[0]), dx = tensor_grad(net, op->in[0]), dy = tensor_grad(net, op->out);
    silu_backward(tensor_rows(&x, run->n), x.c, x.p, x.pitch, dy.p, dy.pitch, dx.p, dx.pitch, op->accumulate[0]);
}

const struct op_kind op_timesteps = {.name = "timesteps", .forward = timesteps};
const struct op_kind op_label_embedding = {
    .name = "label_embedding", .forward = label_forward, .backward = label_backward};
const struct op_kind op_silu = {.name = "silu", .forward = silu, .backward = silu_back, .reads_in_backward = 1u << 0};
