/* Philox4x32-10 (Salmon et al. 2011), many counters side by side, and dropout by it; the numbers are those of
 * rng_uint32. */
#ifndef IDDPM_KERNELS_PHILOX_H
#define IDDPM_KERNELS_PHILOX_H

#include "element.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

/* Counters stand in the lower halves of 64-bit lanes; what is in the upper halves does not count. */
typedef uint64_t vu64 __attribute__((vector_size(4 * LANES), may_alias));
typedef uint32_t vu32 __attribute__((vector_size(4 * LANES)));

enum { COUNTERS = LANES / 2, NUMBERS = 4 * COUNTERS }; /* of one call */

/* m times the lower halves */
static inline vu64 philox_product(uint32_t m, vu64 x)
{
    const vu64 factor = m + (vu64){0};
#if defined(__AVX512F__)
    return (vu64)_mm512_mul_epu32((__m512i)x, (__m512i)factor);
#elif defined(__AVX2__)
    return (vu64)_mm256_mul_epu32((__m256i)x, (__m256i)factor);
#elif defined(__SSE2__)
    return (vu64)_mm_mul_epu32((__m128i)x, (__m128i)factor);
#else
    return (x & 0xffffffff) * factor;
#endif
}

/* The numbers of the counters block, block + 1, ...: four each, in two vectors of consecutive ones. */
static inline void philox_numbers(const struct rng *rng, uint32_t block, vu32 out[2])
{
    vu64 c0, low, high;
    for (int i = 0; i < COUNTERS; i++) {
        c0[i] = (uint64_t)i;
        low[i] = (uint64_t)(i / 2 + i % 2 * COUNTERS); /* of the interleaving below */
    }
    high = low + COUNTERS / 2;
    c0 += block;
    vu64 c1 = rng->slot + (vu64){0}, c2 = rng->step + (vu64){0}, c3 = rng->purpose + (vu64){0};
    uint32_t k0 = (uint32_t)rng->seed, k1 = (uint32_t)(rng->seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        vu64 a = philox_product(0xD2511F53, c0), b = philox_product(0xCD9E8D57, c2);
        c0 = (b >> 32) ^ c1 ^ k0;
        c2 = (a >> 32) ^ c3 ^ k1;
        c1 = b;
        c3 = a;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    vu64 even = (c0 & 0xffffffff) | c1 << 32, odd = (c2 & 0xffffffff) | c3 << 32;
    out[0] = (vu32)__builtin_shuffle(even, odd, low);
    out[1] = (vu32)__builtin_shuffle(even, odd, high);
}

/* What elements are multiplied by: 0 where they are dropped, else 1 / (1 - rate). */
struct mask {
    struct rng rng;
    uint32_t threshold; /* numbers below it drop their element */
    float factor;
};

static inline struct mask mask_of_image(const struct dropout *dropout, int image)
{
    struct mask mask = {dropout->key, (uint32_t)(dropout->rate * 0x1p32), (float)(1 / (1 - dropout->rate))};
    mask.rng.slot = dropout->slots[image];
    return mask;
}

/* Of `count` elements from `element` on; writes up to MASK_MORE floats more than count, and returns where the first is,
 * in or behind `room`. */
enum { MASK_MORE = NUMBERS + 3 };

static inline __attribute__((always_inline)) const float *mask_elements(const struct mask *mask, uint64_t element,
                                                                        int count, float *room)
{
    const vu32 threshold = mask->threshold + (vu32){0};
    const vf factor = mask->factor + (vf){0};
    int skip = (int)(element % 4);
    for (int i = 0; i < skip + count; i += NUMBERS) {
        vu32 numbers[2];
        philox_numbers(&mask->rng, (uint32_t)(element / 4) + (uint32_t)i / 4, numbers);
        for (int k = 0; k < 2; k++)
            *(vf *)(room + i + k * LANES) = (vf)((vu32)(numbers[k] >= threshold) & (vu32)factor);
    }
    return room + skip;
}

#endif
