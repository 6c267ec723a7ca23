/* What this machine can do, for benchmarks to compare with. */
#include "peak.h"

#include "iddpm/kernels.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 20
#define PEAK_ROUNDS 100000
/* Multiply-adds in registers: more independent chains than latency x units, not more than registers. */
#define PEAK(isa, attribute, bytes, chains)                                                                            \
    attribute static double peak_##isa(void)                                                                           \
    {                                                                                                                  \
        typedef float vf __attribute__((vector_size(bytes)));                                                          \
        vf sum[chains], a, b;                                                                                          \
        memset(&a, 0, sizeof a);                                                                                       \
        memset(&b, 0, sizeof b);                                                                                       \
        memset(sum, 0, sizeof sum);                                                                                    \
        __asm__ volatile("" : "+x"(a), "+x"(b));                                                                       \
        double start = clock_seconds();                                                                                \
        for (int r = 0; r < PEAK_ROUNDS; r++) {                                                                        \
            _Pragma("GCC unroll 32") for (int i = 0; i < chains; i++) sum[i] = sum[i] * a + b;                         \
        }                                                                                                              \
        for (int i = 1; i < chains; i++) sum[0] += sum[i];                                                             \
        __asm__ volatile("" : "+x"(sum[0]));                                                                           \
        return 2.0 * PEAK_ROUNDS * (chains) * (bytes) / sizeof(float) / (clock_seconds() - start) / 1e9;               \
    }
PEAK(portable, , 16, 12)
#ifdef __x86_64__
PEAK(avx2, __attribute__((target("avx2,fma"))), 32, 12)
PEAK(avx512, __attribute__((target("avx512f"))), 64, 24)
#endif

double bench_peak(void)
{
    double (*measure)(void) = peak_portable;
#ifdef __x86_64__
    if (strcmp(kernels_isa(), "avx2") == 0) measure = peak_avx2;
    if (strncmp(kernels_isa(), "avx512", 6) == 0) measure = peak_avx512;
#endif
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        double all = 0;
#pragma omp parallel reduction(+ : all)
        all += measure();
        best = all > best ? all : best;
    }
    return best;
}

double bench_bandwidth(void)
{
    const size_t bytes = (size_t)256 << 20;
    char *from = malloc(bytes), *to = malloc(bytes);
    double best = 0;
    for (int i = 0; from && to && i < TRIES / 2; i++) {
        memset(from, i, i == 0 ? bytes : 1);
        double start = clock_seconds();
#pragma omp parallel for
        for (size_t k = 0; k < bytes; k += 1 << 20) memcpy(to + k, from + k, 1 << 20);
        double rate = 2.0 * (double)bytes / (clock_seconds() - start) / 1e9;
        if (i > 0 && rate > best) best = rate;
    }
    free(from);
    free(to);
    return best;
}
