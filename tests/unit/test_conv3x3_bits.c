/* 3x3 convolutions by every algorithm on every instruction set that runs here: the same bits for any number of threads
 * and images, and passes as each other's adjoints and against finite differences. */
#include "conv_problem.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* All results of one problem with `threads` threads: y, dx, dweight, dbias one after the other. */
static float *all_results(struct problem *p, int threads, size_t *size)
{
    const struct conv_shape *s = &p->s;
    size_t y = p->y_rows * s->y_pitch, x = p->x_rows * s->x_pitch;
    *size = y + x + p->weights + s->c_out;
    float *all = array(*size), *dweight = all + y + x, *dbias = dweight + p->weights;
    memset(all, 0, *size * sizeof *all);
    omp_set_num_threads(threads);
    problem_pack(p);
    problem_forward(p, s->n, p->x, p->residual, all);
    problem_backward_input(p, all + y, false);
    problem_backward_weight(p, dweight, dbias);
    return all;
}

static void test_equal_bits(void **state)
{
    (void)state;
    int before = omp_get_max_threads();
    for (int k = 0; k < 2 * CONV_FIXED; k++) {
        struct problem p;
        size_t size;
        problem_create(&p, k / 2, k % 2 ? ELEMENT_BF16 : ELEMENT_FLOAT32);
        for (int i = 0; i < CONV_VARIANTS; i++) {
            if (!problem_select(&p, i)) continue;
            float *one = all_results(&p, 1, &size), *three = all_results(&p, CONV_THREADS, &size);
            assert_memory_equal(one, three, size * sizeof *one);
            free(one);
            free(three);
        }
        problem_destroy(&p);
    }
    omp_set_num_threads(before);
}

static void check_images(struct problem *p)
{
    problem_pack(p);
    problem_forward(p, p->s.n, p->x, NULL, p->y);
    size_t in = (size_t)p->s.h * p->s.w * p->s.x_pitch, out = (size_t)p->h_out * p->w_out * p->s.y_pitch;
    float *y = array(out);
    for (int image = 0; image < p->s.n; image++) {
        problem_forward(p, 1, p->x + image * in, NULL, y);
        for (size_t k = 0; k < out; k++)
            if (k % p->s.y_pitch < (size_t)p->s.c_out) assert_true(y[k] == p->y[image * out + k]);
    }
    free(y);
}

/* An image's output does not depend on the images beside it, so batches may be cut anywhere. */
static void test_equal_bits_of_images(void **state)
{
    static const int numbers[] = {9, 11, 13};
    (void)state;
    for (int k = 0; k < 6; k++) {
        struct problem p;
        problem_create(&p, numbers[k / 2], k % 2 ? ELEMENT_BF16 : ELEMENT_FLOAT32);
        for (int i = 0; i < CONV_VARIANTS; i++)
            if (problem_select(&p, i)) check_images(&p);
        problem_destroy(&p);
    }
}

static double dot(size_t rows, int c, const float *a, const float *b, int pitch)
{
    double sum = 0;
    for (size_t row = 0; row < rows; row++)
        for (int i = 0; i < c; i++) sum += (double)a[row * pitch + i] * b[row * pitch + i];
    return sum;
}

/* <dy, conv(x)> = <conv_transposed(dy), x> = <dweight, weight> */
static void test_adjoint(void **state)
{
    (void)state;
    for (int i = 0; i < CONV_VARIANTS; i++) {
        for (int number = 0; number < CONV_FIXED + CONV_RANDOM; number++) {
            struct problem p;
            problem_create(&p, number, ELEMENT_FLOAT32);
            if (!problem_select(&p, i)) {
                problem_destroy(&p);
                continue;
            }
            problem_pack(&p);
            memset(p.bias, 0, p.s.c_out * sizeof *p.bias);
            memset(p.dweight, 0, p.weights * sizeof *p.dweight);
            problem_forward(&p, p.s.n, p.x, NULL, p.y);
            problem_backward_input(&p, p.dx, false);
            problem_backward_weight(&p, p.dweight, NULL);
            double y = dot(p.y_rows, p.s.c_out, p.dy, p.y, p.s.y_pitch);
            double size = sqrt(dot(p.y_rows, p.s.c_out, p.dy, p.dy, p.s.y_pitch) *
                               dot(p.y_rows, p.s.c_out, p.y, p.y, p.s.y_pitch));
            assert_true(fabs(dot(p.x_rows, p.s.c_in, p.dx, p.x, p.s.x_pitch) - y) <= 1e-6 * size);
            assert_true(fabs(dot(p.weights, 1, p.dweight, p.weight, 1) - y) <= 1e-6 * size);
            problem_destroy(&p);
        }
    }
}

/* <dy, forward> of the problem as it is now */
static double loss(struct problem *p)
{
    problem_pack(p);
    problem_forward(p, p->s.n, p->x, NULL, p->y);
    return dot(p->y_rows, p->s.c_out, p->dy, p->y, p->s.y_pitch);
}

/* Central difference over one value against its gradient; the loss is linear in it, so a large step is exact. */
static void check_difference(struct problem *p, float *value, double gradient)
{
    float kept = *value;
    *value = kept + 8;
    double up = loss(p), hi = *value;
    *value = kept - 8;
    double down = loss(p), lo = *value;
    *value = kept;
    double difference = (up - down) / (hi - lo);
    assert_true(fabs(difference - gradient) <= 1e-4 * (1 + fabs(gradient)));
}

static void test_finite_differences(void **state)
{
    (void)state;
    for (int i = 0; i < CONV_VARIANTS; i++) {
        for (int number = CONV_FIXED; number < CONV_FIXED + 6; number++) {
            struct problem p;
            problem_create(&p, number, ELEMENT_FLOAT32);
            if (!problem_select(&p, i)) {
                problem_destroy(&p);
                continue;
            }
            problem_pack(&p);
            memset(p.dweight, 0, p.weights * sizeof *p.dweight);
            memset(p.dbias, 0, p.s.c_out * sizeof *p.dbias);
            problem_backward_input(&p, p.dx, false);
            problem_backward_weight(&p, p.dweight, p.dbias);
            for (int k = 0; k < 10; k++) {
                size_t row = random_below((uint32_t)p.x_rows, number, 50 + k);
                size_t at = row * p.s.x_pitch + random_below((uint32_t)p.s.c_in, number, 60 + k);
                size_t w = random_below((uint32_t)p.weights, number, 70 + k);
                size_t o = random_below((uint32_t)p.s.c_out, number, 80 + k);
                check_difference(&p, &p.x[at], p.dx[at]);
                check_difference(&p, &p.weight[w], p.dweight[w]);
                check_difference(&p, &p.bias[o], p.dbias[o]);
            }
            problem_destroy(&p);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_bits),
        cmocka_unit_test(test_equal_bits_of_images),
        cmocka_unit_test(test_adjoint),
        cmocka_unit_test(test_finite_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
