/* Which instruction set the kernels of src/kernels/isa run on: tables of function pointers per set, chosen once, one
 * for each element. */
#include "blas.h"
#include "isa/isa.h"

#include <cblas.h>
#include <omp.h>
#include <string.h>
#ifdef IDDPM_X86
#include <immintrin.h>
#endif

/* The kernels for one element; those of FLOAT_LIST are NULL in the tables of bfloat16. */
struct kernel_table {
#define MEMBER(name) __typeof__(name) *name;
    FLOAT_LIST(MEMBER) ELEMENT_LIST(MEMBER)
};

struct isa {
    const char *name;
    const struct kernel_table *of[2]; /* enum element */
    const char *bits[2];              /* kernels_isa_of */
    bool blas_weight;                 /* OpenBLAS is faster than linear.c in gradients of weights */
};

#define TABLE(isa)                                                                                                     \
    static const struct kernel_table isa##_floats = {FLOAT_LIST(ENTRY_##isa) ELEMENT_LIST(ENTRY_##isa)};               \
    static const struct kernel_table isa##_bf16s = {ELEMENT_LIST(ENTRY_BF16_##isa)};

#define DECLARE_PORTABLE(name) extern __typeof__(name) name##_portable;
#define DECLARE_PORTABLE_BF16(name) extern __typeof__(name) name##_portable_bf16;
FLOAT_LIST(DECLARE_PORTABLE)
ELEMENT_LIST(DECLARE_PORTABLE)
ELEMENT_LIST(DECLARE_PORTABLE_BF16)
#define ENTRY_portable(name) .name = name##_portable,
#define ENTRY_BF16_portable(name) .name = name##_portable_bf16,
TABLE(portable)
static const struct isa portable = {"portable", {&portable_floats, &portable_bf16s}, {"portable", "portable"}, true};

#ifdef IDDPM_X86
#define DECLARE_X86(name) extern __typeof__(name) name##_avx2, name##_avx512;
#define DECLARE_X86_BF16(name) extern __typeof__(name) name##_avx2_bf16, name##_avx512_bf16, name##_avx512bf16_bf16;
FLOAT_LIST(DECLARE_X86)
ELEMENT_LIST(DECLARE_X86)
ELEMENT_LIST(DECLARE_X86_BF16)
#define ENTRY_avx2(name) .name = name##_avx2,
#define ENTRY_BF16_avx2(name) .name = name##_avx2_bf16,
TABLE(avx2) static const struct isa avx2 = {"avx2", {&avx2_floats, &avx2_bf16s}, {"avx2", "avx2"}, true};
#define ENTRY_avx512(name) .name = name##_avx512,
#define ENTRY_BF16_avx512(name) .name = name##_avx512_bf16,
TABLE(avx512)
static const struct isa avx512 = {"avx512", {&avx512_floats, &avx512_bf16s}, {"avx512", "avx512"}, false};
#define ENTRY_AVX512BF16(name) .name = name##_avx512bf16_bf16,
static const struct kernel_table avx512bf16_bf16s = {ELEMENT_LIST(ENTRY_AVX512BF16)};
static const struct isa avx512bf16 = {
    "avx512bf16", {&avx512_floats, &avx512bf16_bf16s}, {"avx512", "avx512bf16"}, false};
#endif

enum { ISAS_MAX = 4 };
static const struct isa *chosen = &portable;
/* for kernels on float32 alone, and for the others */
#define FLOATS (chosen->of[ELEMENT_FLOAT32])
#define OF(element) (chosen->of[element])

/* The instruction sets that run on this processor and operating system, best first; returns their number. */
static int available(const struct isa *isas[ISAS_MAX])
{
    int n = 0;
#ifdef IDDPM_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq")) {
        if (__builtin_cpu_supports("avx512bf16")) isas[n++] = &avx512bf16;
        isas[n++] = &avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) isas[n++] = &avx2;
#endif
    isas[n++] = &portable;
    return n;
}

enum iddpm_status kernels_select(const char *isa)
{
    const struct isa *isas[ISAS_MAX];
    int n = available(isas), i = 0;
    while (isa && i < n && strcmp(isa, isas[i]->name) != 0) i++;
    if (i == n)
        return iddpm_error(IDDPM_USAGE,
                           "instruction set '%s' cannot run here: the best of this processor and build is '%s' (of "
                           "avx512bf16, avx512, avx2, portable)",
                           isa, isas[0]->name);
    chosen = isas[i];
    openblas_set_num_threads(1); /* its sums would depend on the number of threads */
    return IDDPM_OK;
}

const char *kernels_isa(void)
{
    return chosen->name;
}

const char *kernels_isa_of(enum element element)
{
    return chosen->bits[element];
}

void kernels_set_threads(int threads)
{
    omp_set_num_threads(threads > 0 ? threads : 1);
}

int kernels_threads(void)
{
    return omp_get_max_threads();
}

void kernels_flush_denormals(void)
{
#pragma omp parallel
    {
#ifdef IDDPM_X86
        _mm_setcsr(_mm_getcsr() | 0x8040); /* flush to zero, denormals are zero */
#elif defined(__aarch64__)
        __builtin_aarch64_set_fpcr(__builtin_aarch64_get_fpcr() | 1u << 24); /* FZ */
#endif
    }
}

/* ---- forwards ---------------------------------------------------------------------------------------------------- */

enum conv_algorithm conv3x3_algorithm(enum conv_choice choice, const struct conv_shape *shape)
{
    return OF(shape->element)->conv3x3_algorithm(choice, shape);
}

size_t conv3x3_packed_size(const struct conv_shape *shape, enum conv_pack pack)
{
    return OF(shape->element)->conv3x3_packed_size(shape, pack);
}

void conv3x3_pack(const struct conv_shape *shape, enum conv_pack pack, const float *weight, float *packed)
{
    OF(shape->element)->conv3x3_pack(shape, pack, weight, packed);
}

size_t conv3x3_scratch_size(const struct conv_shape *shape, int threads)
{
    return OF(shape->element)->conv3x3_scratch_size(shape, threads);
}

void conv3x3_forward(const struct conv_shape *shape, const void *x, const float *packed, const float *bias,
                     const void *residual, int residual_pitch, void *y, float *scratch)
{
    OF(shape->element)->conv3x3_forward(shape, x, packed, bias, residual, residual_pitch, y, scratch);
}

void conv3x3_backward_input(const struct conv_shape *shape, const void *dy, const float *packed, void *dx,
                            bool accumulate, float *scratch)
{
    OF(shape->element)->conv3x3_backward_input(shape, dy, packed, dx, accumulate, scratch);
}

void conv3x3_backward_weight(const struct conv_shape *shape, const void *x, const void *dy, float *dweight,
                             float *dbias, float *scratch)
{
    OF(shape->element)->conv3x3_backward_weight(shape, x, dy, dweight, dbias, scratch);
}

size_t linear_scratch_size(const struct linear_shape *shape, int threads)
{
    return OF(shape->element)->linear_scratch_size(shape, threads);
}

void linear_forward(const struct linear_shape *shape, const void *x, const float *weight, const float *bias,
                    const void *residual, int residual_pitch, void *y, float *scratch)
{
    OF(shape->element)->linear_forward(shape, x, weight, bias, residual, residual_pitch, y, scratch);
}

static bool by_blas(const struct linear_shape *shape)
{
    return shape->element == ELEMENT_FLOAT32 && shape->rows <= BLAS_ROWS;
}

void linear_backward_input(const struct linear_shape *shape, const void *dy, const float *weight, void *dx,
                           bool accumulate, float *scratch)
{
    if (by_blas(shape))
        blas_linear_backward_input(shape, dy, weight, dx, accumulate);
    else
        OF(shape->element)->linear_backward_input(shape, dy, weight, dx, accumulate, scratch);
}

void linear_backward_weight(const struct linear_shape *shape, const void *x, const void *dy, float *dweight,
                            float *dbias, float *scratch)
{
    if (by_blas(shape) || (shape->element == ELEMENT_FLOAT32 && chosen->blas_weight))
        blas_linear_backward_weight(shape, x, dy, dweight, dbias);
    else
        OF(shape->element)->linear_backward_weight(shape, x, dy, dweight, dbias, scratch);
}

size_t group_norm_scratch_size(const struct group_norm_shape *shape, int threads)
{
    return OF(shape->element)->group_norm_scratch_size(shape, threads);
}

void group_norm_forward(const struct group_norm_shape *shape, const void *x, const float *pre, const float *scale_shift,
                        const float *weight, const float *bias, const struct dropout *dropout, float *stats, void *y)
{
    OF(shape->element)->group_norm_forward(shape, x, pre, scale_shift, weight, bias, dropout, stats, y);
}

void group_norm_again(const struct group_norm_shape *shape, const void *x, const float *pre, const float *scale_shift,
                      const float *weight, const float *bias, const struct dropout *dropout, const float *stats,
                      void *y)
{
    OF(shape->element)->group_norm_again(shape, x, pre, scale_shift, weight, bias, dropout, stats, y);
}

void group_norm_backward(const struct group_norm_shape *shape, const void *x, const float *pre,
                         const float *scale_shift, const float *weight, const float *bias,
                         const struct dropout *dropout, const float *stats, const void *dy, void *dx, bool accumulate,
                         float *dpre, float *dscale_shift, bool accumulate_embedding, float *dweight, float *dbias,
                         float *scratch)
{
    OF(shape->element)
        ->group_norm_backward(shape, x, pre, scale_shift, weight, bias, dropout, stats, dy, dx, accumulate, dpre,
                              dscale_shift, accumulate_embedding, dweight, dbias, scratch);
}

void silu_forward(int64_t rows, int c, const float *x, int x_pitch, float *y, int y_pitch)
{
    FLOATS->silu_forward(rows, c, x, x_pitch, y, y_pitch);
}

void silu_backward(int64_t rows, int c, const float *x, int x_pitch, const float *dy, int y_pitch, float *dx,
                   int dx_pitch, bool accumulate)
{
    FLOATS->silu_backward(rows, c, x, x_pitch, dy, y_pitch, dx, dx_pitch, accumulate);
}

size_t attention_scratch_size(const struct attention_shape *shape, int threads)
{
    return OF(shape->element)->attention_scratch_size(shape, threads);
}

void attention_forward(const struct attention_shape *shape, const void *qkv, void *y, float *scratch)
{
    OF(shape->element)->attention_forward(shape, qkv, y, scratch);
}

void attention_backward(const struct attention_shape *shape, const void *qkv, const void *dy, void *dqkv,
                        bool accumulate, float *scratch)
{
    OF(shape->element)->attention_backward(shape, qkv, dy, dqkv, accumulate, scratch);
}

void adamw_ema(const struct adamw *adamw, size_t n, float *params, const float *grad, float *exp_avg, float *exp_avg_sq,
               int n_ema, const double *rates, float *const *emas)
{
    FLOATS->adamw_ema(adamw, n, params, grad, exp_avg, exp_avg_sq, n_ema, rates, emas);
}

void squares_of_blocks(size_t n, const float *x, double *sums)
{
    FLOATS->squares_of_blocks(n, x, sums);
}

void uniform_fill(const struct rng *rng, double bound, size_t n, float *out)
{
    FLOATS->uniform_fill(rng, bound, n, out);
}

void copy_rows(enum element element, int64_t rows, int c, const void *x, int x_pitch, void *y, int y_pitch,
               bool accumulate)
{
    OF(element)->copy_rows(element, rows, c, x, x_pitch, y, y_pitch, accumulate);
}

void rows_from_float(enum element element, int64_t rows, int c, const float *x, int x_pitch, void *y, int y_pitch,
                     bool accumulate)
{
    OF(element)->rows_from_float(element, rows, c, x, x_pitch, y, y_pitch, accumulate);
}

void rows_to_float(enum element element, int64_t rows, int c, const void *x, int x_pitch, float *y, int y_pitch,
                   bool accumulate)
{
    OF(element)->rows_to_float(element, rows, c, x, x_pitch, y, y_pitch, accumulate);
}

void upsample_forward(enum element element, int n, int h, int w, int c, const void *x, int x_pitch, void *y,
                      int y_pitch)
{
    OF(element)->upsample_forward(element, n, h, w, c, x, x_pitch, y, y_pitch);
}

void upsample_backward(enum element element, int n, int h, int w, int c, const void *dy, int y_pitch, void *dx,
                       int x_pitch, bool accumulate)
{
    OF(element)->upsample_backward(element, n, h, w, c, dy, y_pitch, dx, x_pitch, accumulate);
}

void avg_pool_forward(enum element element, int n, int h, int w, int c, const void *x, int x_pitch, void *y,
                      int y_pitch)
{
    OF(element)->avg_pool_forward(element, n, h, w, c, x, x_pitch, y, y_pitch);
}

void avg_pool_backward(enum element element, int n, int h, int w, int c, const void *dy, int y_pitch, void *dx,
                       int x_pitch, bool accumulate)
{
    OF(element)->avg_pool_backward(element, n, h, w, c, dy, y_pitch, dx, x_pitch, accumulate);
}
