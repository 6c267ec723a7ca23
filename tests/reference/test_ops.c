/* Single layers against the authors' PyTorch layers (ops.h5): outputs, and gradients of sum(output * rule). */
#include "iddpm/kernels.h"
#include "reference.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUTS = 4 };

/* One input of a layer with its gradient. Activations ("x", "qkv") are channels last here and channels first in the
 * file; everything else is as in the file. */
struct input {
    char name[32];
    int ndim;
    size_t dims[ARRAY_DIMS], size;
    float *value, *grad;
};

struct layer {
    const char *name; /* the case's path in the file */
    int n_inputs;
    struct input inputs[INPUTS];
    int n, c, h, w; /* of the output; h x w is t x 1 for sequences, 1 x 1 for vectors */
    size_t size;
    float *y, *dy;
    float *scratch;
};

static float *floats(size_t n, float value)
{
    float *p = malloc((n ? n : 1) * sizeof *p);
    for (size_t i = 0; i < n; i++) p[i] = value;
    return p;
}

static struct input *find_input(struct layer *layer, const char *name)
{
    for (int k = 0; k < layer->n_inputs; k++)
        if (strcmp(layer->inputs[k].name, name) == 0) return &layer->inputs[k];
    fail_msg("%s: has no input \"%s\"", layer->name, name);
    return NULL;
}

static float *value(struct layer *layer, const char *name)
{
    return find_input(layer, name)->value;
}

static float *grad(struct layer *layer, const char *name)
{
    return find_input(layer, name)->grad;
}

/* Channels, height, width of an activation input. */
static int dim(struct layer *layer, const char *name, int d)
{
    struct input *input = find_input(layer, name);
    return d < input->ndim ? (int)input->dims[d] : 1;
}

static float *scratch(struct layer *layer, size_t size)
{
    free(layer->scratch);
    return layer->scratch = floats(size, NAN);
}

/* ---- the layers -------------------------------------------------------------------------------------------------- */

static enum conv_algorithm algorithm; /* of 3x3 convolutions of stride 1 */

static void run_conv3x3(struct layer *layer, int stride)
{
    int c_in = dim(layer, "x", 1), threads = omp_get_max_threads();
    struct conv_shape shape = {.n = layer->n,
                               .h = dim(layer, "x", 2),
                               .w = dim(layer, "x", 3),
                               .c_in = c_in,
                               .c_out = layer->c,
                               .stride = stride,
                               .x_pitch = c_in,
                               .y_pitch = layer->c,
                               .algorithm = stride == 1 ? algorithm : CONV_DIRECT};
    for (int pass = 0; pass < 2; pass++) {
        enum conv_pack pack = pass ? PACK_BACKWARD : PACK_FORWARD;
        size_t size = conv3x3_packed_size(&shape, pack);
        float *made = floats(size, NAN), *work = scratch(layer, conv3x3_scratch_size(&shape, threads));
        conv3x3_pack(&shape, pack, value(layer, "weight"), made);
        const float *packed = size > 0 ? made : value(layer, "weight");
        if (pass)
            conv3x3_backward_input(&shape, layer->dy, packed, grad(layer, "x"), false, work);
        else
            conv3x3_forward(&shape, value(layer, "x"), packed, value(layer, "bias"), NULL, 0, layer->y, work);
        free(made);
    }
    conv3x3_backward_weight(&shape, value(layer, "x"), layer->dy, grad(layer, "weight"), grad(layer, "bias"),
                            layer->scratch);
}

static void conv3x3(struct layer *layer)
{
    run_conv3x3(layer, 1);
}

static void conv3x3_stride2(struct layer *layer)
{
    run_conv3x3(layer, 2);
}

static void run_linear(struct layer *layer, const char *x)
{
    int c_in = dim(layer, x, 1);
    struct linear_shape shape = {
        (int64_t)layer->n * layer->h * layer->w, c_in, layer->c, c_in, layer->c, ELEMENT_FLOAT32};
    float *work = scratch(layer, linear_scratch_size(&shape, omp_get_max_threads()));
    linear_forward(&shape, value(layer, x), value(layer, "weight"), value(layer, "bias"), NULL, 0, layer->y, work);
    linear_backward_input(&shape, layer->dy, value(layer, "weight"), grad(layer, x), false, work);
    linear_backward_weight(&shape, value(layer, x), layer->dy, grad(layer, "weight"), grad(layer, "bias"), work);
}

static void conv1x1(struct layer *layer)
{
    run_linear(layer, "x");
}

static void linear(struct layer *layer)
{
    run_linear(layer, "input");
}

static void upsample_nearest(struct layer *layer)
{
    int h = dim(layer, "x", 2), w = dim(layer, "x", 3), c = layer->c;
    upsample_forward(ELEMENT_FLOAT32, layer->n, h, w, c, value(layer, "x"), c, layer->y, c);
    upsample_backward(ELEMENT_FLOAT32, layer->n, h, w, c, layer->dy, c, grad(layer, "x"), c, false);
}

static void upsample_bilinear(struct layer *layer)
{
    int h = dim(layer, "x", 2), w = dim(layer, "x", 3), c = layer->c;
    bilinear_forward(layer->n, h, w, layer->h, layer->w, c, value(layer, "x"), c, layer->y, c);
    bilinear_backward(layer->n, h, w, layer->h, layer->w, c, layer->dy, c, grad(layer, "x"), c, false);
}

static void avgpool2(struct layer *layer)
{
    int h = dim(layer, "x", 2), w = dim(layer, "x", 3), c = layer->c;
    avg_pool_forward(ELEMENT_FLOAT32, layer->n, h, w, c, value(layer, "x"), c, layer->y, c);
    avg_pool_backward(ELEMENT_FLOAT32, layer->n, h, w, c, layer->dy, c, grad(layer, "x"), c, false);
}

static void run_group_norm(struct layer *layer, const float *emb, float *demb)
{
    int c = layer->c;
    struct group_norm_shape shape = {layer->n, layer->h * layer->w, c, 32, c, c, 0, 2 * c, true, ELEMENT_FLOAT32};
    float *stats = floats((size_t)layer->n * 32 * 2, NAN);
    group_norm_forward(&shape, value(layer, "x"), NULL, emb, value(layer, "weight"), value(layer, "bias"), NULL, stats,
                       layer->y);
    group_norm_backward(&shape, value(layer, "x"), NULL, emb, value(layer, "weight"), value(layer, "bias"), NULL, stats,
                        layer->dy, grad(layer, "x"), false, NULL, demb, false, grad(layer, "weight"),
                        grad(layer, "bias"), scratch(layer, group_norm_scratch_size(&shape, omp_get_max_threads())));
    free(stats);
}

static void groupnorm_silu(struct layer *layer)
{
    run_group_norm(layer, NULL, NULL);
}

static void groupnorm_scale_shift_silu(struct layer *layer)
{
    run_group_norm(layer, value(layer, "emb"), grad(layer, "emb"));
}

static void attention(struct layer *layer)
{
    const char *text = strstr(layer->name, "_heads");
    int heads = text ? atoi(text + strlen("_heads")) : 0;
    if (heads < 1) fail_msg("%s: the number of heads is not in the name", layer->name);
    struct attention_shape shape = {layer->n,     layer->h, heads,          layer->c / heads,
                                    3 * layer->c, layer->c, ELEMENT_FLOAT32};
    float *work = scratch(layer, attention_scratch_size(&shape, omp_get_max_threads()));
    attention_forward(&shape, value(layer, "qkv"), layer->y, work);
    attention_backward(&shape, value(layer, "qkv"), layer->dy, grad(layer, "qkv"), false, work);
}

/* ---- a case of the file ------------------------------------------------------------------------------------------ */

static bool is_activation(const struct input *input)
{
    return strcmp(input->name, "x") == 0 || strcmp(input->name, "qkv") == 0;
}

static size_t positions(const struct input *input)
{
    size_t hw = 1;
    for (int d = 2; d < input->ndim; d++) hw *= input->dims[d];
    return hw;
}

/* Kernels add to the gradients of parameters and overwrite those of activations and embeddings. */
static bool is_parameter(const struct input *input)
{
    return strcmp(input->name, "weight") == 0 || strcmp(input->name, "bias") == 0;
}

static void read_input(struct input *input, const struct json *json, int k)
{
    double dims[ARRAY_DIMS];
    snprintf(input->name, sizeof input->name, "%s", json_string(json, "name", ""));
    input->ndim = json_numbers(json, "shape", ARRAY_DIMS, dims);
    input->size = 1;
    for (int d = 0; d < input->ndim; d++) input->size *= input->dims[d] = (size_t)dims[d];
    double *values = malloc(input->size * sizeof *values);
    rule_fill(RULE_INPUT + (uint32_t)k, json_number(json, "scale", 1), json_number(json, "shift", 0), input->size,
              values);
    input->value = floats(input->size, 0);
    if (is_activation(input))
        channels_last_float((int)input->dims[0], (int)input->dims[1], positions(input), values, input->value);
    else
        for (size_t i = 0; i < input->size; i++) input->value[i] = (float)values[i];
    input->grad = floats(input->size, is_parameter(input) ? 0 : NAN);
    free(values);
}

static void read_layer(struct layer *layer, const struct reference *reference, const struct array *output)
{
    for (char key[16];
         snprintf(key, sizeof key, "input%d", layer->n_inputs), reference_has_attribute(reference, layer->name, key);
         layer->n_inputs++) {
        assert_true(layer->n_inputs < INPUTS);
        struct json *json = reference_json(reference, layer->name, key);
        read_input(&layer->inputs[layer->n_inputs], json, layer->n_inputs);
        json_free(json);
    }
    layer->n = (int)output->dims[0];
    layer->c = (int)output->dims[1];
    layer->h = output->ndim > 2 ? (int)output->dims[2] : 1;
    layer->w = output->ndim > 3 ? (int)output->dims[3] : 1;
    layer->size = output->size;
    layer->y = floats(layer->size, NAN);
    layer->dy = floats(layer->size, 0);
    double *values = malloc(layer->size * sizeof *values);
    rule_fill(RULE_LAYER, 1, 0, layer->size, values);
    channels_last_float(layer->n, layer->c, (size_t)layer->h * (size_t)layer->w, values, layer->dy);
    free(values);
}

static void free_layer(struct layer *layer)
{
    for (int k = 0; k < layer->n_inputs; k++) {
        free(layer->inputs[k].value);
        free(layer->inputs[k].grad);
    }
    free(layer->y);
    free(layer->dy);
    free(layer->scratch);
}

static void check_gradient(const struct layer *layer, const struct input *input, const struct reference *reference)
{
    char whole[64], dot[80], length[80];
    snprintf(whole, sizeof whole, "grad_%s", input->name);
    snprintf(dot, sizeof dot, "%s_dot", whole);
    snprintf(length, sizeof length, "%s_norm", whole);
    double *got = malloc(input->size * sizeof *got);
    if (is_activation(input))
        channels_first_float((int)input->dims[0], (int)input->dims[1], positions(input), input->grad, got);
    else
        for (size_t i = 0; i < input->size; i++) got[i] = input->grad[i];
    if (reference_has(reference, layer->name, whole)) {
        struct array want = reference_array(reference, layer->name, whole);
        assert_int_equal(want.size, input->size);
        check_scaled(want.size, got, want.data, TOLERANCE_OUTPUT, "%s: %s, %s", layer->name, whole, kernels_isa());
        array_free(&want);
    } else {
        struct array want_dot = reference_array(reference, layer->name, dot);
        struct array want_norm = reference_array(reference, layer->name, length);
        double got_dot = rule_dot(RULE_PROBE, input->size, got), got_norm = norm(input->size, got);
        check_dots(1, &got_dot, want_dot.data, &got_norm, want_norm.data, TOLERANCE_DOT, TOLERANCE_DOT_SET,
                   "%s: %s, %s", layer->name, whole, kernels_isa());
        array_free(&want_dot);
        array_free(&want_norm);
    }
    free(got);
}

static void check_layer(const struct reference *reference, const char *name, void (*run)(struct layer *))
{
    struct layer layer = {.name = name};
    struct array output = reference_array(reference, name, "output");
    read_layer(&layer, reference, &output);
    run(&layer);
    double *y = malloc(layer.size * sizeof *y);
    channels_first_float(layer.n, layer.c, (size_t)layer.h * (size_t)layer.w, layer.y, y);
    check_scaled(layer.size, y, output.data, TOLERANCE_OUTPUT, "%s: output, %s", name, kernels_isa());
    for (int k = 0; k < layer.n_inputs; k++) check_gradient(&layer, &layer.inputs[k], reference);
    free(y);
    array_free(&output);
    free_layer(&layer);
}

static void check_embedding(const struct reference *reference, const char *name)
{
    struct array t = reference_array(reference, name, "t"), want = reference_array(reference, name, "output");
    int n = (int)want.dims[0], c = (int)want.dims[1];
    float *y = floats(want.size, NAN);
    timestep_embedding(n, t.data, c, y, c);
    double *got = malloc(want.size * sizeof *got);
    for (size_t i = 0; i < want.size; i++) got[i] = y[i];
    check_close(want.size, got, want.data, 0, TOLERANCE_EMBEDDING, "%s", name);
    free(y);
    free(got);
    array_free(&t);
    array_free(&want);
}

/* ---- all cases --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(struct layer *);
} kinds[] = {
    {"attention", attention},
    {"avgpool2", avgpool2},
    {"conv1x1", conv1x1},
    {"conv3x3", conv3x3},
    {"conv3x3_stride2", conv3x3_stride2},
    {"groupnorm_scale_shift_silu", groupnorm_scale_shift_silu},
    {"groupnorm_silu", groupnorm_silu},
    {"linear", linear},
    {"timestep_embedding", NULL},
    {"upsample_bilinear", upsample_bilinear},
    {"upsample_nearest", upsample_nearest},
};

static void check_case(const struct reference *reference, const char *name)
{
    size_t length = strcspn(name, "/"), k = 0, n = sizeof kinds / sizeof *kinds;
    while (k < n && (strlen(kinds[k].name) != length || strncmp(kinds[k].name, name, length) != 0)) k++;
    if (k == n) fail_msg("%s: this test knows no such layer", name);
    if (kinds[k].run)
        check_layer(reference, name, kinds[k].run);
    else
        check_embedding(reference, name);
}

static void every_layer(void **state)
{
    static const char *const isas[] = {"portable", "avx2", "avx512"};
    (void)state;
    struct reference *reference = reference_open("ops");
    struct names cases = reference_cases(reference, "");
    assert_true(cases.n > 0);
    for (size_t k = 0; k < sizeof isas / sizeof *isas; k++)
        for (algorithm = CONV_DIRECT; algorithm <= CONV_WINOGRAD4 && kernels_select(isas[k]) == IDDPM_OK; algorithm++)
            for (int i = 0; i < cases.n; i++)
                if (algorithm == CONV_DIRECT || strncmp(cases.name[i], "conv3x3/", 8) == 0)
                    check_case(reference, cases.name[i]);
    names_free(&cases);
    reference_close(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_layer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
