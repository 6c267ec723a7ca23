/* Outputs of a network's blocks against get_feature_vectors of the authors' code. */
#include "network.h"
#include "reference.h"

#include "iddpm/models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, SIZE = 8, CHANNELS = 3 };

static const struct unet_options options = {.image_size = SIZE,
                                            .in_channels = CHANNELS,
                                            .model_channels = 32,
                                            .out_channels = 2 * CHANNELS,
                                            .num_res_blocks = 1,
                                            .n_attention = 1,
                                            .attention_ds = {2},
                                            .n_mult = 2,
                                            .channel_mult = {1, 2},
                                            .conv_resample = true,
                                            .num_classes = 5,
                                            .num_heads = 2,
                                            .num_heads_upsample = -1,
                                            .use_scale_shift_norm = true};

/* By the authors' code in float64, of seed 1: the inner product of block k with rule(RULE_PROBE + k), and the norm. */
static const struct {
    const char *name;
    int channels, size;
    double dot, norm;
} blocks[] = {
    {"input_blocks.0", 32, 8, 3.430989515, 33.5206321},   {"input_blocks.1", 32, 8, -23.5334198, 54.32516335},
    {"input_blocks.2", 32, 4, 9.905877596, 26.10090945},  {"input_blocks.3", 64, 4, 33.37409966, 49.01310018},
    {"middle_block", 64, 4, -87.46330259, 66.32873438},   {"output_blocks.0", 64, 4, -50.40890728, 69.34344628},
    {"output_blocks.1", 64, 8, 118.897118, 133.3615015},  {"output_blocks.2", 32, 8, 11.14545925, 96.99165151},
    {"output_blocks.3", 32, 8, 61.43468042, 82.35290962},
};
enum { BLOCKS = sizeof blocks / sizeof *blocks, MOST = BATCH * 64 * SIZE * SIZE };

static struct net *run(const char *features, float **params)
{
    struct unet_options o = options;
    double x[BATCH * CHANNELS * SIZE * SIZE];
    const struct net_run run = {.n = BATCH, .timesteps = (const double[]){7, 250}, .labels = (const int64_t[]){1, 4}};
    o.features = features;
    struct net *net = network_create(&o, BATCH, NET_INFERENCE, false, params);
    rule_fill(RULE_INPUT, 1, 0, sizeof x / sizeof *x, x);
    network_set_input(net, 0, BATCH, CHANNELS, SIZE * SIZE, x);
    net_forward(net, &run);
    return net;
}

/* [n][c][h][w] into out[MOST]; returns how many. */
static size_t values(const struct net_kept *kept, double *out)
{
    size_t hw = (size_t)kept->h * (size_t)kept->w, c = (size_t)kept->c;
    const float *data = kept->data;
    for (size_t n = 0; n < BATCH; n++)
        for (size_t p = 0; p < hw; p++)
            for (size_t k = 0; k < c; k++) out[(n * c + k) * hw + p] = data[(n * hw + p) * (size_t)kept->pitch + k];
    return BATCH * c * hw;
}

static void blocks_are_the_authors(void **state)
{
    (void)state;
    float *params;
    double found[MOST];
    struct net_kept kept;
    if (rule_seed() != 1) skip(); /* the values above are of that one */
    struct net *net = run("*", &params);
    for (int i = 0; i < BLOCKS; i++) {
        assert_true(net_kept(net, i, &kept));
        assert_string_equal(kept.name, blocks[i].name);
        assert_true(kept.c == blocks[i].channels && kept.h == blocks[i].size && kept.w == blocks[i].size);
        size_t n = values(&kept, found);
        double dot = rule_dot(RULE_PROBE + (uint32_t)i, n, found), own = norm(n, found);
        if (fabs(dot - blocks[i].dot) > TOLERANCE_DOT * own || fabs(own - blocks[i].norm) > TOLERANCE_DOT * own)
            fail_msg("%s: dot %.9g, norm %.9g; not %.9g, %.9g", kept.name, dot, own, blocks[i].dot, blocks[i].norm);
    }
    assert_false(net_kept(net, BLOCKS, &kept));
    net_destroy(net);
    free(params);
}

/* What is kept changes neither the output nor other blocks. */
static void some_are_those_of_all(void **state)
{
    (void)state;
    float *params[3];
    double found[MOST], of_all[MOST];
    struct net_kept kept, other;
    struct net *all = run("*", &params[0]), *some = run("middle_block,input_blocks.[13]", &params[1]),
               *none = run(NULL, &params[2]);
    static const int which[] = {1, 3, 4};
    const size_t bytes = BATCH * SIZE * SIZE * 2 * CHANNELS * sizeof(float);
    assert_memory_equal(net_output_data(all), net_output_data(none), bytes);
    assert_memory_equal(net_output_data(some), net_output_data(none), bytes);
    assert_false(net_kept(none, 0, &kept));
    for (int i = 0; i < 3; i++) {
        assert_true(net_kept(some, i, &kept) && net_kept(all, which[i], &other));
        assert_string_equal(kept.name, other.name);
        size_t n = values(&kept, found);
        assert_int_equal(n, values(&other, of_all));
        assert_memory_equal(found, of_all, n * sizeof *found);
    }
    assert_false(net_kept(some, 3, &kept));
    struct net *nets[] = {all, some, none};
    for (int i = 0; i < 3; i++) net_destroy(nets[i]), free(params[i]);
}

static void patterns_are_the_shells(void **state)
{
    (void)state;
    assert_true(unet_block_is_in("*", "middle_block"));
    assert_true(unet_block_is_in("input_blocks.0,output_blocks.?", "output_blocks.3"));
    assert_false(unet_block_is_in("input_blocks.0,output_blocks.?", "output_blocks.13"));
    assert_false(unet_block_is_in("input_blocks.1", "input_blocks.10"));
    assert_false(unet_block_is_in("", "middle_block"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_are_the_authors),
                                       cmocka_unit_test(some_are_those_of_all),
                                       cmocka_unit_test(patterns_are_the_shells)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
