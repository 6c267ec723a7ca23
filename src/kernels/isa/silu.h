/* Exponential and SiLU of vectors. */
#ifndef IDDPM_KERNELS_SILU_H
#define IDDPM_KERNELS_SILU_H

#include "vector.h"

#include <math.h>
#include <stdint.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

typedef int32_t vi __attribute__((vector_size(4 * LANES), may_alias));

/* The larger or smaller of each two lanes; b where one is NaN. */
#if defined(__AVX512F__)
#define VF_PICK(pick, a, b) (vf) _mm512_##pick##_ps((__m512)(a), (__m512)(b))
#elif defined(__AVX2__)
#define VF_PICK(pick, a, b) (vf) _mm256_##pick##_ps((__m256)(a), (__m256)(b))
#elif defined(__SSE2__)
#define VF_PICK(pick, a, b) (vf) _mm_##pick##_ps((__m128)(a), (__m128)(b))
#endif

static inline vf vf_max(vf a, vf b)
{
#ifdef VF_PICK
    return VF_PICK(max, a, b);
#else
    vi larger = a > b;
    return (vf)((larger & (vi)a) | (~larger & (vi)b));
#endif
}

static inline vf vf_min(vf a, vf b)
{
#ifdef VF_PICK
    return VF_PICK(min, a, b);
#else
    return -vf_max(-a, -b);
#endif
}

/* e^x with a relative error below 2e-7 for |x| <= 87, NaN for NaN. x = n ln 2 + r with |r| <= ln(2) / 2; ln 2 is
 * split, without FMA so that n times its upper part is exact. */
static inline vf vf_exp(vf x)
{
    const float to_integer = 0x1.8p23f; /* added, the fraction is rounded away and n stands in the lowest bits */
    vf shifted = x * 1.44269504f + to_integer;
    vf n = shifted - to_integer;
#if defined(__FMA__) || defined(__aarch64__)
    vf r = (x - n * 0.693147182f) + n * 1.90465430e-9f;
#else
    vf r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
#endif
    vf p = r * 0.00831251591f + 0.0418902002f; /* the polynomial 1 + r + ... of degree 5: 1.05e-7 */
    p = p * r + 0.166671142f;
    p = p * r + 0.499992311f;
    p = p * r + 1;
    p = p * r + 1;
#if defined(__AVX512F__)
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    return p * (vf)(((vi)shifted << 23) + (127 << 23)); /* the float 2^n */
#endif
}

/* 2^x for |x| <= 126, with a relative error below 2e-7, NaN for NaN: for those who scale x by log2(e) along with what
 * else it is multiplied by. The polynomial of degree 5 is that of 2^r for 0 <= r <= 1: 7.5e-8. */
static inline vf vf_exp2(vf x)
{
#if defined(__AVX512DQ__)
    vf r = (vf)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF); /* x - floor(x) */
#else
    const float to_integer = 0x1.8p23f;                 /* as in vf_exp */
    vf shifted = (x - 0.5f) + to_integer, r = x - (shifted - to_integer);
#endif
    vf p = r * 0.00187757669f + 0.00898933969f;
    p = p * r + 0.0558263175f;
    p = p * r + 0.240153611f;
    p = p * r + 0.693153083f;
    p = p * r + 0.99999994f;
#if defined(__AVX512DQ__)
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)x); /* p 2^floor(x) */
#else
    return p * (vf)(((vi)shifted << 23) + (127 << 23));
#endif
}

/* 1 / x for 1 <= x <= 2^126, with a relative error below 1.2e-7 */
static inline vf vf_reciprocal(vf x)
{
#if defined(__AVX512F__)
    vf y = (vf)_mm512_rcp14_ps((__m512)x);
    return y + y * (1 - x * y);
#else
    return 1 / x;
#endif
}

/* Of arguments beyond, e^-x is not a normal float and x sigmoid(x) below 2e-36, or the sigmoid is 1. */
#define SIGMOID_RANGE 87.0f

/* 1 / (1 + e^-x) for |x| <= SIGMOID_RANGE */
static inline vf vf_sigmoid(vf x)
{
    return vf_reciprocal(1 + vf_exp(-x));
}

/* x / (1 + e^-x), with a relative error below 4e-7 from -SIGMOID_RANGE on; below it the value there, not quite 0 */
static inline vf vf_silu(vf x)
{
    x = vf_max((vf){0} - SIGMOID_RANGE, x);
    return x * vf_sigmoid(vf_min((vf){0} + SIGMOID_RANGE, x));
}

/* d silu / d x */
static inline vf vf_silu_slope(vf x)
{
    x = vf_max((vf){0} - SIGMOID_RANGE, x);
    vf s = vf_sigmoid(vf_min((vf){0} + SIGMOID_RANGE, x));
    return s + x * s * (1 - s);
}

#endif
