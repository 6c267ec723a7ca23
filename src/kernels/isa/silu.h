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

/* x where it is not below `least` and not above `most`, otherwise those; NaN for NaN. */
static inline vf vf_clamp(float least, float most, vf x)
{
    const vf low = least + (vf){0}, high = most + (vf){0};
#if defined(__AVX512F__)
    return (vf)_mm512_min_ps((__m512)high, _mm512_max_ps((__m512)low, (__m512)x));
#elif defined(__AVX2__)
    return (vf)_mm256_min_ps((__m256)high, _mm256_max_ps((__m256)low, (__m256)x));
#elif defined(__SSE2__)
    return (vf)_mm_min_ps((__m128)high, _mm_max_ps((__m128)low, (__m128)x));
#else
    vi below = x<low, above = x> high;
    return (vf)((below & (vi)low) | (above & (vi)high) | (~(below | above) & (vi)x));
#endif
}

/* e^x with a relative error below 2e-7 for |x| <= 87. */
static inline vf vf_exp(vf x)
{
    const float to_integer = 0x1.8p23f; /* as in exp_float (exp.h) */
    vf shifted = x * 1.44269504f + to_integer;
    vf n = shifted - to_integer;
#if defined(__FMA__) || defined(__aarch64__)
    vf r = x - n * 0.693147182f;
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
    return vf_clamp(-SIGMOID_RANGE, INFINITY, x) * vf_sigmoid(vf_clamp(-SIGMOID_RANGE, SIGMOID_RANGE, x));
}

/* d silu / d x */
static inline vf vf_silu_slope(vf x)
{
    vf s = vf_sigmoid(vf_clamp(-SIGMOID_RANGE, SIGMOID_RANGE, x));
    return s + vf_clamp(-SIGMOID_RANGE, INFINITY, x) * s * (1 - s);
}

#endif
