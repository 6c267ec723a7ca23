/* Private to linear layers. */
#ifndef IDDPM_KERNELS_LINEAR_H
#define IDDPM_KERNELS_LINEAR_H

#include "element.h"

#define FEW_ROWS 16 /* positions, at most, that linear_few.c takes: layers of embeddings */

/* linear_forward for few positions, without scratch. */
void linear_few_forward(const struct linear_shape *shape, const elem *x, const float *weight, const float *bias,
                        const elem *residual, int residual_pitch, elem *y);

#endif
