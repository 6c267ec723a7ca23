#include "arrays.h"

void bench_fill(size_t n, float *values)
{
    double normal[4];
    for (size_t i = 0; i < n; i++) {
        if (i % 4 == 0) rng_normal(&(struct rng){.purpose = RNG_TEST, .step = (uint32_t)(i / 4)}, 4, normal);
        values[i] = (float)normal[i % 4];
    }
}

void bench_make_cold(float *sweep)
{
#pragma omp parallel for
    for (size_t i = 0; i < BENCH_COLD_FLOATS; i++) sweep[i] += 1;
}
