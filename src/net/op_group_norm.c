/* Group norm with everything that stands around it in the authors' blocks: an embedding added before, scale and shift,
 * SiLU, dropout. */
#include "graph.h"

enum { GROUPS = 32, IN_X = 0, IN_EMBEDDING = 1 };

int net_group_norm(struct net *net, const char *name, int x, int pre, int scale_shift, bool silu, double dropout)
{
    if (graph_broken(net, x)) return NONE;
    struct value in = net->values[x];
    if (in.c % GROUPS)
        return graph_fail(net, "%s: %d channels are not divisible by 32, the groups of group norm", name, in.c);
    /* both embeddings at once do not occur: one input serves, its width tells which */
    struct op op = {.kind = &op_group_norm, .in = {x, pre != NONE ? pre : scale_shift, NONE}, .silu = silu};
    op.param = graph_param(net, name, ".weight", 1, (uint64_t[]){(uint64_t)in.c});
    int bias = graph_param(net, name, ".bias", 1, (uint64_t[]){(uint64_t)in.c});
    graph_init(net, op.param, INIT_ONE);
    graph_init(net, bias, INIT_ZERO);
    if (net->mode == NET_TRAINING && dropout > 0) {
        op.rate = dropout;
        op.layer = net->dropouts++;
    }
    return graph_op(net, op, in.h, in.w, in.c);
}

struct embedding {
    const float *pre, *scale_shift;
    float *dpre, *dscale_shift;
};

static struct group_norm_shape shape_of(const struct net *net, const struct op *op, int n)
{
    const struct value *x = net_value(net, op->in[IN_X]), *y = net_value(net, op->out);
    int pitch = op->in[IN_EMBEDDING] == NONE ? 0 : net_value(net, op->in[IN_EMBEDDING])->pitch;
    return (struct group_norm_shape){n,        x->h * x->w, x->c,  GROUPS,   x->pitch,
                                     y->pitch, pitch,       pitch, op->silu, x->element};
}

static struct embedding embedding_of(const struct net *net, const struct op *op)
{
    struct embedding e = {0};
    if (op->in[IN_EMBEDDING] == NONE) return e;
    struct tensor value = tensor_value(net, op->in[IN_EMBEDDING]), grad = tensor_grad(net, op->in[IN_EMBEDDING]);
    if (value.c == net_value(net, op->out)->c) {
        e.pre = value.p;
        e.dpre = grad.p;
    } else {
        e.scale_shift = value.p;
        e.dscale_shift = grad.p;
    }
    return e;
}

/* NULL where nothing is dropped. The mask is a function of the image's slot and the element, so each pass makes it
 * again. */
static const struct dropout *dropout_of(const struct op *op, const struct net_run *run, struct dropout *dropout)
{
    if (op->rate <= 0 || !run->slots) return NULL;
    struct rng key = {run->seed, RNG_DROPOUT + (uint32_t)op->layer, run->step, 0};
    *dropout = (struct dropout){op->rate, key, run->slots};
    return dropout;
}

static void forward(const struct net *net, const struct op *op, const struct net_run *run)
{
    struct group_norm_shape shape = shape_of(net, op, run->n);
    struct embedding e = embedding_of(net, op);
    struct dropout dropout;
    group_norm_forward(&shape, tensor_value(net, op->in[IN_X]).p, e.pre, e.scale_shift, op_param(net, op, 0),
                       op_param(net, op, 1), dropout_of(op, run, &dropout), op_buffer(net, op->saved),
                       tensor_value(net, op->out).p);
}

static void again(const struct net *net, const struct op *op, const struct net_run *run)
{
    struct group_norm_shape shape = shape_of(net, op, run->n);
    struct embedding e = embedding_of(net, op);
    struct dropout dropout;
    group_norm_again(&shape, tensor_value(net, op->in[IN_X]).p, e.pre, e.scale_shift, op_param(net, op, 0),
                     op_param(net, op, 1), dropout_of(op, run, &dropout), op_buffer(net, op->saved),
                     tensor_value(net, op->out).p);
}

static void backward(const struct net *net, const struct op *op, const struct net_run *run, float *grads)
{
    struct group_norm_shape shape = shape_of(net, op, run->n);
    struct embedding e = embedding_of(net, op);
    struct dropout dropout;
    group_norm_backward(&shape, tensor_value(net, op->in[IN_X]).p, e.pre, e.scale_shift, op_param(net, op, 0),
                        op_param(net, op, 1), dropout_of(op, run, &dropout), op_buffer(net, op->saved),
                        tensor_grad(net, op->out).p, tensor_grad(net, op->in[IN_X]).p, op->accumulate[IN_X], e.dpre,
                        e.dscale_shift, op->accumulate[IN_EMBEDDING], op_param_grad(net, op, 0, grads),
                        op_param_grad(net, op, 1, grads), op_buffer(net, op->scratch));
}

static size_t saved(const struct net *net, const struct op *op)
{
    (void)op;
    return (size_t)net->batch * GROUPS * 2;
}

static size_t scratch(const struct net *net, const struct op *op)
{
    struct group_norm_shape shape = shape_of(net, op, net->batch);
    return group_norm_scratch_size(&shape, net->threads);
}

const struct op_kind op_group_norm = {.name = "group_norm",
                                      .forward = forward,
                                      .backward = backward,
                                      .again = again,
                                      .reads_in_backward = 1u << IN_X | 1u << IN_EMBEDDING,
                                      .saved = saved,
                                      .scratch = scratch};
