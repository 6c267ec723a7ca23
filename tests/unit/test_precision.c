/* A network whose torso is bfloat16 against the same one in float32: forward and backward, memory, threads, and the
 * instruction sets with each other. */
#include "check.h"

#include "iddpm/models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3, SIDE = 16, CHANNELS = 3 };

struct result {
    size_t outputs, flat, arena;
    float *output, *gradient;
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
    net_destroy(net);
    free(params);
    return r;
}

static void result_free(struct result *r)
{
    free(r->output);
    free(r->gradient);
}

static double error(size_t n, const float *got, const float *want)
{
    double square = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        square += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        all += (double)want[i] * want[i];
    }
    return sqrt(square / all);
}

/* The roundings of some thirty layers, each of them 2^-9 of a value, come together at random. */
static void check_results(const struct result *got, const struct result *want, double tolerance, const char *what)
{
    double output = error(want->outputs, got->output, want->output);
    double gradient = error(want->flat, got->gradient, want->gradient);
    if (!(output < tolerance && gradient < tolerance))
        fail_msg("%s (%s): outputs differ by %g, gradients by %g of their size", what, kernels_isa(), output, gradient);
}

static void near_float32(void **state)
{
    (void)state;
    static const char *const isas[] = {"portable", "avx2", "avx512", "avx512bf16"};
    static const char *const choices[] = {"direct", "winograd", "auto"};
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) {
        if (kernels_select(isas[i]) != IDDPM_OK) continue;
        struct result want = run_network("float32", "direct", 3);
        for (size_t k = 0; k < sizeof choices / sizeof *choices; k++) {
            struct result got = run_network("bf16", choices[k], 3);
            assert_true(error(want.outputs, got.output, want.output) > 1e-4); /* or nothing was rounded */
            check_results(&got, &want, 0.03, choices[k]);
            result_free(&got);
        }
        result_free(&want);
    }
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
