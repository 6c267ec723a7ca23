/* Group norm against its definition in double, with all that is fused into it, and its gradients against differences.
 */
#include "iddpm/kernels.h"
#include "plane.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a case varies: shape, and which of the fused parts are there. */
struct variant {
    int n, hw, c, groups;
    bool silu, pre, scale_shift, accumulate;
    double mean; /* of x, whose spread is 1 */
    double dropout;
    enum element element;
};

struct fixture {
    struct variant v;
    struct group_norm_shape shape;
    struct plane x, pre, ss, weight, bias, stats, y, dy, dx, dpre, dss, dweight, dbias;
    float *scratch;
    struct dropout dropout;
    /* the same in double, without gaps; keep64: what dropout multiplies by */
    double *x64, *pre64, *ss64, *weight64, *bias64, *dy64, *y64, *keep64;
};

static const uint32_t slots[] = {9, 0xffffffff, 1000000};

/* Element by element from the numbers of rng_uint32. */
static void fill_keep(struct fixture *f)
{
    size_t per_image = (size_t)f->v.hw * (size_t)f->v.c;
    uint32_t *numbers = malloc(per_image * sizeof *numbers);
    f->dropout = (struct dropout){f->v.dropout, {0x123456789abcdef, RNG_DROPOUT + 5, 77, 0}, slots};
    for (int image = 0; image < f->v.n; image++) {
        struct rng rng = f->dropout.key;
        rng.slot = slots[image];
        rng_uint32(&rng, 0, per_image, numbers);
        for (size_t i = 0; i < per_image; i++)
            f->keep64[(size_t)image * per_image + i] =
                numbers[i] < floor(f->v.dropout * 0x1p32) ? 0 : 1 / (1 - f->v.dropout);
    }
    free(numbers);
}

static void setup(struct fixture *f, const struct variant *v)
{
    int c = v->c, rows = v->n * v->hw;
    *f = (struct fixture){.v = *v,
                          .x = plane_create_of(v->element, rows, c, c + 5),
                          .pre = plane_create(v->n, c, c + 1),
                          .ss = plane_create(v->n, 2 * c, 2 * c + 3),
                          .weight = plane_create(1, c, c),
                          .bias = plane_create(1, c, c),
                          .stats = plane_create(v->n * v->groups, 2, 2),
                          .y = plane_create_of(v->element, rows, c, c + 2),
                          .dy = plane_create_of(v->element, rows, c, c + 2),
                          .dx = plane_create_of(v->element, rows, c, c + 5),
                          .dpre = plane_create(v->n, c, c + 1),
                          .dss = plane_create(v->n, 2 * c, 2 * c + 3),
                          .dweight = plane_create(1, c, c),
                          .dbias = plane_create(1, c, c)};
    f->shape = (struct group_norm_shape){v->n,       v->hw,        v->c,        v->groups, f->x.pitch,
                                         f->y.pitch, f->pre.pitch, f->ss.pitch, v->silu,   v->element};
    plane_random(&f->x, 1, sqrt(3), v->mean);
    plane_random(&f->pre, 2, 1, 0);
    plane_random(&f->ss, 3, 1, 0);
    plane_random(&f->weight, 4, 0.5, 1);
    plane_random(&f->bias, 5, 0.5, 0);
    plane_random(&f->dy, 6, 1, 0);
    struct plane *sums[] = {&f->dx, &f->dpre, &f->dss};
    for (int k = 0; k < 3; k++)
        if (v->accumulate)
            plane_random(sums[k], 7 + (uint32_t)k, 1, 0);
        else
            plane_set(sums[k], NAN);
    plane_random(&f->dweight, 10, 1, 0);
    plane_random(&f->dbias, 11, 1, 0);
    size_t scratch = group_norm_scratch_size(&f->shape, TEST_THREADS);
    assert_int_equal(mem_alloc(&f->scratch, scratch, sizeof(float), "scratch"), IDDPM_OK);
    for (size_t i = 0; i < scratch; i++) f->scratch[i] = NAN;
    f->x64 = plane_values(&f->x);
    f->pre64 = plane_values(&f->pre);
    f->ss64 = plane_values(&f->ss);
    f->weight64 = plane_values(&f->weight);
    f->bias64 = plane_values(&f->bias);
    f->dy64 = plane_values(&f->dy);
    f->y64 = plane_values(&f->dy);
    f->keep64 = plane_values(&f->dy);
    fill_keep(f);
}

static void teardown(struct fixture *f)
{
    struct plane *planes[] = {&f->x,  &f->pre, &f->ss,   &f->weight, &f->bias,    &f->stats, &f->y,
                              &f->dy, &f->dx,  &f->dpre, &f->dss,    &f->dweight, &f->dbias};
    double *arrays[] = {f->x64, f->pre64, f->ss64, f->weight64, f->bias64, f->dy64, f->y64, f->keep64};
    for (size_t k = 0; k < sizeof planes / sizeof *planes; k++) plane_free(planes[k]);
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) free(arrays[k]);
    free(f->scratch);
}

/* The definition, one group of one image, into y64. */
static void define_group(struct fixture *f, int image, int group)
{
    int c = f->v.c, hw = f->v.hw, width = c / f->v.groups;
    double sum = 0, square = 0;
    for (int pass = 0; pass < 3; pass++)
        for (int p = 0; p < hw; p++)
            for (int k = group * width; k < (group + 1) * width; k++) {
                size_t i = ((size_t)image * (size_t)hw + (size_t)p) * (size_t)c + (size_t)k;
                double x = f->x64[i] + (f->v.pre ? f->pre64[image * c + k] : 0), mean = sum / (hw * width);
                if (pass == 0) sum += x;
                if (pass == 1) square += (x - mean) * (x - mean);
                if (pass < 2) continue;
                double z = (x - mean) / sqrt(square / (hw * width) + 1e-5) * f->weight64[k] + f->bias64[k];
                const double *ss = f->ss64 + (size_t)image * 2 * (size_t)c + k;
                if (f->v.scale_shift) z = z * (1 + ss[0]) + ss[c];
                f->y64[i] = (f->v.silu ? z / (1 + exp(-z)) : z) * f->keep64[i];
            }
}

static double loss(void *context)
{
    struct fixture *f = context;
    for (int image = 0; image < f->v.n; image++)
        for (int group = 0; group < f->v.groups; group++) define_group(f, image, group);
    return dot((size_t)f->y.rows * (size_t)f->v.c, f->y64, f->dy64);
}

static void forward(void *context)
{
    struct fixture *f = context;
    group_norm_forward(&f->shape, f->x.data, f->v.pre ? f->pre.data : NULL, f->v.scale_shift ? f->ss.data : NULL,
                       f->weight.data, f->bias.data, f->v.dropout > 0 ? &f->dropout : NULL, f->stats.data, f->y.data);
}

static void again(void *context)
{
    struct fixture *f = context;
    group_norm_again(&f->shape, f->x.data, f->v.pre ? f->pre.data : NULL, f->v.scale_shift ? f->ss.data : NULL,
                     f->weight.data, f->bias.data, f->v.dropout > 0 ? &f->dropout : NULL, f->stats.data, f->y.data);
}

static void backward(void *context)
{
    struct fixture *f = context;
    group_norm_backward(&f->shape, f->x.data, f->v.pre ? f->pre.data : NULL, f->v.scale_shift ? f->ss.data : NULL,
                        f->weight.data, f->bias.data, f->v.dropout > 0 ? &f->dropout : NULL, f->stats.data, f->dy.data,
                        f->dx.data, f->v.accumulate, f->v.pre ? f->dpre.data : NULL,
                        f->v.scale_shift ? f->dss.data : NULL, f->v.accumulate, f->dweight.data, f->dbias.data,
                        f->scratch);
}

/* `before` are the contents that the kernel added to, NULL if it overwrote them. */
static void check_gradient(struct fixture *f, const struct plane *got, double *x, double *before, const char *what)
{
    size_t n = (size_t)got->rows * (size_t)got->c;
    double *want = malloc(n * sizeof *want);
    numeric_gradient(loss, f, n, x, want);
    for (size_t i = 0; before && i < n; i++) want[i] += before[i];
    plane_check(got, want, plane_tolerance(got->element, 2e-5), what);
    free(want);
    free(before);
}

/* From the statistics alone the same bits come again. */
static void check_again(struct fixture *f)
{
    size_t size = (size_t)f->y.rows * (size_t)f->y.pitch * element_size(f->v.element);
    float *first = malloc(size);
    memcpy(first, f->y.data, size);
    plane_set(&f->y, NAN);
    check_threads(again, f, 2, (struct plane *[]){&f->y, &f->stats});
    assert_memory_equal(f->y.data, first, size);
    free(first);
}

static void check_variant(const struct variant *v)
{
    struct fixture f;
    setup(&f, v);
    struct plane *out[] = {&f.y, &f.stats}, *grads[] = {&f.dx, &f.dpre, &f.dss, &f.dweight, &f.dbias};
    check_threads(forward, &f, 2, out);
    loss(&f);
    plane_check(&f.y, f.y64, plane_tolerance(v->element, 2e-6), "y");
    check_again(&f);
    double *dx = v->accumulate ? plane_values(&f.dx) : NULL, *dpre = v->accumulate ? plane_values(&f.dpre) : NULL;
    double *dss = v->accumulate ? plane_values(&f.dss) : NULL;
    double *dweight = plane_values(&f.dweight), *dbias = plane_values(&f.dbias);
    check_threads(backward, &f, 5, grads);
    check_gradient(&f, &f.dx, f.x64, dx, "dx");
    check_gradient(&f, &f.dweight, f.weight64, dweight, "dweight");
    check_gradient(&f, &f.dbias, f.bias64, dbias, "dbias");
    if (v->pre) check_gradient(&f, &f.dpre, f.pre64, dpre, "dpre");
    if (v->scale_shift) check_gradient(&f, &f.dss, f.ss64, dss, "dscale_shift");
    if (!v->pre) free(dpre);
    if (!v->scale_shift) free(dss);
    teardown(&f);
}

/* Spans of one and several groups, of one and several tiles, whole vectors and none; more and fewer positions than a
 * block. */
static void definition(void)
{
    static const struct variant variants[] = {
        {.n = 2, .hw = 9, .c = 32, .groups = 32, .silu = true, .scale_shift = true},
        {.n = 3, .hw = 5, .c = 12, .groups = 4, .silu = true, .pre = true, .accumulate = true},
        {.n = 1, .hw = 35, .c = 7, .groups = 1, .silu = false},
        {.n = 2, .hw = 2, .c = 96, .groups = 32, .silu = true, .pre = true, .scale_shift = true},
        {.n = 1, .hw = 3, .c = 160, .groups = 32, .silu = false, .scale_shift = true, .accumulate = true},
        {.n = 1, .hw = 2, .c = 150, .groups = 2, .silu = true, .scale_shift = true},
        {.n = 1, .hw = 2, .c = 192, .groups = 3, .silu = false, .pre = true},
        {.n = 1, .hw = 35, .c = 32, .groups = 32, .silu = true, .scale_shift = true, .dropout = 0.3},
        {.n = 2, .hw = 5, .c = 21, .groups = 3, .silu = true, .pre = true, .dropout = 0.5, .accumulate = true},
        {.n = 1, .hw = 3, .c = 150, .groups = 2, .silu = false, .dropout = 0.1},
        {.n = 2, .hw = 3, .c = 384, .groups = 32, .silu = true, .scale_shift = true, .dropout = 0.999},
    };
    for (size_t k = 0; k < sizeof variants / sizeof *variants; k++)
        for (enum element element = ELEMENT_FLOAT32; element <= ELEMENT_BF16; element++) {
            struct variant variant = variants[k];
            variant.element = element;
            check_variant(&variant);
        }
}

static void group_norm_is_its_definition(void **state)
{
    (void)state;
    every_isa(definition);
}

/* x = 1000 + noise of spread 1: a variance from sums of squares in float32 would have no correct digit. */
static void far_mean(void)
{
    for (enum element element = ELEMENT_FLOAT32; element <= ELEMENT_BF16; element++) {
        struct fixture f;
        setup(&f, &(struct variant){1, 1000, 64, .groups = 32, .silu = true, .mean = 1000, .element = element});
        forward(&f);
        loss(&f);
        plane_check(&f.y, f.y64, plane_tolerance(element, 5e-5), "y");
        teardown(&f);
    }
}

static void a_far_mean_does_no_harm(void **state)
{
    (void)state;
    every_isa(far_mean);
}

/* A constant group has variance 0: the output is the bias, not NaN, and no gradient goes through. */
static void constant_input(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, &(struct variant){.n = 1, .hw = 16, .c = 64, .groups = 32});
    plane_set(&f.x, 0.1f);
    plane_set(&f.dy, 1);
    forward(&f);
    backward(&f);
    for (int64_t i = 0; i < f.y.rows * 64; i++) {
        assert_true(fabsf(f.y.data[i / 64 * f.y.pitch + i % 64] - f.bias.data[i % 64]) < 1e-4f);
        assert_true(isfinite(f.dx.data[i / 64 * f.dx.pitch + i % 64]));
    }
    teardown(&f);
}

/* Inference writes over what it reads. */
static void in_place(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, &(struct variant){.n = 2, .hw = 33, .c = 96, .groups = 32, .silu = true, .pre = true});
    f.shape.y_pitch = f.shape.x_pitch;
    group_norm_forward(&f.shape, f.x.data, f.pre.data, NULL, f.weight.data, f.bias.data, NULL, f.stats.data, f.x.data);
    loss(&f);
    plane_check(&f.x, f.y64, 2e-6, "y over x");
    teardown(&f);
}

/* A NaN stays in its image and group. */
static void nan_stays_in_its_group(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, &(struct variant){.n = 2, .hw = 4, .c = 64, .groups = 32, .silu = true});
    f.x.data[5 * f.x.pitch + 3] = NAN; /* image 1, group 1 */
    forward(&f);
    for (int row = 0; row < 8; row++)
        for (int k = 0; k < 64; k++)
            assert_int_equal(isnan(f.y.data[row * f.y.pitch + k]) != 0, row >= 4 && k / 2 == 1);
    teardown(&f);
}

/* ---- dropout ----------------------------------------------------------------------------------------------------- */

enum { DROP_HW = 1024, DROP_C = 512, DROP_N = 2 * DROP_HW * DROP_C };

/* Whether each element is kept, by a layer whose output would be 1 without dropout. */
static void kept(const struct dropout *dropout, bool *out)
{
    struct plane x = plane_create(2 * DROP_HW, DROP_C, DROP_C), weight = plane_create(1, DROP_C, DROP_C),
                 bias = plane_create(1, DROP_C, DROP_C), stats = plane_create(2, 64, 64);
    struct group_norm_shape shape = {2, DROP_HW, DROP_C, 32, DROP_C, DROP_C, 0, 0, false, ELEMENT_FLOAT32};
    plane_set(&x, 1);
    plane_set(&weight, 0);
    plane_set(&bias, 1);
    group_norm_forward(&shape, x.data, NULL, NULL, weight.data, bias.data, dropout, stats.data, x.data);
    for (int i = 0; i < DROP_N; i++) out[i] = x.data[i] != 0;
    plane_free(&x);
    plane_free(&weight);
    plane_free(&bias);
    plane_free(&stats);
}

/* 0.3 of a million elements, within five standard deviations; other slots and steps give other masks. */
static void dropout_rate(void **state)
{
    (void)state;
    bool *y = malloc(DROP_N), *z = malloc(DROP_N);
    struct dropout dropout = {0.3, {1, RNG_DROPOUT, 0, 0}, (uint32_t[]){0, 1}};
    kept(&dropout, y);
    dropout.key.step = 1;
    kept(&dropout, z);
    int dropped = 0, slots_agree = 0, steps_agree = 0;
    for (int i = 0; i < DROP_N; i++) {
        dropped += !y[i];
        slots_agree += y[i] == y[(i + DROP_N / 2) % DROP_N];
        steps_agree += y[i] == z[i];
    }
    assert_true(fabs(dropped - 0.3 * DROP_N) < 5 * sqrt(0.21 * DROP_N));
    /* 0.3^2 + 0.7^2; every pair counts twice */
    assert_true(fabs(slots_agree - 0.58 * DROP_N) < 10 * sqrt(0.25 * DROP_N));
    assert_true(fabs(steps_agree - 0.58 * DROP_N) < 5 * sqrt(0.25 * DROP_N));
    free(y);
    free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_norm_is_its_definition),
        cmocka_unit_test(a_far_mean_does_no_harm),
        cmocka_unit_test(constant_input),
        cmocka_unit_test(in_place),
        cmocka_unit_test(nan_stays_in_its_group),
        cmocka_unit_test(dropout_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
