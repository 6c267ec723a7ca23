/* One training step (train_util.py, TrainLoop.run_step): gradient of this rank's leaves, mean over ranks; then each
 * rank updates its part of the parameters, moments and EMAs (Rajbhandari et al. 2020, ZeRO, stage 1), and all parts of
 * the parameters go to all ranks. */
#include "step.h"

#include "iddpm/kernels.h"

#include <math.h>
#include <stdlib.h>

void stopwatch_start(struct stopwatch *watch)
{
    watch->last = clock_seconds();
}

void stopwatch_mark(struct stopwatch *watch, enum time_part part)
{
    double now = clock_seconds();
    watch->seconds[part] += now - watch->last;
    watch->last = now;
}

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
    noise_scale_learn(t);
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

/* Collective */
static void update_parameters(struct trainer *t)
{
    struct train_state *state = t->state;
    const struct config *config = t->config;
    const struct part own = state->own;
    double rates[CONFIG_LIST_MAX], lr = config->train.lr;
    if (config->train.lr_anneal_steps) lr *= 1 - (double)state->step / (double)config->train.lr_anneal_steps;
    state->updates++;
    for (int i = 0; i < state->n_ema; i++) rates[i] = ema_rate(config, state->ema_rates[i], state->updates);
    struct adamw adamw = {lr, config->train.weight_decay, 0.9, 0.999, 1e-8, state->updates};
    adamw_ema(&adamw, own.count, state->params + own.first, t->grads[0] + own.first, state->exp_avg, state->exp_avg_sq,
              state->n_ema, rates, state->emas);
    stopwatch_mark(&t->watch, TIME_COMPUTE);
    parallel_gather_parts(t->parallel, state->params, state->flat, NET_BLOCK, sizeof(float));
    stopwatch_mark(&t->watch, TIME_COMMUNICATION);
    net_set_params(t->net, state->params);
    stopwatch_mark(&t->watch, TIME_COMPUTE);
}

static void reduce_gradient(struct trainer *t)
{
    if (t->reducer)
        reducer_finish(t->reducer);
    else
        parallel_sum(t->parallel, t->grads[0], t->state->flat);
    stopwatch_mark(&t->watch, TIME_COMMUNICATION);
}

/* Collective: blocks are added in their order, whoever has them. */
static double gradient_norm(struct trainer *t)
{
    const struct part own = t->state->own;
    size_t blocks = t->state->flat / NET_BLOCK;
    double sum = 0;
    squares_of_blocks(own.count, t->grads[0] + own.first, t->squares + own.first / NET_BLOCK);
    stopwatch_mark(&t->watch, TIME_COMPUTE);
    parallel_gather_parts(t->parallel, t->squares, blocks, 1, sizeof *t->squares);
    for (size_t k = 0; k < blocks; k++) sum += t->squares[k];
    stopwatch_mark(&t->watch, TIME_COMMUNICATION);
    return sqrt(sum);
}

enum iddpm_status train_step(struct trainer *t)
{
    struct train_state *state = t->state;
    size_t mine = (size_t)t->plan.leaves.count * (size_t)t->plan.leaves.images, all = mine * (size_t)t->parallel->size;
    stopwatch_start(&t->watch);
    TRY(compute_gradient(t));
    watchdog_at("reduction of the gradient", state->step);
    reduce_gradient(t);
    watchdog_at("gathering of losses and norms", state->step);
    TRY(parallel_gather(t->parallel, t->terms, mine * sizeof *t->terms, t->all_terms));
    TRY(noise_scale_gather(t));
    t->grad_norm = gradient_norm(t);
    bool finite = losses_finite(t->all_terms, all) && isfinite(t->grad_norm);
    if (finite) {
        learn_losses(t, all);
        watchdog_at("update of the parameters", state->step);
        update_parameters(t);
    } else
        state->skipped++;
    state->skipped_in_row = finite ? 0 : state->skipped_in_row + 1;
    state->step++;
    ending_done(&t->ending, ENDING_STEP, clock_seconds());
    return IDDPM_OK;
}
