/* Dropout by Philox4x32-10 (Salmon et al. 2011), many counters side by side; the numbers are those of rng_uint32. */
#include "isa.h"

enum { PIECE = 512 }; /* elements whose numbers are made at once */

/* The counters block, block + 1, ... of `rng`, four numbers each. */
static void philox_blocks(const struct rng *rng, uint32_t block, int blocks, uint32_t *restrict out)
{
    for (int i = 0; i < blocks; i++) {
        uint32_t c0 = block + (uint32_t)i, c1 = rng->slot, c2 = rng->step, c3 = rng->purpose;
        uint32_t k0 = (uint32_t)rng->seed, k1 = (uint32_t)(rng->seed >> 32);
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            uint64_t a = (uint64_t)0xD2511F53 * c0, b = (uint64_t)0xCD9E8D57 * c2;
            c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
            c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
            c1 = (uint32_t)b;
            c3 = (uint32_t)a;
            k0 += 0x9E3779B9;
            k1 += 0xBB67AE85;
        }
        out[4 * i] = c0;
        out[4 * i + 1] = c1;
        out[4 * i + 2] = c2;
        out[4 * i + 3] = c3;
    }
}

struct mask {
    uint32_t threshold; /* numbers below it drop their element */
    float factor;       /* 1 / (1 - rate) */
};

/* c elements from number `element` on of their image */
static void drop_row(const struct rng *rng, struct mask mask, uint64_t element, int c, const float *x, float *y,
                     bool accumulate)
{
    uint32_t numbers[PIECE + 8];
    for (int first = 0; first < c; first += PIECE) {
        int count = c - first < PIECE ? c - first : PIECE;
        int skip = (int)((element + (uint64_t)first) % 4);
        philox_blocks(rng, (uint32_t)((element + (uint64_t)first) / 4), (skip + count + 3) / 4, numbers);
#pragma omp simd
        for (int j = 0; j < count; j++) {
            float kept = numbers[skip + j] < mask.threshold ? 0 : x[first + j] * mask.factor;
            y[first + j] = accumulate ? y[first + j] + kept : kept;
        }
    }
}

void dropout_apply(int n, int64_t hw, int c, double rate, const struct rng *key, const uint32_t *slots, const float *x,
                   int x_pitch, float *y, int y_pitch, bool accumulate)
{
    struct mask mask = {(uint32_t)(rate * 0x1p32), (float)(1 / (1 - rate))};
#pragma omp parallel for collapse(2) schedule(static)
    for (int image = 0; image < n; image++)
        for (int64_t position = 0; position < hw; position++) {
            struct rng rng = *key;
            rng.slot = slots[image];
            int64_t row = image * hw + position;
            drop_row(&rng, mask, (uint64_t)(position * c), c, x + row * x_pitch, y + row * y_pitch, accumulate);
        }
}
