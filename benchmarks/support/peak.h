/* What this machine can do, for benchmarks to compare with. */
#ifndef IDDPM_BENCH_PEAK_H
#define IDDPM_BENCH_PEAK_H

/* GFLOP/s of float32 multiply-adds in registers with the chosen instruction set, all OpenMP threads together. */
double bench_peak(void);
/* GB/s read and written by a large copy, all OpenMP threads together; 0 without memory for it. */
double bench_bandwidth(void);

#endif
