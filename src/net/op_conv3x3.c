/* 3x3 convolution, padding 1, stride 1 or 2, optionally added to a residual. */
#include "graph.h"

static enum conv_algorithm algorithm_of(const struct net *net, const struct value *in, int c_out, int stride)
{
    struct conv_shape shape = {.n = net->batch,
                               .h = in->h,
                               .w = in->w,
                               .c_in = in->c,
                               .c_out = c_out,
                               .stride = stride,
                               .element = in->element};
    for (int i = 0; net->measured && i < net->measured->n; i++) {
        const struct net_kernel *of = &net->measured->of[i];
        if (stride == 1 && in->element == ELEMENT_FLOAT32 && of->h == in->h && of->w == in->w && of->c_in == in->c &&
            of->c_out == c_out)
            return of->algorithm;
    }
    return conv3x3_algorithm(net->conv_choice, &shape);
}

int net_conv3x3(struct net *net, const char *name, int x, int c_out, int stride, int residual, enum net_init init)
{
    if (graph_broken(net, x)) return NONE;
    struct value in = net->values[x];
    struct op op = {.kind = &op_conv3x3, .in = {x, NONE, residual}, .stride = stride};
    op.param = graph_param(net, name, ".weight", 4, (uint64_t[]){(uint64_t)c_out, (uint64_t)in.c, 3, 3});
    int bias = graph_param(net, name, ".bias", 1, (uint64_t[]){(uint64_t)c_out});
    if (init == NET_INIT_ZERO) {
        graph_init(net, op.param, INIT_ZERO);
        graph_init(net, bias, INIT_ZERO);
    } else {
        graph_init_uniform(net, op.param, 9.0 * in.c);
        graph_init_uniform(net, bias, 9.0 * in.c);
    }
    op.algorithm = algorithm_of(net, &in, c_out, stride);
    return graph_op(net, op, (in.h + stride - 1) / stride, (in.w + stride - 1) / stride, c_out);
}

static struct conv_shape shape_of(const struct net *net, const struct op *op, int n)
{
    const struct value *x = net_value(net, op->in[0]), *y = net_value(net, op->out);
    return (struct conv_shape){n, x->h, x->w, x->c, y->c, op->stride, x->pitch, y->pitch, op->algorithm, x->element};
}

int net_conv_shapes(const struct net *net, struct conv_shape shapes[NET_KERNELS_MAX])
{
    int n = 0;
    for (size_t i = 0; i < net->n_ops && n < NET_KERNELS_MAX; i++) {
        const struct op *op = &net->ops[i];
        if (op->kind != &op_conv3x3 || op->stride != 1) continue;
        struct conv_shape shape = shape_of(net, op, net->batch);
        bool known = shape.element != ELEMENT_FLOAT32;
        for (int k = 0; k < n && !known; k++)
            known = shapes[k].h == shape.h && shapes[k].w == shape.w && shapes[k].c_in == shape.c_in &&
                    shapes[k].c_out == shape.c_out;
        if (!known) shapes[n++] = shape;
    }
    return n;
}

/* Packed weights, or the weights themselves when the algorithm takes them as they are. */
static const float *weights(const struct net *net, const struct op *op, int pass, const struct conv_shape *shape)
{
    bool packed = conv3x3_packed_size(shape, pass == PASS_FORWARD ? PACK_FORWARD : PACK_BACKWARD) > 0;
    return packed ? net->packed + op->packed[pass] : op_param(net, op, 0);
}

static void forward(const struct net *net, const struct op *op, const struct net_run *run)
{
    struct conv_shape shape = shape_of(net, op, run->n);
    struct tensor residual = {0};
    if (op->in[OP_RESIDUAL] != NONE) residual = tensor_value(net, op->in[OP_RESIDUAL]);
    conv3x3_forward(&shape, tensor_value(net, op->in[0]).p, weights(net, op, PASS_FORWARD, &shape),
                    op_param(net, op, 1), residual.p, residual.pitch, tensor_value(net, op->out).p,
                    op_buffer(net, op->scratch));
}

static void backward_params(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    struct conv_shape shape = shape_of(net, op, run->n);
    conv3x3_backward_weight(&shape, tensor_value(net, op->in[0]).p, tensor_grad(net, op->out).p,
                            op_param_grad(net, op, 0, grads), op_param_grad(net, op, 1, grads),
                            op_buffer(net, op->scratch));
}

static void backward(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    (void)grads;
    struct conv_shape shape = shape_of(net, op, run->n);
    void *dx = tensor_grad(net, op->in[0]).p;
    graph_residual_backward(net, op, run);
    if (dx)
        conv3x3_backward_input(&shape, tensor_grad(net, op->out).p, weights(net, op, PASS_BACKWARD, &shape), dx,
                               op->accumulate[0], op_buffer(net, op->scratch));
}

static size_t scratch(const struct net *net, const struct op *op)
{
    struct conv_shape shape = shape_of(net, op, net->batch);
    return conv3x3_scratch_size(&shape, net->threads);
}

static uint64_t macs(const struct net *net, const struct op *op)
{
    const struct value *x = net_value(net, op->in[0]), *y = net_value(net, op->out);
    return (uint64_t)y->h * (uint64_t)y->w * (uint64_t)y->c * (uint64_t)x->c * 9;
}

static size_t packed_size(const struct net *net, const struct op *op, int pass)
{
    struct conv_shape shape = shape_of(net, op, net->batch);
    if (pass == PASS_BACKWARD && !net_value(net, op->in[0])->needs_grad) return 0;
    return conv3x3_packed_size(&shape, pass == PASS_FORWARD ? PACK_FORWARD : PACK_BACKWARD);
}

static void pack(const struct net *net, const struct op *op, int pass, float *packed)
{
    struct conv_shape shape = shape_of(net, op, net->batch);
    conv3x3_pack(&shape, pass == PASS_FORWARD ? PACK_FORWARD : PACK_BACKWARD, op_param(net, op, 0), packed);
}

const struct op_kind op_conv3x3 = {.name = "conv3x3",
                                   .forward = forward,
                                   .backward = backward,
                                   .backward_params = backward_params,
                                   .reads_in_backward = 1u << 0,
                                   .scratch = scratch,
                                   .macs = macs,
                                   .packed_size = packed_size,
                                   .pack = pack};
