/* One training step (train_util.py, TrainLoop.run_step): loss and gradient of every leaf of this rank, mean over ranks,
 * AdamW, EMAs. */
#include "step.h"

#include "iddpm/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct rng step_rng(const struct trainer *t, uint32_t purpose, uint32_t slot)
{
    return (struct rng){(uint64_t)t->config->run.seed, purpose, (uint32_t)t->state->step, slot};
}

static size_t image_size(const struct trainer *t)
{
    return (size_t)t->data->height * (size_t)t->data->width * (size_t)t->data->channels;
}

/* Images `first`.. of leaf `leaf`: their timesteps, noise and x_t, ready in the network's input. `mine`: place of the
 * first among this rank's images. */
static void noise_images(struct trainer *t, int leaf, int first, int count, int mine)
{
    size_t n = image_size(t);
    float *input = net_input_data(t->net, 0);
    for (int i = 0; i < count; i++) {
        uint32_t slot = (uint32_t)((t->plan.leaves.first + leaf) * t->plan.leaves.images + first + i);
        struct rng draw = step_rng(t, RNG_TIMESTEP, slot), noise = step_rng(t, RNG_NOISE, slot);
        double *eps = t->noise + (size_t)i * n, *x_t = t->x_t + (size_t)i * n;
        int *time = &t->t[mine + i];
        sampler_draw(t->state->sampler, rng_one_uniform(&draw), time, &t->weight[mine + i]);
        t->slots[i] = slot;
        t->timesteps[i] = diffusion_model_timestep(t->diffusion, *time);
        rng_normal(&noise, n, eps);
        pixels_to_signal(n, t->pixels + (size_t)i * n, t->x_start);
        q_sample(t->diffusion, *time, n, t->x_start, eps, x_t);
        for (size_t k = 0; k < n; k++) input[(size_t)i * n + k] = (float)x_t[k];
    }
}

static void add_metric(double *sums, double *counts, int term, int quartile, double value)
{
    if (isnan(value)) return; /* this loss has no such term */
    int slots[2] = {term * (1 + QUARTILES), term * (1 + QUARTILES) + 1 + quartile};
    for (int i = 0; i < 2; i++) {
        sums[slots[i]] += value;
        counts[slots[i]] += 1;
    }
}

/* Losses and the gradient of mean(loss weight) over the global batch with respect to the network's output. */
static bool losses_of(struct trainer *t, int count, int mine, double *sums, double *counts)
{
    size_t n = image_size(t);
    int channels = t->data->channels, pixels = t->data->height * t->data->width;
    size_t out = (size_t)pixels * (size_t)diffusion_output_channels(t->diffusion, channels);
    bool finite = true;
    for (int i = 0; i < count; i++) {
        int time = t->t[mine + i];
        double weight = t->weight[mine + i];
        struct loss_terms terms;
        pixels_to_signal(n, t->pixels + (size_t)i * n, t->x_start);
        training_losses(t->diffusion, time, pixels, channels, t->x_start, t->x_t + (size_t)i * n,
                        t->noise + (size_t)i * n, net_output_data(t->net) + (size_t)i * out,
                        weight / (double)t->config->train.batch_size, &terms,
                        net_output_grad(t->net) + (size_t)i * out);
        int quartile = (int)(4LL * time / t->diffusion->num_timesteps);
        t->loss[mine + i] = terms.loss;
        finite &= isfinite(terms.loss);
        const double values[TERMS] = {terms.loss, terms.mse, terms.vb};
        for (int k = 0; k < TERMS; k++) add_metric(sums, counts, k, quartile, values[k] * weight);
    }
    return finite;
}

/* Collective: the worst that any rank has met, or that someone was asked to stop. */
static enum iddpm_status agree_to_go_on(const struct trainer *t, enum iddpm_status status)
{
    enum { GO_ON, STOP, FAIL };
    int mine = status != IDDPM_OK ? FAIL : stop_signal() ? STOP : GO_ON;
    switch (parallel_max_int(t->parallel, mine)) {
    case GO_ON:
        return IDDPM_OK;
    case STOP:
        return iddpm_error(IDDPM_STOPPED, "stopped by a signal");
    default:
        return parallel_agree(t->parallel, status);
    }
}

/* A class-conditional network needs a class for every image. */
static enum iddpm_status check_labels(const struct trainer *t, int count)
{
    int classes = t->plan.spec.unet.num_classes;
    for (int i = 0; i < count && classes > 0; i++)
        if (t->labels[i] < 0 || t->labels[i] >= classes)
            return iddpm_error(
                IDDPM_FAILED,
                "%s: an image has label %lld, but a class-conditional model needs 0 to %d for every image: "
                "import the data set without unlabelled images, or set model.class_cond: false",
                t->data->folder, (long long)t->labels[i], classes - 1);
    return IDDPM_OK;
}

/* Adds this rank's share of the gradient to t->grads. */
static enum iddpm_status compute_gradient(struct trainer *t, double *sums, double *counts, bool *finite)
{
    const struct leaves *leaves = &t->plan.leaves;
    const int images = leaves->images;
    memset(t->grads, 0, net_flat_size(t->net) * sizeof(float));
    for (int leaf = 0; leaf < leaves->count; leaf++)
        for (int first = 0; first < images; first += t->plan.microbatch) {
            int count = images - first < t->plan.microbatch ? images - first : t->plan.microbatch;
            int mine = leaf * images + first;
            uint64_t place = (uint64_t)t->state->step * (uint64_t)images + (uint64_t)first;
            enum iddpm_status status = leaf_reader_get(t->readers[leaf], place, count, t->pixels, t->labels);
            if (status == IDDPM_OK) status = check_labels(t, count);
            TRY(agree_to_go_on(t, status));
            noise_images(t, leaf, first, count, mine);
            struct net_run run = {.n = count,
                                  .timesteps = t->timesteps,
                                  .labels = t->labels,
                                  .seed = (uint64_t)t->config->run.seed,
                                  .step = (uint32_t)t->state->step,
                                  .slots = t->slots};
            net_forward(t->net, &run);
            *finite &= losses_of(t, count, mine, sums, counts);
            net_backward(t->net, &run, t->grads);
        }
    return agree_to_go_on(t, IDDPM_OK);
}

/* The rate of an EMA at the k-th update, k = 1, 2, ...: a young average must not remember the initial parameters. */
static double ema_rate(const struct config *config, double rate, int64_t k)
{
    double young = (1 + (double)k) / (10 + (double)k);
    return config->train.ema_warmup && young < rate ? young : rate;
}

static void update_parameters(struct trainer *t)
{
    struct train_state *state = t->state;
    const struct config *config = t->config;
    double rates[CONFIG_LIST_MAX], lr = config->train.lr;
    if (config->train.lr_anneal_steps) lr *= 1 - (double)state->step / (double)config->train.lr_anneal_steps;
    state->updates++;
    for (int i = 0; i < state->n_ema; i++) rates[i] = ema_rate(config, state->ema_rates[i], state->updates);
    struct adamw adamw = {lr, config->train.weight_decay, 0.9, 0.999, 1e-8, state->updates};
    adamw_ema(&adamw, state->flat, state->params, t->grads, state->exp_avg, state->exp_avg_sq, state->n_ema, rates,
              state->emas);
    net_set_params(t->net, state->params);
}

/* Collective: the sampler learns every image's loss, in global order. */
static enum iddpm_status update_sampler(struct trainer *t)
{
    if (t->state->sampler->kind == SAMPLER_UNIFORM) return IDDPM_OK;
    size_t mine = (size_t)t->plan.leaves.count * (size_t)t->plan.leaves.images;
    size_t all = mine * (size_t)t->parallel->size;
    int *times;
    double *losses;
    TRY(mem_alloc(&times, all, sizeof *times, "timesteps of all ranks"));
    enum iddpm_status status = mem_alloc(&losses, all, sizeof *losses, "losses of all ranks");
    if (status == IDDPM_OK) status = parallel_gather(t->parallel, t->t, mine * sizeof *times, times);
    if (status == IDDPM_OK) status = parallel_gather(t->parallel, t->loss, mine * sizeof *losses, losses);
    if (status == IDDPM_OK) sampler_update(t->state->sampler, (int)all, times, losses);
    free(times);
    free(losses);
    return status;
}

enum iddpm_status train_step(struct trainer *t)
{
    struct train_state *state = t->state;
    enum { FINITE_SLOT = 2 * METRIC_SLOTS, SLOTS };
    double shared[SLOTS] = {0}; /* sums, counts, and the number of ranks whose losses were not finite */
    bool finite = true;
    TRY(compute_gradient(t, shared, shared + METRIC_SLOTS, &finite));
    shared[FINITE_SLOT] = !finite;
    TRY(parallel_sum_double(t->parallel, shared, SLOTS));
    TRY(parallel_sum(t->parallel, t->grads, state->flat));
    t->grad_norm = sqrt(sum_of_squares(state->flat, t->grads));
    if (shared[FINITE_SLOT] > 0 || !isfinite(t->grad_norm)) {
        state->skipped++;
        state->skipped_in_row++;
        state->step++;
        return IDDPM_OK;
    }
    for (int i = 0; i < METRIC_SLOTS; i++) {
        state->sums[i] += shared[i];
        state->counts[i] += shared[METRIC_SLOTS + i];
    }
    state->sums[GRAD_NORM_SLOT] += t->grad_norm;
    state->counts[GRAD_NORM_SLOT] += 1;
    update_parameters(t);
    TRY(update_sampler(t));
    state->skipped_in_row = 0;
    state->step++;
    return IDDPM_OK;
}
