/* What is not finite stays so, on every instruction set and with both elements: each result that notices a change of an
 * input is NaN when the input is, and not finite when it is infinite. Maxima, clamps, roundings to bfloat16 and padding
 * are where it could get lost, and a run would go on with what it should have stopped at. */
#include "plane.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PLANES = 8 };

/* Calls of kernels with their arrays: in[] is only read, out[] written or added to. */
struct call {
    struct plane in[PLANES], out[PLANES];
    int ins, outs;
    enum element element;
    union {
        struct conv_shape conv;
        struct linear_shape linear;
        struct attention_shape attention;
        struct group_norm_shape norm;
    } shape;
    float *scratch, *packed[2];
    void (*run)(struct call *call);
    bool (*vanishes)(const struct call *call, int in, int j); /* an infinite in[in], column j, may become finite */
};

static const char *element_name(enum element element)
{
    return element == ELEMENT_BF16 ? "bfloat16" : "float32";
}

static float *floats(size_t n)
{
    float *values;
    must(mem_alloc(&values, n ? n : 1, sizeof *values, "floats"));
    return values;
}

/* An input of random numbers, or an output; activations have gaps between their rows. Returns the pitch. */
static int activation(struct call *call, bool input, int64_t rows, int c)
{
    struct plane *plane = input ? &call->in[call->ins++] : &call->out[call->outs++];
    *plane = plane_create_of(call->element, rows, c, c + 3);
    if (input) plane_random(plane, (uint32_t)call->ins, 1, 0);
    return plane->pitch;
}

static void parameters(struct call *call, bool input, int64_t rows, int c)
{
    struct plane *plane = input ? &call->in[call->ins++] : &call->out[call->outs++];
    *plane = plane_create(rows, c, c);
    if (input) plane_random(plane, (uint32_t)call->ins, 1, 0);
}

static void call_destroy(struct call *call)
{
    for (int i = 0; i < call->ins; i++) plane_free(&call->in[i]);
    for (int i = 0; i < call->outs; i++) plane_free(&call->out[i]);
    free(call->scratch);
    free(call->packed[0]);
    free(call->packed[1]);
}

/* ---- the check --------------------------------------------------------------------------------------------------- */

struct place {
    int in, j;
    int64_t row;
};

/* All results with that value in the place, one after the other (free()). */
static double *results_with(struct call *call, struct place at, float value, size_t *n)
{
    double *all = NULL;
    plane_put(&call->in[at.in], at.row, at.j, value);
    for (int i = 0; i < call->outs; i++) plane_set(&call->out[i], 0);
    call->run(call);
    *n = 0;
    for (int i = 0; i < call->outs; i++) {
        size_t size = (size_t)call->out[i].rows * (size_t)call->out[i].c;
        double *values = plane_values(&call->out[i]);
        all = realloc(all, (*n + size) * sizeof *all);
        assert_non_null(all);
        memcpy(all + *n, values, size * sizeof *all);
        *n += size;
        free(values);
    }
    return all;
}

/* Returns how many results notice the place (none does one of dy that dropout leaves out). */
static size_t check_place(struct call *call, struct place at, const char *name)
{
    size_t n, noticed = 0;
    const float values[] = {NAN, INFINITY, -INFINITY};
    double *one = results_with(call, at, 2, &n), *other = results_with(call, at, -1.5f, &n);
    for (size_t i = 0; i < n; i++) noticed += one[i] != other[i];
    for (int k = 0; k < (call->vanishes && call->vanishes(call, at.in, at.j) ? 1 : 3); k++) {
        double *got = results_with(call, at, values[k], &n);
        for (size_t i = 0; i < n; i++)
            if (one[i] != other[i] && !(k == 0 ? isnan(got[i]) : !isfinite(got[i])))
                fail_msg("%s, %s, %s: result %zu is %g with %g in input %d [%lld][%d]", name, kernels_isa(),
                         element_name(call->element), i, got[i], values[k], at.in, (long long)at.row, at.j);
        free(got);
    }
    plane_put(&call->in[at.in], at.row, at.j, 1);
    free(one);
    free(other);
    return noticed;
}

/* Both ends of every input, and places between. */
static void check(struct call *call, const char *name)
{
    enum { PLACES = 5 };
    for (int in = 0; in < call->ins; in++) {
        const struct plane *plane = &call->in[in];
        size_t noticed = 0;
        for (int k = 0; k < PLACES; k++) {
            int64_t row = k * (plane->rows - 1) / (PLACES - 1);
            int j = k * 3 % PLACES * (plane->c - 1) / (PLACES - 1);
            noticed += check_place(call, (struct place){in, j, row}, name);
        }
        assert_true(noticed > 0);
    }
    call_destroy(call);
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

static void run_conv(struct call *call)
{
    const struct conv_shape *s = &call->shape.conv;
    const struct plane *x = &call->in[0], *dy = &call->in[1], *residual = &call->in[2];
    const float *weight = call->in[3].data, *packed[2] = {weight, weight};
    for (int pack = PACK_FORWARD; pack <= PACK_BACKWARD; pack++) {
        if (conv3x3_packed_size(s, (enum conv_pack)pack) == 0) continue;
        conv3x3_pack(s, (enum conv_pack)pack, weight, call->packed[pack]);
        packed[pack] = call->packed[pack];
    }
    conv3x3_forward(s, x->data, packed[PACK_FORWARD], call->in[4].data, residual->data, residual->pitch,
                    call->out[0].data, call->scratch);
    conv3x3_backward_input(s, dy->data, packed[PACK_BACKWARD], call->out[1].data, false, call->scratch);
    conv3x3_backward_weight(s, x->data, dy->data, call->out[2].data, call->out[3].data, call->scratch);
}

static void check_conv(enum element element, enum conv_algorithm algorithm, int stride)
{
    enum { N = 2, H = 6, W = 9, IN = 35, OUT = 37 };
    int outputs = N * ((H + stride - 1) / stride) * ((W + stride - 1) / stride);
    struct call call = {.element = element, .run = run_conv};
    struct conv_shape *s = &call.shape.conv;
    *s = (struct conv_shape){
        .n = N, .h = H, .w = W, .c_in = IN, .c_out = OUT, .stride = stride, .algorithm = algorithm, .element = element};
    s->x_pitch = activation(&call, true, N * H * W, IN);
    s->y_pitch = activation(&call, true, outputs, OUT);
    activation(&call, true, outputs, OUT);
    parameters(&call, true, OUT, IN * 9);
    parameters(&call, true, 1, OUT);
    activation(&call, false, outputs, OUT);
    activation(&call, false, N * H * W, IN);
    parameters(&call, false, OUT, IN * 9);
    parameters(&call, false, 1, OUT);
    call.scratch = floats(conv3x3_scratch_size(s, TEST_THREADS));
    for (int pack = PACK_FORWARD; pack <= PACK_BACKWARD; pack++)
        call.packed[pack] = floats(conv3x3_packed_size(s, (enum conv_pack)pack));
    check(&call, algorithm == CONV_DIRECT ? "direct" : algorithm == CONV_WINOGRAD2 ? "F(2x2)" : "F(4x4)");
}

static void run_linear(struct call *call)
{
    const struct linear_shape *s = &call->shape.linear;
    const struct plane *x = &call->in[0], *dy = &call->in[1], *residual = &call->in[2];
    const float *weight = call->in[3].data;
    linear_forward(s, x->data, weight, call->in[4].data, residual->data, residual->pitch, call->out[0].data,
                   call->scratch);
    linear_backward_input(s, dy->data, weight, call->out[1].data, false, call->scratch);
    linear_backward_weight(s, x->data, dy->data, call->out[2].data, call->out[3].data, call->scratch);
}

static void check_linear(enum element element, int rows, int c_in, int c_out)
{
    struct call call = {.element = element, .run = run_linear};
    struct linear_shape *s = &call.shape.linear;
    *s = (struct linear_shape){.rows = rows, .c_in = c_in, .c_out = c_out, .element = element};
    s->x_pitch = activation(&call, true, rows, c_in);
    s->y_pitch = activation(&call, true, rows, c_out);
    activation(&call, true, rows, c_out);
    parameters(&call, true, c_out, c_in);
    parameters(&call, true, 1, c_out);
    activation(&call, false, rows, c_out);
    activation(&call, false, rows, c_in);
    parameters(&call, false, c_out, c_in);
    parameters(&call, false, 1, c_out);
    call.scratch = floats(linear_scratch_size(s, TEST_THREADS));
    check(&call, "linear");
}

static void run_attention(struct call *call)
{
    const struct attention_shape *s = &call->shape.attention;
    attention_forward(s, call->in[0].data, call->out[0].data, call->scratch);
    attention_backward(s, call->in[0].data, call->in[1].data, call->out[1].data, false, call->scratch);
}

/* A key whose score is minus infinity has no weight. */
static bool key_vanishes(const struct call *call, int in, int j)
{
    return in == 0 && j / call->shape.attention.c_head % 3 == 1;
}

static void check_attention(enum element element, int t, int c_head)
{
    enum { N = 2, HEADS = 2 };
    struct call call = {.element = element, .run = run_attention, .vanishes = key_vanishes};
    struct attention_shape *s = &call.shape.attention;
    *s = (struct attention_shape){.n = N, .t = t, .heads = HEADS, .c_head = c_head, .element = element};
    s->qkv_pitch = activation(&call, true, N * t, 3 * HEADS * c_head);
    s->y_pitch = activation(&call, true, N * t, HEADS * c_head);
    activation(&call, false, N * t, HEADS * c_head);
    activation(&call, false, N * t, 3 * HEADS * c_head);
    call.scratch = floats(attention_scratch_size(s, TEST_THREADS));
    check(&call, "attention");
}

enum { NORM_X, NORM_DY, NORM_PRE, NORM_SCALE_SHIFT, NORM_WEIGHT, NORM_BIAS };

static void run_norm(struct call *call)
{
    const struct group_norm_shape *s = &call->shape.norm;
    static const uint32_t slots[] = {0, 1};
    const struct dropout dropout = {.rate = 0.1, .key = {1, RNG_TEST, 0, 0}, .slots = slots};
    const struct plane *in = call->in, *out = call->out;
    const float *pre = in[NORM_PRE].data, *ss = in[NORM_SCALE_SHIFT].data;
    const float *weight = in[NORM_WEIGHT].data, *bias = in[NORM_BIAS].data;
    float *stats = call->packed[0];
    group_norm_forward(s, in[NORM_X].data, pre, ss, weight, bias, NULL, stats, out[0].data);
    group_norm_again(s, in[NORM_X].data, pre, ss, weight, bias, &dropout, stats, out[1].data);
    group_norm_backward(s, in[NORM_X].data, pre, ss, weight, bias, &dropout, stats, in[NORM_DY].data, out[2].data,
                        false, out[3].data, out[4].data, false, out[5].data, out[6].data, call->scratch);
}

/* SiLU of minus infinity is zero. */
static bool norm_vanishes(const struct call *call, int in, int j)
{
    (void)j;
    return call->shape.norm.silu && in != NORM_X && in != NORM_DY;
}

static void check_norm(enum element element, bool silu)
{
    enum { N = 2, HW = 9, C = 96, GROUPS = 32 };
    struct call call = {.element = element, .run = run_norm, .vanishes = norm_vanishes};
    struct group_norm_shape *s = &call.shape.norm;
    *s = (struct group_norm_shape){.n = N,
                                   .hw = HW,
                                   .c = C,
                                   .groups = GROUPS,
                                   .pre_pitch = C,
                                   .ss_pitch = 2 * C,
                                   .silu = silu,
                                   .element = element};
    s->x_pitch = activation(&call, true, N * HW, C);
    s->y_pitch = activation(&call, true, N * HW, C);
    parameters(&call, true, N, C);
    parameters(&call, true, N, 2 * C);
    parameters(&call, true, 1, C);
    parameters(&call, true, 1, C);
    for (int i = 0; i < 3; i++) activation(&call, false, N * HW, C);
    parameters(&call, false, N, C);
    parameters(&call, false, N, 2 * C);
    parameters(&call, false, 1, C);
    parameters(&call, false, 1, C);
    call.packed[0] = floats(N * GROUPS * 2);
    call.scratch = floats(group_norm_scratch_size(s, TEST_THREADS));
    check(&call, silu ? "group norm with SiLU" : "group norm");
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void convolutions(void)
{
    for (enum element element = ELEMENT_FLOAT32; element <= ELEMENT_BF16; element++) {
        for (enum conv_algorithm a = CONV_DIRECT; a <= CONV_WINOGRAD4; a++) check_conv(element, a, 1);
        check_conv(element, CONV_DIRECT, 2);
    }
}

static void linears(void)
{
    for (enum element element = ELEMENT_FLOAT32; element <= ELEMENT_BF16; element++) {
        check_linear(element, 5, 21, 35); /* a batch of embeddings */
        check_linear(element, 33, 19, 21);
        check_linear(element, 131, 70, 96);
    }
}

static void attentions(void)
{
    for (enum element element = ELEMENT_FLOAT32; element <= ELEMENT_BF16; element++) {
        check_attention(element, 9, 5);
        check_attention(element, 64, 16);
    }
}

static void norms(void)
{
    for (enum element element = ELEMENT_FLOAT32; element <= ELEMENT_BF16; element++) {
        check_norm(element, false);
        check_norm(element, true);
    }
}

static void test_convolutions(void **state)
{
    (void)state;
    every_isa(convolutions);
}

static void test_linear(void **state)
{
    (void)state;
    every_isa(linears);
}

static void test_attention(void **state)
{
    (void)state;
    every_isa(attentions);
}

static void test_group_norm(void **state)
{
    (void)state;
    every_isa(norms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_convolutions), cmocka_unit_test(test_linear),
                                       cmocka_unit_test(test_attention), cmocka_unit_test(test_group_norm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
