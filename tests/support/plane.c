#include "plane.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define GUARD 1.25e30f /* bfloat16 rounds it */

static size_t plane_size(const struct plane *plane)
{
    return (size_t)plane->rows * (size_t)plane->pitch;
}

static size_t plane_bytes(const struct plane *plane)
{
    return plane_size(plane) * element_size(plane->element);
}

static float rounded(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x == x) bits += 0x7fff + (bits >> 16 & 1);
    bits &= 0xffff0000u;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

static float get(const struct plane *plane, int64_t row, int j)
{
    size_t i = (size_t)row * (size_t)plane->pitch + (size_t)j;
    if (plane->element == ELEMENT_FLOAT32) return plane->data[i];
    uint32_t bits = (uint32_t)((const uint16_t *)(const void *)plane->data)[i] << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

void plane_put(struct plane *plane, int64_t row, int j, float x)
{
    size_t i = (size_t)row * (size_t)plane->pitch + (size_t)j;
    if (plane->element == ELEMENT_FLOAT32) {
        plane->data[i] = x;
        return;
    }
    uint32_t bits;
    x = rounded(x);
    memcpy(&bits, &x, sizeof bits);
    ((uint16_t *)(void *)plane->data)[i] = (uint16_t)(bits >> 16);
}

struct plane plane_create_of(enum element element, int64_t rows, int c, int pitch)
{
    struct plane plane = {rows, c, pitch, element, NULL};
    assert_true(c <= pitch);
    if (mem_alloc(&plane.data, plane_size(&plane), element_size(element), "plane")) fail_msg("%s", iddpm_error_text());
    for (int64_t row = 0; row < rows; row++)
        for (int j = 0; j < pitch; j++) plane_put(&plane, row, j, GUARD);
    return plane;
}

struct plane plane_create(int64_t rows, int c, int pitch)
{
    return plane_create_of(ELEMENT_FLOAT32, rows, c, pitch);
}

double plane_tolerance(enum element element, double of_float32)
{
    return element == ELEMENT_BF16 ? 1e-2 : of_float32;
}

void plane_random(struct plane *plane, uint32_t stream, double scale, double shift)
{
    struct rng rng = {1, RNG_TEST, stream, 0};
    size_t n = (size_t)plane->rows * (size_t)plane->c;
    double *values = malloc((n ? n : 1) * sizeof *values), *next = values;
    rng_uniform(&rng, n, values);
    for (int64_t row = 0; row < plane->rows; row++)
        for (int j = 0; j < plane->c; j++) plane_put(plane, row, j, (float)((2 * *next++ - 1) * scale + shift));
    free(values);
}

void plane_set(struct plane *plane, float value)
{
    for (int64_t row = 0; row < plane->rows; row++)
        for (int j = 0; j < plane->c; j++) plane_put(plane, row, j, value);
}

void plane_check_guards(const struct plane *plane, const char *what)
{
    float guard = plane->element == ELEMENT_BF16 ? rounded(GUARD) : GUARD;
    for (int64_t row = 0; row < plane->rows; row++)
        for (int j = plane->c; j < plane->pitch; j++)
            if (get(plane, row, j) != guard)
                fail_msg("%s: wrote between rows, at row %lld, element %d", what, (long long)row, j);
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
        for (int j = 0; j < plane->c; j++) values[row * plane->c + j] = get(plane, row, j);
    return values;
}

void plane_check(const struct plane *plane, const double *want, double tolerance, const char *what)
{
    double *got = plane_values(plane);
    check_scaled((size_t)plane->rows * (size_t)plane->c, got, want, tolerance, "%s, %s", what, kernels_isa());
    plane_check_guards(plane, what);
    free(got);
}

static void *copy_of(const struct plane *plane)
{
    void *copy = malloc(plane_bytes(plane) + 1);
    memcpy(copy, plane->data, plane_bytes(plane));
    return copy;
}

void check_threads(void (*run)(void *context), void *context, int n, struct plane *const *written)
{
    enum { PLANES = 8 };
    void *before[PLANES], *after[PLANES];
    int most = omp_get_max_threads();
    assert_true(n <= PLANES);
    for (int k = 0; k < n; k++) before[k] = copy_of(written[k]);
    omp_set_num_threads(1);
    run(context);
    for (int k = 0; k < n; k++) after[k] = copy_of(written[k]);
    for (int threads = 2; threads <= TEST_THREADS; threads++) {
        for (int k = 0; k < n; k++) memcpy(written[k]->data, before[k], plane_bytes(written[k]));
        omp_set_num_threads(threads);
        run(context);
        for (int k = 0; k < n; k++)
            if (memcmp(written[k]->data, after[k], plane_bytes(written[k])) != 0)
                fail_msg("result %d has other bits on %d threads than on one (%s)", k, threads, kernels_isa());
    }
    omp_set_num_threads(most);
    for (int k = 0; k < n; k++) {
        free(before[k]);
        free(after[k]);
    }
}

void every_isa(void (*test)(void))
{
    static const char *const names[] = {"portable", "avx2", "avx512", "avx512bf16"};
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
