/* Operands of the convolutions' products. With bfloat16 activations both are rounded to bfloat16: where the processor
 * multiplies pairs of them, two that follow each other along the sum are a 32-bit word (DEPTH 2); elsewhere they are
 * float32 that hold a bfloat16 (DEPTH 1), which gives the same but for the rounding of sums. Words are carried in
 * floats.
 */
#ifndef IDDPM_KERNELS_OPERAND_H
#define IDDPM_KERNELS_OPERAND_H

#include "element.h"

#if defined(KERNEL_BF16) && defined(__AVX512BF16__)
#define DEPTH 2

/* sum + (the word's operands) (those of the vector of words); depth: operands of a word, 1 or DEPTH */
static inline vf word_add(const int depth, vf sum, float word, vf words)
{
    if (depth == 1) return sum + word * words;
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_ps(word), (__m512bh)words);
}

/* Stores a vector of operands whose neighbours are their partners: half a vector of words. */
static inline void operands_store(float *to, vf x)
{
    *(vu16 *)to = (vu16)_mm512_cvtneps_pbh((__m512)x);
}

/* Stores a vector of operands as the first (`second` 0, the partners are zero then) or second ones (1) of words. */
static inline void partners_store(float *to, vf x, int second)
{
    vu32 bits = __builtin_convertvector((vu16)_mm512_cvtneps_pbh((__m512)x), vu32), old = *(const vu32 *)to;
    *(vu32 *)to = (bits << 16 * second) | (old & (0xffffu * (uint32_t)second));
}
#else
#define DEPTH 1

static inline vf word_add(const int depth, vf sum, float word, vf words)
{
    (void)depth;
    return sum + word * words;
}

static inline void operands_store(float *to, vf x)
{
#ifdef KERNEL_BF16
    elem rounded[LANES];
    vf_store(rounded, x);
    x = vf_load(rounded);
#endif
    *(vf *)to = x;
}

static inline void partners_store(float *to, vf x, int second)
{
    (void)second;
    operands_store(to, x);
}
#endif

/* Words of so many operands along a sum. */
static inline int words_of(int depth, int operands)
{
    return (operands + depth - 1) / depth;
}

#endif
