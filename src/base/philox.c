/* Randomness as a function of (seed, purpose, step, slot, element): see base.h. */
#include "iddpm/base.h"

#include <Random123/philox.h>
#include <math.h>

static philox4x32_ctr_t block(const struct rng *rng, uint64_t index)
{
    philox4x32_ctr_t counter = {{(uint32_t)index, rng->slot, rng->step, rng->purpose}};
    philox4x32_key_t key = {{(uint32_t)rng->seed, (uint32_t)(rng->seed >> 32)}};
    return philox4x32(counter, key);
}

void rng_uint32(const struct rng *rng, uint64_t first, size_t n, uint32_t *out)
{
    size_t i = 0;
    while (i < n) {
        uint64_t element = first + i;
        philox4x32_ctr_t r = block(rng, element / 4);
        for (unsigned lane = element % 4; lane < 4 && i < n; lane++) out[i++] = r.v[lane];
    }
}

void rng_uniform(const struct rng *rng, size_t n, double *out)
{
    for (size_t i = 0; i < n; i += 4) {
        philox4x32_ctr_t r = block(rng, i / 4);
        for (size_t lane = 0; lane < 4 && i + lane < n; lane++) out[i + lane] = r.v[lane] * 0x1p-32;
    }
}

void rng_normal(const struct rng *rng, size_t n, double *out)
{
    for (size_t i = 0; i < n; i += 4) {
        philox4x32_ctr_t r = block(rng, i / 4);
        double z[4];
        for (int pair = 0; pair < 4; pair += 2) { /* (u + 1/2) 2^-32 is never 0 */
            double radius = sqrt(-2 * log((r.v[pair] + 0.5) * 0x1p-32));
            double angle = 2 * M_PI * (r.v[pair + 1] + 0.5) * 0x1p-32;
            z[pair] = radius * cos(angle);
            z[pair + 1] = radius * sin(angle);
        }
        for (size_t lane = 0; lane < 4 && i + lane < n; lane++) out[i + lane] = z[lane];
    }
}

double rng_one_uniform(const struct rng *rng)
{
    philox4x32_ctr_t r = block(rng, 0);
    return ((r.v[0] >> 5) * 67108864.0 + (r.v[1] >> 6)) * 0x1p-53;
}

uint64_t rng_permute(const struct rng *rng, uint64_t n, uint64_t i)
{
    /* A balanced Feistel network on 2 x half bits, at most four times n; walking the cycle stays inside 0..n-1. */
    unsigned half = 1;
    while (half < 31 && (UINT64_C(1) << (2 * half)) < n) half++;
    uint64_t mask = (UINT64_C(1) << half) - 1;
    do {
        uint64_t left = i >> half, right = i & mask;
        for (uint32_t round = 0; round < 6; round++) {
            struct rng keyed = *rng;
            keyed.purpose ^= (round + 1) << 24;
            uint64_t mixed = block(&keyed, right).v[0];
            uint64_t next = left ^ (mixed & mask);
            left = right;
            right = next;
        }
        i = left << half | right;
    } while (i >= n);
    return i;
}
