/* Changes of image size without parameters. */
#include "graph.h"

static int resample(struct net *net, const struct op_kind *kind, int x, int h, int w)
{
    struct op op = {.kind = kind, .in = {x, NONE, NONE}, .param = NONE};
    return graph_op(net, op, h, w, net->values[x].c);
}

int net_upsample(struct net *net, int x)
{
    if (graph_broken(net, x)) return NONE;
    return resample(net, &op_upsample, x, 2 * net->values[x].h, 2 * net->values[x].w);
}

int net_avg_pool(struct net *net, int x)
{
    if (graph_broken(net, x)) return NONE;
    return resample(net, &op_avg_pool, x, net->values[x].h / 2, net->values[x].w / 2);
}

int net_bilinear(struct net *net, int x, int h, int w)
{
    if (graph_broken(net, x)) return NONE;
    return resample(net, &op_bilinear, x, h, w);
}

static void upsample(const struct net *net, const struct op *op, const struct net_run *run)
{
    struct tensor x = tensor_value(net, op->in[0]), y = tensor_value(net, op->out);
    upsample_forward(x.element, run->n, x.h, x.w, x.c, x.p, x.pitch, y.p, y.pitch);
}

static void upsample_back(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    (void)grads;
    struct tensor dx = tensor_grad(net, op->in[0]), dy = tensor_grad(net, op->out);
    if (dx.p)
        upsample_backward(dx.element, run->n, dx.h, dx.w, dx.c, dy.p, dy.pitch, dx.p, dx.pitch, op->accumulate[0]);
}

static void avg_pool(const struct net *net, const struct op *op, const struct net_run *run)
{
    struct tensor x = tensor_value(net, op->in[0]), y = tensor_value(net, op->out);
    avg_pool_forward(x.element, run->n, x.h, x.w, x.c, x.p, x.pitch, y.p, y.pitch);
}

static void avg_pool_back(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    (void)grads;
    struct tensor dx = tensor_grad(net, op->in[0]), dy = tensor_grad(net, op->out);
    if (dx.p)
        avg_pool_backward(dx.element, run->n, dx.h, dx.w, dx.c, dy.p, dy.pitch, dx.p, dx.pitch, op->accumulate[0]);
}

static void bilinear(const struct net *net, const struct op *op, const struct net_run *run)
{
    struct tensor x = tensor_value(net, op->in[0]), y = tensor_value(net, op->out);
    bilinear_forward(run->n, x.h, x.w, y.h, y.w, x.c, x.p, x.pitch, y.p, y.pitch);
}

static void bilinear_back(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    (void)grads;
    struct tensor dx = tensor_grad(net, op->in[0]), dy = tensor_grad(net, op->out);
    if (dx.p)
        bilinear_backward(run->n, dx.h, dx.w, dy.h, dy.w, dx.c, dy.p, dy.pitch, dx.p, dx.pitch, op->accumulate[0]);
}

const struct op_kind op_upsample = {.name = "upsample", .forward = upsample, .backward = upsample_back};
const struct op_kind op_avg_pool = {.name = "avg_pool", .forward = avg_pool, .backward = avg_pool_back};
const struct op_kind op_bilinear = {.name = "bilinear", .forward = bilinear, .backward = bilinear_back};
