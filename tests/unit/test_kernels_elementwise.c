/* The exponential over its whole range, SiLU, copies, timestep embeddings. */
#include "../../src/kernels/isa/silu.h"
#include "iddpm/kernels.h"
#include "plane.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- exponential and SiLU ---------------------------------------------------------------------------------------- */

static float exp_float(float x)
{
    return vf_exp(x + (vf){0})[0];
}

static void exponential(void **state)
{
    (void)state;
    double worst = 0;
    for (float x = -87; x <= 87; x += 0x1p-13f) worst = fmax(worst, fabs(exp_float(x) / exp((double)x) - 1));
    for (float x = 0x1p-30f; x < 1; x *= 1.001f) /* close to 1 from both sides */
        worst = fmax(worst, fmax(fabs(exp_float(x) / exp((double)x) - 1), fabs(exp_float(-x) / exp(-(double)x) - 1)));
    print_message("vf_exp: largest relative error %.3g\n", worst);
    assert_true(worst < 2e-7);
    assert_true(exp_float(0) == 1 && exp_float(-0.0f) == 1);
    assert_true(isnan(exp_float(NAN)) && isnan(exp_float(-NAN)));
}

enum { SILU_ROWS = 64, SILU_C = 1000 };

/* Arguments from -64 to 64, and special ones, with a row length that leaves a tail behind every vector length. */
static void silu_accuracy(void)
{
    struct plane x = plane_create(SILU_ROWS, SILU_C + 7, SILU_C + 9),
                 y = plane_create(SILU_ROWS, SILU_C + 7, SILU_C + 8);
    plane_set(&x, 1);
    for (int i = 0; i < SILU_ROWS; i++)
        for (int j = 0; j < SILU_C; j++)
            x.data[i * x.pitch + j] = (float)(i * SILU_C + j) / (SILU_ROWS * SILU_C) * 128 - 64;
    static const float special[] = {NAN, INFINITY, 1e30f, -1e30f, -87.5f, 0, -0.0f};
    memcpy(x.data + SILU_C, special, sizeof special);
    silu_forward(SILU_ROWS, SILU_C + 7, x.data, x.pitch, y.data, y.pitch);
    plane_check_guards(&y, "silu");
    for (int i = 0; i < SILU_ROWS; i++)
        for (int j = 0; j < SILU_C; j++) {
            double z = x.data[i * x.pitch + j], want = z / (1 + exp(-z));
            assert_true(fabs(y.data[i * y.pitch + j] - want) <= 4e-7 * fabs(want));
        }
    const float *s = y.data + SILU_C;
    assert_true(isnan(s[0]));
    assert_true(isinf(s[1]) && s[2] == 1e30f && fabsf(s[3]) < 2e-36f && fabsf(s[4]) < 2e-36f && s[5] == 0 && s[6] == 0);
    plane_free(&x);
    plane_free(&y);
}

static void silu_is_exact(void **state)
{
    (void)state;
    every_isa(silu_accuracy);
}

struct silu_fixture {
    struct plane x, dy, dx;
    bool accumulate;
};

static void run_silu_backward(void *context)
{
    struct silu_fixture *f = context;
    silu_backward(f->x.rows, f->x.c, f->x.data, f->x.pitch, f->dy.data, f->dy.pitch, f->dx.data, f->dx.pitch,
                  f->accumulate);
}

static void silu_gradient(void)
{
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        struct silu_fixture f = {plane_create(5, 37, 40), plane_create(5, 37, 38), plane_create(5, 37, 39), accumulate};
        plane_random(&f.x, 1, 10, 0);
        plane_random(&f.dy, 2, 1, 0);
        plane_random(&f.dx, 3, 1, 0);
        double *x = plane_values(&f.x), *dy = plane_values(&f.dy), *want = plane_values(&f.dx);
        for (int i = 0; i < 5 * 37; i++) {
            const double h = 1e-6;
            double slope = ((x[i] + h) / (1 + exp(-x[i] - h)) - (x[i] - h) / (1 + exp(-x[i] + h))) / (2 * h);
            want[i] = (accumulate ? want[i] : 0) + dy[i] * slope;
        }
        check_threads(run_silu_backward, &f, 1, (struct plane *[]){&f.dx});
        plane_check(&f.dx, want, 1e-6, "gradient of silu");
        free(x);
        free(dy);
        free(want);
        plane_free(&f.x);
        plane_free(&f.dy);
        plane_free(&f.dx);
    }
}

static void silu_backward_is_its_slope(void **state)
{
    (void)state;
    every_isa(silu_gradient);
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

/* A copy of a plane of one element to a plane of another, or a sum with it. */
static void copy(const struct plane *x, struct plane *y, int64_t rows, bool accumulate)
{
    if (x->element == y->element)
        copy_rows(x->element, rows, x->c, x->data, x->pitch, y->data, y->pitch, accumulate);
    else if (x->element == ELEMENT_FLOAT32)
        rows_from_float(y->element, rows, x->c, x->data, x->pitch, y->data, y->pitch, accumulate);
    else
        rows_to_float(x->element, rows, x->c, x->data, x->pitch, y->data, y->pitch, accumulate);
}

/* Exact but for the one rounding to bfloat16: 2^-9 of a value. */
static void check_copies(enum element from, enum element to)
{
    struct plane x = plane_create_of(from, 7, 37, 39), y = plane_create_of(to, 7, 37, 38);
    double tolerance = from == ELEMENT_FLOAT32 && to == ELEMENT_BF16 ? 0x1p-9 : 0;
    plane_random(&x, 1, 1, 0);
    double *want = plane_values(&x);
    plane_set(&y, NAN);
    copy(&x, &y, 7, false);
    plane_check(&y, want, tolerance, "copy");
    copy(&x, &y, 7, true);
    for (int i = 0; i < 7 * 37; i++) want[i] *= 2;
    plane_check(&y, want, tolerance, "sum");
    copy(&x, &y, 0, true);
    plane_check(&y, want, tolerance, "no rows");
    free(want);
    plane_free(&x);
    plane_free(&y);
}

static void all_copies(void)
{
    for (enum element from = ELEMENT_FLOAT32; from <= ELEMENT_BF16; from++)
        for (enum element to = ELEMENT_FLOAT32; to <= ELEMENT_BF16; to++) check_copies(from, to);
}

static void copies(void **state)
{
    (void)state;
    every_isa(all_copies);
}

/* Nearest even, where halves are exact; infinity and NaN stay what they are. */
static void check_rounding(void)
{
    const float values[] = {1, 1 + 0x1p-8f, 1 + 0x3p-8f, 1 + 0x1.01p-8f, -1 - 0x1p-8f, INFINITY, 0x1.fffffep127f, NAN};
    const float want[] = {1, 1, 1 + 0x1p-6f, 1 + 0x1p-7f, -1, INFINITY, INFINITY, NAN};
    enum { VALUES = sizeof values / sizeof *values };
    uint16_t rounded[VALUES];
    float back[VALUES];
    rows_from_float(ELEMENT_BF16, 1, VALUES, values, VALUES, rounded, VALUES, false);
    rows_to_float(ELEMENT_BF16, 1, VALUES, rounded, VALUES, back, VALUES, false);
    for (int i = 0; i < VALUES; i++)
        if (back[i] != want[i] && !(isnan(back[i]) && isnan(want[i])))
            fail_msg("%a became %a, not %a (%s)", values[i], back[i], want[i], kernels_isa());
}

static void rounding(void **state)
{
    (void)state;
    every_isa(check_rounding);
}

/* Sizes around that from which threads share the work, on several of them; what lies behind is not touched. */
static void sums(void **state)
{
    static const size_t sizes[] = {0, 1, 77, (1 << 15) - 1, 1 << 15, 100003};
    enum { MOST = 100004 };
    static float x[MOST], y[MOST];
    (void)state;
    kernels_set_threads(3);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        for (size_t i = 0; i < MOST; i++) x[i] = (float)(i + 1), y[i] = 0.1F * (float)(i % 1000);
        add_floats(sizes[k], x, y);
        clear_floats(sizes[k], x);
        for (size_t i = 0; i < MOST; i++) {
            bool in = i < sizes[k];
            float before = 0.1F * (float)(i % 1000), other = (float)(i + 1), sum = before + other;
            assert_true(y[i] == (in ? sum : before) && x[i] == (in ? 0 : other));
        }
    }
    kernels_set_threads(1);
}

/* ---- timesteps --------------------------------------------------------------------------------------------------- */

/* cos(t f) of the largest t needs t f in double: float32 would be 1e-4 off. An odd width ends in a zero. */
static void timesteps(void **state)
{
    (void)state;
    const double t[] = {0, 3999, 712.25};
    struct plane y = plane_create(3, 7, 8);
    plane_set(&y, NAN);
    timestep_embedding(3, t, 7, y.data, y.pitch);
    for (int i = 0; i < 3; i++) {
        const float *row = y.data + i * y.pitch;
        for (int k = 0; k < 3; k++) {
            double angle = t[i] * pow(10000, -k / 3.0);
            assert_true(fabs(row[k] - cos(angle)) < 1e-7 && fabs(row[3 + k] - sin(angle)) < 1e-7);
        }
        assert_true(row[6] == 0);
    }
    plane_check_guards(&y, "timesteps");
    timestep_embedding(3, t, 1, y.data, y.pitch);
    assert_true(y.data[0] == 0 && y.data[8] == 0);
    plane_free(&y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponential), cmocka_unit_test(silu_is_exact), cmocka_unit_test(silu_backward_is_its_slope),
        cmocka_unit_test(copies),      cmocka_unit_test(rounding),      cmocka_unit_test(sums),
        cmocka_unit_test(timesteps),
    };
    if (kernels_select(NULL)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
