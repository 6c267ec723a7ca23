/* Activations as they lie in memory, for the files that are compiled once per element as well: `elem` is float, or with
 * KERNEL_BF16 the upper half of a float32, rounded to nearest even (bfloat16). All arithmetic is on float32. */
#ifndef IDDPM_KERNELS_ELEMENT_H
#define IDDPM_KERNELS_ELEMENT_H

#include "isa.h"
#include "vector.h"

#include <string.h>
#if defined(KERNEL_BF16) && defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#ifdef KERNEL_BF16
typedef uint16_t elem;

static inline float elem_float(elem e)
{
    uint32_t bits = (uint32_t)e << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline elem elem_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1), quiet = bits | 0x400000; /* of NaN, which must stay one */
    return (elem)((x != x ? quiet : rounded) >> 16);
}

typedef uint16_t vu16 __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef uint32_t vu32 __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline vf vf_load(const elem *from)
{
    return (vf)(__builtin_convertvector(*(const vu16 *)from, vu32) << 16);
}

static inline void vf_store(elem *to, vf x)
{
#ifdef __AVX512BF16__
    *(vu16 *)to = (vu16)_mm512_cvtneps_pbh((__m512)x);
#else
    vu32 bits = (vu32)x, nan = (vu32)(x != x);
    vu32 rounded = bits + 0x7fff + (bits >> 16 & 1), quiet = bits | 0x400000;
    *(vu16 *)to = __builtin_convertvector(((quiet & nan) | (rounded & ~nan)) >> 16, vu16);
#endif
}
#else
typedef float elem;

static inline float elem_float(elem e)
{
    return e;
}

static inline elem elem_of(float x)
{
    return x;
}

static inline vf vf_load(const elem *from)
{
    return *(const vf *)from;
}

static inline void vf_store(elem *to, vf x)
{
    *(vf *)to = x;
}
#endif

/* The first `lanes` of them; the others are 0, or left as they are. Best with a literal LANES. */
static inline vf vf_load_part(const elem *from, int lanes)
{
    if (lanes == LANES) return vf_load(from);
    elem whole[LANES] = {0};
    memcpy(whole, from, (size_t)lanes * sizeof *from);
    return vf_load(whole);
}

static inline void vf_store_part(elem *to, vf x, int lanes)
{
    elem whole[LANES];
    vf_store(lanes == LANES ? to : whole, x);
    if (lanes < LANES) memcpy(to, whole, (size_t)lanes * sizeof *to);
}

#endif
