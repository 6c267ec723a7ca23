/* Noise schedules and the tables that follow from them (gaussian_diffusion.py, respace.py). */
#include "iddpm/diffusion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- betas ------------------------------------------------------------------------------------------------------- */

/* Ho et al.'s 1e-4 .. 0.02 over 1,000 steps, scaled to any number. */
static enum iddpm_status linear_betas(int steps, double *betas)
{
    double scale = 1000.0 / steps, first = scale * 0.0001, last = scale * 0.02;
    if (last >= 1)
        return iddpm_error(
            IDDPM_USAGE,
            "diffusion.diffusion_steps: the linear schedule's last beta is 20 / %d with %d steps and must "
            "stay below 1; give at least 21 steps or noise_schedule cosine",
            steps, steps);
    for (int t = 0; t < steps; t++) betas[t] = first + t * ((last - first) / (steps - 1));
    return IDDPM_OK;
}

/* Equation 17 of the paper, before the division by f(0), which cancels in betas. */
static double cosine_alpha_bar(double t)
{
    double c = cos((t + 0.008) / 1.008 * M_PI / 2);
    return c * c;
}

static enum iddpm_status make_betas(const struct diffusion_options *options, double *betas)
{
    int steps = options->steps;
    if (strcmp(options->noise_schedule, "linear") == 0) return linear_betas(steps, betas);
    if (strcmp(options->noise_schedule, "cosine") != 0)
        return iddpm_error(IDDPM_USAGE, "diffusion.noise_schedule: there is no schedule \"%s\"; give linear or cosine",
                           options->noise_schedule);
    for (int t = 0; t < steps; t++)
        betas[t] = fmin(1 - cosine_alpha_bar((t + 1.0) / steps) / cosine_alpha_bar((double)t / steps), 0.999);
    return IDDPM_OK;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static enum iddpm_status allocate(struct diffusion *d, bool weighted)
{
    bool fixed = d->var == VAR_FIXED_LARGE || d->var == VAR_FIXED_SMALL;
    size_t count = (size_t)d->num_timesteps;
    double **tables[] = {&d->betas,
                         &d->alphas_cumprod,
                         &d->alphas_cumprod_prev,
                         &d->alphas_cumprod_next,
                         &d->sqrt_alphas_cumprod,
                         &d->sqrt_one_minus_alphas_cumprod,
                         &d->log_one_minus_alphas_cumprod,
                         &d->sqrt_recip_alphas_cumprod,
                         &d->sqrt_recipm1_alphas_cumprod,
                         &d->posterior_variance,
                         &d->posterior_log_variance_clipped,
                         &d->posterior_mean_coef1,
                         &d->posterior_mean_coef2,
                         &d->log_betas};
    size_t n = sizeof tables / sizeof *tables;
    double *block;
    TRY(mem_alloc(&block, (n + fixed + weighted) * count, sizeof *block, "diffusion tables"));
    for (size_t i = 0; i < n; i++) *tables[i] = block + i * count;
    if (fixed) d->fixed_log_variance = block + n++ * count;
    if (weighted) d->mse_weights = block + n * count;
    return mem_alloc(&d->timestep_map, count, sizeof(int), "diffusion tables");
}

/* The kept steps' betas are those whose products give the same alphas_cumprod as the long process (section 4). */
static void respace(struct diffusion *d, const double *betas, const uint8_t *kept)
{
    double cumprod = 1, last = 1;
    for (int t = 0, i = 0; t < d->original_num_steps; t++) {
        cumprod *= 1 - betas[t];
        if (!kept[t]) continue;
        d->timestep_map[i] = t;
        d->betas[i++] = 1 - cumprod / last;
        last = cumprod;
    }
}

static void fill_tables(struct diffusion *d)
{
    int n = d->num_timesteps;
    double cumprod = 1;
    for (int t = 0; t < n; t++) {
        double beta = d->betas[t], prev = cumprod;
        d->alphas_cumprod_prev[t] = prev;
        d->alphas_cumprod[t] = cumprod *= 1 - beta;
        if (t) d->alphas_cumprod_next[t - 1] = cumprod;
        d->sqrt_alphas_cumprod[t] = sqrt(cumprod);
        d->sqrt_one_minus_alphas_cumprod[t] = sqrt(1 - cumprod);
        d->log_one_minus_alphas_cumprod[t] = log(1 - cumprod);
        d->sqrt_recip_alphas_cumprod[t] = sqrt(1 / cumprod);
        d->sqrt_recipm1_alphas_cumprod[t] = sqrt(1 / cumprod - 1);
        d->posterior_variance[t] = beta * (1 - prev) / (1 - cumprod);
        d->posterior_log_variance_clipped[t] = log(d->posterior_variance[t]);
        d->posterior_mean_coef1[t] = beta * sqrt(prev) / (1 - cumprod);
        d->posterior_mean_coef2[t] = (1 - prev) * sqrt(1 - beta) / (1 - cumprod);
        d->log_betas[t] = log(beta);
    }
    d->alphas_cumprod_next[n - 1] = 0;
    d->posterior_log_variance_clipped[0] = d->posterior_log_variance_clipped[1]; /* the variance at t = 0 is 0 */
    if (!d->fixed_log_variance) return;
    const double *fixed = d->var == VAR_FIXED_LARGE ? d->log_betas : d->posterior_log_variance_clipped;
    memcpy(d->fixed_log_variance, fixed, (size_t)n * sizeof *fixed);
    /* at t = 0 also the large variance is the posterior's at t = 1, for a better likelihood of the decoder */
    d->fixed_log_variance[0] = d->posterior_log_variance_clipped[0];
}

static void fill_mse_weights(struct diffusion *d, double gamma)
{
    for (int t = 0; t < d->num_timesteps && d->mse_weights; t++) {
        double snr = d->alphas_cumprod[t] / (1 - d->alphas_cumprod[t]), least = fmin(snr, gamma);
        d->mse_weights[t] = d->mean == MEAN_START_X ? least : least / snr;
    }
}

static enum iddpm_status check_weights(const struct diffusion_options *options)
{
    bool kl = options->loss == LOSS_KL || options->loss == LOSS_RESCALED_KL;
    if (options->min_snr_gamma == 0 || (!kl && options->mean != MEAN_PREVIOUS_X)) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE,
                       "diffusion.min_snr_gamma: weighs squared errors of epsilon or x_0, of which this loss has none; "
                       "leave it at 0");
}

/* betas[steps] and kept[steps] are room for the long process. */
static enum iddpm_status build(struct diffusion *d, const struct diffusion_options *options, double *betas,
                               uint8_t *kept)
{
    TRY(make_betas(options, betas));
    TRY(space_timesteps(options->steps, options->timestep_respacing, kept, &d->num_timesteps));
    if (d->num_timesteps < 2)
        return iddpm_error(IDDPM_USAGE, "diffusion.timestep_respacing: \"%s\" keeps %d of %d steps; keep at least 2",
                           options->timestep_respacing, d->num_timesteps, options->steps);
    TRY(allocate(d, options->min_snr_gamma > 0));
    respace(d, betas, kept);
    fill_tables(d);
    fill_mse_weights(d, options->min_snr_gamma);
    return IDDPM_OK;
}

enum iddpm_status diffusion_create(struct diffusion **out, const struct diffusion_options *options)
{
    *out = NULL;
    if (options->steps < 2)
        return iddpm_error(IDDPM_USAGE, "diffusion.diffusion_steps: %d steps are too few; give at least 2",
                           options->steps);
    TRY(check_weights(options));
    struct diffusion *d;
    double *betas = NULL;
    uint8_t *kept = NULL;
    TRY(mem_alloc(&d, 1, sizeof *d, "diffusion"));
    d->mean = options->mean;
    d->var = options->var;
    d->loss = options->loss;
    d->rescale_timesteps = options->rescale_timesteps;
    d->original_num_steps = options->steps;
    enum iddpm_status status = mem_alloc(&betas, (size_t)options->steps, sizeof *betas, "diffusion tables");
    if (status == IDDPM_OK) status = mem_alloc(&kept, (size_t)options->steps, 1, "diffusion tables");
    if (status == IDDPM_OK) status = build(d, options, betas, kept);
    free(betas);
    free(kept);
    if (status == IDDPM_OK)
        *out = d;
    else
        diffusion_destroy(d);
    return status;
}

void diffusion_destroy(struct diffusion *d)
{
    if (!d) return;
    free(d->betas);
    free(d->timestep_map);
    free(d);
}

/* ---- what the network is asked ----------------------------------------------------------------------------------- */

double diffusion_model_timestep(const struct diffusion *d, int t)
{
    if (!d->rescale_timesteps) return d->timestep_map[t];
    return (float)d->timestep_map[t] * (float)(1000.0 / d->original_num_steps);
}

int diffusion_output_channels(const struct diffusion *d, int channels)
{
    bool learned = d->var == VAR_LEARNED || d->var == VAR_LEARNED_RANGE;
    return learned ? 2 * channels : channels;
}
