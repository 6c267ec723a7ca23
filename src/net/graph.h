/* Private to src/net: what a graph is made of. One op kind is one row of functions (struct op_kind) in one op_*.c file.
 */
#ifndef IDDPM_NET_GRAPH_H
#define IDDPM_NET_GRAPH_H

#include "iddpm/net.h"

enum { OP_INPUTS = 3, OP_RESIDUAL = 2, NONE = -1 }; /* input OP_RESIDUAL is added to the output as it is */

enum { PASS_FORWARD, PASS_BACKWARD, PASSES };

/* [n][h][w][c]. A value with a parent is a slice of it (concatenation). */
struct value {
    int h, w, c;
    enum element element;      /* of the value and of its gradient */
    int parent, parent_offset; /* NONE, or the value whose memory this is part of, from which channel */
    bool needs_grad;
    bool grad_written; /* while planning: an op already gave this gradient */
    int maker;         /* the op that gives it; NONE for a concatenation of slices */
    /* filled by the planner */
    int root_buffer;   /* that of the first instance, which slices share with their root */
    int buffer;        /* of the latest instance, while planning and running */
    int grad_buffer;   /* of the root; NONE for no gradient */
    int offset, pitch; /* channels */
};

/* A piece of the arena, live over the positions first..last of the schedule. Bfloat16 values take half of a float each.
 */
struct buffer {
    size_t floats;
    int first, last;
    size_t offset;
};

struct op {
    const struct op_kind *kind;
    int in[OP_INPUTS], out; /* values; NONE where an optional input is not used */
    int param;              /* first of its parameters, NONE without */
    int n_params;           /* filled by graph_op: those registered since */
    int stride, heads;      /* convolution; attention */
    enum conv_algorithm algorithm;
    enum element element; /* that a conversion gives */
    bool silu;            /* group norm */
    double rate;          /* of the dropout behind a group norm, 0 without */
    int layer;            /* number of this dropout, part of its random key */
    /* filled by the planner */
    bool accumulate[OP_INPUTS]; /* add to the input's gradient instead of setting it */
    int saved;                  /* buffer, NONE without */
    int scratch;                /* buffer of the entry of the schedule that is running, NONE without */
    size_t packed[PASSES];      /* offsets of packed weights */
};

/* AGAIN: the output once more, by op_kind.again. BACKWARD_PARAMS: the gradients of the parameters, right before
 * BACKWARD, of those kinds that have the two apart. */
enum action { FORWARD, AGAIN, BACKWARD_PARAMS, BACKWARD };

/* What runs, one after the other. A value may be made several times; each time is an instance with a buffer and a life
 * of its own, and who reads the value then reads the latest. */
struct entry {
    int op;
    enum action action;
    int out, scratch; /* buffers, by the planner: of the instance that FORWARD or AGAIN makes; during this entry */
};

/* One row per kind of op. Sizes are in floats. NULL functions mean nothing to do. */
struct op_kind {
    const char *name;
    void (*forward)(const struct net *net, const struct op *op, const struct net_run *run);
    void (*backward)(const struct net *net, const struct op *op, const struct net_run *run, float *grads);
    /* The gradients of the parameters, for ops whose other gradients need no values: these can go before. */
    void (*backward_params)(const struct net *net, const struct op *op, const struct net_run *run, float *grads);
    /* The output once more, in the backward pass; for ops so cheap that their output is not worth its memory. */
    void (*again)(const struct net *net, const struct op *op, const struct net_run *run);
    unsigned reads_in_backward; /* bit i: input i's values, by backward_params or else by backward */
    size_t (*saved)(const struct net *net, const struct op *op);   /* kept from forward to backward */
    size_t (*scratch)(const struct net *net, const struct op *op); /* during one call */
    uint64_t (*macs)(const struct net *net, const struct op *op);  /* of one image */
    /* floats of packed weights per pass; and the packing */
    size_t (*packed_size)(const struct net *net, const struct op *op, int pass);
    void (*pack)(const struct net *net, const struct op *op, int pass, float *packed);
};

extern const struct op_kind op_conv3x3, op_linear, op_group_norm, op_attention, op_silu, op_upsample, op_avg_pool,
    op_bilinear, op_timesteps, op_label_embedding, op_input, op_convert, op_concat;

struct param {
    struct net_param public;
    char name[96];
    enum { INIT_UNIFORM, INIT_ZERO, INIT_ONE, INIT_NORMAL } init;
    double bound; /* of INIT_UNIFORM */
};

/* A value that stays readable after a forward pass. */
struct kept {
    char name[96];
    int value;
};

struct net {
    int batch, threads;
    enum net_mode mode;
    enum conv_choice conv_choice;
    const struct net_kernels *measured; /* while building */
    bool want_input_grad, recompute, finished;
    enum iddpm_status status; /* first error while building, with its text */
    char *error;
    struct value *values;
    struct op *ops;
    struct param *params;
    struct buffer *buffers;
    struct kept *kept;
    struct entry *schedule; /* the first n_forward entries are the forward pass */
    size_t n_values, n_ops, n_params, n_buffers, n_kept, n_schedule, n_forward;
    size_t n_own_buffers; /* of values, gradients and what ops save; the buffers behind them are of a schedule */
    uint64_t recomputed;  /* multiply-adds of an image that the schedule does more than once */
    size_t room_values, room_ops, room_params, room_buffers, room_kept, room_schedule;
    int output, dropouts;
    size_t flat_size, arena_floats, packed_floats;
    float *arena, *packed;
    const float *param_values;
};

/* ---- for the builder calls in op_*.c (graph.c) */

int graph_value(struct net *net, int h, int w, int c, enum element element, bool needs_grad);
/* Appends an op whose output is a new value h x w x c; its inputs and attributes come from `op`, the element from its
 * first input (the residual without one, float32 without any). Returns the value. */
int graph_op(struct net *net, struct op op, int h, int w, int c);
/* Appends parameter `name``suffix`; returns its index. */
int graph_param(struct net *net, const char *name, const char *suffix, int ndim, const uint64_t *dims);
void graph_init_uniform(struct net *net, int param, double fan_in);
void graph_init(struct net *net, int param, int init);
/* Keeps the first error; later calls return NONE. */
int graph_fail(struct net *net, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool graph_broken(const struct net *net, int value); /* an earlier error, or no such value */

/* ---- for the ops while running */

struct tensor {
    void *p;
    enum element element;
    int h, w, c, pitch;
};

static inline const struct value *net_value(const struct net *net, int v)
{
    return &net->values[v];
}

static inline struct tensor tensor_in(const struct net *net, int v, int buffer)
{
    const struct value *value = net_value(net, v);
    struct tensor t = {NULL, value->element, value->h, value->w, value->c, value->pitch};
    if (buffer != NONE)
        t.p = (char *)(net->arena + net->buffers[buffer].offset) + (size_t)value->offset * element_size(value->element);
    return t;
}

static inline struct tensor tensor_value(const struct net *net, int v)
{
    return tensor_in(net, v, net_value(net, v)->buffer);
}

/* p is NULL when the value needs no gradient */
static inline struct tensor tensor_grad(const struct net *net, int v)
{
    return tensor_in(net, v, net->values[v].grad_buffer);
}

static inline float *op_buffer(const struct net *net, int buffer)
{
    return buffer == NONE ? NULL : net->arena + net->buffers[buffer].offset;
}

/* values of the op's k-th parameter */
static inline const float *op_param(const struct net *net, const struct op *op, int k)
{
    return net->param_values + net->params[op->param + k].public.offset;
}

static inline float *op_param_grad(const struct net *net, const struct op *op, int k, float *grads)
{
    return grads + net->params[op->param + k].public.offset;
}

static inline int64_t tensor_rows(const struct tensor *t, int n)
{
    return (int64_t)n * t->h * t->w;
}

/* Gives the output's gradient to the residual, unless both are the same memory. Before the op changes anything else. */
void graph_residual_backward(const struct net *net, const struct op *op, const struct net_run *run);

/* The root of a value's memory, and the channel at which the value starts in it. */
int graph_root(const struct net *net, int value, int *offset);

/* Whether the op's backward pass reads the values of its input k. */
static inline bool reads_in_backward(const struct op *op, int k)
{
    return op->in[k] != NONE && op->kind->backward && op->kind->reads_in_backward & 1u << k;
}

/* Whether the op has a backward pass in this net. */
static inline bool has_backward(const struct net *net, const struct op *op)
{
    return op->kind->backward && net->values[op->out].needs_grad;
}

/* schedule.c. The plain schedule: all forwards, then in training all backwards; and before them, without net_recompute,
 * what costs little to be made again. schedule_add is false when there is no memory, which net->status says too. */
enum iddpm_status schedule_plain(struct net *net);
bool schedule_add(struct net *net, int op, enum action action);
/* The values that an entry reads; returns how many. */
int entry_reads(const struct net *net, const struct entry *entry, int values[OP_INPUTS]);

/* plan.c. plan_buffers: lives and places of all buffers for net->schedule, as often as that changes. */
enum iddpm_status net_plan(struct net *net);
enum iddpm_status plan_buffers(struct net *net);

/* recompute.c: from the plain schedule and its buffers to those with recomputation. */
enum iddpm_status plan_recomputation(struct net *net);

#endif
