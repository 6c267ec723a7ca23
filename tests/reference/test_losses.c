/* Training losses of whole networks, with the norm of their gradient, against the authors' training_losses. */
#include "iddpm/diffusion.h"
#include "network.h"
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What all cases of the file share: [batch][c][hw] arrays, and a network for fixed and for learned variances. */
struct setting {
    struct reference *reference;
    size_t batch, image; /* elements of one image */
    int steps, channels, pixels;
    double *x_start, *noise; /* channels last */
    struct array t;
    struct network {
        struct net *net;
        float *params;
    } fixed, learned;
};

static double *doubles(size_t n)
{
    return calloc(n ? n : 1, sizeof(double));
}

static struct network network_open(const struct setting *s, const char *attribute)
{
    struct network network;
    struct json *config = reference_json(s->reference, "", attribute);
    struct unet_options options = network_options(config);
    network.net = network_create(&options, (int)s->batch, NET_TRAINING, false, &network.params);
    json_free(config);
    return network;
}

static void network_close(struct network *network)
{
    net_destroy(network->net);
    free(network->params);
}

static void make_images(struct setting *s)
{
    size_t n = s->batch * s->image, hw = (size_t)s->pixels;
    double *first = doubles(n);
    s->x_start = doubles(n);
    s->noise = doubles(n);
    rule_images(RULE_INPUT, n, first);
    for (size_t i = 0; i < 4; i++) first[i] = -1, first[s->image + i] = 1; /* edges of the discretised likelihood */
    channels_last((int)s->batch, s->channels, hw, first, s->x_start);
    rule_noise(0, n, first);
    channels_last((int)s->batch, s->channels, hw, first, s->noise);
    free(first);
}

static void setting_open(struct setting *s)
{
    double shape[3];
    s->reference = reference_open("losses");
    assert_int_equal(reference_numbers(s->reference, "", "image", 3, shape), 3);
    s->batch = (size_t)reference_number(s->reference, "", "batch");
    s->steps = (int)reference_number(s->reference, "", "diffusion_steps");
    s->channels = (int)shape[0];
    s->pixels = (int)(shape[1] * shape[2]);
    s->image = (size_t)s->channels * (size_t)s->pixels;
    s->t = reference_array(s->reference, "", "t");
    make_images(s);
    s->fixed = network_open(s, "config3");
    s->learned = network_open(s, "config6");
}

static void setting_close(struct setting *s)
{
    network_close(&s->fixed);
    network_close(&s->learned);
    free(s->x_start);
    free(s->noise);
    array_free(&s->t);
    reference_close(s->reference);
}

/* The place of a case's word in a list of the enum's names. */
static int word(const char *group, int part, int n, const char *const *names)
{
    for (; part > 0; part--) group = strchr(group, '/') + 1;
    size_t length = strcspn(group, "/");
    for (int i = 0; i < n; i++)
        if (strlen(names[i]) == length && strncmp(names[i], group, length) == 0) return i;
    fail_msg("%s: a part of this name is not known", group);
    return -1;
}

/* The diffusion of "<schedule>/<mean>/<variance>/<loss>". */
static struct diffusion *diffusion_of(const struct setting *s, const char *group)
{
    static const char *const schedules[] = {"linear", "cosine"};
    static const char *const means[] = {
        [MEAN_PREVIOUS_X] = "previous_x", [MEAN_START_X] = "start_x", [MEAN_EPSILON] = "epsilon"};
    static const char *const vars[] = {[VAR_LEARNED] = "learned",
                                       [VAR_FIXED_SMALL] = "fixed_small",
                                       [VAR_FIXED_LARGE] = "fixed_large",
                                       [VAR_LEARNED_RANGE] = "learned_range"};
    static const char *const losses[] = {
        [LOSS_MSE] = "mse", [LOSS_RESCALED_MSE] = "rescaled_mse", [LOSS_KL] = "kl", [LOSS_RESCALED_KL] = "rescaled_kl"};
    struct diffusion_options options = {.steps = s->steps,
                                        .noise_schedule = schedules[word(group, 0, 2, schedules)],
                                        .mean = (enum mean_type)word(group, 1, 3, means),
                                        .var = (enum var_type)word(group, 2, 4, vars),
                                        .loss = (enum loss_type)word(group, 3, 4, losses),
                                        .rescale_timesteps = true};
    struct diffusion *d;
    if (diffusion_create(&d, &options) != IDDPM_OK) fail_msg("%s: %s", group, iddpm_error_text());
    return d;
}

/* Forward, losses and backward of the mean loss; returns the gradient's norm over all parameters. */
static double run(const struct setting *s, const struct diffusion *d, struct net *net, struct loss_terms *terms)
{
    size_t output = (size_t)s->pixels * (size_t)diffusion_output_channels(d, s->channels);
    double *x_t = doubles(s->batch * s->image), *timesteps = doubles(s->batch);
    float *grads = calloc(net_flat_size(net), sizeof *grads), *input = net_input_data(net, 0);
    for (size_t k = 0; k < s->batch; k++) {
        int t = (int)s->t.data[k];
        timesteps[k] = diffusion_model_timestep(d, t);
        q_sample(d, t, s->image, s->x_start + k * s->image, s->noise + k * s->image, x_t + k * s->image);
    }
    for (size_t i = 0; i < s->batch * s->image; i++) input[i] = (float)x_t[i];
    const struct net_run net_run = {.n = (int)s->batch, .timesteps = timesteps};
    net_forward(net, &net_run);
    for (size_t k = 0; k < s->batch; k++)
        training_losses(d, (int)s->t.data[k], s->pixels, s->channels, s->x_start + k * s->image, x_t + k * s->image,
                        s->noise + k * s->image, net_output_data(net) + k * output, 1 / (double)s->batch, &terms[k],
                        net_output_grad(net) + k * output);
    net_backward(net, &net_run, grads);
    double grad_norm = norm_float(net_flat_size(net), grads);
    free(x_t);
    free(timesteps);
    free(grads);
    return grad_norm;
}

static void check_terms(const struct setting *s, const char *group, const char *name, const double *got, size_t stride)
{
    bool has = reference_has(s->reference, group, name);
    double *values = doubles(s->batch);
    for (size_t k = 0; k < s->batch; k++) {
        values[k] = got[k * stride];
        if (isnan(values[k]) == has) fail_msg("%s: %s is %s", group, name, has ? "missing" : "one too many");
    }
    if (has) {
        struct array want = reference_array(s->reference, group, name);
        assert_int_equal(want.size, s->batch);
        check_close(s->batch, values, want.data, TOLERANCE_LOSS,
                    TOLERANCE_LOSS_SET * largest_magnitude(want.size, want.data), "%s %s", group, name);
        array_free(&want);
    }
    free(values);
}

static void check_case(const struct setting *s, const char *group)
{
    struct diffusion *d = diffusion_of(s, group);
    bool learned = diffusion_output_channels(d, 1) == 2;
    struct loss_terms *terms = calloc(s->batch, sizeof *terms);
    double grad_norm = run(s, d, learned ? s->learned.net : s->fixed.net, terms);
    const size_t stride = sizeof *terms / sizeof(double);
    check_terms(s, group, "loss", &terms->loss, stride);
    check_terms(s, group, "mse", &terms->mse, stride);
    check_terms(s, group, "vb", &terms->vb, stride);
    double want = reference_number(s->reference, group, "grad_norm");
    check_close(1, &grad_norm, &want, TOLERANCE_DOT, 0, "%s grad_norm", group);
    free(terms);
    diffusion_destroy(d);
}

static void losses_are_the_authors(void **state)
{
    (void)state;
    struct setting setting;
    setting_open(&setting);
    struct names schedules = reference_groups(setting.reference, "");
    int cases = 0;
    for (int i = 0; i < schedules.n; i++) {
        struct names below = reference_cases(setting.reference, schedules.name[i]);
        for (int k = 0; k < below.n; k++, cases++) check_case(&setting, below.name[k]);
        names_free(&below);
    }
    assert_true(cases > 0);
    names_free(&schedules);
    setting_close(&setting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(losses_are_the_authors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
