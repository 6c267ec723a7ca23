/* Attention against its definition in double; gradients against differences and against theirs. */
#include "iddpm/kernels.h"
#include "plane.h"

#include <math.h>
#include <stdlib.h>

struct fixture {
    int n, t, heads, c_head;
    bool accumulate;
    enum element element;
    double scale; /* of q, k, v */
    struct attention_shape shape;
    struct plane qkv, y, dy, dqkv;
    float *scratch;
    double *qkv64, *dy64, *y64;
};

static void setup(struct fixture *f)
{
    int c = f->heads * f->c_head, rows = f->n * f->t;
    f->qkv = plane_create_of(f->element, rows, 3 * c, 3 * c + 2);
    f->dqkv = plane_create_of(f->element, rows, 3 * c, 3 * c + 2);
    f->y = plane_create_of(f->element, rows, c, c + 7);
    f->dy = plane_create_of(f->element, rows, c, c + 7);
    f->shape = (struct attention_shape){f->n, f->t, f->heads, f->c_head, f->qkv.pitch, f->y.pitch, f->element};
    plane_random(&f->qkv, 1, f->scale, 0);
    plane_random(&f->dy, 2, 1, 0);
    plane_set(&f->y, NAN);
    if (f->accumulate)
        plane_random(&f->dqkv, 3, 1, 0);
    else
        plane_set(&f->dqkv, NAN);
    size_t size = attention_scratch_size(&f->shape, TEST_THREADS);
    assert_int_equal(mem_alloc(&f->scratch, size, sizeof(float), "scratch"), IDDPM_OK);
    for (size_t i = 0; i < size; i++) f->scratch[i] = NAN;
    f->qkv64 = plane_values(&f->qkv);
    f->dy64 = plane_values(&f->dy);
    f->y64 = plane_values(&f->dy);
}

static void teardown(struct fixture *f)
{
    plane_free(&f->qkv);
    plane_free(&f->dqkv);
    plane_free(&f->y);
    plane_free(&f->dy);
    free(f->scratch);
    free(f->qkv64);
    free(f->dy64);
    free(f->y64);
}

static void softmax(int n, double *x)
{
    double largest = x[0], sum = 0;
    for (int i = 1; i < n; i++) largest = fmax(largest, x[i]);
    for (int i = 0; i < n; i++) sum += x[i] = exp(x[i] - largest);
    for (int i = 0; i < n; i++) x[i] /= sum;
}

/* One query of one head: q and k each scaled by c^(-1/4). */
static void define_query(struct fixture *f, int image, int head, int query, double *weights)
{
    int c = f->c_head;
    size_t row = (size_t)(3 * f->heads * c), first = (size_t)(image * f->t) * row + (size_t)(head * 3 * c);
    const double *q = f->qkv64 + first + (size_t)query * row, *k = f->qkv64 + first + c, *v = k + c;
    double scale = pow(c, -0.25), *y = f->y64 + (size_t)((image * f->t + query) * f->heads + head) * (size_t)c;
    for (int key = 0; key < f->t; key++) {
        weights[key] = 0;
        for (int j = 0; j < c; j++) weights[key] += (q[j] * scale) * (k[(size_t)key * row + (size_t)j] * scale);
    }
    softmax(f->t, weights);
    for (int j = 0; j < c; j++) {
        y[j] = 0;
        for (int key = 0; key < f->t; key++) y[j] += weights[key] * v[(size_t)key * row + (size_t)j];
    }
}

/* What one query of one head adds to the gradients [rows][heads][q, k, v][c_head]. */
static void define_gradient(struct fixture *f, int image, int head, int query, double *weights, double *gradient)
{
    int c = f->c_head;
    size_t row = (size_t)(3 * f->heads * c), first = (size_t)(image * f->t) * row + (size_t)(head * 3 * c);
    const double *q = f->qkv64 + first + (size_t)query * row, *k = f->qkv64 + first + c, *v = k + c;
    const double *dy = f->dy64 + (size_t)((image * f->t + query) * f->heads + head) * (size_t)c;
    double *dq = gradient + first + (size_t)query * row, *dk = gradient + first + c, *dv = dk + c, mean = 0;
    define_query(f, image, head, query, weights);
    for (int key = 0; key < f->t; key++) mean += weights[key] * dot((size_t)c, dy, v + (size_t)key * row);
    for (int key = 0; key < f->t; key++) {
        size_t at = (size_t)key * row;
        double ds = weights[key] * (dot((size_t)c, dy, v + at) - mean) / sqrt(c);
        for (int j = 0; j < c; j++) {
            dq[j] += ds * k[at + (size_t)j];
            dk[at + (size_t)j] += ds * q[j];
            dv[at + (size_t)j] += weights[key] * dy[j];
        }
    }
}

static double loss(void *context)
{
    struct fixture *f = context;
    double *weights = malloc((size_t)f->t * sizeof *weights);
    for (int image = 0; image < f->n; image++)
        for (int head = 0; head < f->heads; head++)
            for (int query = 0; query < f->t; query++) define_query(f, image, head, query, weights);
    free(weights);
    return dot((size_t)f->y.rows * (size_t)f->y.c, f->y64, f->dy64);
}

static void forward(void *context)
{
    struct fixture *f = context;
    attention_forward(&f->shape, f->qkv.data, f->y.data, f->scratch);
}

static void backward(void *context)
{
    struct fixture *f = context;
    attention_backward(&f->shape, f->qkv.data, f->dy.data, f->dqkv.data, f->accumulate, f->scratch);
}

static void small_sizes(void)
{
    struct fixture cases[] = {
        {.n = 1, .t = 1, .heads = 1, .c_head = 1, .scale = 1},
        {.n = 2, .t = 9, .heads = 3, .c_head = 5, .scale = 2},
        {.n = 1, .t = 19, .heads = 2, .c_head = 4, .scale = 1, .accumulate = true},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct fixture *f = &cases[k];
        setup(f);
        size_t n = (size_t)f->qkv.rows * (size_t)f->qkv.c;
        double *want = malloc(n * sizeof *want), *before = plane_values(&f->dqkv);
        loss(f);
        check_threads(forward, f, 1, (struct plane *[]){&f->y});
        plane_check(&f->y, f->y64, 2e-6, "y");
        numeric_gradient(loss, f, n, f->qkv64, want);
        for (size_t i = 0; i < n && f->accumulate; i++) want[i] += before[i];
        check_threads(backward, f, 1, (struct plane *[]){&f->dqkv});
        plane_check(&f->dqkv, want, 1e-5, "dqkv");
        free(want);
        free(before);
        teardown(f);
    }
}

static void attention_is_its_definition(void **state)
{
    (void)state;
    every_isa(small_sizes);
}

static void check_large(struct fixture *f, enum element element)
{
    f->element = element;
    setup(f);
    double *want = plane_values(&f->dqkv), *weights = malloc((size_t)f->t * sizeof *weights);
    for (int64_t i = 0; i < f->qkv.rows * f->qkv.c && !f->accumulate; i++) want[i] = 0;
    for (int i = 0; i < f->n * f->heads * f->t; i++)
        define_gradient(f, i / (f->heads * f->t), i / f->t % f->heads, i % f->t, weights, want);
    check_threads(forward, f, 1, (struct plane *[]){&f->y});
    plane_check(&f->y, f->y64, plane_tolerance(element, 2e-6), "y");
    check_threads(backward, f, 1, (struct plane *[]){&f->dqkv});
    plane_check(&f->dqkv, want, plane_tolerance(element, 5e-6), "dqkv");
    free(want);
    free(weights);
    teardown(f);
}

/* More positions than a block of queries, heads that threads do alone and together, and channels of every kind. */
static void large_sizes(void)
{
    struct fixture cases[] = {
        {.n = 1, .t = 515, .heads = 1, .c_head = 3, .scale = 2},
        {.n = 1, .t = 300, .heads = 1, .c_head = 17, .scale = 2, .accumulate = true},
        {.n = 2, .t = 64, .heads = 2, .c_head = 64, .scale = 1},
        {.n = 5, .t = 33, .heads = 1, .c_head = 24, .scale = 1, .accumulate = true},
        {.n = 1, .t = 129, .heads = 7, .c_head = 32, .scale = 3},
        {.n = 1, .t = 30, .heads = 1, .c_head = 512, .scale = 1},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        check_large(&cases[k], ELEMENT_FLOAT32);
        check_large(&cases[k], ELEMENT_BF16);
    }
}

static void several_blocks(void **state)
{
    (void)state;
    every_isa(large_sizes);
}

/* Scores of +-10,000: only their differences may reach the exponential. */
static void large_scores(void **state)
{
    (void)state;
    struct fixture f = {.n = 1, .t = 33, .heads = 1, .c_head = 4, .scale = 100};
    setup(&f);
    loss(&f);
    forward(&f);
    backward(&f);
    double *dqkv = plane_values(&f.dqkv);
    plane_check(&f.y, f.y64, 2e-3, "y"); /* scores of 1e4 are known to 1e-3 */
    for (int64_t i = 0; i < f.dqkv.rows * f.dqkv.c; i++) assert_true(isfinite(dqkv[i]));
    free(dqkv);
    teardown(&f);
}

/* A query that is not a number spoils what it asks for, and nothing else. */
static void nan_spoils_its_row_only(void)
{
    struct fixture f = {.n = 2, .t = 35, .heads = 2, .c_head = 5, .scale = 1};
    for (int row = 0; row < 2 * f.t; row += 3) {
        setup(&f);
        f.qkv.data[row * f.qkv.pitch + row % f.c_head] = NAN; /* of the first head */
        forward(&f);
        for (int i = 0; i < f.y.rows; i++)
            for (int j = 0; j < f.y.c; j++)
                assert_int_equal(isnan(f.y.data[i * f.y.pitch + j]) != 0, i == row && j < f.c_head);
        teardown(&f);
    }
}

static void nan_stays_nan(void **state)
{
    (void)state;
    every_isa(nan_spoils_its_row_only);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_its_definition),
        cmocka_unit_test(several_blocks),
        cmocka_unit_test(large_scores),
        cmocka_unit_test(nan_stays_nan),
    };
    if (kernels_select(NULL)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
