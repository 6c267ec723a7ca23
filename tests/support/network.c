#include "network.h"

#include "check.h"
#include "rule.h"

#include "iddpm/kernels.h"

#include <stdlib.h>
#include <string.h>

static int list(const struct json *config, const char *key, int *out)
{
    double values[UNET_LEVELS_MAX];
    int n = json_numbers(config, key, UNET_LEVELS_MAX, values);
    for (int i = 0; i < n; i++) out[i] = (int)values[i];
    return n;
}

/* IDDPM_CONV=direct, winograd or auto; auto when it is not set. */
static enum conv_choice kernels(void)
{
    const char *word = getenv("IDDPM_CONV");
    if (!word || strcmp(word, "auto") == 0) return CONV_CHOICE_AUTO;
    if (strcmp(word, "direct") == 0) return CONV_CHOICE_DIRECT;
    if (strcmp(word, "winograd") == 0) return CONV_CHOICE_WINOGRAD;
    fail_msg("IDDPM_CONV=%s: direct, winograd or auto", word);
    return CONV_CHOICE_AUTO;
}

struct unet_options network_options(const struct json *config)
{
    struct unet_options o = {
        .image_size = (int)json_number(config, "size", 0),
        .in_channels = (int)json_number(config, "in_channels", 0),
        .model_channels = (int)json_number(config, "model_channels", 0),
        .out_channels = (int)json_number(config, "out_channels", 0),
        .num_res_blocks = (int)json_number(config, "num_res_blocks", 0),
        .dropout = json_number(config, "dropout", 0),
        .conv_resample = json_bool(config, "conv_resample", true),
        .num_classes = (int)json_number(config, "num_classes", 0),
        .num_heads = (int)json_number(config, "num_heads", 1),
        .num_heads_upsample = (int)json_number(config, "num_heads_upsample", -1),
        .use_scale_shift_norm = json_bool(config, "use_scale_shift_norm", false),
        .super_res = (int)json_number(config, "super_res", 0),
        .kernels = kernels(),
    };
    o.n_attention = list(config, "attention_resolutions", o.attention_ds);
    o.n_mult = list(config, "channel_mult", o.channel_mult);
    return o;
}

void network_fill(struct net *net, float *params)
{
    for (int j = 0; j < net_param_count(net); j++) {
        const struct net_param *p = net_param(net, j);
        rule_parameter((uint32_t)j, p->name, p->ndim, p->dims, params + p->offset);
    }
    net_set_params(net, params);
}

struct net *network_create(const struct unet_options *options, int batch, enum net_mode mode, bool input_grad,
                           float **params)
{
    struct net *net;
    assert_int_equal(kernels_select(NULL), IDDPM_OK);
    assert_int_equal(net_create(&net, batch, mode, 1), IDDPM_OK);
    if (input_grad) net_want_input_grad(net);
    unet_build(net, options);
    if (net_finish(net, true) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    assert_int_equal(mem_alloc(params, net_flat_size(net), sizeof(float), "parameters"), IDDPM_OK);
    network_fill(net, *params);
    return net;
}

void network_set_input(struct net *net, int k, int n, int c, size_t hw, const double *x)
{
    float *input = net_input_data(net, k);
    size_t pitch = (size_t)net_input_pitch(net, k);
    for (size_t i = 0; i < (size_t)n; i++)
        for (size_t channel = 0; channel < (size_t)c; channel++)
            for (size_t p = 0; p < hw; p++)
                input[(i * hw + p) * pitch + channel] = (float)x[(i * (size_t)c + channel) * hw + p];
}

static void clear_key_bias(const char *name, int heads, size_t n, float *values)
{
    size_t length = strlen(name), ch = n / 3 / (size_t)heads;
    if (length < 8 || strcmp(name + length - 8, "qkv.bias") != 0) return;
    for (size_t head = 0; head < (size_t)heads; head++) memset(values + (head * 3 + 1) * ch, 0, ch * sizeof *values);
}

void network_probes(const struct net *net, const float *flat, int heads, double *dot, double *norm)
{
    for (int j = 0; j < net_param_count(net); j++) {
        const struct net_param *p = net_param(net, j);
        float *copy;
        assert_int_equal(mem_alloc(&copy, p->size, sizeof *copy, "a tensor"), IDDPM_OK);
        memcpy(copy, flat + p->offset, p->size * sizeof *copy);
        if (heads) clear_key_bias(p->name, heads, p->size, copy);
        dot[j] = rule_dot_float(RULE_PROBE + (uint32_t)j, p->size, copy);
        norm[j] = norm_float(p->size, copy);
        free(copy);
    }
}
