/* A network whose torso is bfloat16 on each instruction set, by each choice of kernels, against the same one in float32
 * on the portable one, and so with each other: forward and backward; memory; threads. */
#include "check.h"

#include "iddpm/models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3, SIDE = 16, CHANNELS = 3 };

/* A kernel by itself stays within 1e-2 of the largest magnitude of what it gives (test_kernels_*.c, test_conv3x3.c). In
 * this network the roundings of some thirty layers come together; gradients of biases and of group norms are small
 * beside the terms that they sum. */
#define OUTPUT_BOUND 1e-2
#define WEIGHT_BOUND 5e-2
#define BIAS_BOUND 8e-2

struct result {
    size_t outputs, flat, arena;
    float *output, *gradient;
    int params;
    struct net_param *param; /* [params] */
};

/* All weights random: those that the authors set to zero would hide half of the network. */
static void random_params(struct net *net, float *params)
{
    for (int i = 0; i < net_param_count(net); i++) {
        const struct net_param *param = net_param(net, i);
        double *values = malloc(param->size * sizeof *values);
        double scale = param->ndim > 1 ? 1 / sqrt((double)param->size / (double)param->dims[0]) : 0.2;
        rng_uniform(&(struct rng){1, RNG_TEST, (uint32_t)i, 0}, param->size, values);
        for (size_t k = 0; k < param->size; k++)
            params[param->offset + k] = (float)((2 * values[k] - 1) * scale * sqrt(3)) + (param->ndim == 1 ? 0.5f : 0);
        free(values);
    }
}

static struct net *build(const char *precision, const char *kernels, int threads)
{
    char keys[2][64];
    snprintf(keys[0], sizeof keys[0], "model.precision=%s", precision);
    snprintf(keys[1], sizeof keys[1], "parallel.kernels=%s", kernels);
    const char *overrides[] = {"model.image_size=16",
                               "model.num_channels=32",
                               "model.num_res_blocks=1",
                               "model.channel_mult=1,2",
                               "model.attention_resolutions=8",
                               "model.dropout=0.1",
                               "diffusion.learn_sigma=true",
                               keys[0],
                               keys[1]};
    struct config *config;
    struct unet_options options;
    struct net *net;
    assert_int_equal(config_load(&config, NULL, sizeof overrides / sizeof *overrides, overrides), IDDPM_OK);
    assert_int_equal(unet_options_from_config(config, 0, &options), IDDPM_OK);
    assert_int_equal(unet_create(&net, &options, BATCH, NET_TRAINING, threads), IDDPM_OK);
    config_destroy(config);
    return net;
}

static struct result run_network(const char *precision, const char *kernels, int threads)
{
    struct net *net = build(precision, kernels, threads);
    struct result r = {.outputs = (size_t)BATCH * SIDE * SIDE * 2 * CHANNELS, .flat = net_flat_size(net)};
    float *params = calloc(r.flat, sizeof *params);
    double numbers[BATCH * SIDE * SIDE * CHANNELS * 2];
    const double timesteps[BATCH] = {3, 500, 999};
    const uint32_t slots[BATCH] = {0, 1, 2};
    r.output = malloc(r.outputs * sizeof *r.output);
    r.gradient = calloc(r.flat, sizeof *r.gradient);
    random_params(net, params);
    net_set_params(net, params);
    rng_normal(&(struct rng){2, RNG_TEST, 0, 0}, sizeof numbers / sizeof *numbers, numbers);
    for (size_t i = 0; i < r.outputs / 2; i++) net_input_data(net, 0)[i] = (float)numbers[i];
    struct net_run run = {.n = BATCH, .timesteps = timesteps, .slots = slots, .seed = 1};
    net_forward(net, &run);
    memcpy(r.output, net_output_data(net), r.outputs * sizeof *r.output);
    for (size_t i = 0; i < r.outputs; i++) net_output_grad(net)[i] = (float)numbers[i];
    net_backward(net, &run, r.gradient);
    r.arena = net_arena_bytes(net);
    r.params = net_param_count(net);
    r.param = malloc((size_t)r.params * sizeof *r.param);
    for (int i = 0; i < r.params; i++) r.param[i] = *net_param(net, i);
    net_destroy(net);
    free(params);
    return r;
}

static void result_free(struct result *r)
{
    free(r->output);
    free(r->gradient);
    free(r->param);
}

static double largest_of(size_t n, const float *values)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(values[i]));
    return largest;
}

/* The largest difference, of the largest magnitude. */
static double error(size_t n, const float *got, const float *want)
{
    double difference = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(got[i])) return INFINITY;
        difference = fmax(difference, fabs((double)got[i] - want[i]));
    }
    return difference / largest_of(n, want);
}

/* The largest error of the gradient of a weight, or of a vector of parameters, each of its own largest magnitude. A
 * bias that a group norm of one channel a group takes away again has none but rounding errors. */
static double gradient_error(const struct result *got, const struct result *want, bool vectors)
{
    double worst = 0, none = 1e-6 * largest_of(want->flat, want->gradient);
    for (int i = 0; i < want->params; i++) {
        const float *gradient = want->gradient + want->param[i].offset;
        size_t n = want->param[i].size;
        if (vectors == (want->param[i].ndim == 1) && largest_of(n, gradient) > none)
            worst = fmax(worst, error(n, got->gradient + want->param[i].offset, gradient));
    }
    return worst;
}

static void near_float32(void **state)
{
    (void)state;
    static const char *const isas[] = {"portable", "avx2", "avx512", "avx512bf16"};
    static const char *const choices[] = {"direct", "winograd", "auto"};
    assert_int_equal(kernels_select("portable"), IDDPM_OK);
    struct result want = run_network("float32", "direct", 3);
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        if (kernels_select(isas[i]) != IDDPM_OK) continue;
        for (size_t k = 0; k < sizeof choices / sizeof *choices; k++) {
            struct result got = run_network("bf16", choices[k], 3);
            double output = error(want.outputs, got.output, want.output);
            double weights = gradient_error(&got, &want, false), biases = gradient_error(&got, &want, true);
            assert_true(output > 1e-4); /* or nothing was rounded */
            if (!(output < OUTPUT_BOUND && weights < WEIGHT_BOUND && biases < BIAS_BOUND))
                fail_msg("%s (%s): outputs differ by %g of the largest, gradients of weights by %g, of biases by %g",
                         choices[k], isas[i], output, weights, biases);
            result_free(&got);
        }
    }
    result_free(&want);
    assert_int_equal(kernels_select(NULL), IDDPM_OK);
}

static void same_bits_on_threads(void **state)
{
    (void)state;
    struct result one = run_network("bf16", "auto", 1), three = run_network("bf16", "auto", 3);
    assert_memory_equal(one.output, three.output, one.outputs * sizeof *one.output);
    assert_memory_equal(one.gradient, three.gradient, one.flat * sizeof *one.gradient);
    result_free(&one);
    result_free(&three);
}

static void takes_less_memory(void **state)
{
    (void)state;
    struct result wide = run_network("float32", "auto", 3), narrow = run_network("bf16", "auto", 3);
    if ((double)narrow.arena > 0.75 * (double)wide.arena)
        fail_msg("the arena has %zu bytes in bfloat16, %zu in float32", narrow.arena, wide.arena);
    result_free(&wide);
    result_free(&narrow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(near_float32), cmocka_unit_test(same_bits_on_threads),
                                       cmocka_unit_test(takes_less_memory)};
    if (kernels_select(NULL)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
