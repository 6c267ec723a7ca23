/* AdamW with its averages against the same formulas in double, as torch.optim.AdamW writes them. */
#include "iddpm/kernels.h"
#include "plane.h"

#include <math.h>
#include <stdlib.h>

enum { N = 2500, EMAS = 2 }; /* two chunks and a tail */

static const double rates[EMAS] = {0.99, 0.9999};

struct fixture {
    struct adamw adamw;
    struct plane p, g, m, v, e[EMAS];
    double *p64, *m64, *v64, *e64[EMAS];
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){.adamw = {.lr = 1e-3, .weight_decay = 0.05, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8},
                          .p = plane_create(1, N, N + 1),
                          .g = plane_create(1, N, N),
                          .m = plane_create(1, N, N + 1),
                          .v = plane_create(1, N, N + 1)};
    plane_random(&f->p, 1, 1, 0);
    plane_set(&f->m, 0);
    plane_set(&f->v, 0);
    f->p64 = plane_values(&f->p);
    f->m64 = plane_values(&f->m);
    f->v64 = plane_values(&f->v);
    for (int k = 0; k < EMAS; k++) {
        f->e[k] = plane_create(1, N, N + 1);
        plane_random(&f->e[k], 1, 1, 0);
        f->e64[k] = plane_values(&f->e[k]);
    }
}

static void teardown(struct fixture *f)
{
    struct plane *planes[] = {&f->p, &f->g, &f->m, &f->v, &f->e[0], &f->e[1]};
    double *arrays[] = {f->p64, f->m64, f->v64, f->e64[0], f->e64[1]};
    for (size_t k = 0; k < sizeof planes / sizeof *planes; k++) plane_free(planes[k]);
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) free(arrays[k]);
}

static void run(void *context)
{
    struct fixture *f = context;
    float *emas[EMAS] = {f->e[0].data, f->e[1].data};
    adamw_ema(&f->adamw, N, f->p.data, f->g.data, f->m.data, f->v.data, EMAS, rates, emas);
}

static void define(struct fixture *f)
{
    const struct adamw *a = &f->adamw;
    for (int i = 0; i < N; i++) {
        double g = f->g.data[i];
        f->p64[i] *= 1 - a->lr * a->weight_decay;
        f->m64[i] = a->beta1 * f->m64[i] + (1 - a->beta1) * g;
        f->v64[i] = a->beta2 * f->v64[i] + (1 - a->beta2) * g * g;
        double root = sqrt(f->v64[i]) / sqrt(1 - pow(a->beta2, (double)a->step));
        f->p64[i] -= a->lr / (1 - pow(a->beta1, (double)a->step)) * f->m64[i] / (root + a->eps);
        for (int k = 0; k < EMAS; k++) f->e64[k][i] = rates[k] * f->e64[k][i] + (1 - rates[k]) * f->p64[i];
    }
}

/* Gradients of very different sizes, zero among them. */
static void fill_gradient(struct fixture *f, uint32_t step)
{
    plane_random(&f->g, 100 + step, 1, 0);
    for (int i = 0; i < N; i++) f->g.data[i] *= i % 7 == 0 ? 0 : (float)pow(10, -(i % 6));
}

static void steps(void)
{
    struct fixture f;
    setup(&f);
    for (f.adamw.step = 1; f.adamw.step <= 20; f.adamw.step++) {
        fill_gradient(&f, (uint32_t)f.adamw.step);
        define(&f);
        check_threads(run, &f, 5, (struct plane *[]){&f.p, &f.m, &f.v, &f.e[0], &f.e[1]});
    }
    plane_check(&f.p, f.p64, 2e-6, "params");
    plane_check(&f.m, f.m64, 1e-6, "exp_avg");
    plane_check(&f.v, f.v64, 1e-6, "exp_avg_sq");
    plane_check(&f.e[0], f.e64[0], 1e-6, "ema 0.99");
    plane_check(&f.e[1], f.e64[1], 1e-6, "ema 0.9999");
    teardown(&f);
}

static void adamw_is_its_definition(void **state)
{
    (void)state;
    every_isa(steps);
}

/* An average of a constant is that constant, after any number of updates. */
static void slow_averages_do_not_shrink(void)
{
    float p[16], g[16] = {0}, m[16] = {0}, v[16] = {0}, e[16], *emas[] = {e};
    struct adamw adamw = {.lr = 0, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    for (int i = 0; i < 16; i++) e[i] = p[i] = 0.1f * (float)(i + 1);
    for (adamw.step = 1; adamw.step <= 2000; adamw.step++)
        adamw_ema(&adamw, 16, p, g, m, v, 1, (double[]){0.9999}, emas);
    for (int i = 0; i < 16; i++) assert_true(p[i] == 0.1f * (float)(i + 1) && e[i] == p[i]);
}

static void averages_of_constants(void **state)
{
    (void)state;
    every_isa(slow_averages_do_not_shrink);
}

static void no_elements(void **state)
{
    (void)state;
    struct adamw adamw = {.lr = 1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = 1};
    adamw_ema(&adamw, 0, NULL, NULL, NULL, NULL, 0, NULL, NULL);
    assert_true(sum_of_squares(0, NULL) == 0);
}

/* ---- sum of squares ---------------------------------------------------------------------------------------------- */

struct squares {
    struct plane x, sum;
};

static void run_squares(void *context)
{
    struct squares *s = context;
    double sum = sum_of_squares((size_t)s->x.c, s->x.data);
    s->sum.data[0] = (float)sum;
    s->sum.data[1] = (float)(sum - s->sum.data[0]); /* together every bit that the test can see */
}

static void sums(void)
{
    static const int sizes[] = {1, 7, 1024, 1025, 1024 * 1024 + 4097};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct squares s = {plane_create(1, sizes[k], sizes[k]), plane_create(1, 2, 2)};
        plane_random(&s.x, 1, 1, 0);
        double *x = plane_values(&s.x), want = dot((size_t)sizes[k], x, x);
        check_threads(run_squares, &s, 1, (struct plane *[]){&s.sum});
        assert_true(fabs(sum_of_squares((size_t)sizes[k], s.x.data) / want - 1) < 1e-12);
        free(x);
        plane_free(&s.x);
        plane_free(&s.sum);
    }
}

static void squares_in_blocks(void **state)
{
    (void)state;
    every_isa(sums);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adamw_is_its_definition),
                                       cmocka_unit_test(averages_of_constants), cmocka_unit_test(no_elements),
                                       cmocka_unit_test(squares_in_blocks)};
    if (kernels_select(NULL)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
