#include "plane.h"

#include "iddpm/kernels.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define GUARD 1.25e30f

static size_t plane_size(const struct plane *plane)
{
    return (size_t)plane->rows * (size_t)plane->pitch;
}

struct plane plane_create(int64_t rows, int c, int pitch)
{
    struct plane plane = {rows, c, pitch, NULL};
    assert_true(c <= pitch);
    if (mem_alloc(&plane.data, plane_size(&plane), sizeof *plane.data, "plane")) fail_msg("%s", iddpm_error_text());
    for (size_t i = 0; i < plane_size(&plane); i++) plane.data[i] = GUARD;
    return plane;
}

void plane_random(struct plane *plane, uint32_t stream, double scale, double shift)
{
    struct rng rng = {1, RNG_TEST, stream, 0};
    size_t n = (size_t)plane->rows * (size_t)plane->c;
    double *values = malloc((n ? n : 1) * sizeof *values);
    rng_uniform(&rng, n, values);
    for (size_t i = 0; i < n; i++)
        plane->data[i / (size_t)plane->c * (size_t)plane->pitch + i % (size_t)plane->c] =
            (float)((2 * values[i] - 1) * scale + shift);
    free(values);
}

void plane_set(struct plane *plane, float value)
{
    for (int64_t row = 0; row < plane->rows; row++)
        for (int j = 0; j < plane->c; j++) plane->data[row * plane->pitch + j] = value;
}

void plane_check_guards(const struct plane *plane, const char *what)
{
    for (int64_t row = 0; row < plane->rows; row++)
        for (int j = plane->c; j < plane->pitch; j++)
            if (plane->data[row * plane->pitch + j] != GUARD)
                fail_msg("%s: wrote between rows, at row %lld, float %d", what, (long long)row, j);
}

void plane_free(struct plane *plane)
{
    free(plane->data);
    plane->data = NULL;
}

double *plane_values(const struct plane *plane)
{
    size_t n = (size_t)plane->rows * (size_t)plane->c;
    double *values = malloc((n ? n : 1) * sizeof *values);
    for (int64_t row = 0; row < plane->rows; row++)
        for (int j = 0; j < plane->c; j++) values[row * plane->c + j] = plane->data[row * plane->pitch + j];
    return values;
}

void plane_check(const struct plane *plane, const double *want, double tolerance, const char *what)
{
    double *got = plane_values(plane);
    check_scaled((size_t)plane->rows * (size_t)plane->c, got, want, tolerance, "%s, %s", what, kernels_isa());
    plane_check_guards(plane, what);
    free(got);
}

static float *copy_of(const struct plane *plane)
{
    float *copy = malloc((plane_size(plane) + 1) * sizeof *copy);
    memcpy(copy, plane->data, plane_size(plane) * sizeof *copy);
    return copy;
}

void check_threads(void (*run)(void *context), void *context, int n, struct plane *const *written)
{
    enum { PLANES = 8 };
    float *before[PLANES], *after[PLANES];
    int threads = omp_get_max_threads();
    assert_true(n <= PLANES);
    for (int k = 0; k < n; k++) before[k] = copy_of(written[k]);
    omp_set_num_threads(1);
    run(context);
    for (int k = 0; k < n; k++) {
        after[k] = copy_of(written[k]);
        memcpy(written[k]->data, before[k], plane_size(written[k]) * sizeof(float));
    }
    omp_set_num_threads(TEST_THREADS);
    run(context);
    omp_set_num_threads(threads);
    for (int k = 0; k < n; k++) {
        if (memcmp(written[k]->data, after[k], plane_size(written[k]) * sizeof(float)) != 0)
            fail_msg("result %d has other bits on %d threads than on one (%s)", k, TEST_THREADS, kernels_isa());
        free(before[k]);
        free(after[k]);
    }
}

void every_isa(void (*test)(void))
{
    static const char *const names[] = {"portable", "avx2", "avx512"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (kernels_select(names[k]) == IDDPM_OK) test();
    assert_int_equal(kernels_select(NULL), IDDPM_OK);
}

void numeric_gradient(double (*loss)(void *context), void *context, size_t n, double *x, double *gradient)
{
    const double step = 1e-5;
    for (size_t i = 0; i < n; i++) {
        double kept = x[i];
        x[i] = kept + step;
        double above = loss(context);
        x[i] = kept - step;
        gradient[i] = (above - loss(context)) / (2 * step);
        x[i] = kept;
    }
}

double dot(size_t n, const double *a, const double *b)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}
