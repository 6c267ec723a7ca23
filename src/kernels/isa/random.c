/* Random parameters by Philox4x32-10, many counters side by side. */
#include "philox.h"

static void uniform_piece(const struct rng *rng, double scale, size_t n, float *out)
{
    const struct philox philox = philox_of(rng);
    for (size_t first = 0; first < n; first += NUMBERS) {
        vu32 numbers[2];
        float values[NUMBERS];
        philox_numbers(&philox, (uint32_t)(first / 4), 1, numbers);
#pragma omp simd
        for (int i = 0; i < NUMBERS; i++) {
            int32_t from_middle = (int32_t)(((const uint32_t *)numbers)[i] ^ 0x80000000);
            values[i] = (float)(from_middle * scale);
        }
        memcpy(out + first, values, (n - first < NUMBERS ? n - first : NUMBERS) * sizeof *out);
    }
}

void uniform_fill(const struct rng *rng, double bound, size_t n, float *out)
{
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < n; first += UNIFORM_PIECE) {
        struct rng piece = *rng;
        piece.step += (uint32_t)(first / UNIFORM_PIECE);
        uniform_piece(&piece, bound * 0x1p-31, n - first < UNIFORM_PIECE ? n - first : UNIFORM_PIECE, out + first);
    }
}
