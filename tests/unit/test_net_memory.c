/* What the planner asks for: the CIFAR-10 network of the paper at a batch of 8, and that what is made again in the
 * backward pass takes no part in it. */
#include "check.h"

#include "iddpm/models.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(inference), cmocka_unit_test(training)};
    if (kernels_select(NULL)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
