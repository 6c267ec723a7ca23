/* Which instruction set the kernels of src/kernels/isa run on: one table of function pointers per set, chosen once. */
#include "isa/isa.h"

#include <cblas.h>
#include <omp.h>
#include <string.h>
#ifdef IDDPM_X86
#include <immintrin.h>
#endif

struct kernel_table {
    const char *isa;
#define MEMBER(name) __typeof__(name) *name;
    KERNEL_LIST(MEMBER)
};

#define DECLARE(name) extern __typeof__(name) name##_portable, name##_avx2, name##_avx512;
KERNEL_LIST(DECLARE)

#define PORTABLE(name) .name = name##_portable,
static const struct kernel_table portable = {.isa = "portable", KERNEL_LIST(PORTABLE)};
#ifdef IDDPM_X86
#define AVX2(name) .name = name##_avx2,
static const struct kernel_table avx2 = {.isa = "avx2", KERNEL_LIST(AVX2)};
#define AVX512(name) .name = name##_avx512,
static const struct kernel_table avx512 = {.isa = "avx512", KERNEL_LIST(AVX512)};
#endif

static const struct kernel_table *kernels = &portable;

/* The tables that run on this processor and operating system, best first; returns their number. */
static int available(const struct kernel_table *tables[3])
{
    int n = 0;
#ifdef IDDPM_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        tables[n++] = &avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables[n++] = &avx2;
#endif
    tables[n++] = &portable;
    return n;
}

enum iddpm_status kernels_select(const char *isa)
{
    const struct kernel_table *tables[3];
    int n = available(tables), i = 0;
    while (isa && i < n && strcmp(isa, tables[i]->isa) != 0) i++;
    if (i == n)
        return iddpm_error(IDDPM_USAGE,
                           "instruction set '%s' cannot run here: the best of this processor and build is '%s' (of "
                           "avx512, avx2, portable)",
                           isa, tables[0]->isa);
    kernels = tables[i];
    openblas_set_num_threads(1); /* its sums would depend on the number of threads */
    return IDDPM_OK;
}

const char *kernels_isa(void)
{
    return kernels->isa;
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
    return kernels->conv3x3_algorithm(choice, shape);
}

size_t conv3x3_packed_size(const struct conv_shape *shape, enum conv_pack pack)
{
    return kernels->conv3x3_packed_size(shape, pack);
}

void conv3x3_pack(const struct conv_shape *shape, enum conv_pack pack, const float *weight, float *packed)
{
    kernels->conv3x3_pack(shape, pack, weight, packed);
}

size_t conv3x3_scratch_size(const struct conv_shape *shape, int threads)
{
    return kernels->conv3x3_scratch_size(shape, threads);
}

void conv3x3_forward(const struct conv_shape *shape, const float *x, const float *packed, const float *bias,
                     const float *residual, int residual_pitch, float *y, float *scratch)
{
    kernels->conv3x3_forward(shape, x, packed, bias, residual, residual_pitch, y, scratch);
}

void conv3x3_backward_input(const struct conv_shape *shape, const float *dy, const float *packed, float *dx,
                            bool accumulate, float *scratch)
{
    kernels->conv3x3_backward_input(shape, dy, packed, dx, accumulate, scratch);
}

void conv3x3_backward_weight(const struct conv_shape *shape, const float *x, const float *dy, float *dweight,
                             float *dbias, float *scratch)
{
    kernels->conv3x3_backward_weight(shape, x, dy, dweight, dbias, scratch);
}

size_t group_norm_scratch_size(const struct group_norm_shape *shape, int threads)
{
    return kernels->group_norm_scratch_size(shape, threads);
}

void group_norm_forward(const struct group_norm_shape *shape, const float *x, const float *pre,
                        const float *scale_shift, const float *weight, const float *bias, float *stats, float *y)
{
    kernels->group_norm_forward(shape, x, pre, scale_shift, weight, bias, stats, y);
}

void group_norm_backward(const struct group_norm_shape *shape, const float *x, const float *pre,
                         const float *scale_shift, const float *weight, const float *bias, const float *stats,
                         const float *dy, float *dx, bool accumulate, float *dpre, float *dscale_shift,
                         bool accumulate_embedding, float *dweight, float *dbias, float *scratch)
{
    kernels->group_norm_backward(shape, x, pre, scale_shift, weight, bias, stats, dy, dx, accumulate, dpre,
                                 dscale_shift, accumulate_embedding, dweight, dbias, scratch);
}

void silu_forward(int64_t rows, int c, const float *x, int x_pitch, float *y, int y_pitch)
{
    kernels->silu_forward(rows, c, x, x_pitch, y, y_pitch);
}

void silu_backward(int64_t rows, int c, const float *x, int x_pitch, const float *dy, int y_pitch, float *dx,
                   int dx_pitch, bool accumulate)
{
    kernels->silu_backward(rows, c, x, x_pitch, dy, y_pitch, dx, dx_pitch, accumulate);
}

void softmax_rows(int rows, int c, float *x, int pitch)
{
    kernels->softmax_rows(rows, c, x, pitch);
}

void softmax_rows_backward(int rows, int c, const float *p, float *dp, int pitch)
{
    kernels->softmax_rows_backward(rows, c, p, dp, pitch);
}

void dropout_apply(int n, int64_t hw, int c, double rate, const struct rng *key, const uint32_t *slots, const float *x,
                   int x_pitch, float *y, int y_pitch, bool accumulate)
{
    kernels->dropout_apply(n, hw, c, rate, key, slots, x, x_pitch, y, y_pitch, accumulate);
}

void adamw_ema(const struct adamw *adamw, size_t n, float *params, const float *grad, float *exp_avg, float *exp_avg_sq,
               int n_ema, const double *rates, float *const *emas)
{
    kernels->adamw_ema(adamw, n, params, grad, exp_avg, exp_avg_sq, n_ema, rates, emas);
}

void squares_of_blocks(size_t n, const float *x, double *sums)
{
    kernels->squares_of_blocks(n, x, sums);
}
