/* 3x3 convolutions by every algorithm on every instruction set that runs here, with float32 and bfloat16 activations,
 * against sums in double; and which algorithm is chosen. */
#include "conv_problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the Winograd algorithms may err by, per root mean square of all outputs. */
static const double winograd_error[CONV_ALGORITHMS] = {0, 4e-6, 2.5e-5};

static double root_mean_square(size_t n, const double *values)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += values[i] * values[i];
    return sqrt(sum / (double)n);
}

/* got = base + residual + the sums to 1e-6 of the terms' size (16 roundings) and the algorithm's error; activations of
 * bfloat16 and what is summed from them to 1e-2 of the largest magnitude. NaN between rows was not touched. base is one
 * value per column with base_pitch 0. */
static void compare(const char *what, const struct problem *p, size_t rows, int c, const float *got, int pitch,
                    const struct sums *sums, const float *base, int base_pitch, const float *residual)
{
    double error = winograd_error[p->s.algorithm] * root_mean_square(rows * (size_t)c, sums->value);
    if (p->s.element == ELEMENT_BF16) error = 1e-2 * largest_magnitude(rows * (size_t)c, sums->value);
    for (size_t row = 0; row < rows; row++) {
        for (int i = 0; i < pitch; i++) {
            double value = got[row * pitch + i], sum = 0, size = 0;
            if (i >= c && isnan(value)) continue;
            if (i < c) {
                double start = base ? base[row * base_pitch + i] : 0;
                double add = residual ? residual[row * p->residual_pitch + i] : 0;
                sum = sums->value[row * c + i] + start + add;
                size = sums->size[row * c + i] + fabs(start) + fabs(add);
            }
            if (i >= c || !(fabs(value - sum) <= 1e-6 * size + error))
                fail_msg("%s, algorithm %d, element %d, %s, n %d h %d w %d c_in %d c_out %d stride %d: [%zu][%d] is "
                         "%.9g, not %.9g",
                         kernels_isa(), (int)p->s.algorithm, (int)p->s.element, what, p->s.n, p->s.h, p->s.w, p->s.c_in,
                         p->s.c_out, p->s.stride, row, i, value, sum);
        }
    }
}

static void check_forward(struct problem *p, const struct expected *e)
{
    const struct conv_shape *s = &p->s;
    problem_forward(p, s->n, p->x, NULL, p->y);
    compare("forward", p, p->y_rows, s->c_out, p->y, s->y_pitch, &e->y, p->bias, 0, NULL);
    problem_forward(p, s->n, p->x, p->residual, p->y);
    compare("residual", p, p->y_rows, s->c_out, p->y, s->y_pitch, &e->y, p->bias, 0, p->residual);
}

static void check_backward_input(struct problem *p, const struct expected *e)
{
    const struct conv_shape *s = &p->s;
    size_t size = p->x_rows * s->x_pitch;
    float *dx = copy(p->dx, size);
    problem_backward_input(p, dx, true);
    compare("accumulated dx", p, p->x_rows, s->c_in, dx, s->x_pitch, &e->dx, p->dx, s->x_pitch, NULL);
    free(dx);
    dx = array(size);
    problem_backward_input(p, dx, false);
    compare("dx", p, p->x_rows, s->c_in, dx, s->x_pitch, &e->dx, NULL, 0, NULL);
    free(dx);
}

static void check_backward_weight(struct problem *p, const struct expected *e)
{
    const struct conv_shape *s = &p->s;
    float *dweight = copy(p->dweight, p->weights), *dbias = copy(p->dbias, s->c_out);
    problem_backward_weight(p, dweight, dbias);
    compare("dweight", p, p->weights, 1, dweight, 1, &e->dweight, p->dweight, 1, NULL);
    compare("dbias", p, s->c_out, 1, dbias, 1, &e->dbias, p->dbias, 1, NULL);
    float *again = copy(p->dweight, p->weights);
    problem_backward_weight(p, again, NULL);
    assert_memory_equal(again, dweight, p->weights * sizeof *again);
    free(again);
    free(dweight);
    free(dbias);
}

static void check_against_double(enum element element)
{
    for (int number = 0; number < CONV_FIXED + CONV_RANDOM; number++) {
        struct problem p;
        problem_create(&p, number, element);
        struct expected e = expected_create(&p);
        for (int i = 0; i < CONV_VARIANTS; i++) {
            if (!problem_select(&p, i)) continue;
            problem_pack(&p);
            check_forward(&p, &e);
            check_backward_input(&p, &e);
            check_backward_weight(&p, &e);
        }
        expected_destroy(&e);
        problem_destroy(&p);
    }
}

static void test_float32(void **state)
{
    (void)state;
    check_against_double(ELEMENT_FLOAT32);
}

static void test_bf16(void **state)
{
    (void)state;
    check_against_double(ELEMENT_BF16);
}

/* What is chosen does not depend on the batch, so that it is the same for every microbatch and rank. */
static void test_choice(void **state)
{
    static const enum conv_choice choices[] = {CONV_CHOICE_DIRECT, CONV_CHOICE_WINOGRAD, CONV_CHOICE_AUTO};
    static const char *const isas[] = {"portable", "avx2", "avx512", "avx512bf16"};
    (void)state;
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        if (kernels_select(isas[i]) != IDDPM_OK) continue;
        struct conv_shape shape = {.n = 8, .h = 32, .w = 32, .c_in = 128, .c_out = 128, .stride = 1};
        assert_int_equal(conv3x3_algorithm(CONV_CHOICE_DIRECT, &shape), CONV_DIRECT);
        assert_int_equal(conv3x3_algorithm(CONV_CHOICE_WINOGRAD, &shape), CONV_WINOGRAD4);
        assert_int_equal(conv3x3_algorithm(CONV_CHOICE_AUTO, &shape), CONV_WINOGRAD4);
        shape.h = shape.w = 6; /* 9 tiles of 4 x 4 points, or 4 of 6 x 6 */
        assert_int_equal(conv3x3_algorithm(CONV_CHOICE_AUTO, &shape), CONV_WINOGRAD2);
        shape.h = 1;
        assert_int_equal(conv3x3_algorithm(CONV_CHOICE_AUTO, &shape), CONV_DIRECT);
        assert_int_equal(conv3x3_algorithm(CONV_CHOICE_WINOGRAD, &shape), CONV_WINOGRAD4);
        for (int number = 0; number < CONV_FIXED; number++)
            for (int k = 0; k < 3; k++) {
                struct conv_shape one = *problem_shape(number), many = one;
                one.n = 1;
                many.n = 1000;
                enum conv_algorithm algorithm = conv3x3_algorithm(choices[k], &one);
                assert_int_equal(algorithm, conv3x3_algorithm(choices[k], &many));
                if (one.stride == 2) assert_int_equal(algorithm, CONV_DIRECT);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_float32),
        cmocka_unit_test(test_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
