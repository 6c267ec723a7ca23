/* Softmax of the rows of a matrix, in place, on the calling thread. */
#ifndef IDDPM_KERNELS_SOFTMAX_H
#define IDDPM_KERNELS_SOFTMAX_H

/* x[row][0..c) becomes exp(x) / sum(exp(x)); rows start every `pitch` floats. */
void softmax_rows(int rows, int c, float *x, int pitch);
/* With the weights p: dp becomes p (dp - sum(p dp)), the gradient before the softmax. Both have the same pitch. */
void softmax_rows_backward(int rows, int c, const float *p, float *dp, int pitch);

#endif
