/* Configurations and tensors: those of the authors' released models give their networks, and from names and shapes of
 * any network's parameters its options are found again. */
#include "network.h"
#include "reference.h"

#include <stdlib.h>
#include <string.h>

struct tensors {
    int n;
    struct net_param *v;
};

static struct net *plan(const struct unet_options *options)
{
    struct net *net;
    if (unet_plan(&net, options, 1, NET_INFERENCE, 1) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return net;
}

/* Those of a network that must live on. */
static struct tensors tensors_of(const struct net *net)
{
    struct tensors tensors = {net_param_count(net), NULL};
    assert_int_equal(mem_alloc(&tensors.v, (size_t)tensors.n, sizeof *tensors.v, "tensors"), IDDPM_OK);
    for (int i = 0; i < tensors.n; i++) tensors.v[i] = *net_param(net, i);
    return tensors;
}

static struct unet_options options_of(const char *name)
{
    char path[TEST_PATH_SIZE];
    struct config *config;
    struct unet_options options;
    snprintf(path, sizeof path, "../jobs/configs/%s.yaml", name);
    char whole[TEST_PATH_SIZE];
    tests_path(whole, path);
    if (config_load(&config, whole, 0, NULL) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    if (unet_options_from_config(config, -1, &options) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    config_destroy(config);
    return options;
}

/* ---- the released models ----------------------------------------------------------------------------------------- */

/* Names in model_sizes.json, and of the same network in networks.h5. */
static const struct {
    const char *config, *model;
} released[] = {
    {"cifar10", "cifar10_uncond_128ch"},
    {"cifar10-vlb", "cifar10_uncond_128ch"},
    {"imagenet64", "imagenet64_uncond_128ch"},
    {"imagenet64-vlb", "imagenet64_uncond_128ch"},
    {"imagenet64-cond-270M", "imagenet64_class_cond_192ch"},
    {"upsample-cond-256", "upsample_cond_192ch_64_to_256"},
    {"lsun-bedroom", "lsun256_128ch"},
    {"lsun-bedroom-2e-5", "lsun256_128ch"},
};
enum { RELEASED = sizeof released / sizeof *released };

static void sizes(void **state)
{
    (void)state;
    char path[TEST_PATH_SIZE];
    tests_path(path, "reference/model_sizes.json");
    struct json *all = json_read(path);
    for (int i = 0; i < RELEASED; i++) {
        const struct json *want = json_get(all, released[i].model);
        assert_non_null(want);
        struct unet_options options = options_of(released[i].config);
        struct net *net = plan(&options);
        assert_int_equal(net_parameters(net), (uint64_t)json_number(want, "parameters", 0));
        assert_int_equal(net_param_count(net), (int)json_number(want, "tensors", 0));
        double macs = json_number(want, "forward_macs_per_image", 0);
        if (macs > 0) assert_int_equal(net_macs(net), (uint64_t)macs);
        net_destroy(net);
    }
    json_free(all);
}

static void same_keys(const struct unet_options *got, const struct unet_options *want, int first, const char *name)
{
    struct unet_key a[UNET_KEYS], b[UNET_KEYS];
    unet_options_keys(got, a);
    unet_options_keys(want, b);
    for (int k = 0; k < UNET_KEYS; k++) {
        bool with_size = strcmp(b[k].key, "model.attention_resolutions") == 0;
        if (k < first || (first && with_size)) continue;
        if (strcmp(a[k].key, b[k].key) != 0 || strcmp(a[k].value, b[k].value) != 0)
            fail_msg("%s: %s=%s, not %s=%s", name, a[k].key, a[k].value, b[k].key, b[k].value);
    }
}

/* The network whose forward pass reference.networks compares is that of the configuration. */
static void same_as_reference(void **state)
{
    (void)state;
    struct reference *file = reference_open("networks");
    struct names names = reference_groups(file, "");
    for (int n = 0; n < names.n; n++)
        for (int i = 0; i < RELEASED; i++) {
            if (strcmp(names.name[n], released[i].model) != 0) continue;
            struct json *json = reference_json(file, names.name[n], "config");
            struct unet_options want = network_options(json), got = options_of(released[i].config);
            same_keys(&got, &want, 0, released[i].config);
            assert_int_equal(got.num_heads, want.num_heads);
            assert_int_equal(got.num_heads_upsample, want.num_heads_upsample);
            json_free(json);
        }
    names_free(&names);
    reference_close(file);
}

/* ---- options from tensors ---------------------------------------------------------------------------------------- */

/* The keys before these are about the size of images. */
enum { FIRST_TOLD = 3 };

static void infer(const struct unet_options *options, const char *name)
{
    struct unet_options alone, with;
    struct unet_fit fit;
    struct net *net = plan(options);
    struct tensors tensors = tensors_of(net);
    if (unet_options_infer(tensors.n, tensors.v, NULL, &alone) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    assert_int_equal(unet_options_infer(tensors.n, tensors.v, options, &with), IDDPM_OK);
    same_keys(&alone, options, FIRST_TOLD, name);
    same_keys(&with, options, 0, name);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(unet_fit(i ? &with : &alone, "its", tensors.n, tensors.v, &fit), IDDPM_OK);
        if (fit.differences) fail_msg("%s: %s", name, fit.first[0]);
    }
    free(tensors.v);
    net_destroy(net);
}

static void inferred(void **state)
{
    (void)state;
    struct reference *file = reference_open("networks");
    struct names names = reference_groups(file, "");
    assert_true(names.n > 0);
    for (int n = 0; n < names.n; n++) {
        struct json *json = reference_json(file, names.name[n], "config");
        struct unet_options options = network_options(json);
        infer(&options, names.name[n]);
        json_free(json);
    }
    names_free(&names);
    reference_close(file);
    for (int i = 0; i < RELEASED; i++) {
        struct unet_options options = options_of(released[i].config), alone;
        infer(&options, released[i].config);
        struct net *net = plan(&options);
        struct tensors tensors = tensors_of(net);
        assert_int_equal(unet_options_infer(tensors.n, tensors.v, NULL, &alone), IDDPM_OK);
        same_keys(&alone, &options, 0, released[i].config); /* the authors' image sizes too */
        free(tensors.v);
        net_destroy(net);
    }
}

/* ---- what fits nothing, and why ---------------------------------------------------------------------------------- */

static const struct unet_options small = {.image_size = 8,
                                          .in_channels = 3,
                                          .model_channels = 32,
                                          .out_channels = 6,
                                          .num_res_blocks = 2,
                                          .n_mult = 2,
                                          .channel_mult = {1, 2},
                                          .n_attention = 1,
                                          .attention_ds = {2},
                                          .conv_resample = true,
                                          .num_classes = 5,
                                          .num_heads = 1,
                                          .num_heads_upsample = -1,
                                          .use_scale_shift_norm = true};

static struct net_param *find(const struct tensors *tensors, const char *name)
{
    for (int i = 0; i < tensors->n; i++)
        if (strcmp(tensors->v[i].name, name) == 0) return &tensors->v[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

/* With the tensor under another name. */
static void refuses_without(const char *name, const char *text)
{
    struct unet_options out;
    struct net *net = plan(&small);
    struct tensors tensors = tensors_of(net);
    find(&tensors, name)->name = "another";
    if (unet_options_infer(tensors.n, tensors.v, NULL, &out) == IDDPM_OK) fail_msg("%s is not missed", name);
    if (!strstr(iddpm_error_text(), text)) fail_msg("'%s' is not in '%s'", text, iddpm_error_text());
    free(tensors.v);
    net_destroy(net);
}

static void refuses_shape(const char *name, int dim, uint64_t size, const char *text)
{
    struct unet_options out;
    struct net *net = plan(&small);
    struct tensors tensors = tensors_of(net);
    find(&tensors, name)->dims[dim] = size;
    if (unet_options_infer(tensors.n, tensors.v, NULL, &out) == IDDPM_OK) fail_msg("%s is taken", name);
    if (!strstr(iddpm_error_text(), text)) fail_msg("'%s' is not in '%s'", text, iddpm_error_text());
    free(tensors.v);
    net_destroy(net);
}

static void refused(void **state)
{
    (void)state;
    struct unet_options out;
    refuses_without("input_blocks.0.0.weight", "input_blocks.0.0.weight is missing");
    refuses_without("out.2.weight", "out.2.weight is missing");
    refuses_without("input_blocks.1.0.emb_layers.1.weight", "input_blocks.1.0.emb_layers.1.weight is missing");
    refuses_without("input_blocks.2.0.in_layers.2.weight", "input_blocks.2 has neither 0.in_layers.2.weight");
    refuses_without("input_blocks.3.0.op.weight", "input_blocks.3 has neither 0.in_layers.2.weight");
    refuses_shape("out.2.weight", 0, 5, "out.2.weight gives 5 channels");
    refuses_shape("out.2.weight", 0, 0, "out.2.weight has 4 dimensions or none in the first");
    refuses_shape("input_blocks.4.0.in_layers.2.weight", 0, 48,
                  "input_blocks.4 gives 48 channels, no multiple of the 32");
    assert_int_equal(unet_options_infer(0, NULL, NULL, &out), IDDPM_FAILED);
}

/* Missing, of another shape, and too many, in that order. */
static void differences(void **state)
{
    (void)state;
    struct unet_fit fit;
    struct net *net = plan(&small);
    struct tensors tensors = tensors_of(net);
    find(&tensors, "time_embed.0.bias")->name = "extra.bias";
    find(&tensors, "input_blocks.4.0.in_layers.2.weight")->dims[0] = 96;
    assert_int_equal(unet_fit(&small, "my", tensors.n, tensors.v, &fit), IDDPM_OK);
    assert_int_equal(fit.differences, 3);
    assert_string_equal(fit.first[0], "time_embed.0.bias is missing; my network has it, [128]");
    assert_string_equal(fit.first[1],
                        "input_blocks.4.0.in_layers.2.weight is [96][32][3][3], my network has [64][32][3][3]");
    assert_string_equal(fit.first[2], "extra.bias [128]: my network has none of that name");
    struct unet_options bad = small;
    bad.model_channels = 33;
    assert_int_not_equal(unet_fit(&bad, "my", tensors.n, tensors.v, &fit), IDDPM_OK);
    free(tensors.v);
    net_destroy(net);
}

/* Where tensors cannot tell, the given options do: six channels that are one image, a row for no class, sizes. */
static void told_by_others(void **state)
{
    (void)state;
    struct unet_options like = small, out;
    like.in_channels = like.out_channels = 6;
    like.image_size = 24;
    like.null_class = true;
    like.num_classes = 4;
    struct net *net = plan(&like);
    struct tensors tensors = tensors_of(net);
    assert_int_equal(unet_options_infer(tensors.n, tensors.v, &like, &out), IDDPM_OK);
    same_keys(&out, &like, 0, "like");
    assert_true(out.null_class);
    assert_int_equal(unet_options_infer(tensors.n, tensors.v, NULL, &out), IDDPM_OK);
    assert_int_equal(out.super_res, 1);
    assert_int_equal(out.in_channels, 3);
    assert_int_equal(out.num_classes, 5);
    assert_int_equal(out.image_size, 2); /* halved once */
    like.image_size = 25;                /* impossible with two levels */
    assert_int_equal(unet_options_infer(tensors.n, tensors.v, &like, &out), IDDPM_OK);
    assert_int_equal(out.image_size, 2);
    free(tensors.v);
    net_destroy(net);
}

static int select_kernels(void **state)
{
    (void)state;
    return kernels_select(NULL) == IDDPM_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes),       cmocka_unit_test(same_as_reference),
                                       cmocka_unit_test(inferred),    cmocka_unit_test(refused),
                                       cmocka_unit_test(differences), cmocka_unit_test(told_by_others)};
    return cmocka_run_group_tests(tests, select_kernels, NULL);
}
