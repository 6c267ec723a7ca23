/* 3x3 convolutions with random data for tests, and what their passes should give, in double. */
#ifndef TEST_CONV_PROBLEM_H
#define TEST_CONV_PROBLEM_H

#include "check.h"

#include "iddpm/kernels.h"

#define CONV_FIXED 16  /* problems of chosen shapes: numbers 0 .. CONV_FIXED - 1 */
#define CONV_RANDOM 25 /* and as many of random ones */
#define CONV_ALGORITHMS (CONV_WINOGRAD4 + 1)
#define CONV_VARIANTS (4 * CONV_ALGORITHMS) /* of an instruction set and an algorithm */
#define CONV_THREADS 3                      /* for scratch, at most */

uint32_t random_below(uint32_t bound, int stream, int element);
/* Exactly as large as asked, so that AddressSanitizer sees the ends, and NaN where nothing was written. */
float *array(size_t n);
float *copy(const float *values, size_t n);

/* A shape with random data: x, weight, bias, residual and dy are inputs of the passes; dx, dweight and dbias are what
 * gradients are added to. Activations lie between gaps of NaN; where they are bfloat16, these are their values. */
struct problem {
    struct conv_shape s;
    int h_out, w_out, residual_pitch;
    size_t x_rows, y_rows, weights;
    float *x, *y, *weight, *bias, *residual, *dy, *dx, *dweight, *dbias, *packed[2], *scratch;
    const float *forward, *backward; /* packed weights, or the weights themselves */
};
const struct conv_shape *problem_shape(int number); /* of a chosen one, without pitches */
void problem_create(struct problem *p, int number, enum element element);
void problem_destroy(struct problem *p);
/* Selects instruction set and algorithm; false when the shape or this processor has not got it. */
bool problem_select(struct problem *p, int variant);
/* Packs for the selected instruction set. */
void problem_pack(struct problem *p);

/* The passes, on n images (at most s.n) whose arrays start as given, by way of arrays of the element. */
void problem_forward(struct problem *p, int n, const float *x, const float *residual, float *y);
void problem_backward_input(struct problem *p, float *dx, bool accumulate);
void problem_backward_weight(struct problem *p, float *dweight, float *dbias);

/* Sums and the sums of the terms' absolute values, to which rounding errors are in proportion. */
struct sums {
    double *value, *size;
};
struct expected {
    struct sums y, dx, dweight, dbias; /* without pitch; not counting bias, residual and what was there before */
};
struct expected expected_create(const struct problem *p);
void expected_destroy(struct expected *e);

#endif
