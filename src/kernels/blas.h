/* Private to src/kernels: linear layers of float32 by OpenBLAS, where it was measured to be faster than linear.c. The
 * arguments are those of kernels.h. */
#ifndef IDDPM_KERNELS_BLAS_H
#define IDDPM_KERNELS_BLAS_H

#include "iddpm/kernels.h"

/* Positions up to which OpenBLAS is faster backward with any instruction set: layers of embeddings. */
#define BLAS_ROWS 16

void blas_linear_backward_input(const struct linear_shape *shape, const float *dy, const float *weight, float *dx,
                                bool accumulate);
void blas_linear_backward_weight(const struct linear_shape *shape, const float *x, const float *dy, float *dweight,
                                 float *dbias);

#endif
