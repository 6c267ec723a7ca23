/* The graph: gradients of every op inside networks, memory planning, errors while building. */
#include "check.h"

#include "iddpm/kernels.h"
#include "iddpm/models.h"
#include "iddpm/net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3 };

/* A network under test with inputs, labels and the weights of its scalar loss sum(output weight). */
struct scene {
    struct net *net;
    float *params, *grads, *weight;
    float *inputs[2];
    size_t input_size[2], output_size;
    int n_inputs;
    double timesteps[BATCH];
    int64_t labels[BATCH];
    uint32_t slots[BATCH];
    struct net_run run;
};

static float *noise(size_t n, uint32_t slot, double scale)
{
    float *x;
    double *u;
    struct rng rng = {7, RNG_TEST, 0, slot};
    assert_int_equal(mem_alloc(&x, n, sizeof *x, "values"), IDDPM_OK);
    assert_int_equal(mem_alloc(&u, n, sizeof *u, "values"), IDDPM_OK);
    rng_uniform(&rng, n, u);
    for (size_t i = 0; i < n; i++) x[i] = (float)(scale * (2 * u[i] - 1));
    free(u);
    return x;
}

static struct net *net_begin(void)
{
    struct net *net;
    assert_int_equal(kernels_select(NULL), IDDPM_OK);
    assert_int_equal(net_create(&net, BATCH, NET_TRAINING, 2), IDDPM_OK);
    net_want_input_grad(net);
    return net;
}

/* `size`: elements of input 0 and 1 of one image, and of the output. */
static void scene_open(struct scene *s, struct net *net, size_t input0, size_t input1, size_t output)
{
    memset(s, 0, sizeof *s);
    s->net = net;
    if (net_finish(net, true) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    s->n_inputs = input1 ? 2 : 1;
    s->input_size[0] = input0;
    s->input_size[1] = input1;
    s->output_size = output;
    s->params = noise(net_flat_size(net), 1, 0.3); /* no zeros, so that every path counts */
    s->grads = noise(net_flat_size(net), 1, 0);
    s->weight = noise(BATCH * output, 2, 1);
    for (int k = 0; k < s->n_inputs; k++) s->inputs[k] = noise(BATCH * s->input_size[k], 3 + (uint32_t)k, 1);
    for (int i = 0; i < BATCH; i++) {
        s->timesteps[i] = 3.5 + 100 * i;
        s->labels[i] = (i + 1) % 3;
        s->slots[i] = (uint32_t)(10 + i);
    }
    s->run = (struct net_run){BATCH, s->timesteps, s->labels, 5, 9, s->slots};
    net_set_params(net, s->params);
}

static void scene_close(struct scene *s)
{
    net_destroy(s->net);
    free(s->params);
    free(s->grads);
    free(s->weight);
    for (int k = 0; k < s->n_inputs; k++) free(s->inputs[k]);
}

static void set_inputs(struct scene *s)
{
    for (int k = 0; k < s->n_inputs; k++)
        memcpy(net_input_data(s->net, k), s->inputs[k], BATCH * s->input_size[k] * sizeof(float));
}

static double loss(struct scene *s)
{
    double sum = 0;
    set_inputs(s);
    net_forward(s->net, &s->run);
    for (size_t i = 0; i < (size_t)s->run.n * s->output_size; i++)
        sum += (double)net_output_data(s->net)[i] * s->weight[i];
    return sum;
}

static void gradient(struct scene *s)
{
    loss(s);
    memset(s->grads, 0, net_flat_size(s->net) * sizeof(float));
    memcpy(net_output_grad(s->net), s->weight, BATCH * s->output_size * sizeof(float));
    net_backward(s->net, &s->run, s->grads);
}

/* Derivative of the loss along a random direction of `x` against the inner product of direction and gradient. */
static void check_direction(struct scene *s, const char *what, size_t n, float *x, const float *grad)
{
    const double h = 4e-3;
    float *direction = noise(n, 77, 1), *kept = noise(n, 77, 0);
    double along = 0, norm = 0, both[2];
    for (size_t i = 0; i < n; i++) along += (double)direction[i] * grad[i], norm += (double)grad[i] * grad[i];
    memcpy(kept, x, n * sizeof *x);
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < n; i++) x[i] = (float)(kept[i] + (side ? -h : h) * direction[i]);
        net_set_params(s->net, s->params);
        both[side] = loss(s);
    }
    memcpy(x, kept, n * sizeof *x);
    net_set_params(s->net, s->params);
    double got = (both[0] - both[1]) / (2 * h);
    if (fabs(got - along) > 4e-3 * sqrt(norm) + 2e-3 * fabs(along) + 2e-3)
        fail_msg("%s: finite difference %g, gradient %g (norm %g)", what, got, along, sqrt(norm));
    free(direction);
    free(kept);
}

static void check_gradients(struct scene *s)
{
    gradient(s);
    float *input_grads[2] = {NULL, NULL};
    for (int k = 0; k < s->n_inputs; k++) {
        input_grads[k] = noise(BATCH * s->input_size[k], 0, 0);
        memcpy(input_grads[k], net_input_grad(s->net, k), BATCH * s->input_size[k] * sizeof(float));
    }
    for (int j = 0; j < net_param_count(s->net); j++) {
        const struct net_param *p = net_param(s->net, j);
        check_direction(s, p->name, p->size, s->params + p->offset, s->grads + p->offset);
    }
    for (int k = 0; k < s->n_inputs; k++) {
        check_direction(s, "input", BATCH * s->input_size[k], s->inputs[k], input_grads[k]);
        free(input_grads[k]);
    }
}

/* Everything that a block may hold: strides, residuals, both kinds of embedding, attention, dropout, concatenation. */
static void gradients_of_ops(void **state)
{
    (void)state;
    struct net *net = net_begin();
    int x = net_input(net, 6, 6, 32);
    int emb = net_silu(net, net_label_embedding(net, "labels", net_timesteps(net, 32), 3));
    int shift = net_linear(net, "shift", emb, 32, 0, -1, NET_INIT_DEFAULT);
    int scale_shift = net_linear(net, "scale_shift", emb, 64, 0, -1, NET_INIT_DEFAULT);
    int h = net_group_norm(net, "norm1", x, shift, -1, true, 0.25);
    int skip = net_conv3x3(net, "conv1", h, 32, 1, x, NET_INIT_DEFAULT);
    h = net_conv3x3(net, "down", skip, 32, 2, -1, NET_INIT_DEFAULT);
    h = net_group_norm(net, "norm2", h, -1, scale_shift, true, 0);
    int a = net_attention(net, net_linear(net, "qkv", h, 96, 1, -1, NET_INIT_DEFAULT), 2);
    h = net_linear(net, "proj", a, 32, 1, h, NET_INIT_DEFAULT);
    h = net_upsample(net, h);
    h = net_concat(net, h, skip);
    h = net_linear(net, "mix", h, 32, 2, -1, NET_INIT_DEFAULT);
    net_output(net, net_avg_pool(net, h));
    struct scene s;
    scene_open(&s, net, 36 * 32, 0, 9 * 32);
    check_gradients(&s);
    scene_close(&s);
}

static void gradients_of_bilinear(void **state)
{
    (void)state;
    struct net *net = net_begin();
    int x = net_input(net, 8, 8, 3), low = net_input(net, 2, 2, 3);
    int h = net_conv3x3(net, "a", x, 5, 1, -1, NET_INIT_DEFAULT);
    h = net_concat(net, h, net_bilinear(net, low, 8, 8));
    net_output(net, net_conv3x3(net, "b", h, 2, 1, -1, NET_INIT_DEFAULT));
    struct scene s;
    scene_open(&s, net, 64 * 3, 4 * 3, 64 * 2);
    check_gradients(&s);
    scene_close(&s);
}

static struct net *small_unet(enum net_mode mode, double dropout)
{
    const struct unet_options options = {.image_size = 8,
                                         .in_channels = 1,
                                         .model_channels = 32,
                                         .out_channels = 2,
                                         .num_res_blocks = 1,
                                         .n_attention = 1,
                                         .attention_ds = {2},
                                         .n_mult = 2,
                                         .channel_mult = {1, 2},
                                         .dropout = dropout,
                                         .conv_resample = true,
                                         .num_classes = 3,
                                         .num_heads = 2,
                                         .num_heads_upsample = -1,
                                         .use_scale_shift_norm = true};
    struct net *net;
    assert_int_equal(kernels_select(NULL), IDDPM_OK);
    assert_int_equal(net_create(&net, BATCH, mode, 2), IDDPM_OK);
    if (mode == NET_TRAINING) net_want_input_grad(net);
    unet_build(net, &options);
    return net;
}

static void gradients_of_unet(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, small_unet(NET_TRAINING, 0.1), 64, 0, 128);
    check_gradients(&s);
    scene_close(&s);
}

/* Training and inference share nothing of the plan, and must agree to the bit; a run of fewer images agrees within
 * rounding (OpenBLAS adds in another order for another number of rows). */
static void modes_agree(void **state)
{
    (void)state;
    struct scene training, inference;
    scene_open(&training, small_unet(NET_TRAINING, 0), 64, 0, 128);
    scene_open(&inference, small_unet(NET_INFERENCE, 0), 64, 0, 128);
    assert_true(net_arena_bytes(inference.net) < net_arena_bytes(training.net));
    loss(&training);
    loss(&inference);
    size_t bytes = BATCH * training.output_size * sizeof(float);
    assert_memory_equal(net_output_data(training.net), net_output_data(inference.net), bytes);
    float *all = noise(BATCH * training.output_size, 0, 0);
    memcpy(all, net_output_data(inference.net), bytes);
    inference.run.n = 1;
    loss(&inference);
    for (size_t i = 0; i < training.output_size; i++)
        assert_true(fabs((double)net_output_data(inference.net)[i] - all[i]) <= 1e-5 * (1 + fabs(all[i])));
    free(all);
    scene_close(&training);
    scene_close(&inference);
}

/* The gradient of a batch is the sum over its images, whatever ran before. */
static void gradients_add_up(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, small_unet(NET_TRAINING, 0.2), 64, 0, 128);
    size_t flat = net_flat_size(s.net);
    gradient(&s);
    float *sum = noise(flat, 0, 0);
    for (int i = 0; i < BATCH; i++) {
        memcpy(net_input_data(s.net, 0), s.inputs[0] + 64 * i, 64 * sizeof(float));
        struct net_run one = {1, s.timesteps + i, s.labels + i, s.run.seed, s.run.step, s.slots + i};
        net_forward(s.net, &one);
        memcpy(net_output_grad(s.net), s.weight + 128 * i, 128 * sizeof(float));
        net_backward(s.net, &one, sum);
    }
    for (int j = 0; j < net_param_count(s.net); j++) {
        const struct net_param *p = net_param(s.net, j);
        double scale = 0;
        for (size_t i = 0; i < p->size; i++) scale = fmax(scale, fabs(s.grads[p->offset + i]));
        for (size_t i = 0; i < p->size; i++)
            if (fabs((double)sum[p->offset + i] - s.grads[p->offset + i]) > 2e-5 * scale + 2e-6)
                fail_msg("%s[%zu]: %g alone, %g together", p->name, i, sum[p->offset + i], s.grads[p->offset + i]);
    }
    free(sum);
    scene_close(&s);
}

/* PyTorch's initialisation: bounds, zeros, and independence of everything but the seed. */
static void initialisation(void **state)
{
    (void)state;
    struct net *net = small_unet(NET_INFERENCE, 0);
    assert_int_equal(net_finish(net, false), IDDPM_OK);
    float *params = noise(net_flat_size(net), 0, 0), *again = noise(net_flat_size(net), 0, 0);
    net_init_params(net, 3, params);
    net_init_params(net, 3, again);
    assert_memory_equal(params, again, net_flat_size(net) * sizeof(float));
    for (int j = 0; j < net_param_count(net); j++) {
        const struct net_param *p = net_param(net, j);
        const float *v = params + p->offset;
        double largest = 0, squares = 0;
        for (size_t i = 0; i < p->size; i++) largest = fmax(largest, fabs(v[i])), squares += (double)v[i] * v[i];
        if (strstr(p->name, "out_layers.3") || strstr(p->name, "proj_out") || strstr(p->name, "out.2"))
            assert_true(largest == 0);
        else if (strcmp(p->name, "label_emb.weight") == 0)
            assert_true(fabs(squares / (double)p->size - 1) < 0.2);
        else if (strstr(p->name, "norm.") || strstr(p->name, "layers.0."))
            assert_true(largest == 1 || largest == 0);
        else if (p->ndim >= 2) {
            double bound = 1 / sqrt((double)p->size / (double)p->dims[0]);
            assert_true(largest <= bound && largest > 0.95 * bound);
        }
    }
    net_init_params(net, 4, again);
    assert_memory_not_equal(params, again, net_flat_size(net) * sizeof(float));
    free(params);
    free(again);
    net_destroy(net);
}

static void expect_error(struct net *net, const char *text)
{
    assert_int_equal(net_finish(net, true), IDDPM_USAGE);
    if (!strstr(iddpm_error_text(), text)) fail_msg("'%s' does not say '%s'", iddpm_error_text(), text);
    net_destroy(net);
}

static void errors(void **state)
{
    (void)state;
    struct net *net = net_begin();
    net_output(net, net_group_norm(net, "n", net_input(net, 4, 4, 33), -1, -1, true, 0));
    expect_error(net, "not divisible by 32");
    net = net_begin();
    net_output(net, net_attention(net, net_input(net, 4, 4, 96), 5));
    expect_error(net, "5 attention heads");
    net = net_begin();
    net_output(net, net_concat(net, net_input(net, 4, 4, 2), net_input(net, 3, 4, 2)));
    expect_error(net, "halve evenly");
    net = net_begin();
    int x = net_conv3x3(net, "a", net_input(net, 4, 4, 2), 2, 1, -1, NET_INIT_DEFAULT);
    net_concat(net, x, net_input(net, 4, 4, 2));
    net_output(net, net_concat(net, x, net_input(net, 4, 4, 2)));
    expect_error(net, "only once");
    net = net_begin();
    x = net_conv3x3(net, "a", net_input(net, 4, 4, 2), 2, 1, -1, NET_INIT_DEFAULT);
    int c = net_conv3x3(net, "b", net_concat(net, x, net_input(net, 4, 4, 2)), 2, 1, -1, NET_INIT_DEFAULT);
    net_output(net, net_conv3x3(net, "c", x, 2, 1, c, NET_INIT_DEFAULT));
    expect_error(net, "after its concatenation");
    net = net_begin();
    expect_error(net, "no output");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients_of_ops),
                                       cmocka_unit_test(gradients_of_bilinear),
                                       cmocka_unit_test(gradients_of_unet),
                                       cmocka_unit_test(modes_agree),
                                       cmocka_unit_test(gradients_add_up),
                                       cmocka_unit_test(initialisation),
                                       cmocka_unit_test(errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
