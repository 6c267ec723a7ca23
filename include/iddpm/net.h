/* Floor 2: a network is a short list of ops, built once.
 *
 * Builder calls append ops and give values (handles >= 0). net_finish makes the schedule (all forwards, then in
 * training all backwards, with net_recompute some forwards again in between) and plans one arena in which a value lives
 * from its first write to its last read. Running allocates nothing. A value is {buffer, channel offset, pitch}:
 * net_concat makes its inputs slices of one buffer; only with net_recompute it copies.
 *
 * Errors while building (no memory, a shape that does not fit) are kept and reported by net_finish; the calls after one
 * are harmless. Parameters have the authors' names and order of registration; they lie in one flat array, each tensor
 * padded to NET_BLOCK elements, which the caller owns. */
#ifndef IDDPM_NET_H
#define IDDPM_NET_H

#include "iddpm/kernels.h"

#define NET_BLOCK 1024      /* elements to which a tensor is padded in flat arrays */
#define NET_KERNELS_MAX 256 /* shapes of convolutions */

struct net;

enum net_mode { NET_INFERENCE, NET_TRAINING };

/* batch: the most images that one run may have. threads: OpenMP threads that kernels may use. */
enum iddpm_status net_create(struct net **out, int batch, enum net_mode mode, int threads);
void net_destroy(struct net *net);

/* Algorithms of 3x3 convolutions as they were measured, by shape; what is not among them takes the shipped ones. */
struct net_kernels {
    int n;
    struct net_kernel {
        int h, w, c_in, c_out;
        enum conv_algorithm algorithm;
    } of[NET_KERNELS_MAX];
};
/* How 3x3 convolutions are computed; before building. CONV_CHOICE_DIRECT when not called. `measured` (may be NULL) goes
 * before the choice; it is the caller's and must live until the network is built. */
void net_choose_kernels(struct net *net, enum conv_choice choice, const struct net_kernels *measured);

/* Recomputation; before building. In training activations are dropped and computed again where they are wanted, no more
 * than one forward pass in all: less memory, more time, the same bits (which ones: src/net/recompute.c; to find them
 * takes net_finish some hundredths of a second). In inference nothing changes. */
void net_recompute(struct net *net);

/* ---- building ---------------------------------------------------------------------------------------------------- */

enum net_init {
    NET_INIT_DEFAULT, /* PyTorch's: U(-1/sqrt(fan_in), 1/sqrt(fan_in)) for weight and bias; group norm 1 and 0 */
    NET_INIT_ZERO     /* weight and bias zero (zero_module) */
};

int net_input(struct net *net, int h, int w, int c); /* an input tensor [n][h][w][c]; net_input_data(k) in call order */
int net_timesteps(struct net *net, int dim);         /* sinusoidal embedding of the run's timesteps [n][dim] */
/* x + embedding row of the run's labels; parameter `name`.weight [classes][c of x], initialised N(0, 1) */
int net_label_embedding(struct net *net, const char *name, int x, int classes);
int net_silu(struct net *net, int x);
/* 1x1 convolution or linear layer; parameters name.weight ([c_out][c_in] and `kernel_dims` dimensions of 1), name.bias;
 * residual: a value to add, or -1 */
int net_linear(struct net *net, const char *name, int x, int c_out, int kernel_dims, int residual, enum net_init init);
int net_conv3x3(struct net *net, const char *name, int x, int c_out, int stride, int residual, enum net_init init);
/* group norm with 32 groups, then optionally (1 + scale) and shift of `scale_shift` [n][2c], SiLU, dropout; `pre`
 * [n][c] is added before. -1 where there is none. */
int net_group_norm(struct net *net, const char *name, int x, int pre, int scale_shift, bool silu, double dropout);
int net_attention(struct net *net, int qkv, int heads); /* [n][h][w][3c] -> [n][h][w][c] */
int net_upsample(struct net *net, int x);               /* nearest, twice as large */
int net_avg_pool(struct net *net, int x);               /* 2x2 mean */
int net_bilinear(struct net *net, int x, int h, int w);
/* x with another element; what follows has the element of its (first) input. Embeddings stay float32. */
int net_convert(struct net *net, int x, enum element element);
int net_concat(struct net *net, int a, int b); /* along channels; a value may be concatenated once */
void net_output(struct net *net, int x);       /* float32 */
/* The content of x stays readable after net_forward, under this name (net_kept); it costs its memory in the arena. In
 * training mode nothing is kept. */
void net_keep(struct net *net, const char *name, int x);

int net_channels(const struct net *net, int value);
enum element net_precision(const struct net *net); /* bfloat16 when any value is */

/* Ends building: schedule and plan. `allocate` false: only counts (for `iddpm info`). */
enum iddpm_status net_finish(struct net *net, bool allocate);

/* ---- measuring (measure.c) --------------------------------------------------------------------------------------- */

#define NET_ALGORITHMS (CONV_WINOGRAD4 + 1)
/* The shapes of float32 convolutions of a network, built or finished, among which algorithms can be chosen; the first
 * NET_KERNELS_MAX of them, each once. Returns how many. */
int net_conv_shapes(const struct net *net, struct conv_shape shapes[NET_KERNELS_MAX]);
/* Seconds that all passes of such a layer take by each algorithm, the least of some tries, with the threads of
 * kernels_set_threads. Allocates what it needs and frees it. */
enum iddpm_status net_measure(const struct conv_shape *shape, double seconds[NET_ALGORITHMS]);

/* ---- parameters -------------------------------------------------------------------------------------------------- */

struct net_param {
    const char *name;
    int ndim;
    uint64_t dims[4];
    size_t size, offset; /* elements; offset into the flat arrays */
};
int net_param_count(const struct net *net);
const struct net_param *net_param(const struct net *net, int i);
size_t net_flat_size(const struct net *net);    /* elements of a flat array, padding included */
uint64_t net_parameters(const struct net *net); /* without padding */
/* PyTorch's default initialisation, zeros where asked, from (seed, tensor). params[net_flat_size] */
void net_init_params(const struct net *net, uint64_t seed, float *params);
/* Packs weights for the kernels; after every change of the values. The array stays the caller's and must live on. */
void net_set_params(struct net *net, const float *params);

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* One op of a pass, as it is told to net_run.on_op. */
struct net_op_info {
    const char *kind; /* "conv3x3", "linear", "group_norm", ... */
    bool backward;
    int h, w, c_in, c_out; /* of the output; channels of the first input, 0 without */
    int stride;            /* of a convolution */
    uint64_t macs;         /* of one image's forward pass, as net_macs counts */
    size_t floats;         /* of one image's inputs and outputs, and of the parameters: read or written at least once */
    size_t params;         /* of these, parameters */
};

/* What dropout is a function of; slots[n] are the images' places in the global batch. NULL or rate 0: no dropout. */
struct net_run {
    int n;                   /* images, at most batch */
    const double *timesteps; /* [n] */
    const int64_t *labels;   /* [n], for class-conditional networks */
    uint64_t seed;
    uint32_t step;
    const uint32_t *slots;
    bool set_grads; /* the backward pass overwrites `grads`, whatever it holds; otherwise it adds to it */
    /* NULL, or called in the backward pass after each op: elements [first, first + count) of `grads` (padding included,
     * count 0 for none) are final now. Every run tells the same ones in the same order, and in the end all. */
    void (*after_op)(void *context, size_t first, size_t count);
    void *after_op_context;
    /* NULL, or called after each op of both passes, for those who look at the clock; forward ops of the backward pass
     * (net_recompute) are not marked as backward. */
    void (*on_op)(void *context, const struct net_op_info *op);
    void *on_op_context;
};
float *net_input_data(struct net *net, int k);       /* [n][h][w][c], to be filled before net_forward */
int net_input_pitch(const struct net *net, int k);   /* floats between its positions: c, or more in a concatenation */
const float *net_output_data(const struct net *net); /* [n][h][w][c], until the next forward */
float *net_output_grad(struct net *net);             /* to be filled before net_backward */
void net_forward(struct net *net, const struct net_run *run);
/* What net_keep marked, in the order of its calls; of a finished network. */
struct net_kept {
    const char *name; /* the net's */
    const void *data; /* [n][h][w] positions of c channels, `pitch` elements apart; of the last net_forward, until the
                         next; NULL in a network that is only counted */
    enum element element;
    int h, w, c, pitch;
};
bool net_kept(const struct net *net, int i, struct net_kept *out); /* false: there are no more than i */
/* After net_forward with the same run: grads[net_flat_size] += gradient, or = with run->set_grads. Training mode only.
 */
void net_backward(struct net *net, const struct net_run *run, float *grads);
/* Gradient of input k after net_backward; only when it was asked for with net_want_input_grad before building. */
void net_want_input_grad(struct net *net);
const float *net_input_grad(const struct net *net, int k);

/* ---- counts ------------------------------------------------------------------------------------------------------ */

uint64_t net_macs(const struct net *net); /* multiply-adds of one image's forward pass: convolutions, linear
                                             layers, 2 T^2 C for attention */
/* What a training step computes more than once (net_recompute); at most as much as net_macs. */
uint64_t net_recomputed_macs(const struct net *net);
size_t net_arena_bytes(const struct net *net);  /* activations, gradients and scratch */
size_t net_packed_bytes(const struct net *net); /* packed weights */

#endif
