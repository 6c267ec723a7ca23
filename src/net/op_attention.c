/* QKV attention over all positions of an image (unet.py, QKVAttention). */
#include "graph.h"

int net_attention(struct net *net, int qkv, int heads)
{
    if (graph_broken(net, qkv)) return NONE;
    struct value in = net->values[qkv];
    if (heads < 1 || in.c % 3 || in.c / 3 % heads)
        return graph_fail(net, "%d channels cannot be divided among %d attention heads", in.c / 3, heads);
    struct op op = {.kind = &op_attention, .in = {qkv, NONE, NONE}, .param = NONE, .heads = heads};
    return graph_op(net, op, in.h, in.w, in.c / 3);
}

static struct attention_shape shape_of(const struct net *net, const struct op *op, int n)
{
    const struct value *qkv = net_value(net, op->in[0]), *y = net_value(net, op->out);
    return (struct attention_shape){n, y->h * y->w, op->heads, y->c / op->heads, qkv->pitch, y->pitch, y->element};
}

static void forward(const struct net *net, const struct op *op, const struct net_run *run)
{
    struct attention_shape shape = shape_of(net, op, run->n);
    attention_forward(&shape, tensor_value(net, op->in[0]).p, tensor_value(net, op->out).p,
                      op_buffer(net, op->scratch));
}

static void backward(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    (void)grads;
    struct attention_shape shape = shape_of(net, op, run->n);
    attention_backward(&shape, tensor_value(net, op->in[0]).p, tensor_grad(net, op->out).p,
                       tensor_grad(net, op->in[0]).p, op->accumulate[0], op_buffer(net, op->scratch));
}

static size_t scratch(const struct net *net, const struct op *op)
{
    struct attention_shape shape = shape_of(net, op, net->batch);
    return attention_scratch_size(&shape, net->threads);
}

static uint64_t macs(const struct net *net, const struct op *op)
{
    const struct value *y = net_value(net, op->out);
    uint64_t t = (uint64_t)y->h * (uint64_t)y->w;
    return 2 * t * t * (uint64_t)y->c;
}

const struct op_kind op_attention = {.name = "attention",
                                     .forward = forward,
                                     .backward = backward,
                                     .reads_in_backward = 1u << 0,
                                     .scratch = scratch,
                                     .macs = macs};
