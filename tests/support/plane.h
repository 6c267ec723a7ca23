/* Help for tests of kernels: pitched tensors with guarded gaps, results that must not depend on threads, every
 * instruction set, gradients by finite differences in double. */
#ifndef TEST_PLANE_H
#define TEST_PLANE_H

#include "check.h"

#include "iddpm/kernels.h"

/* `rows` rows of c elements, one every `pitch`. What lies between rows is a guard that no kernel may touch. */
struct plane {
    int64_t rows;
    int c, pitch;
    enum element element;
    float *data; /* of a plane of bfloat16 only to be handed to kernels */
};
struct plane plane_create(int64_t rows, int c, int pitch); /* float32 */
struct plane plane_create_of(enum element element, int64_t rows, int c, int pitch);
/* What a result that is stored with this element may err by, of the largest magnitude. */
double plane_tolerance(enum element element, double of_float32);
/* Uniform in [-scale, scale) + shift, a function of `stream`. */
void plane_random(struct plane *plane, uint32_t stream, double scale, double shift);
void plane_set(struct plane *plane, float value);
void plane_put(struct plane *plane, int64_t row, int j, float value); /* one element, rounded to what it can hold */
void plane_check_guards(const struct plane *plane, const char *what);
void plane_free(struct plane *plane);

/* The rows without gaps, as double (free()), and the comparison of a plane with such values: each element within
 * `tolerance` of the largest magnitude. Also checks the guards. */
double *plane_values(const struct plane *plane);
void plane_check(const struct plane *plane, const double *want, double tolerance, const char *what);

/* run(context) on 1, 2 and 3 OpenMP threads from the same contents of the n planes it writes: equal bits. */
void check_threads(void (*run)(void *context), void *context, int n, struct plane *const *written);
#define TEST_THREADS 3 /* the most, for scratch */

/* Runs `test` on every instruction set of this processor; the best is chosen afterwards. */
void every_isa(void (*test)(void));

/* Central differences of loss(context) by each of x[n], which it reads. */
void numeric_gradient(double (*loss)(void *context), void *context, size_t n, double *x, double *gradient);
double dot(size_t n, const double *a, const double *b);

#endif
