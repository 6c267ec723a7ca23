/* One training step (train_util.py, TrainLoop.run_step): gradient of this rank's leaves, mean over ranks, AdamW, EMAs.
 */
#include "step.h"

#include "iddpm/kernels.h"

#include <math.h>
#include <stdlib.h>

/* ---- metrics and sampler: every rank sees the terms of all images, in the order of the batch ----------------------
 */

static bool losses_finite(const struct image_terms *terms, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(terms[i].losses[0])) return false;
    return true;
}

static void add_metrics(struct train_state *state, const struct image_terms *image, int num_timesteps)
{
    int quartile = (int)(4LL * image->t / num_timesteps);
    for (int term = 0; term < TERMS; term++) {
        if (isnan(image->losses[term])) continue; /* this loss has no such term */
        int whole = term * (1 + QUARTILES), slots[2] = {whole, whole + 1 + quartile};
        for (int i = 0; i < 2; i++) {
            state->sums[slots[i]] += image->losses[term] * image->weight;
            state->counts[slots[i]] += 1;
        }
    }
}

static void learn_losses(struct trainer *t, size_t n)
{
    struct train_state *state = t->state;
    for (size_t i = 0; i < n; i++) add_metrics(state, &t->all_terms[i], t->diffusion->num_timesteps);
    state->sums[GRAD_NORM_SLOT] += t->grad_norm;
    state->counts[GRAD_NORM_SLOT] += 1;
    if (state->sampler->kind == SAMPLER_UNIFORM) return;
    for (size_t i = 0; i < n; i++) {
        t->all_t[i] = t->all_terms[i].t;
        t->all_losses[i] = t->all_terms[i].losses[0];
    }
    sampler_update(state->sampler, (int)n, t->all_t, t->all_losses);
}

/* ---- the update ---------------------------------------------------------------------------------------------------
 */

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
    adamw_ema(&adamw, state->flat, state->params, t->grads[0], state->exp_avg, state->exp_avg_sq, state->n_ema, rates,
              state->emas);
    net_set_params(t->net, state->params);
}

static enum iddpm_status reduce_gradient(struct trainer *t)
{
    if (t->plan.reduction == REDUCTION_MPI_ALLREDUCE) return parallel_sum(t->parallel, t->grads[0], t->state->flat);
    parallel_sum_tree(t->parallel, t->grads[0], t->state->flat, NET_BLOCK, t->tree_scratch);
    return IDDPM_OK;
}

enum iddpm_status train_step(struct trainer *t)
{
    struct train_state *state = t->state;
    size_t mine = (size_t)t->plan.leaves.count * (size_t)t->plan.leaves.images, all = mine * (size_t)t->parallel->size;
    TRY(compute_gradient(t));
    TRY(parallel_gather(t->parallel, t->terms, mine * sizeof *t->terms, t->all_terms));
    TRY(reduce_gradient(t));
    t->grad_norm = sqrt(sum_of_squares(state->flat, t->grads[0]));
    bool finite = losses_finite(t->all_terms, all) && isfinite(t->grad_norm);
    if (finite) {
        learn_losses(t, all);
        update_parameters(t);
    } else
        state->skipped++;
    state->skipped_in_row = finite ? 0 : state->skipped_in_row + 1;
    state->step++;
    return IDDPM_OK;
}
