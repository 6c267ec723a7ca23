/* Ten steps of training: losses, gradients, AdamW, annealing, EMAs, parameters. */
#include "network.h"
#include "reference.h"

#include "iddpm/diffusion.h"
#include "iddpm/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Reached tolerances of ten float32 steps against float64 (Adam moves elements whose gradient is rounding noise). */
#define TOLERANCE_STEP_LOSS 2e-4
#define TOLERANCE_STEP_GRAD_NORM 3e-4
#define TOLERANCE_PARAMS_NORM 1e-4
#define TOLERANCE_PARAMS_DOT 2e-3

enum { EMAS_MAX = 8 };

struct run {
    const struct reference *file;
    const char *name;
    struct unet_options options;
    struct diffusion *diffusion;
    struct net *net;
    size_t flat;
    float *params, *grads, *exp_avg, *exp_avg_sq, *emas[EMAS_MAX];
    double rates[EMAS_MAX];
    int n_ema, batch, channels;
    size_t hw;
    double lr, weight_decay, anneal;
    bool use_kl;
};

static void *zeros(size_t n, size_t size)
{
    void *x;
    assert_int_equal(mem_alloc(&x, n, size, "values"), IDDPM_OK);
    return x;
}

static double number(const struct run *r, const char *key)
{
    return reference_number(r->file, r->name, key);
}

static void run_open(struct run *r, const struct reference *file, const char *name)
{
    memset(r, 0, sizeof *r);
    r->file = file;
    r->name = name;
    struct json *config = reference_json(file, name, "config");
    r->options = network_options(config);
    json_free(config);
    r->lr = number(r, "lr");
    r->weight_decay = number(r, "weight_decay");
    r->anneal = number(r, "lr_anneal_steps");
    r->use_kl = number(r, "use_kl") != 0;
    r->batch = (int)number(r, "batch");
    r->n_ema = reference_numbers(file, name, "ema_rates", EMAS_MAX, r->rates);
    double image[3];
    assert_int_equal(reference_numbers(file, "", "image", 3, image), 3);
    r->channels = (int)image[0];
    r->hw = (size_t)(image[1] * image[2]);
    char *schedule = reference_text(file, name, "noise_schedule");
    bool learn = number(r, "learn_sigma") != 0, rescaled = number(r, "rescale_learned_sigmas") != 0;
    struct diffusion_options options = {.steps = (int)number(r, "diffusion_steps"),
                                        .noise_schedule = schedule,
                                        .mean = MEAN_EPSILON,
                                        .var = learn ? VAR_LEARNED_RANGE : VAR_FIXED_LARGE,
                                        .loss = r->use_kl  ? LOSS_RESCALED_KL
                                                : rescaled ? LOSS_RESCALED_MSE
                                                           : LOSS_MSE,
                                        .rescale_timesteps = true};
    assert_int_equal(diffusion_create(&r->diffusion, &options), IDDPM_OK);
    free(schedule);
    r->net = network_create(&r->options, r->batch, NET_TRAINING, false, &r->params);
    r->flat = net_flat_size(r->net);
    r->grads = zeros(r->flat, sizeof(float));
    for (size_t i = 0; i < r->flat; i++) r->grads[i] = NAN; /* to be overwritten, padding as well */
    r->exp_avg = zeros(r->flat, sizeof(float));
    r->exp_avg_sq = zeros(r->flat, sizeof(float));
    for (int i = 0; i < r->n_ema; i++) {
        r->emas[i] = zeros(r->flat, sizeof(float));
        memcpy(r->emas[i], r->params, r->flat * sizeof(float));
    }
}

static void run_close(struct run *r)
{
    net_destroy(r->net);
    diffusion_destroy(r->diffusion);
    float *arrays[] = {r->params, r->grads, r->exp_avg, r->exp_avg_sq};
    for (int i = 0; i < 4; i++) free(arrays[i]);
    for (int i = 0; i < r->n_ema; i++) free(r->emas[i]);
}

/* Gradient of mean(loss weight) into r->grads; loss per image before weighting. */
static void gradient(struct run *r, uint32_t step, double *loss)
{
    size_t batch = (size_t)r->batch, n = r->hw * (size_t)r->channels, out = r->hw * (size_t)r->options.out_channels;
    double *planes = zeros(batch * n, sizeof(double)), *x_start = zeros(batch * n, sizeof(double));
    double *noise = zeros(batch * n, sizeof(double)), *x_t = zeros(batch * n, sizeof(double));
    double *weights = zeros(batch, sizeof(double)), *times = zeros(batch, sizeof(double));
    int64_t *t = zeros(batch, sizeof(int64_t)), *labels = zeros(batch, sizeof(int64_t));
    rule_images(RULE_INPUT + step, batch * n, planes);
    channels_last(r->batch, r->channels, r->hw, planes, x_start);
    rule_noise(step, batch * n, planes);
    channels_last(r->batch, r->channels, r->hw, planes, noise);
    rule_integers(RULE_TIMESTEP + step, r->diffusion->num_timesteps, batch, t);
    if (r->options.num_classes) rule_integers(RULE_LABEL + step, r->options.num_classes, batch, labels);
    rule_fill(RULE_WEIGHT + step, r->use_kl ? 0.5 : 0, 1, batch, weights);
    float *input = net_input_data(r->net, 0);
    for (size_t i = 0; i < batch; i++) {
        q_sample(r->diffusion, (int)t[i], n, x_start + i * n, noise + i * n, x_t + i * n);
        times[i] = diffusion_model_timestep(r->diffusion, (int)t[i]);
    }
    for (size_t k = 0; k < batch * n; k++) input[k] = (float)x_t[k];
    struct net_run run = {.n = r->batch, .timesteps = times, .labels = labels, .set_grads = true};
    net_forward(r->net, &run);
    for (size_t i = 0; i < batch; i++) {
        struct loss_terms terms;
        training_losses(r->diffusion, (int)t[i], (int)r->hw, r->channels, x_start + i * n, x_t + i * n, noise + i * n,
                        net_output_data(r->net) + i * out, weights[i] / (double)batch, &terms,
                        net_output_grad(r->net) + i * out);
        loss[i] = terms.loss;
    }
    net_backward(r->net, &run, r->grads);
    void *arrays[] = {planes, x_start, noise, x_t, weights, times, t, labels};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
}

static void update(struct run *r, int step)
{
    double lr = r->anneal > 0 ? r->lr * (1 - step / r->anneal) : r->lr;
    struct adamw adamw = {lr, r->weight_decay, 0.9, 0.999, 1e-8, step + 1};
    adamw_ema(&adamw, r->flat, r->params, r->grads, r->exp_avg, r->exp_avg_sq, r->n_ema, r->rates, r->emas);
    net_set_params(r->net, r->params);
}

static void check_set(const struct run *r, const char *set, const float *flat, bool gradient_set)
{
    size_t n = (size_t)net_param_count(r->net);
    double *dot = zeros(n, sizeof(double)), *norms = zeros(n, sizeof(double));
    char name[64];
    network_probes(r->net, flat, r->options.num_heads, dot, norms);
    snprintf(name, sizeof name, "%s_dot", set);
    struct array want_dot = reference_array(r->file, r->name, name);
    snprintf(name, sizeof name, "%s_norm", set);
    struct array want_norm = reference_array(r->file, r->name, name);
    assert_int_equal(want_dot.size, n);
    if (gradient_set) {
        check_dots(n, dot, want_dot.data, norms, want_norm.data, TOLERANCE_DOT, TOLERANCE_DOT_SET, "%s/%s", r->name,
                   set);
    } else {
        for (size_t j = 0; j < n; j++) {
            const char *param = net_param(r->net, (int)j)->name;
            if (fabs(norms[j] - want_norm.data[j]) > TOLERANCE_PARAMS_NORM * want_norm.data[j])
                fail_msg("%s/%s_norm of %s: %.9g, not %.9g", r->name, set, param, norms[j], want_norm.data[j]);
            if (fabs(dot[j] - want_dot.data[j]) > TOLERANCE_PARAMS_DOT * want_norm.data[j])
                fail_msg("%s/%s_dot of %s: %.9g, not %.9g", r->name, set, param, dot[j], want_dot.data[j]);
        }
    }
    array_free(&want_dot);
    array_free(&want_norm);
    free(dot);
    free(norms);
}

static void check_run(const struct reference *file, const char *name)
{
    struct run r;
    run_open(&r, file, name);
    struct array loss = reference_array(file, name, "loss"), grad_norm = reference_array(file, name, "grad_norm");
    int steps = (int)grad_norm.size;
    double *got = zeros((size_t)r.batch, sizeof(double));
    char set[64];
    for (int step = 0; step < steps; step++) {
        gradient(&r, (uint32_t)step, got);
        check_close((size_t)r.batch, got, loss.data + step * r.batch, TOLERANCE_STEP_LOSS, 0, "%s/loss at step %d",
                    name, step);
        double norm = sqrt(sum_of_squares(r.flat, r.grads));
        check_close(1, &norm, &grad_norm.data[step], TOLERANCE_STEP_GRAD_NORM, 0, "%s/grad_norm at step %d", name,
                    step);
        if (step == 0) check_set(&r, "grad_step1", r.grads, true);
        update(&r, step);
        snprintf(set, sizeof set, "params_step%d_dot", step + 1);
        bool kept = reference_has(file, name, set);
        snprintf(set, sizeof set, "params_step%d", step + 1);
        if (kept) check_set(&r, set, r.params, false);
    }
    for (int i = 0; i < r.n_ema; i++) {
        snprintf(set, sizeof set, "ema_%g", r.rates[i]);
        check_set(&r, set, r.emas[i], false);
    }
    print_message("%s\n", name);
    free(got);
    array_free(&loss);
    array_free(&grad_norm);
    run_close(&r);
}

static void training(void **state)
{
    (void)state;
    struct reference *file = reference_open("training");
    struct names names = reference_groups(file, "");
    assert_true(names.n > 0);
    for (int i = 0; i < names.n; i++) check_run(file, names.name[i]);
    names_free(&names);
    reference_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(training)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
