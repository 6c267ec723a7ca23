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

static inline vu64 philox_xor(vu64 a, vu64 b, uint64_t key)
{
#ifdef __AVX512F__
    return (vu64)_mm512_ternarylogic_epi64((__m512i)a, (__m512i)b, _mm512_set1_epi64((long long)key), 0x96);
#else
    return a ^ b ^ key;
#endif
}

enum { ROUNDS = 10, BATCHES = 4 };

/* Only the first word of a counter differs between the numbers of one rng, so the first two rounds have one product
 * each; the other words stay constants until then. */
struct philox {
    uint64_t keys[ROUNDS][2]; /* of the first two rounds with all that is constant */
    uint64_t constant;        /* c3 after two rounds */
};

static inline struct philox philox_of(const struct rng *rng)
{
    struct philox philox;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        philox.keys[round][0] = (uint32_t)rng->seed + round * 0x9E3779B9u;
        philox.keys[round][1] = (uint32_t)(rng->seed >> 32) + round * 0xBB67AE85u;
    }
    uint64_t b = 0xCD9E8D57 * (uint64_t)rng->step;
    uint64_t c0 = b >> 32 ^ rng->slot ^ philox.keys[0][0], a = 0xD2511F53 * c0;
    philox.keys[0][1] ^= rng->purpose;
    philox.keys[1][0] ^= (uint32_t)b;
    philox.keys[1][1] ^= a >> 32;
    philox.constant = (uint32_t)a;
    return philox;
}

/* The numbers of the counters block, block + 1, ...: four each, in 2 `batches` vectors of consecutive ones. Batches go
 * side by side, as a processor looks too little ahead to begin one behind the chain of products of another. */
static inline __attribute__((always_inline)) void philox_numbers(const struct philox *philox, uint32_t block,
                                                                 int batches, vu32 *out)
{
    vu64 c0[BATCHES], c1[BATCHES], c2[BATCHES], c3[BATCHES], counter, low, high;
    for (int i = 0; i < COUNTERS; i++) {
        counter[i] = (uint64_t)i;
        low[i] = (uint64_t)(i / 2 + i % 2 * COUNTERS); /* of the interleaving below */
    }
    high = low + COUNTERS / 2;
    for (int k = 0; k < batches; k++) {
        c3[k] = philox_product(0xD2511F53, counter + (block + (uint32_t)(k * COUNTERS)));
        c1[k] = philox_product(0xCD9E8D57, (c3[k] >> 32) ^ philox->keys[0][1]);
        c0[k] = (c1[k] >> 32) ^ philox->keys[1][0];
        c2[k] = c3[k] ^ philox->keys[1][1];
        c3[k] = philox->constant + (vu64){0};
    }
#pragma GCC unroll 8
    for (int round = 2; round < ROUNDS; round++)
#pragma GCC unroll 4
        for (int k = 0; k < batches; k++) {
            vu64 a = philox_product(0xD2511F53, c0[k]), b = philox_product(0xCD9E8D57, c2[k]);
            c0[k] = philox_xor(b >> 32, c1[k], philox->keys[round][0]);
            c2[k] = philox_xor(a >> 32, c3[k], philox->keys[round][1]);
            c1[k] = b;
            c3[k] = a;
        }
    for (int k = 0; k < batches; k++) {
        vu64 even = (c0[k] & 0xffffffff) | c1[k] << 32, odd = (c2[k] & 0xffffffff) | c3[k] << 32;
        out[2 * k] = (vu32)__builtin_shuffle(even, odd, low);
        out[2 * k + 1] = (vu32)__builtin_shuffle(even, odd, high);
    }
}

/* What elements are multiplied by: 0 where they are dropped, else 1 / (1 - rate). */
struct mask {
    struct philox philox;
    uint32_t threshold; /* numbers below it drop their element */
    float factor;
};

static inline struct mask mask_of_image(const struct dropout *dropout, int image)
{
    struct rng rng = dropout->key;
    rng.slot = dropout->slots[image];
    return (struct mask){philox_of(&rng), (uint32_t)(dropout->rate * 0x1p32), (float)(1 / (1 - dropout->rate))};
}

/* factor where a number is not below threshold, else 0 */
static inline vf mask_kept(const struct mask *mask, vu32 numbers)
{
    const vf factor = mask->factor + (vf){0};
    const vu32 threshold = mask->threshold + (vu32){0};
#ifdef __AVX512F__
    return (vf)_mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask((__m512i)numbers, (__m512i)threshold), (__m512)factor);
#else
    return (vf)((vu32)(numbers >= threshold) & (vu32)factor);
#endif
}

/* Of the vectors of elements that begin with `element`. */
static inline __attribute__((always_inline)) void mask_vectors(const struct mask *mask, uint64_t element, int vectors,
                                                               vf *keep)
{
    uint32_t block = (uint32_t)(element / 4), skip = element % 4;
    vu32 numbers[2 * BATCHES];
    if (skip == 0) {
        philox_numbers(&mask->philox, block, (vectors + 1) / 2, numbers);
        for (int v = 0; v < vectors; v++) keep[v] = mask_kept(mask, numbers[v]);
        return;
    }
    philox_numbers(&mask->philox, block, vectors / 2 + 1, numbers);
    for (int v = 0; v < vectors; v++) {
        vu32 moved;
        memcpy(&moved, (const uint32_t *)numbers + v * LANES + skip, sizeof moved);
        keep[v] = mask_kept(mask, moved);
    }
}

#endif
