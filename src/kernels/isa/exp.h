/* Exponential for loops that the compiler vectorises: no branches, no table, no library call. */
#ifndef IDDPM_KERNELS_EXP_H
#define IDDPM_KERNELS_EXP_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* e^x with a relative error below 1e-7 for -87.33 < x < 88.37; 0 below (the result would be a denormal), infinity
 * above, NaN for NaN. x = n ln 2 + r with |r| <= ln(2) / 2, and e^r = 1 + r + r^2 p(r) with the p of degree 4 that has
 * the least relative error (3e-9). ln 2 is split so that n times its upper part is exact without FMA. */
static inline float exp_float(float x)
{
    const float to_integer = 0x1.8p23f; /* added, the fraction is rounded away and n stands in the lowest bits */
    float shifted = x * 1.44269504f + to_integer;
    float n = shifted - to_integer;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.3814539e-3f;
    p = p * r + 8.3687454e-3f;
    p = p * r + 4.1668389e-2f;
    p = p * r + 1.6666521e-1f;
    p = p * r + 0.49999994f;
    p = p * (r * r) + r + 1;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + (127u << 23); /* the float 2^n */
    float power;
    memcpy(&power, &bits, sizeof power);
    float y = p * power;
    y = x < -87.33f ? 0 : y;
    return x > 88.37f ? INFINITY : y;
}

#endif
