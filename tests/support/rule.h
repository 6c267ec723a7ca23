/* The rule by which the reference files' inputs and parameters are made: splitmix64 of (seed, stream, index). The seed
 * is that of the reference folder. Arrays follow the authors' order [n][c][h][w]. */
#ifndef TEST_RULE_H
#define TEST_RULE_H

#include <stddef.h>
#include <stdint.h>

/* Streams. Parameter j of a network takes stream j, the probe of its gradient RULE_PROBE + j. */
#define RULE_PROBE 1500
#define RULE_INPUT 3000   /* network input; images of losses; input K of a layer takes RULE_INPUT + K */
#define RULE_OUTPUT 3001  /* weights of a network's output */
#define RULE_LOW_RES 3002 /* low-resolution input of super-resolution */
#define RULE_LAYER 3051   /* weights of a single layer's output */
#define RULE_NOISE 3100   /* + draw */
#define RULE_TIMESTEP 3200
#define RULE_WEIGHT 3300
#define RULE_LABEL 3400

uint64_t rule_seed(void);                 /* of the reference folder: its file `seed`, 1 when there is none */
double rule(uint32_t stream, uint64_t i); /* in [-1, 1), exact in float32 */
/* out[i] = scale rule(stream, i) + shift */
void rule_fill(uint32_t stream, double scale, double shift, size_t n, double *out);
/* 8-bit images: round((rule + 1) 127.5) / 127.5 - 1, the rounding half to even. */
void rule_images(uint32_t stream, size_t n, double *out);
/* Noise of unit variance, uniform: sqrt(3) rule(RULE_NOISE + draw). */
void rule_noise(uint32_t draw, size_t n, double *out);
/* floor((rule(stream, i) + 1) count / 2): timesteps and labels below `count`. */
void rule_integers(uint32_t stream, int count, size_t n, int64_t *out);
/* Parameter j of a network by its name and shape, rounded to float32. */
void rule_parameter(uint32_t j, const char *name, int ndim, const uint64_t *dims, float *out);

/* Inner product with rule(stream), and Euclidean norm. */
double rule_dot(uint32_t stream, size_t n, const double *x);
double rule_dot_float(uint32_t stream, size_t n, const float *x);
double norm(size_t n, const double *x);
double norm_float(size_t n, const float *x);

/* [n][c][hw] to [n][hw][c], and back. */
void channels_last(int n, int c, size_t hw, const double *in, double *out);
void channels_first(int n, int c, size_t hw, const double *in, double *out);
/* The same between the authors' arrays and float32 activations of the kernels. */
void channels_last_float(int n, int c, size_t hw, const double *in, float *out);
void channels_first_float(int n, int c, size_t hw, const float *in, double *out);

#endif
