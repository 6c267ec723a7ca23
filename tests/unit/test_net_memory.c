/* What the planner asks for: the CIFAR-10 network of the paper at a batch of 8, and that what is made again in the
 * backward pass takes no part in it. What shares memory without harm. */
#include "check.h"

#include "iddpm/models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const cifar10[] = {"model.image_size=32", "model.num_channels=128", "model.num_res_blocks=3",
                                      "model.dropout=0.3", "diffusion.learn_sigma=true"};

static size_t arena(enum net_mode mode, size_t *packed)
{
    struct config *config;
    struct unet_options options;
    struct net *net;
    assert_int_equal(config_load(&config, NULL, sizeof cifar10 / sizeof *cifar10, cifar10), IDDPM_OK);
    assert_int_equal(unet_options_from_config(config, 0, &options), IDDPM_OK);
    assert_int_equal(net_create(&net, 8, mode, 1), IDDPM_OK);
    unet_build(net, &options);
    assert_int_equal(net_finish(net, false), IDDPM_OK);
    size_t bytes = net_arena_bytes(net);
    *packed = net_packed_bytes(net);
    net_destroy(net);
    config_destroy(config);
    return bytes;
}

static void inference(void **state)
{
    (void)state;
    size_t packed, bytes = arena(NET_INFERENCE, &packed);
    assert_in_range(bytes + packed, 1, 100000000);
}

/* The weights, their gradient, moments and one average are 1.06 GB: 1.4 in all. The outputs of group norms alone would
 * be 142 MB. */
static void training(void **state)
{
    (void)state;
    size_t packed, bytes = arena(NET_TRAINING, &packed);
    assert_in_range(bytes + packed, 1, 300000000);
}

enum { BATCH = 2, SIDE = 8, CHANNELS = 64, OUTPUTS = BATCH * SIDE * SIDE * CHANNELS };

/* Group norms of three values: one is read by nothing else, one is a residual later, one was a residual before. */
static void run_norms(enum net_mode mode, size_t *arena_bytes, float out[OUTPUTS])
{
    struct net *net;
    assert_int_equal(net_create(&net, BATCH, mode, 1), IDDPM_OK);
    int a = net_linear(net, "a", net_input(net, SIDE, SIDE, CHANNELS), CHANNELS, 2, -1, NET_INIT_DEFAULT);
    int b = net_linear(net, "b", net_group_norm(net, "na", a, -1, -1, true, 0), CHANNELS, 2, -1, NET_INIT_DEFAULT);
    int c = net_linear(net, "c", net_group_norm(net, "nb", b, -1, -1, true, 0), CHANNELS, 2, b, NET_INIT_DEFAULT);
    int d = net_linear(net, "d", c, CHANNELS, 2, c, NET_INIT_DEFAULT);
    net_output(net,
               net_linear(net, "e", net_group_norm(net, "nd", d, -1, -1, true, 0), CHANNELS, 2, -1, NET_INIT_DEFAULT));
    assert_int_equal(net_finish(net, true), IDDPM_OK);
    float *params = calloc(net_flat_size(net), sizeof *params);
    net_init_params(net, 1, params);
    net_set_params(net, params);
    for (int i = 0; i < OUTPUTS; i++) net_input_data(net, 0)[i] = sinf((float)i);
    net_forward(net, &(struct net_run){.n = BATCH});
    memcpy(out, net_output_data(net), OUTPUTS * sizeof *out);
    *arena_bytes = net_arena_bytes(net);
    net_destroy(net);
    free(params);
}

/* In inference a group norm works in place where nobody reads its input later: the same bits as in training, where all
 * is kept. */
static void norms_in_place(void **state)
{
    (void)state;
    static float kept[OUTPUTS], shared[OUTPUTS];
    size_t training_bytes, inference_bytes;
    run_norms(NET_TRAINING, &training_bytes, kept);
    run_norms(NET_INFERENCE, &inference_bytes, shared);
    assert_memory_equal(kept, shared, sizeof kept);
    assert_true(isfinite(kept[0]) && kept[0] != 0 && inference_bytes < training_bytes);
}

enum { KEPT = 4 };

/* A chain whose values write over each other in inference, each of them kept or only the last; the bits of all. */
static void run_chain(enum net_mode mode, int keep, float out[KEPT][OUTPUTS])
{
    static const char *const names[KEPT] = {"first", "norm", "left", "both"};
    struct net *net;
    struct net_kept kept;
    int values[KEPT];
    assert_int_equal(net_create(&net, BATCH, mode, 1), IDDPM_OK);
    values[0] = net_linear(net, "a", net_input(net, SIDE, SIDE, CHANNELS), CHANNELS, 2, -1, NET_INIT_DEFAULT);
    values[1] = net_group_norm(net, "na", values[0], -1, -1, true, 0);
    values[2] = net_linear(net, "b", values[1], CHANNELS, 2, -1, NET_INIT_DEFAULT);
    int right = net_linear(net, "c", values[1], CHANNELS, 2, -1, NET_INIT_DEFAULT);
    int both = net_group_norm(net, "nb", net_concat(net, values[2], right), -1, -1, true, 0);
    values[3] = net_linear(net, "d", both, CHANNELS, 2, -1, NET_INIT_DEFAULT);
    for (int i = 0; i < KEPT; i++)
        if (keep < 0 || keep == i) net_keep(net, names[i], values[i]);
    net_output(net, net_linear(net, "e", values[3], CHANNELS, 2, -1, NET_INIT_DEFAULT));
    assert_int_equal(net_finish(net, true), IDDPM_OK);
    float *params = calloc(net_flat_size(net), sizeof *params);
    net_init_params(net, 1, params);
    net_set_params(net, params);
    for (int i = 0; i < OUTPUTS; i++) net_input_data(net, 0)[i] = sinf((float)i);
    net_forward(net, &(struct net_run){.n = BATCH});
    int n = 0;
    for (; net_kept(net, n, &kept); n++) {
        int i = keep < 0 ? n : keep;
        assert_string_equal(kept.name, names[i]);
        assert_true(kept.h == SIDE && kept.w == SIDE && kept.c == CHANNELS && kept.element == ELEMENT_FLOAT32);
        copy_rows(kept.element, BATCH * SIDE * SIDE, kept.c, kept.data, kept.pitch, out[i], CHANNELS, false);
    }
    assert_int_equal(n, mode == NET_TRAINING ? 0 : keep < 0 ? KEPT : 1);
    net_destroy(net);
    free(params);
}

/* What is kept is the same whether it is the only one or not, in memory of its own or in a slice of a concatenation. In
 * training nothing is kept. */
static void kept_values(void **state)
{
    (void)state;
    static float all[KEPT][OUTPUTS], single[KEPT][OUTPUTS];
    run_chain(NET_TRAINING, -1, all);
    run_chain(NET_INFERENCE, -1, all);
    for (int i = 0; i < KEPT; i++) run_chain(NET_INFERENCE, i, single);
    for (int i = 0; i < KEPT; i++) {
        assert_memory_equal(all[i], single[i], sizeof all[i]);
        for (int k = 0; k < i; k++) assert_memory_not_equal(all[i], all[k], sizeof all[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(inference), cmocka_unit_test(training),
                                       cmocka_unit_test(norms_in_place), cmocka_unit_test(kept_values)};
    if (kernels_select(NULL)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
