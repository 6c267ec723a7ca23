/* Floor 1: numeric kernels on raw pointers. Activations and their gradients are float32 or bfloat16 (enum element),
 * where sums, statistics, parameters and their gradients are float32 always. Activations are channels last:
 * [n][h][w][c], where a row of c channels starts every `pitch` elements (pitch >= c), so that a tensor may be a slice
 * of a wider one. Nothing here fails or allocates; scratch is given by the caller. All kernels use OpenMP over outputs,
 * cut into pieces that do not depend on the number of threads: results have the same bits for any number. The `threads`
 * of a scratch size is the most that OpenMP may use in the call. */
#ifndef IDDPM_KERNELS_H
#define IDDPM_KERNELS_H

#include "iddpm/base.h"

/* How activations lie in memory. A bfloat16 is the upper half of a float32, rounded to nearest even (uint16_t). Kernels
 * take them as void pointers beside an `element` and compute in float32; products of two activations, or of one and a
 * weight, may take operands rounded to bfloat16 (with "avx512bf16" in one instruction). */
enum element { ELEMENT_FLOAT32, ELEMENT_BF16 };
static inline size_t element_size(enum element element)
{
    return element == ELEMENT_BF16 ? 2 : 4;
}

/* Selects the instruction set once, before any kernel runs: "portable", "avx2", "avx512", "avx512bf16"; NULL: the best
 * that this processor and build have. IDDPM_USAGE when it cannot run here. Also sets OpenBLAS to one thread. */
enum iddpm_status kernels_select(const char *isa);
const char *kernels_isa(void);
/* The one whose bits results of this element have: "avx512" for float32 where "avx512bf16" was chosen. */
const char *kernels_isa_of(enum element element);
/* OpenMP threads of all kernels from now on; scratch must be sized for as many. At least 1. */
void kernels_set_threads(int threads);
int kernels_threads(void);
/* After kernels_set_threads: has OpenBLAS take the buffers of all threads now, once there is known to be memory for
 * them. It would take them at its first products, and where there is none try again for ever. */
enum iddpm_status kernels_reserve(void);
/* After kernels_set_threads: the processors that any of the threads may run on, as the system numbers them: bit i % 64
 * of mask[i / 64]. All zero when the system does not say. */
#define KERNELS_CORES_WORDS 64
void kernels_cores(uint64_t mask[KERNELS_CORES_WORDS]);
/* Denormals to zero on the calling thread and on all OpenMP threads. */
void kernels_flush_denormals(void);

/* ---- 3x3 convolution, padding 1, stride 1 or 2 (conv3x3*.c) ------------------------------------------------------ */

/* CONV_WINOGRADm: minimal filtering F(m x m, 3 x 3), stride 1 only; 2.25 and 4 times fewer multiplications, errors of
 * 2e-5 of the output's size at most (conv3x3_transform.h). With bfloat16 activations direct (but for the weights'
 * gradient) and F(2x2) round both operands of their products to bfloat16, F(4x4) keeps float32: errors within 1e-2 of
 * the largest output. A layer keeps one algorithm in all of the calls below. */
enum conv_algorithm { CONV_DIRECT, CONV_WINOGRAD2, CONV_WINOGRAD4 };

struct conv_shape {
    int n, h, w;          /* input; the output is ceil(h / stride) x ceil(w / stride) */
    int c_in, c_out;      /* any counts */
    int stride;           /* 1 or 2 */
    int x_pitch, y_pitch; /* of input (or its gradient) and output (or its gradient) */
    enum conv_algorithm algorithm;
    enum element element;
};

/* The algorithm of a layer, a function of the choice, the instruction set, the element and h, w, c_in, c_out and stride
 * alone. AUTO: the fastest in measurements; WINOGRAD: CONV_WINOGRAD4 wherever the stride is 1. */
enum conv_choice { CONV_CHOICE_DIRECT, CONV_CHOICE_WINOGRAD, CONV_CHOICE_AUTO };
enum conv_algorithm conv3x3_algorithm(enum conv_choice choice, const struct conv_shape *shape);

/* Floats of a packed weight: PACK_FORWARD for conv3x3_forward, PACK_BACKWARD for conv3x3_backward_input. `weight` is
 * [c_out][c_in][3][3], the authors' order. 0 for the Winograd algorithms: their passes take `weight` itself in place of
 * `packed`. */
enum conv_pack { PACK_FORWARD, PACK_BACKWARD };
size_t conv3x3_packed_size(const struct conv_shape *shape, enum conv_pack pack);
void conv3x3_pack(const struct conv_shape *shape, enum conv_pack pack, const float *weight, float *packed);

/* Floats of scratch that any of the three passes needs when at most `threads` OpenMP threads run it, with n images or
 * fewer. Scratch and packed weights are fastest at MEM_ALIGN boundaries. */
size_t conv3x3_scratch_size(const struct conv_shape *shape, int threads);

/* y = conv(x) + bias [+ residual]. residual: NULL or a tensor like y with its own pitch. */
void conv3x3_forward(const struct conv_shape *shape, const void *x, const float *packed, const float *bias,
                     const void *residual, int residual_pitch, void *y, float *scratch);
/* dx = (accumulate ? dx : 0) + conv_transposed(dy). */
void conv3x3_backward_input(const struct conv_shape *shape, const void *dy, const float *packed, void *dx,
                            bool accumulate, float *scratch);
/* dweight[c_out][c_in][3][3] += ..., dbias[c_out] += sum of dy (dbias may be NULL). */
void conv3x3_backward_weight(const struct conv_shape *shape, const void *x, const void *dy, float *dweight,
                             float *dbias, float *scratch);

/* ---- linear layers and 1x1 convolutions (linear.c, blas.c) ------------------------------------------------------- */

/* y[row][c_out] = x[row][c_in] weight^T + bias [+ residual]; weight is [c_out][c_in]. The pitches are those of x and y
 * and of their gradients. */
struct linear_shape {
    int64_t rows;
    int c_in, c_out;
    int x_pitch, y_pitch;
    enum element element;
};
/* Floats that any of the three passes needs, for so many rows or fewer. */
size_t linear_scratch_size(const struct linear_shape *shape, int threads);
/* bias and residual may be NULL; the residual may be y. */
void linear_forward(const struct linear_shape *shape, const void *x, const float *weight, const float *bias,
                    const void *residual, int residual_pitch, void *y, float *scratch);
/* dx = (accumulate ? dx : 0) + dy weight */
void linear_backward_input(const struct linear_shape *shape, const void *dy, const float *weight, void *dx,
                           bool accumulate, float *scratch);
/* Both += ; dbias may be NULL. */
void linear_backward_weight(const struct linear_shape *shape, const void *x, const void *dy, float *dweight,
                            float *dbias, float *scratch);

/* ---- attention (attention.c) ------------------------------------------------------------------------------------- */

/* qkv [n][t][heads][q, k, v][c_head] (unet.py, QKVAttention), q and k each scaled by c_head^(-1/4); y
 * [n][t][heads][c_head]. */
struct attention_shape {
    int n, t, heads, c_head;
    int qkv_pitch, y_pitch; /* elements between positions */
    enum element element;
};
size_t attention_scratch_size(const struct attention_shape *shape, int threads);
void attention_forward(const struct attention_shape *shape, const void *qkv, void *y, float *scratch);
/* dqkv = (accumulate ? dqkv : 0) + ...; the weights are computed again from qkv. */
void attention_backward(const struct attention_shape *shape, const void *qkv, const void *dy, void *dqkv,
                        bool accumulate, float *scratch);

/* ---- group norm, fused (group_norm.c) ---------------------------------------------------------------------------- */

/* Each element becomes 0 with probability `rate` (below 1), else 1 / (1 - rate) times itself: element i = position c +
 * channel of image k is dropped when the i-th number of rng_uint32 with slot slots[k] is below rate 2^32. */
struct dropout {
    double rate;
    struct rng key;        /* seed, purpose, step; its slot is not looked at */
    const uint32_t *slots; /* [n] */
};

/* y = dropout(act(norm(x + pre) (1 + scale) + shift)): eps 1e-5, biased variance over a group's channels and positions,
 * affine weight and bias inside norm; `act` is SiLU when silu is set. c is a multiple of groups (32 in the authors'
 * networks).
 * - pre [n][c], pitch pre_pitch, or NULL: an embedding added before (ResBlock without scale-shift).
 * - scale_shift [n][2c], pitch ss_pitch, or NULL: first half the scale, second the shift (ResBlock with it).
 * - dropout may be NULL.
 * - stats [n][groups][2] receives mean and 1/sqrt(variance + eps) for the backward pass.
 * y may be x. dx has the pitch of x, dy that of y. */
struct group_norm_shape {
    int n, hw, c, groups;
    int x_pitch, y_pitch, pre_pitch, ss_pitch;
    bool silu;
    enum element element; /* of x, y and their gradients; embeddings are float32 */
};
size_t group_norm_scratch_size(const struct group_norm_shape *shape, int threads);
void group_norm_forward(const struct group_norm_shape *shape, const void *x, const float *pre, const float *scale_shift,
                        const float *weight, const float *bias, const struct dropout *dropout, float *stats, void *y);
/* The same y once more, bit for bit, from the stats of group_norm_forward: for those who did not keep it. */
void group_norm_again(const struct group_norm_shape *shape, const void *x, const float *pre, const float *scale_shift,
                      const float *weight, const float *bias, const struct dropout *dropout, const float *stats,
                      void *y);
/* dx = (accumulate ? dx : 0) + ...; dpre, dscale_shift = (accumulate_embedding ? itself : 0) + ... (NULL with pre,
 * scale_shift NULL); dweight, dbias += . */
void group_norm_backward(const struct group_norm_shape *shape, const void *x, const float *pre,
                         const float *scale_shift, const float *weight, const float *bias,
                         const struct dropout *dropout, const float *stats, const void *dy, void *dx, bool accumulate,
                         float *dpre, float *dscale_shift, bool accumulate_embedding, float *dweight, float *dbias,
                         float *scratch);

/* ---- elementwise and resampling (elementwise.c, rows.c, resample.c, bilinear.c)
 * ------------------------------------------------------ */

/* rows x c elements with pitches; results may be written over what they are made of (y = x, dx = dy) */
void silu_forward(int64_t rows, int c, const float *x, int x_pitch, float *y, int y_pitch);
void silu_backward(int64_t rows, int c, const float *x, int x_pitch, const float *dy, int y_pitch, float *dx,
                   int dx_pitch, bool accumulate);
/* y = x or y += x; x or y float32 in the other two */
void copy_rows(enum element element, int64_t rows, int c, const void *x, int x_pitch, void *y, int y_pitch,
               bool accumulate);
void rows_from_float(enum element element, int64_t rows, int c, const float *x, int x_pitch, void *y, int y_pitch,
                     bool accumulate);
void rows_to_float(enum element element, int64_t rows, int c, const void *x, int x_pitch, float *y, int y_pitch,
                   bool accumulate);
/* nearest neighbour, twice as large; h, w are the smaller size */
void upsample_forward(enum element element, int n, int h, int w, int c, const void *x, int x_pitch, void *y,
                      int y_pitch);
void upsample_backward(enum element element, int n, int h, int w, int c, const void *dy, int y_pitch, void *dx,
                       int x_pitch, bool accumulate);
/* 2x2 mean, stride 2; h, w are the larger size, odd rows and columns at the end are dropped (AvgPool2d(2)) */
void avg_pool_forward(enum element element, int n, int h, int w, int c, const void *x, int x_pitch, void *y,
                      int y_pitch);
void avg_pool_backward(enum element element, int n, int h, int w, int c, const void *dy, int y_pitch, void *dx,
                       int x_pitch, bool accumulate);
/* bilinear to h_out x w_out, half-pixel centres, edges clamped (F.interpolate, align_corners = False); float32 */
void bilinear_forward(int n, int h, int w, int h_out, int w_out, int c, const float *x, int x_pitch, float *y,
                      int y_pitch);
void bilinear_backward(int n, int h, int w, int h_out, int w_out, int c, const float *dy, int y_pitch, float *dx,
                       int x_pitch, bool accumulate);
/* y += x; x = 0 */
void add_floats(size_t n, const float *restrict x, float *restrict y);
void clear_floats(size_t n, float *x);
/* [cos(t f), sin(t f)], f_i = 10000^(-i / half), in double; y [n][dim] */
void timestep_embedding(int n, const double *t, int dim, float *y, int y_pitch);

/* ---- optimiser (optimizer.c) ------------------------------------------------------------------------------------- */

/* One AdamW step (Loshchilov & Hutter; torch.optim.AdamW: betas 0.9, 0.999, eps 1e-8, decay applied first) on n
 * elements, then each EMA e = rate e + (1 - rate) p, in one sweep. `step` counts from 1. */
struct adamw {
    double lr, weight_decay, beta1, beta2, eps;
    int64_t step;
};
void adamw_ema(const struct adamw *adamw, size_t n, float *params, const float *grad, float *exp_avg, float *exp_avg_sq,
               int n_ema, const double *rates, float *const *emas);
/* Sums of squares in double, of each block of SQUARES_BLOCK elements (the last may be shorter), and of all: blocks
 * added in order. */
#define SQUARES_BLOCK 1024
void squares_of_blocks(size_t n, const float *x, double *sums);
double sum_of_squares(size_t n, const float *x);

/* ---- random parameters (random.c) -------------------------------------------------------------------------------- */

/* Uniform in [-bound, bound): bound (2 u - 1), rounded once to double and once to float32, where u are the numbers that
 * rng_uniform gives for UNIFORM_PIECE elements at rng->step, for as many at rng->step + 1, and so on. */
#define UNIFORM_PIECE 4096
void uniform_fill(const struct rng *rng, double bound, size_t n, float *out);

#endif
