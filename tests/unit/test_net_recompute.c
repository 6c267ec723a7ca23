/* Training with recomputation (net_recompute): the same outputs, gradients and order of gradients, bit for bit, in less
 * memory; and how much less. */
#include "check.h"

#include "network.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 3, GROUPS_MAX = 512 };

/* What stands around the two levels, 16x16 and 8x8, of which the second has attention. */
static const struct unet_options base = {.image_size = 16,
                                         .in_channels = 3,
                                         .out_channels = 6,
                                         .model_channels = 32,
                                         .num_res_blocks = 1,
                                         .n_attention = 1,
                                         .attention_ds = {2},
                                         .n_mult = 2,
                                         .channel_mult = {1, 2},
                                         .dropout = 0.1,
                                         .conv_resample = true,
                                         .num_heads = 2,
                                         .num_heads_upsample = -1,
                                         .kernels = CONV_CHOICE_AUTO};

struct result {
    size_t flat, inputs, outputs, arena;
    uint64_t macs, again;
    float *output, *gradient, *input_gradient;
    int groups;
    size_t group[GROUPS_MAX][2]; /* elements that were final, as after_op told them */
};

static void group_done(void *context, size_t first, size_t count)
{
    struct result *r = context;
    if (count == 0) return;
    assert_in_range(r->groups, 0, GROUPS_MAX - 1);
    r->group[r->groups][0] = first;
    r->group[r->groups++][1] = count;
}

static float *copy_of(size_t n, const float *values)
{
    float *copy;
    assert_int_equal(mem_alloc(&copy, n, sizeof *copy, "result"), IDDPM_OK);
    memcpy(copy, values, n * sizeof *copy);
    return copy;
}

static void set_inputs(struct net *net, const struct unet_options *o)
{
    for (int k = 0; k < (o->super_res ? 2 : 1); k++) {
        size_t side = (size_t)(k == 0 ? o->image_size : o->super_res), hw = side * side;
        double x[BATCH * 16 * 16 * 3];
        rng_normal(&(struct rng){2, RNG_TEST, (uint32_t)k, 0}, BATCH * hw * 3, x);
        network_set_input(net, k, BATCH, 3, hw, x);
    }
}

/* A forward and a backward pass, twice: the second finds the memory as the first has left it. */
static struct result pass(struct unet_options o, bool recompute, int threads)
{
    static const double timesteps[BATCH] = {3, 500, 999};
    static const uint32_t slots[BATCH] = {5, 6, 7};
    static const int64_t labels[BATCH] = {0, 2, 1};
    struct net *net;
    struct result r = {.outputs = BATCH * 16 * 16 * 6, .inputs = BATCH * 16 * 16 * 3};
    struct net_run run = {BATCH, timesteps, labels, 1, 4, slots, true, group_done, &r, NULL, NULL};
    float *params, *gradient;
    o.use_checkpoint = recompute;
    assert_int_equal(net_create(&net, BATCH, NET_TRAINING, threads), IDDPM_OK);
    net_want_input_grad(net);
    unet_build(net, &o);
    if (net_finish(net, true) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    r.flat = net_flat_size(net);
    assert_int_equal(mem_alloc(&params, r.flat, sizeof *params, "parameters"), IDDPM_OK);
    assert_int_equal(mem_alloc(&gradient, r.flat, sizeof *gradient, "gradient"), IDDPM_OK);
    network_fill(net, params);
    for (int time = 0; time < 2; time++) {
        r.groups = 0;
        set_inputs(net, &o);
        net_forward(net, &run);
        free(r.output);
        r.output = copy_of(r.outputs, net_output_data(net));
        memcpy(net_output_grad(net), r.output, r.outputs * sizeof *r.output);
        net_backward(net, &run, gradient);
    }
    r.gradient = gradient;
    r.input_gradient = calloc(r.inputs, sizeof *r.input_gradient);
    copy_rows(ELEMENT_FLOAT32, BATCH * 16 * 16, 3, net_input_grad(net, 0), net_input_pitch(net, 0), r.input_gradient, 3,
              false);
    r.arena = net_arena_bytes(net);
    r.macs = net_macs(net);
    r.again = net_recomputed_macs(net);
    net_destroy(net);
    free(params);
    return r;
}

static void result_free(struct result *r)
{
    free(r->output);
    free(r->gradient);
    free(r->input_gradient);
}

static void compare(const char *what, const struct unet_options *o, int threads)
{
    struct result kept = pass(*o, false, threads), again = pass(*o, true, threads);
    print_message("%s: %zu bytes, %zu\n", what, kept.arena, again.arena);
    assert_memory_equal(kept.output, again.output, kept.outputs * sizeof(float));
    assert_memory_equal(kept.gradient, again.gradient, kept.flat * sizeof(float));
    assert_memory_equal(kept.input_gradient, again.input_gradient, kept.inputs * sizeof(float));
    assert_int_equal(kept.groups, again.groups);
    assert_memory_equal(kept.group, again.group, sizeof kept.group);
    assert_true(kept.again == 0 && again.again > 0 && again.again <= again.macs);
    assert_true((double)again.arena < 0.9 * (double)kept.arena);
    bool any = false;
    for (size_t i = 0; i < kept.flat && !any; i++) any = kept.gradient[i] != 0;
    assert_true(any);
    result_free(&kept);
    result_free(&again);
}

static void same_bits(void **state)
{
    (void)state;
    struct unet_options o = base;
    compare("attention, dropout", &o, 1);
    compare("two threads", &o, 2);
    o.use_scale_shift_norm = true;
    o.num_classes = 2;
    o.null_class = true;
    compare("scale and shift, classes", &o, 1);
    o.super_res = 8;
    o.conv_resample = false;
    compare("super-resolution, average pooling", &o, 1);
    o = base;
    o.precision = ELEMENT_BF16;
    compare("bfloat16", &o, 1);
    o.kernels = CONV_CHOICE_DIRECT;
    o.n_mult = 1;
    o.num_res_blocks = 3;
    compare("bfloat16, one level, direct kernels", &o, 2);
}

/* In inference there is nothing to be kept, so nothing changes. */
static void inference(void **state)
{
    (void)state;
    size_t bytes[2];
    for (int recompute = 0; recompute < 2; recompute++) {
        struct net *net;
        struct unet_options o = base;
        o.use_checkpoint = recompute;
        assert_int_equal(net_create(&net, BATCH, NET_INFERENCE, 1), IDDPM_OK);
        unet_build(net, &o);
        assert_int_equal(net_finish(net, false), IDDPM_OK);
        assert_int_equal(net_recomputed_macs(net), 0);
        bytes[recompute] = net_arena_bytes(net);
        net_destroy(net);
    }
    assert_int_equal(bytes[0], bytes[1]);
}

static size_t planned(const char *channels, const char *recompute)
{
    const char *const overrides[] = {"model.image_size=64",
                                     "model.num_res_blocks=3",
                                     "diffusion.learn_sigma=true",
                                     "model.attention_resolutions=16,8",
                                     "parallel.kernels=auto",
                                     channels,
                                     recompute};
    struct config *config;
    struct unet_options options;
    struct net *net;
    assert_int_equal(config_load(&config, NULL, sizeof overrides / sizeof *overrides, overrides), IDDPM_OK);
    assert_int_equal(unet_options_from_config(config, 0, &options), IDDPM_OK);
    assert_int_equal(net_create(&net, 8, NET_TRAINING, 1), IDDPM_OK);
    unet_build(net, &options);
    double start = clock_seconds();
    assert_int_equal(net_finish(net, false), IDDPM_OK);
    assert_true(clock_seconds() - start < 2);
    assert_true(net_recomputed_macs(net) <= net_macs(net));
    size_t bytes = net_arena_bytes(net);
    net_destroy(net);
    config_destroy(config);
    return bytes;
}

/* The paper's 64x64 networks at eight images: at least 2.5 times less. */
static void memory(void **state)
{
    (void)state;
    static const char *const channels[] = {"model.num_channels=64", "model.num_channels=128"};
    for (int i = 0; i < 2; i++) {
        size_t kept = planned(channels[i], "model.use_checkpoint=false"),
               again = planned(channels[i], "model.use_checkpoint=true");
        print_message("%s: %.1f MB, %.1f with recomputation\n", channels[i], (double)kept / 1e6, (double)again / 1e6);
        assert_true(2.5 * (double)again <= (double)kept);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits), cmocka_unit_test(inference),
                                       cmocka_unit_test(memory)};
    if (kernels_select(NULL)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
