/* Whole networks: parameter names, output, gradients of input and parameters. */
#include "network.h"
#include "reference.h"

#include "iddpm/models.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scene {
    const struct reference *file;
    const char *name;
    struct json *config;
    struct unet_options options;
    struct net *net;
    float *params;
    int batch;
    double *timesteps;
    int64_t *labels;
};

static double *zeros(size_t n)
{
    double *x;
    assert_int_equal(mem_alloc(&x, n, sizeof *x, "values"), IDDPM_OK);
    return x;
}

static void scene_open(struct scene *s, const struct reference *file, const char *name, bool recompute)
{
    memset(s, 0, sizeof *s);
    s->file = file;
    s->name = name;
    s->config = reference_json(file, name, "config");
    s->options = network_options(s->config);
    s->options.use_checkpoint = recompute;
    struct array t = reference_array(file, name, "t");
    s->batch = (int)t.size;
    s->timesteps = t.data;
    if (reference_has(file, name, "y")) {
        struct array y = reference_array(file, name, "y");
        assert_int_equal(mem_alloc(&s->labels, y.size, sizeof *s->labels, "labels"), IDDPM_OK);
        for (size_t i = 0; i < y.size; i++) s->labels[i] = (int64_t)y.data[i];
        array_free(&y);
    }
    bool forward_only = json_bool(s->config, "forward_only", false);
    s->net =
        network_create(&s->options, s->batch, forward_only ? NET_INFERENCE : NET_TRAINING, !forward_only, &s->params);
    assert_int_equal(net_parameters(s->net), (uint64_t)reference_number(file, name, "parameters"));
}

static void scene_close(struct scene *s)
{
    net_destroy(s->net);
    free(s->params);
    free(s->timesteps);
    free(s->labels);
    json_free(s->config);
}

static void set_input(const struct scene *s, int k, uint32_t stream, int size)
{
    size_t hw = (size_t)size * (size_t)size, n = (size_t)s->batch * (size_t)s->options.in_channels * hw;
    double *x = zeros(n);
    rule_fill(stream, 1, 0, n, x);
    network_set_input(s->net, k, s->batch, s->options.in_channels, hw, x);
    free(x);
}

/* LSUN keeps every step-th pixel of every step-th row. */
static void check_output(const struct scene *s)
{
    int c = s->options.out_channels, size = s->options.image_size;
    size_t hw = (size_t)size * (size_t)size, n = (size_t)s->batch * (size_t)c * hw;
    double *y = zeros(n), *kept = zeros(n);
    channels_first_float(s->batch, c, hw, net_output_data(s->net), y);
    struct array want = reference_array(s->file, s->name, "output"),
                 dot = reference_array(s->file, s->name, "output_dot");
    assert_int_equal(want.ndim, 4);
    int step = size / (int)want.dims[3];
    size_t m = 0;
    for (size_t plane = 0; plane < (size_t)s->batch * (size_t)c; plane++)
        for (int row = 0; row < size; row += step)
            for (int col = 0; col < size; col += step)
                kept[m++] = y[plane * hw + (size_t)row * (size_t)size + (size_t)col];
    assert_int_equal(m, want.size);
    check_scaled(m, kept, want.data, TOLERANCE_OUTPUT, "%s/output", s->name);
    double got = rule_dot(RULE_OUTPUT, n, y), own = norm(n, y);
    if (fabs(got - dot.data[0]) > TOLERANCE_DOT * own)
        fail_msg("%s/output_dot: %.9g, not %.9g", s->name, got, dot.data[0]);
    array_free(&want);
    array_free(&dot);
    free(y);
    free(kept);
}

static void check_grad_x(const struct scene *s)
{
    int c = s->options.in_channels;
    size_t hw = (size_t)s->options.image_size * (size_t)s->options.image_size, rows = (size_t)s->batch * hw;
    size_t pitch = (size_t)net_input_pitch(s->net, 0), n = rows * (size_t)c;
    double *last = zeros(n), *grad = zeros(n);
    const float *dx = net_input_grad(s->net, 0);
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < (size_t)c; k++) last[i * (size_t)c + k] = dx[i * pitch + k];
    channels_first(s->batch, c, hw, last, grad);
    struct array want = reference_array(s->file, s->name, "grad_x");
    assert_int_equal(n, want.size);
    check_scaled(n, grad, want.data, TOLERANCE_OUTPUT, "%s/grad_x", s->name);
    array_free(&want);
    free(last);
    free(grad);
}

static void check_names(const struct scene *s)
{
    struct json *names = reference_json(s->file, s->name, "names");
    assert_int_equal(names->n, net_param_count(s->net));
    for (int j = 0; j < names->n; j++) assert_string_equal(net_param(s->net, j)->name, names->items[j]->text);
    json_free(names);
}

static void check_backward(const struct scene *s, const struct net_run *run)
{
    int c = s->options.out_channels, count = net_param_count(s->net);
    size_t hw = (size_t)s->options.image_size * (size_t)s->options.image_size;
    size_t n = (size_t)s->batch * (size_t)c * hw;
    double *weights = zeros(n), *dot = zeros((size_t)count), *norms = zeros((size_t)count);
    float *grads;
    assert_int_equal(mem_alloc(&grads, net_flat_size(s->net), sizeof *grads, "gradient"), IDDPM_OK);
    rule_fill(RULE_OUTPUT, 1, 0, n, weights);
    channels_last_float(s->batch, c, hw, weights, net_output_grad(s->net));
    net_backward(s->net, run, grads);
    check_names(s);
    check_grad_x(s);
    network_probes(s->net, grads, 0, dot, norms);
    struct array want_dot = reference_array(s->file, s->name, "grad_dot");
    struct array want_norm = reference_array(s->file, s->name, "grad_norm");
    assert_int_equal(want_dot.size, count);
    check_dots((size_t)count, dot, want_dot.data, norms, want_norm.data, TOLERANCE_DOT, TOLERANCE_DOT_SET, "%s/grad",
               s->name);
    array_free(&want_dot);
    array_free(&want_norm);
    free(weights);
    free(dot);
    free(norms);
    free(grads);
}

static void check_network(const struct reference *file, const char *name, bool recompute)
{
    struct scene s;
    scene_open(&s, file, name, recompute);
    set_input(&s, 0, RULE_INPUT, s.options.image_size);
    if (s.options.super_res) set_input(&s, 1, RULE_LOW_RES, s.options.super_res);
    struct net_run run = {.n = s.batch, .timesteps = s.timesteps, .labels = s.labels};
    net_forward(s.net, &run);
    check_output(&s);
    if (!json_bool(s.config, "forward_only", false)) check_backward(&s, &run);
    print_message("%s\n", name);
    scene_close(&s);
}

static void networks(void **state)
{
    (void)state;
    struct reference *file = reference_open("networks");
    struct names names = reference_groups(file, "");
    assert_true(names.n > 0);
    for (int i = 0; i < names.n; i++) check_network(file, names.name[i], false);
    names_free(&names);
    reference_close(file);
}

/* The small ones with recomputation too. */
static void recomputed(void **state)
{
    (void)state;
    struct reference *file = reference_open("networks");
    struct names names = reference_groups(file, "");
    int n = 0;
    for (int i = 0; i < names.n; i++) {
        struct json *config = reference_json(file, names.name[i], "config");
        bool small = json_number(config, "size", 0) <= 16 && !json_bool(config, "forward_only", false);
        if (small) check_network(file, names.name[i], true);
        n += small;
        json_free(config);
    }
    assert_true(n > 0);
    names_free(&names);
    reference_close(file);
}

/* Every tensor of the authors' CIFAR-10 network, by name, shape and order. */
static void state_dict(void **state)
{
    (void)state;
    char path[TEST_PATH_SIZE];
    struct config *config;
    const char *const overrides[] = {"image_size=32", "num_channels=128", "num_res_blocks=3", "learn_sigma=true"};
    assert_int_equal(config_load(&config, NULL, 4, overrides), IDDPM_OK);
    struct unet_options options;
    assert_int_equal(unet_options_from_config(config, 0, &options), IDDPM_OK);
    struct net *net;
    assert_int_equal(net_create(&net, 1, NET_INFERENCE, 1), IDDPM_OK);
    unet_build(net, &options);
    assert_int_equal(net_finish(net, false), IDDPM_OK);
    tests_path(path, "reference/cifar10_state_dict.json");
    struct json *dict = json_read(path);
    assert_int_equal(dict->n, net_param_count(net));
    for (int j = 0; j < dict->n; j++) {
        const struct net_param *p = net_param(net, j);
        assert_string_equal(p->name, dict->keys[j]);
        assert_int_equal(p->ndim, dict->items[j]->n);
        for (int d = 0; d < p->ndim; d++) assert_int_equal(p->dims[d], (uint64_t)dict->items[j]->items[d]->number);
    }
    json_free(dict);
    net_destroy(net);
    config_destroy(config);
}

struct size {
    const char *name;
    int image_size, channels, blocks, classes, heads;
    const char *attention;
    bool scale_shift;
};

/* Parameters, tensors and multiply-adds of the paper's models. */
static void model_sizes(void **state)
{
    (void)state;
    static const struct size sizes[] = {
        {"cifar10_uncond_128ch", 32, 128, 3, 0, 4, "16,8", true},
        {"imagenet64_uncond_64ch", 64, 64, 3, 0, 4, "16,8", true},
        {"imagenet64_uncond_96ch", 64, 96, 3, 0, 4, "16,8", true},
        {"imagenet64_uncond_128ch", 64, 128, 3, 0, 4, "16,8", true},
        {"imagenet64_uncond_192ch", 64, 192, 3, 0, 4, "16,8", true},
        {"imagenet64_class_cond_192ch", 64, 192, 3, 1000, 4, "16,8", true},
        {"lsun256_128ch", 256, 128, 2, 0, 1, "16", false},
    };
    char path[TEST_PATH_SIZE];
    tests_path(path, "reference/model_sizes.json");
    struct json *want = json_read(path);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct size *s = &sizes[i];
        char keys[7][64];
        const char *overrides[7];
        snprintf(keys[0], 64, "image_size=%d", s->image_size);
        snprintf(keys[1], 64, "num_channels=%d", s->channels);
        snprintf(keys[2], 64, "num_res_blocks=%d", s->blocks);
        snprintf(keys[3], 64, "num_heads=%d", s->heads);
        snprintf(keys[4], 64, "attention_resolutions=%s", s->attention);
        snprintf(keys[5], 64, "use_scale_shift_norm=%s", s->scale_shift ? "true" : "false");
        snprintf(keys[6], 64, "class_cond=%s", s->classes ? "true" : "false");
        for (int k = 0; k < 7; k++) overrides[k] = keys[k];
        struct config *config;
        struct unet_options options;
        struct net *net;
        assert_int_equal(config_load(&config, NULL, 7, overrides), IDDPM_OK);
        assert_int_equal(config_set(config, "diffusion.learn_sigma", "true"), IDDPM_OK);
        assert_int_equal(unet_options_from_config(config, s->classes, &options), IDDPM_OK);
        assert_int_equal(net_create(&net, 1, NET_INFERENCE, 1), IDDPM_OK);
        unet_build(net, &options);
        assert_int_equal(net_finish(net, false), IDDPM_OK);
        const struct json *size = json_get(want, s->name);
        assert_non_null(size);
        assert_int_equal(net_parameters(net), (uint64_t)json_number(size, "parameters", 0));
        assert_int_equal(net_param_count(net), (int)json_number(size, "tensors", 0));
        assert_int_equal(net_macs(net), (uint64_t)json_number(size, "forward_macs_per_image", 0));
        net_destroy(net);
        config_destroy(config);
    }
    json_free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(state_dict), cmocka_unit_test(model_sizes),
                                       cmocka_unit_test(networks), cmocka_unit_test(recomputed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
