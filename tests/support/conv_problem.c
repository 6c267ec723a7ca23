#include "conv_problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct conv_shape shapes[CONV_FIXED] = {
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

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

uint32_t random_below(uint32_t bound, int stream, int element)
{
    uint32_t value;
    rng_uint32(&(struct rng){.seed = 7, .purpose = RNG_TEST, .step = (uint32_t)stream}, (uint64_t)element, 1, &value);
    return value % bound;
}

float *array(size_t n)
{
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++) values[i] = NAN;
    return values;
}

/* rows of c normal values every `pitch`; what lies between is NaN. */
static float *tensor(enum element element, size_t rows, int c, int pitch, int stream)
{
    float *values = array(rows * pitch);
    double *normal = malloc(rows * c * sizeof *normal);
    assert_non_null(normal);
    rng_normal(&(struct rng){.seed = 11, .purpose = RNG_TEST, .step = (uint32_t)stream}, rows * c, normal);
    for (size_t row = 0; row < rows; row++)
        for (int i = 0; i < c; i++) values[row * pitch + i] = (float)normal[row * c + i];
    free(normal);
    if (element == ELEMENT_BF16) { /* to what it can hold */
        uint16_t *stored = malloc(rows * pitch * sizeof *stored);
        assert_non_null(stored);
        rows_from_float(element, (int64_t)rows, pitch, values, pitch, stored, pitch, false);
        rows_to_float(element, (int64_t)rows, pitch, stored, pitch, values, pitch, false);
        free(stored);
    }
    return values;
}

float *copy(const float *values, size_t n)
{
    float *result = array(n);
    memcpy(result, values, n * sizeof *values);
    return result;
}

/* ---- problems ---------------------------------------------------------------------------------------------------- */

const struct conv_shape *problem_shape(int number)
{
    return &shapes[number];
}

void problem_create(struct problem *p, int number, enum element element)
{
    if (number < CONV_FIXED) {
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
    s->element = element;
    s->x_pitch = s->c_in + (int)random_below(4, number, 6);
    s->y_pitch = s->c_out + (int)random_below(4, number, 7);
    p->residual_pitch = s->c_out + (int)random_below(4, number, 8);
    p->h_out = (s->h + s->stride - 1) / s->stride;
    p->w_out = (s->w + s->stride - 1) / s->stride;
    p->x_rows = (size_t)s->n * s->h * s->w;
    p->y_rows = (size_t)s->n * p->h_out * p->w_out;
    p->weights = (size_t)9 * s->c_in * s->c_out;
    int stream = 100 * number;
    p->x = tensor(element, p->x_rows, s->c_in, s->x_pitch, stream + 1);
    p->weight = tensor(ELEMENT_FLOAT32, p->weights, 1, 1, stream + 2);
    p->bias = tensor(ELEMENT_FLOAT32, s->c_out, 1, 1, stream + 3);
    p->residual = tensor(element, p->y_rows, s->c_out, p->residual_pitch, stream + 4);
    p->dy = tensor(element, p->y_rows, s->c_out, s->y_pitch, stream + 5);
    p->dx = tensor(element, p->x_rows, s->c_in, s->x_pitch, stream + 6);
    p->dweight = tensor(ELEMENT_FLOAT32, p->weights, 1, 1, stream + 7);
    p->dbias = tensor(ELEMENT_FLOAT32, s->c_out, 1, 1, stream + 8);
    p->y = array(p->y_rows * s->y_pitch);
    p->packed[PACK_FORWARD] = p->packed[PACK_BACKWARD] = p->scratch = NULL;
}

bool problem_select(struct problem *p, int variant)
{
    static const char *const isas[] = {"portable", "avx2", "avx512", "avx512bf16"};
    const char *isa = isas[variant / CONV_ALGORITHMS];
    p->s.algorithm = (enum conv_algorithm)(variant % CONV_ALGORITHMS);
    if (p->s.algorithm != CONV_DIRECT && p->s.stride != 1) return false;
    /* "avx512bf16" has the float32 kernels of "avx512" */
    if (p->s.element == ELEMENT_FLOAT32 && strcmp(isa, "avx512bf16") == 0) return false;
    return kernels_select(isa) == IDDPM_OK;
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

void problem_pack(struct problem *p)
{
    p->forward = pack(p, PACK_FORWARD);
    p->backward = pack(p, PACK_BACKWARD);
    free(p->scratch);
    p->scratch = array(conv3x3_scratch_size(&p->s, CONV_THREADS));
}

void problem_destroy(struct problem *p)
{
    float *all[] = {p->x,  p->y,       p->weight, p->bias,      p->residual,  p->dy,
                    p->dx, p->dweight, p->dbias,  p->packed[0], p->packed[1], p->scratch};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

/* n values as activations, exactly as large; of float32 the values themselves. NULL stays NULL. */
static void *activations(const struct problem *p, const float *values, size_t n)
{
    if (p->s.element == ELEMENT_FLOAT32 || !values) return (void *)values;
    uint16_t *stored = malloc(n * sizeof *stored);
    assert_non_null(stored);
    rows_from_float(ELEMENT_BF16, 1, (int)n, values, (int)n, stored, (int)n, false);
    return stored;
}

/* Frees what activations() gave, after taking its values where there are `values`. */
static void activations_end(const struct problem *p, void *stored, float *values, size_t n)
{
    if (p->s.element == ELEMENT_FLOAT32) return;
    if (values) rows_to_float(ELEMENT_BF16, 1, (int)n, stored, (int)n, values, (int)n, false);
    free(stored);
}

void problem_forward(struct problem *p, int n, const float *x, const float *residual, float *y)
{
    struct conv_shape shape = p->s;
    shape.n = n;
    size_t in = p->x_rows / p->s.n * n * p->s.x_pitch, out = p->y_rows / p->s.n * n;
    void *from = activations(p, x, in), *add = activations(p, residual, out * p->residual_pitch);
    void *to = activations(p, y, out * p->s.y_pitch);
    conv3x3_forward(&shape, from, p->forward, p->bias, add, residual ? p->residual_pitch : 0, to, p->scratch);
    activations_end(p, from, NULL, 0);
    activations_end(p, add, NULL, 0);
    activations_end(p, to, y, out * p->s.y_pitch);
}

void problem_backward_input(struct problem *p, float *dx, bool accumulate)
{
    size_t in = p->x_rows * p->s.x_pitch;
    void *from = activations(p, p->dy, p->y_rows * p->s.y_pitch), *to = activations(p, dx, in);
    conv3x3_backward_input(&p->s, from, p->backward, to, accumulate, p->scratch);
    activations_end(p, from, NULL, 0);
    activations_end(p, to, dx, in);
}

void problem_backward_weight(struct problem *p, float *dweight, float *dbias)
{
    void *x = activations(p, p->x, p->x_rows * p->s.x_pitch), *dy = activations(p, p->dy, p->y_rows * p->s.y_pitch);
    conv3x3_backward_weight(&p->s, x, dy, dweight, dbias, p->scratch);
    activations_end(p, x, NULL, 0);
    activations_end(p, dy, NULL, 0);
}

/* ---- sums in double ---------------------------------------------------------------------------------------------- */

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

struct expected expected_create(const struct problem *p)
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

void expected_destroy(struct expected *e)
{
    sums_destroy(&e->y);
    sums_destroy(&e->dx);
    sums_destroy(&e->dweight);
    sums_destroy(&e->dbias);
}
