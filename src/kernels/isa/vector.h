/* Vectors of float32 as wide as the instruction set's registers. */
#ifndef IDDPM_KERNELS_VECTOR_H
#define IDDPM_KERNELS_VECTOR_H

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float vf __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); /* loads and stores anywhere */

#endif
