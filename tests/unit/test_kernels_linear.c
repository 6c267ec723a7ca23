/* Linear layers against sums in double: sizes around the tiles, pitches, bias and residual, accumulation. */
#include "iddpm/kernels.h"
#include "plane.h"

#include <math.h>
#include <stdlib.h>

struct fixture {
    int rows, c_in, c_out;
    bool bias, residual, accumulate;
    enum element element;
    struct linear_shape shape;
    struct plane x, weight, b, r, y, dy, dx, dweight, dbias;
    float *scratch;
};

enum { WEIGHT = 1 }; /* stream of random numbers */

static void setup(struct fixture *f)
{
    f->x = plane_create_of(f->element, f->rows, f->c_in, f->c_in + 3);
    f->weight = plane_create(f->c_out, f->c_in, f->c_in);
    f->b = plane_create(1, f->c_out, f->c_out);
    f->r = plane_create_of(f->element, f->rows, f->c_out, f->c_out + 1);
    f->y = plane_create_of(f->element, f->rows, f->c_out, f->c_out + 5);
    f->dy = plane_create_of(f->element, f->rows, f->c_out, f->c_out + 5);
    f->dx = plane_create_of(f->element, f->rows, f->c_in, f->c_in + 3);
    f->dweight = plane_create(f->c_out, f->c_in, f->c_in);
    f->dbias = plane_create(1, f->c_out, f->c_out);
    struct plane *filled[] = {&f->x, &f->weight, &f->b, &f->r, &f->dy, &f->dweight, &f->dbias};
    for (size_t k = 0; k < sizeof filled / sizeof *filled; k++) plane_random(filled[k], (uint32_t)k, 1, 0);
    f->shape = (struct linear_shape){f->rows, f->c_in, f->c_out, f->x.pitch, f->y.pitch, f->element};
    size_t size = linear_scratch_size(&f->shape, TEST_THREADS);
    must(mem_alloc(&f->scratch, size, sizeof *f->scratch, "scratch"));
    for (size_t i = 0; i < size; i++) f->scratch[i] = NAN;
    plane_set(&f->y, NAN);
    if (f->accumulate)
        plane_random(&f->dx, 20, 1, 0);
    else
        plane_set(&f->dx, NAN);
}

static void teardown(struct fixture *f)
{
    struct plane *all[] = {&f->x, &f->weight, &f->b, &f->r, &f->y, &f->dy, &f->dx, &f->dweight, &f->dbias};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) plane_free(all[k]);
    free(f->scratch);
}

static void forward(void *context)
{
    struct fixture *f = context;
    linear_forward(&f->shape, f->x.data, f->weight.data, f->bias ? f->b.data : NULL, f->residual ? f->r.data : NULL,
                   f->r.pitch, f->y.data, f->scratch);
}

static void backward(void *context)
{
    struct fixture *f = context;
    linear_backward_input(&f->shape, f->dy.data, f->weight.data, f->dx.data, f->accumulate, f->scratch);
    linear_backward_weight(&f->shape, f->x.data, f->dy.data, f->dweight.data, f->bias ? f->dbias.data : NULL,
                           f->scratch);
}

/* out[m][n] += sum over k of a[m][k] b[k][n], each given by its strides */
static void add_product(int m, int n, int k, const double *a, int am, int ak, const double *b, int bk, int bn,
                        double *out)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            for (int l = 0; l < k; l++)
                out[(size_t)i * (size_t)n + (size_t)j] += a[(size_t)i * (size_t)am + (size_t)l * (size_t)ak] *
                                                          b[(size_t)l * (size_t)bk + (size_t)j * (size_t)bn];
}

static double *zeros(size_t n)
{
    return calloc(n ? n : 1, sizeof(double));
}

static void check_forward(struct fixture *f, const double *x, const double *weight)
{
    double *want = f->residual ? plane_values(&f->r) : zeros((size_t)f->rows * (size_t)f->c_out);
    for (int i = 0; i < f->rows * f->c_out && f->bias; i++) want[i] += f->b.data[i % f->c_out];
    add_product(f->rows, f->c_out, f->c_in, x, f->c_in, 1, weight, 1, f->c_in, want);
    check_threads(forward, f, 1, (struct plane *[]){&f->y});
    plane_check(&f->y, want, plane_tolerance(f->element, 2e-6), "y");
    free(want);
}

static void check_backward(struct fixture *f, const double *x, const double *weight)
{
    /* sums are float32 whatever the element */
    double *dy = plane_values(&f->dy), *dweight = plane_values(&f->dweight), *dbias = plane_values(&f->dbias);
    double *dx = f->accumulate ? plane_values(&f->dx) : zeros((size_t)f->rows * (size_t)f->c_in);
    add_product(f->rows, f->c_in, f->c_out, dy, f->c_out, 1, weight, f->c_in, 1, dx);
    add_product(f->c_out, f->c_in, f->rows, dy, 1, f->c_out, x, f->c_in, 1, dweight);
    for (int i = 0; i < f->rows * f->c_out && f->bias; i++) dbias[i % f->c_out] += dy[i];
    check_threads(backward, f, 3, (struct plane *[]){&f->dx, &f->dweight, &f->dbias});
    plane_check(&f->dx, dx, plane_tolerance(f->element, 2e-6), "dx");
    plane_check(&f->dweight, dweight, 2e-6, "dweight");
    plane_check(&f->dbias, dbias, 2e-6, "dbias");
    free(dy);
    free(dweight);
    free(dbias);
    free(dx);
}

static void check_case(struct fixture *f, enum element element)
{
    f->element = element;
    setup(f);
    struct plane rounded = plane_create_of(element, f->c_out, f->c_in, f->c_in); /* as products take the weights */
    plane_random(&rounded, WEIGHT, 1, 0);
    double *x = plane_values(&f->x), *weight = plane_values(&rounded);
    plane_free(&rounded);
    check_forward(f, x, weight);
    check_backward(f, x, weight);
    free(x);
    free(weight);
    teardown(f);
}

/* A product is linear in each factor, so its definition checks what differences would. */
static void check_sizes(void)
{
    struct fixture cases[] = {
        {.rows = 1, .c_in = 1, .c_out = 1, .bias = true},
        {.rows = 3, .c_in = 7, .c_out = 5, .bias = true, .residual = true, .accumulate = true},
        {.rows = 257, .c_in = 3, .c_out = 33, .residual = true},
        {.rows = 8, .c_in = 64, .c_out = 96, .bias = true},
        {.rows = 600, .c_in = 65, .c_out = 130, .bias = true, .accumulate = true},
        {.rows = 1000, .c_in = 32, .c_out = 16, .bias = true, .residual = true},
        {.rows = 9, .c_in = 300, .c_out = 258},
        {.rows = 200, .c_in = 509, .c_out = 192, .bias = true}, /* rows 2,048 bytes apart */
        {.rows = 300, .c_in = 3, .c_out = 122, .bias = true},   /* tiles of dweight that leave a small one */
        {.rows = 300, .c_in = 3, .c_out = 109, .bias = true},
        {.rows = 71, .c_in = 129, .c_out = 47, .residual = true, .accumulate = true},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        check_case(&cases[k], ELEMENT_FLOAT32);
        check_case(&cases[k], ELEMENT_BF16);
    }
}

static void linear_is_its_definition(void **state)
{
    (void)state;
    every_isa(check_sizes);
}

/* Few rows, tiles of every number of rows and panels of every width. */
static void check_tails(void)
{
    for (int i = 1; i <= 52; i++) {
        struct fixture f = {
            .rows = i, .c_in = 1 + (52 - i) % 35, .c_out = 2 + i % 34, .bias = i % 2, .residual = i % 3 == 0};
        check_case(&f, ELEMENT_FLOAT32);
        check_case(&f, ELEMENT_BF16);
    }
}

static void tails(void **state)
{
    (void)state;
    every_isa(check_tails);
}

/* What is not a number spoils the rows that it is read for, and no other. */
static void check_nan(void)
{
    struct fixture f = {.rows = 33, .c_in = 19, .c_out = 21};
    for (int row = 0; row < f.rows; row++) {
        setup(&f);
        f.x.data[row * f.x.pitch + row % f.c_in] = NAN;
        forward(&f);
        for (int i = 0; i < f.rows * f.c_out; i++)
            assert_int_equal(isnan(f.y.data[i / f.c_out * f.y.pitch + i % f.c_out]) != 0, i / f.c_out == row);
        teardown(&f);
    }
}

static void nan_spoils_its_row_only(void **state)
{
    (void)state;
    every_isa(check_nan);
}

/* A row has the same bits alone and among others: those of an embedding do not depend on the batch. */
static void check_few(void)
{
    struct fixture f = {.rows = 16, .c_in = 83, .c_out = 37, .bias = true};
    setup(&f);
    forward(&f);
    struct linear_shape one = f.shape;
    float alone[37];
    one.rows = 1;
    for (int row = 0; row < f.rows; row++) {
        linear_forward(&one, f.x.data + row * f.x.pitch, f.weight.data, f.b.data, NULL, 0, alone, f.scratch);
        assert_memory_equal(alone, f.y.data + row * f.y.pitch, sizeof alone);
    }
    teardown(&f);
}

static void few_rows_stand_alone(void **state)
{
    (void)state;
    every_isa(check_few);
}

/* The residual may be the output itself. */
static void adds_to_itself(void **state)
{
    (void)state;
    struct fixture f = {.rows = 300, .c_in = 8, .c_out = 16, .bias = true};
    setup(&f);
    plane_random(&f.y, 30, 1, 0);
    double *want = plane_values(&f.y), *x = plane_values(&f.x), *weight = plane_values(&f.weight);
    for (int i = 0; i < f.rows * f.c_out; i++) want[i] += f.b.data[i % f.c_out];
    add_product(f.rows, f.c_out, f.c_in, x, f.c_in, 1, weight, 1, f.c_in, want);
    linear_forward(&f.shape, f.x.data, f.weight.data, f.b.data, f.y.data, f.y.pitch, f.y.data, f.scratch);
    plane_check(&f.y, want, 2e-6, "y over the residual");
    free(want);
    free(x);
    free(weight);
    teardown(&f);
}

/* Sums over many rows lose nothing: 100,000 times 0.1 in float32 one by one is 1 % off. */
static void long_bias_sums(void **state)
{
    (void)state;
    struct fixture f = {.rows = 100000, .c_in = 1, .c_out = 2, .bias = true};
    setup(&f);
    plane_set(&f.dy, 0.1f);
    plane_set(&f.dbias, 0);
    backward(&f);
    assert_true(fabs(f.dbias.data[1] - 100000 * (double)0.1f) < 1e-6 * 10000);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_its_definition), cmocka_unit_test(tails),
        cmocka_unit_test(adds_to_itself),           cmocka_unit_test(nan_spoils_its_row_only),
        cmocka_unit_test(long_bias_sums),           cmocka_unit_test(few_rows_stand_alone),
    };
    if (kernels_select(NULL)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
