/* Arrays to measure with. */
#ifndef IDDPM_BENCH_ARRAYS_H
#define IDDPM_BENCH_ARRAYS_H

#include "iddpm/base.h"

#define BENCH_COLD_FLOATS ((size_t)32 << 20) /* more than the last cache */

/* Normally distributed numbers. */
void bench_fill(size_t n, float *values);
/* Reads and writes all of sweep[BENCH_COLD_FLOATS], by all OpenMP threads, so that no cache holds anything else. */
void bench_make_cold(float *sweep);

#endif
