/* Resampling against its definition in double, and the gradients against differences. */
#include "iddpm/kernels.h"
#include "plane.h"

#include <math.h>
#include <stdlib.h>

/* A resampling of n images h x w to h_out x w_out. */
struct fixture {
    enum { UPSAMPLE, AVG_POOL, BILINEAR } kind;
    int n, h, w, h_out, w_out, c;
    bool accumulate;
    enum element element;
    struct plane x, y, dy, dx;
    double *x64, *y64, *dy64;
};

static void setup(struct fixture *f)
{
    f->x = plane_create_of(f->element, (int64_t)f->n * f->h * f->w, f->c, f->c + 3);
    f->dx = plane_create_of(f->element, (int64_t)f->n * f->h * f->w, f->c, f->c + 3);
    f->y = plane_create_of(f->element, (int64_t)f->n * f->h_out * f->w_out, f->c, f->c + 1);
    f->dy = plane_create_of(f->element, (int64_t)f->n * f->h_out * f->w_out, f->c, f->c + 1);
    plane_random(&f->x, 1, 1, 0);
    plane_random(&f->dy, 2, 1, 0);
    plane_set(&f->y, NAN);
    if (f->accumulate)
        plane_random(&f->dx, 3, 1, 0);
    else
        plane_set(&f->dx, NAN);
    f->x64 = plane_values(&f->x);
    f->y64 = plane_values(&f->dy);
    f->dy64 = plane_values(&f->dy);
}

static void teardown(struct fixture *f)
{
    plane_free(&f->x);
    plane_free(&f->y);
    plane_free(&f->dy);
    plane_free(&f->dx);
    free(f->x64);
    free(f->y64);
    free(f->dy64);
}

static double pixel(const struct fixture *f, int image, int i, int j, int k)
{
    i = i < 0 ? 0 : i >= f->h ? f->h - 1 : i;
    j = j < 0 ? 0 : j >= f->w ? f->w - 1 : j;
    return f->x64[(((size_t)image * (size_t)f->h + (size_t)i) * (size_t)f->w + (size_t)j) * (size_t)f->c + (size_t)k];
}

/* Half-pixel centres: the four pixels around the point, those beyond an edge replaced by the edge. */
static double bilinear(const struct fixture *f, int image, int i, int j, int k)
{
    double v = (i + 0.5) * f->h / f->h_out - 0.5, u = (j + 0.5) * f->w / f->w_out - 0.5, sum = 0;
    int top = (int)floor(v), left = (int)floor(u);
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++)
            sum += (1 - fabs(v - top - a)) * (1 - fabs(u - left - b)) * pixel(f, image, top + a, left + b, k);
    return sum;
}

static double loss(void *context)
{
    struct fixture *f = context;
    double *y = f->y64;
    for (int image = 0; image < f->n; image++)
        for (int i = 0; i < f->h_out; i++)
            for (int j = 0; j < f->w_out; j++)
                for (int k = 0; k < f->c; k++)
                    if (f->kind == UPSAMPLE)
                        *y++ = pixel(f, image, i / 2, j / 2, k);
                    else if (f->kind == BILINEAR)
                        *y++ = bilinear(f, image, i, j, k);
                    else
                        *y++ = (pixel(f, image, 2 * i, 2 * j, k) + pixel(f, image, 2 * i, 2 * j + 1, k) +
                                pixel(f, image, 2 * i + 1, 2 * j, k) + pixel(f, image, 2 * i + 1, 2 * j + 1, k)) /
                               4;
    return dot((size_t)f->y.rows * (size_t)f->c, f->y64, f->dy64);
}

static void forward(void *context)
{
    struct fixture *f = context;
    if (f->kind == UPSAMPLE)
        upsample_forward(f->element, f->n, f->h, f->w, f->c, f->x.data, f->x.pitch, f->y.data, f->y.pitch);
    else if (f->kind == AVG_POOL)
        avg_pool_forward(f->element, f->n, f->h, f->w, f->c, f->x.data, f->x.pitch, f->y.data, f->y.pitch);
    else
        bilinear_forward(f->n, f->h, f->w, f->h_out, f->w_out, f->c, f->x.data, f->x.pitch, f->y.data, f->y.pitch);
}

static void backward(void *context)
{
    struct fixture *f = context;
    if (f->kind == UPSAMPLE)
        upsample_backward(f->element, f->n, f->h, f->w, f->c, f->dy.data, f->dy.pitch, f->dx.data, f->dx.pitch,
                          f->accumulate);
    else if (f->kind == AVG_POOL)
        avg_pool_backward(f->element, f->n, f->h, f->w, f->c, f->dy.data, f->dy.pitch, f->dx.data, f->dx.pitch,
                          f->accumulate);
    else
        bilinear_backward(f->n, f->h, f->w, f->h_out, f->w_out, f->c, f->dy.data, f->dy.pitch, f->dx.data, f->dx.pitch,
                          f->accumulate);
}

static void check_element(struct fixture *f)
{
    setup(f);
    size_t n = (size_t)f->x.rows * (size_t)f->c;
    double *want = malloc(n * sizeof *want), *before = plane_values(&f->dx);
    loss(f);
    check_threads(forward, f, 1, (struct plane *[]){&f->y});
    plane_check(&f->y, f->y64, plane_tolerance(f->element, 1e-6), "y");
    numeric_gradient(loss, f, n, f->x64, want);
    for (size_t i = 0; i < n && f->accumulate; i++) want[i] += before[i];
    check_threads(backward, f, 1, (struct plane *[]){&f->dx});
    plane_check(&f->dx, want, plane_tolerance(f->element, 1e-6), "dx");
    free(want);
    free(before);
    teardown(f);
}

/* In every instruction set; bilinear is of float32 only. */
static struct fixture *checked;

static void check_both(void)
{
    for (checked->element = ELEMENT_FLOAT32; checked->element <= ELEMENT_BF16; checked->element++)
        if (checked->element == ELEMENT_FLOAT32 || checked->kind != BILINEAR) check_element(checked);
}

static void check(struct fixture *f)
{
    checked = f;
    every_isa(check_both);
}

static void nearest(void **state)
{
    (void)state;
    check(&(struct fixture){.kind = UPSAMPLE, .n = 2, .h = 3, .w = 5, .h_out = 6, .w_out = 10, .c = 3});
    check(&(struct fixture){
        .kind = UPSAMPLE, .n = 3, .h = 1, .w = 1, .h_out = 2, .w_out = 2, .c = 17, .accumulate = true});
}

static void mean_of_four(void **state)
{
    (void)state;
    check(&(struct fixture){.kind = AVG_POOL, .n = 2, .h = 6, .w = 4, .h_out = 3, .w_out = 2, .c = 5});
    /* the last row and column have no partner and no gradient */
    check(&(struct fixture){.kind = AVG_POOL, .n = 2, .h = 7, .w = 5, .h_out = 3, .w_out = 2, .c = 3});
    check(&(struct fixture){
        .kind = AVG_POOL, .n = 1, .h = 3, .w = 3, .h_out = 1, .w_out = 1, .c = 2, .accumulate = true});
}

static void between_four(void **state)
{
    (void)state;
    static const int sizes[][4] = {{3, 5, 12, 20}, {4, 4, 4, 4}, {5, 7, 3, 2},
                                   {1, 1, 3, 4},   {2, 3, 5, 7}, {8, 6, 1, 1}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        check(&(struct fixture){.kind = BILINEAR,
                                .n = 2,
                                .h = sizes[k][0],
                                .w = sizes[k][1],
                                .h_out = sizes[k][2],
                                .w_out = sizes[k][3],
                                .c = 3,
                                .accumulate = k % 2});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nearest), cmocka_unit_test(mean_of_four),
                                       cmocka_unit_test(between_four)};
    if (kernels_select(NULL)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
