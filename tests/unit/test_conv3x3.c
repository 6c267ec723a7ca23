/* 3x3 convolutions by every algorithm on every instruction set that runs here: against sums in double, bit for bit over
 * threads, as each other's adjoints, and against finite differences. */
#include "iddpm/kernels.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define THREADS 3
static const char *const isas[] = {"portable", "avx2", "avx512", "avx512bf16"};
#define ISAS 3 /* whose float32 kernels differ */
#define ALGORITHMS (CONV_WINOGRAD4 + 1)
#define VARIANTS (ISAS * ALGORITHMS)

static const struct conv_shape shapes[] = {
    {.n = 1, .h = 1, .w = 1, .c_in = 1, .c_out = 1, .stride = 1},
    {.n = 3, .h = 1, .w = 1, .c_in = 5, .c_out = 33, .stride = 2},
    {.n = 1, .h = 5, .w = 1, .c_in = 13, .c_out = 17, .stride = 1},
    {.n = 1, .h = 1, .w = 7, .c_in = 16, .c_out = 32, .stride = 2},
    {.n = 2, .h = 2, .w = 2, .c_in = 64, .c_out = 16, .stride = 1},
    {.n = 5, .h = 3, .w = 3, .c_in = 65, .c_out = 48, .stride = 1},
    {.n = 2, .h = 8, .w = 8, .c_in = 3, .c_out = 70, .stride = 1},
    {.n = 2, .h = 8, .w = 8, .c_in = 70, .c_out = 6, .stride = 1},
    {.n = 1, .h = 9, .w = 13, .c_in = 6, .c_out = 3, .stride = 2},
    {.n = 2, .h = 7, .w = 8, .c_in = 49, .c_out = 200, .stride = 1}, /* several groups of panels */
    {.n = 3, .h = 8, .w = 6, .c_in = 200, .c_out = 20, .stride = 2}, /* several blocks of inputs */
    {.n = 5, .h = 4, .w = 4, .c_in = 130, .c_out = 130, .stride = 1},
    {.n = 1, .h = 3, .w = 300, .c_in = 4, .c_out = 5, .stride = 1}, /* a row is more than a block */
    {.n = 2, .h = 40, .w = 30, .c_in = 8, .c_out = 16, .stride = 1},
    {.n = 2, .h = 40, .w = 33, .c_in = 9, .c_out = 7, .stride = 2},
    {.n = 2, .h = 15, .w = 14, .c_in = 100, .c_out = 68, .stride = 1}, /* as in networks, where tiles do not fit */
};
#define FIXED ((int)(sizeof shapes / sizeof shapes[0]))
#define RANDOM 25

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

static uint32_t random_below(uint32_t bound, int stream, int element)
{
    uint32_t value;
    rng_uint32(&(struct rng){.seed = 7, .purpose = RNG_TEST, .step = (uint32_t)stream}, (uint64_t)element, 1, &value);
    return value % bound;
}

/* Exactly as large as asked, so that AddressSanitizer sees the ends, and NaN where nothing was written. */
static float *array(size_t n)
{
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++) values[i] = NAN;
    return values;
}

/* rows of c normal values every `pitch`; what lies between is NaN. */
static float *tensor(size_t rows, int c, int pitch, int stream)
{
    float *values = array(rows * pitch);
    double *normal = malloc(rows * c * sizeof *normal);
    assert_non_null(normal);
    rng_normal(&(struct rng){.seed = 11, .purpose = RNG_TEST, .step = (uint32_t)stream}, rows * c, normal);
    for (size_t row = 0; row < rows; row++)
        for (int i = 0; i < c; i++) values[row * pitch + i] = (float)normal[row * c + i];
    free(normal);
    return values;
}

static float *copy(const float *values, size_t n)
{
    float *result = array(n);
    memcpy(result, values, n * sizeof *values);
    return result;
}

/* A shape with random data: x, weight, bias, residual and dy are inputs of the passes; dx, dweight and dbias are what
 * gradients are added to. */
struct problem {
    struct conv_shape s;
    int h_out, w_out, residual_pitch;
    size_t x_rows, y_rows, weights;
    float *x, *y, *weight, *bias, *residual, *dy, *dx, *dweight, *dbias, *packed[2], *scratch;
    const float *forward, *backward; /* packed weights, or the weights themselves */
};

static void problem_create(struct problem *p, int number)
{
    if (number < FIXED) {
        p->s = shapes[number];
    } else {
        uint32_t big = number % 2 ? 70 : 20;
        p->s = (struct conv_shape){.n = 1 + (int)random_below(3, number, 0),
                                   .h = 1 + (int)random_below(12, number, 1),
                                   .w = 1 + (int)random_below(12, number, 2),
                                   .c_in = 1 + (int)random_below(big, number, 3),
                                   .c_out = 1 + (int)random_below(big, number, 4),
                                   .stride = 1 + (int)random_below(2, number, 5)};
    }
    struct conv_shape *s = &p->s;
    s->x_pitch = s->c_in + (int)random_below(4, number, 6);
    s->y_pitch = s->c_out + (int)random_below(4, number, 7);
    p->residual_pitch = s->c_out + (int)random_below(4, number, 8);
    p->h_out = (s->h + s->stride - 1) / s->stride;
    p->w_out = (s->w + s->stride - 1) / s->stride;
    p->x_rows = (size_t)s->n * s->h * s->w;
    p->y_rows = (size_t)s->n * p->h_out * p->w_out;
    p->weights = (size_t)9 * s->c_in * s->c_out;
    int stream = 100 * number;
    p->x = tensor(p->x_rows, s->c_in, s->x_pitch, stream + 1);
    p->weight = tensor(p->weights, 1, 1, stream + 2);
    p->bias = tensor(s->c_out, 1, 1, stream + 3);
    p->residual = tensor(p->y_rows, s->c_out, p->residual_pitch, stream + 4);
    p->dy = tensor(p->y_rows, s->c_out, s->y_pitch, stream + 5);
    p->dx = tensor(p->x_rows, s->c_in, s->x_pitch, stream + 6);
    p->dweight = tensor(p->weights, 1, 1, stream + 7);
    p->dbias = tensor(s->c_out, 1, 1, stream + 8);
    p->y = array(p->y_rows * s->y_pitch);
    p->packed[PACK_FORWARD] = p->packed[PACK_BACKWARD] = p->scratch = NULL;
}

/* Selects instruction set and algorithm; false when the shape or this processor has not got it. */
static bool problem_select(struct problem *p, int variant)
{
    p->s.algorithm = (enum conv_algorithm)(variant % ALGORITHMS);
    if (p->s.algorithm != CONV_DIRECT && p->s.stride != 1) return false;
    return kernels_select(isas[variant / ALGORITHMS]) == IDDPM_OK;
}

static const float *pack(struct problem *p, enum conv_pack pack)
{
    size_t size = conv3x3_packed_size(&p->s, pack);
    free(p->packed[pack]);
    p->packed[pack] = NULL;
    if (size == 0) return p->weight;
    p->packed[pack] = array(size);
    conv3x3_pack(&p->s, pack, p->weight, p->packed[pack]);
    return p->packed[pack];
}

/* Packs for the selected instruction set. */
static void problem_pack(struct problem *p)
{
    p->forward = pack(p, PACK_FORWARD);
    p->backward = pack(p, PACK_BACKWARD);
    free(p->scratch);
    p->scratch = array(conv3x3_scratch_size(&p->s, THREADS));
}

static void problem_destroy(struct problem *p)
{
    float *all[] = {p->x,  p->y,       p->weight, p->bias,      p->residual,  p->dy,
                    p->dx, p->dweight, p->dbias,  p->packed[0], p->packed[1], p->scratch};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

/* ---- sums in double ---------------------------------------------------------------------------------------------- */

/* Sums and the sums of the terms' absolute values, to which rounding errors are in proportion. */
struct sums {
    double *value, *size;
};

static struct sums sums_create(size_t n)
{
    struct sums sums = {calloc(n, sizeof(double)), calloc(n, sizeof(double))};
    assert_non_null(sums.value);
    assert_non_null(sums.size);
    return sums;
}

static void sums_destroy(struct sums *sums)
{
    free(sums->value);
    free(sums->size);
}

static void sums_add(struct sums *sums, size_t i, double term)
{
    sums->value[i] += term;
    sums->size[i] += fabs(term);
}

struct expected {
    struct sums y, dx, dweight, dbias; /* without pitch; not counting bias, residual and what was there before */
};

/* One tap from input pixel xi to output pixel yi. */
static void expect_tap(const struct problem *p, size_t xi, size_t yi, int tap, struct expected *e)
{
    const float *x = p->x + xi * p->s.x_pitch, *dy = p->dy + yi * p->s.y_pitch;
    for (int o = 0; o < p->s.c_out; o++) {
        for (int c = 0; c < p->s.c_in; c++) {
            size_t w = ((size_t)o * p->s.c_in + c) * 9 + tap;
            sums_add(&e->y, yi * p->s.c_out + o, (double)x[c] * p->weight[w]);
            sums_add(&e->dx, xi * p->s.c_in + c, (double)dy[o] * p->weight[w]);
            sums_add(&e->dweight, w, (double)x[c] * dy[o]);
        }
    }
}

static struct expected expected_create(const struct problem *p)
{
    const struct conv_shape *s = &p->s;
    struct expected e = {sums_create(p->y_rows * s->c_out), sums_create(p->x_rows * s->c_in), sums_create(p->weights),
                         sums_create(s->c_out)};
    for (size_t yi = 0; yi < p->y_rows; yi++) {
        size_t image = yi / ((size_t)p->h_out * p->w_out);
        int i = (int)(yi / p->w_out % p->h_out), j = (int)(yi % p->w_out);
        for (int tap = 0; tap < 9; tap++) {
            int row = i * s->stride + tap / 3 - 1, col = j * s->stride + tap % 3 - 1;
            if (row >= 0 && row < s->h && col >= 0 && col < s->w)
                expect_tap(p, (image * s->h + row) * s->w + col, yi, tap, &e);
        }
        for (int o = 0; o < s->c_out; o++) sums_add(&e.dbias, o, p->dy[yi * s->y_pitch + o]);
    }
    return e;
}

static void expected_destroy(struct expected *e)
{
    sums_destroy(&e->y);
    sums_destroy(&e->dx);
    sums_destroy(&e->dweight);
    sums_destroy(&e->dbias);
}

/* What the Winograd algorithms may err by, per root mean square of all outputs. */
static const double winograd_error[ALGORITHMS] = {0, 4e-6, 2.5e-5};

static double root_mean_square(size_t n, const double *values)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += values[i] * values[i];
    return sqrt(sum / (double)n);
}

/* got = base + residual + the sums to 1e-6 of the terms' size (16 roundings) and the algorithm's error; NaN between
 * rows was not touched. base is one value per column with base_pitch 0. */
static void compare(const char *what, const struct problem *p, size_t rows, int c, const float *got, int pitch,
                    const struct sums *sums, const float *base, int base_pitch, const float *residual)
{
    double error = winograd_error[p->s.algorithm] * root_mean_square(rows * (size_t)c, sums->value);
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
                fail_msg("%s, algorithm %d, %s, n %d h %d w %d c_in %d c_out %d stride %d: [%zu][%d] is %.9g, not %.9g",
                         kernels_isa(), (int)p->s.algorithm, what, p->s.n, p->s.h, p->s.w, p->s.c_in, p->s.c_out,
                         p->s.stride, row, i, value, sum);
        }
    }
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void check_forward(struct problem *p, const struct expected *e)
{
    const struct conv_shape *s = &p->s;
    conv3x3_forward(s, p->x, p->forward, p->bias, NULL, 0, p->y, p->scratch);
    compare("forward", p, p->y_rows, s->c_out, p->y, s->y_pitch, &e->y, p->bias, 0, NULL);
    conv3x3_forward(s, p->x, p->forward, p->bias, p->residual, p->residual_pitch, p->y, p->scratch);
    compare("residual", p, p->y_rows, s->c_out, p->y, s->y_pitch, &e->y, p->bias, 0, p->residual);
}

static void check_backward_input(struct problem *p, const struct expected *e)
{
    const struct conv_shape *s = &p->s;
    size_t size = p->x_rows * s->x_pitch;
    float *dx = copy(p->dx, size);
    conv3x3_backward_input(s, p->dy, p->backward, dx, true, p->scratch);
    compare("accumulated dx", p, p->x_rows, s->c_in, dx, s->x_pitch, &e->dx, p->dx, s->x_pitch, NULL);
    free(dx);
    dx = array(size);
    conv3x3_backward_input(s, p->dy, p->backward, dx, false, p->scratch);
    compare("dx", p, p->x_rows, s->c_in, dx, s->x_pitch, &e->dx, NULL, 0, NULL);
    free(dx);
}

static void check_backward_weight(struct problem *p, const struct expected *e)
{
    const struct conv_shape *s = &p->s;
    float *dweight = copy(p->dweight, p->weights), *dbias = copy(p->dbias, s->c_out);
    conv3x3_backward_weight(s, p->x, p->dy, dweight, dbias, p->scratch);
    compare("dweight", p, p->weights, 1, dweight, 1, &e->dweight, p->dweight, 1, NULL);
    compare("dbias", p, s->c_out, 1, dbias, 1, &e->dbias, p->dbias, 1, NULL);
    float *again = copy(p->dweight, p->weights);
    conv3x3_backward_weight(s, p->x, p->dy, again, NULL, p->scratch);
    assert_memory_equal(again, dweight, p->weights * sizeof *again);
    free(again);
    free(dweight);
    free(dbias);
}

static void test_against_double(void **state)
{
    (void)state;
    for (int number = 0; number < FIXED + RANDOM; number++) {
        struct problem p;
        problem_create(&p, number);
        struct expected e = expected_create(&p);
        for (int i = 0; i < VARIANTS; i++) {
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
    conv3x3_forward(s, p->x, p->forward, p->bias, p->residual, p->residual_pitch, all, p->scratch);
    conv3x3_backward_input(s, p->dy, p->backward, all + y, false, p->scratch);
    conv3x3_backward_weight(s, p->x, p->dy, dweight, dbias, p->scratch);
    return all;
}

static void test_equal_bits(void **state)
{
    (void)state;
    int before = omp_get_max_threads();
    for (int number = 0; number < FIXED; number++) {
        struct problem p;
        size_t size;
        problem_create(&p, number);
        for (int i = 0; i < VARIANTS; i++) {
            if (!problem_select(&p, i)) continue;
            float *one = all_results(&p, 1, &size), *three = all_results(&p, THREADS, &size);
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
    conv3x3_forward(&p->s, p->x, p->forward, p->bias, NULL, 0, p->y, p->scratch);
    size_t in = (size_t)p->s.h * p->s.w * p->s.x_pitch, out = (size_t)p->h_out * p->w_out * p->s.y_pitch;
    struct conv_shape one = p->s;
    one.n = 1;
    float *y = array(out);
    for (int image = 0; image < p->s.n; image++) {
        conv3x3_forward(&one, p->x + image * in, p->forward, p->bias, NULL, 0, y, p->scratch);
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
    for (int k = 0; k < 3; k++) {
        struct problem p;
        problem_create(&p, numbers[k]);
        for (int i = 0; i < VARIANTS; i++)
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
    for (int i = 0; i < VARIANTS; i++) {
        for (int number = 0; number < FIXED + RANDOM; number++) {
            struct problem p;
            problem_create(&p, number);
            if (!problem_select(&p, i)) {
                problem_destroy(&p);
                continue;
            }
            problem_pack(&p);
            memset(p.bias, 0, p.s.c_out * sizeof *p.bias);
            memset(p.dweight, 0, p.weights * sizeof *p.dweight);
            conv3x3_forward(&p.s, p.x, p.forward, p.bias, NULL, 0, p.y, p.scratch);
            conv3x3_backward_input(&p.s, p.dy, p.backward, p.dx, false, p.scratch);
            conv3x3_backward_weight(&p.s, p.x, p.dy, p.dweight, NULL, p.scratch);
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
    conv3x3_forward(&p->s, p->x, p->forward, p->bias, NULL, 0, p->y, p->scratch);
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
    for (int i = 0; i < VARIANTS; i++) {
        for (int number = FIXED; number < FIXED + 6; number++) {
            struct problem p;
            problem_create(&p, number);
            if (!problem_select(&p, i)) {
                problem_destroy(&p);
                continue;
            }
            problem_pack(&p);
            memset(p.dweight, 0, p.weights * sizeof *p.dweight);
            memset(p.dbias, 0, p.s.c_out * sizeof *p.dbias);
            conv3x3_backward_input(&p.s, p.dy, p.backward, p.dx, false, p.scratch);
            conv3x3_backward_weight(&p.s, p.x, p.dy, p.dweight, p.dbias, p.scratch);
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

static void test_selection(void **state)
{
    (void)state;
    assert_int_equal(kernels_select("sse9"), IDDPM_USAGE);
    assert_non_null(strstr(iddpm_error_text(), "sse9"));
    assert_int_equal(kernels_select("portable"), IDDPM_OK);
    assert_string_equal(kernels_isa(), "portable");
    assert_int_equal(kernels_select(NULL), IDDPM_OK);
    const char *best = kernels_isa();
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) /* worst first: the last that can be selected is the best */
        if (kernels_select(isas[i]) == IDDPM_OK) assert_string_equal(kernels_isa(), isas[i]);
    assert_string_equal(kernels_isa(), best);
}

/* What is chosen does not depend on the batch, so that it is the same for every microbatch and rank. */
static void test_choice(void **state)
{
    static const enum conv_choice choices[] = {CONV_CHOICE_DIRECT, CONV_CHOICE_WINOGRAD, CONV_CHOICE_AUTO};
    (void)state;
    for (int i = 0; i < ISAS; i++) {
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
        for (int number = 0; number < FIXED; number++)
            for (int k = 0; k < 3; k++) {
                struct conv_shape one = shapes[number], many = one;
                one.n = 1;
                many.n = 1000;
                enum conv_algorithm algorithm = conv3x3_algorithm(choices[k], &one);
                assert_int_equal(algorithm, conv3x3_algorithm(choices[k], &many));
                if (one.stride == 2) assert_int_equal(algorithm, CONV_DIRECT);
            }
    }
}

static volatile float small = 1.5e-38f, tenth = 0.1f; /* not local: GCC 12 for aarch64 leaves out their product */

static void test_flush_denormals(void **state)
{
    (void)state;
    kernels_flush_denormals();
    int flushed = 0, threads = 0;
#pragma omp parallel reduction(+ : flushed, threads)
    {
        flushed += small * tenth == 0;
        threads++;
    }
    assert_int_equal(flushed, threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selection),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_against_double),
        cmocka_unit_test(test_equal_bits),
        cmocka_unit_test(test_equal_bits_of_images),
        cmocka_unit_test(test_adjoint),
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_flush_denormals), /* last: it changes the arithmetic of this process */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
