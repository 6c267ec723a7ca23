/* The processes q and p and the sampling steps (gaussian_diffusion.py). */
#include "process.h"

#include <math.h>

void q_sample(const struct diffusion *d, int t, size_t n, const double *x_start, const double *noise, double *x_t)
{
    double signal = d->sqrt_alphas_cumprod[t], spread = d->sqrt_one_minus_alphas_cumprod[t];
    for (size_t i = 0; i < n; i++) x_t[i] = signal * x_start[i] + spread * noise[i];
}

struct p_step p_step_at(const struct diffusion *d, int t, bool clip_denoised)
{
    double coef1 = d->posterior_mean_coef1[t], coef2 = d->posterior_mean_coef2[t];
    struct p_step p = {.mean_xstart = coef1, .mean_x_t = coef2, .clip = clip_denoised};
    switch (d->mean) {
    case MEAN_PREVIOUS_X: /* the output is the mean; x_0 by solving the posterior's mean for it */
        p.xstart_x_t = -coef2 / coef1;
        p.xstart_output = 1 / coef1;
        p.mean_xstart = p.mean_x_t = 0;
        p.mean_output = 1;
        break;
    case MEAN_START_X:
        p.xstart_output = 1;
        break;
    case MEAN_EPSILON:
        p.xstart_x_t = d->sqrt_recip_alphas_cumprod[t];
        p.xstart_output = -d->sqrt_recipm1_alphas_cumprod[t];
        break;
    }
    double small = d->posterior_log_variance_clipped[t], large = d->log_betas[t];
    switch (d->var) {
    case VAR_LEARNED:
        p.log_variance_output = 1;
        break;
    case VAR_LEARNED_RANGE: /* equation 15: v = -1 gives the posterior's variance, v = 1 gives beta */
        p.log_variance = 0.5 * (small + large);
        p.log_variance_output = 0.5 * (large - small);
        break;
    case VAR_FIXED_SMALL:
    case VAR_FIXED_LARGE:
        p.log_variance = d->fixed_log_variance[t];
        break;
    }
    p.learned = d->var == VAR_LEARNED || d->var == VAR_LEARNED_RANGE;
    return p;
}

void p_mean_variance(const struct diffusion *d, int t, int pixels, int channels, const double *x_t,
                     const float *model_output, bool clip_denoised, struct p_mean_variance *out)
{
    struct p_step p = p_step_at(d, t, clip_denoised);
    size_t n = (size_t)pixels * (size_t)channels;
    for (size_t i = 0; i < n; i++) {
        struct p_index at = p_index_of(&p, i, (size_t)channels);
        double output = model_output[at.mean], xstart = p_xstart(&p, x_t[i], output);
        if (out->mean) out->mean[i] = p_mean(&p, x_t[i], output, xstart);
        if (out->log_variance) out->log_variance[i] = p_log_variance(&p, model_output, at.variance);
        if (out->pred_xstart) out->pred_xstart[i] = xstart;
    }
}

void p_sample(const struct diffusion *d, int t, int pixels, int channels, const double *x_t, const float *model_output,
              bool clip_denoised, const double *noise, double *sample, double *pred_xstart)
{
    struct p_step p = p_step_at(d, t, clip_denoised);
    size_t n = (size_t)pixels * (size_t)channels;
    double sigma = exp(0.5 * p.log_variance); /* when it is fixed */
    for (size_t i = 0; i < n; i++) {
        struct p_index at = p_index_of(&p, i, (size_t)channels);
        double output = model_output[at.mean], xstart = p_xstart(&p, x_t[i], output);
        double next = p_mean(&p, x_t[i], output, xstart);
        if (t > 0 && p.learned) sigma = exp(0.5 * p_log_variance(&p, model_output, at.variance));
        if (t > 0) next += sigma * noise[i];
        if (pred_xstart) pred_xstart[i] = xstart;
        sample[i] = next;
    }
}

/* DDIM's step to a noise level alpha_bar with sigma of fresh noise: equation 12 of Song et al., in either direction. */
static void ddim_step(const struct diffusion *d, int t, size_t n, size_t channels, const double *x_t,
                      const float *model_output, bool clip_denoised, double alpha_bar, double sigma,
                      const double *noise, double *sample, double *pred_xstart)
{
    struct p_step p = p_step_at(d, t, clip_denoised);
    double signal = sqrt(alpha_bar), direction = sqrt(1 - alpha_bar - sigma * sigma);
    for (size_t i = 0; i < n; i++) {
        struct p_index at = p_index_of(&p, i, channels);
        double xstart = p_xstart(&p, x_t[i], model_output[at.mean]);
        /* derived again, also where the model gives epsilon: x_0 may have been clipped */
        double next = signal * xstart + direction * eps_from_xstart(d, t, x_t[i], xstart);
        if (sigma > 0) next += sigma * noise[i];
        if (pred_xstart) pred_xstart[i] = xstart;
        sample[i] = next;
    }
}

void ddim_sample(const struct diffusion *d, int t, int pixels, int channels, const double *x_t,
                 const float *model_output, bool clip_denoised, double eta, const double *noise, double *sample,
                 double *pred_xstart)
{
    double alpha_bar = d->alphas_cumprod[t], alpha_bar_prev = d->alphas_cumprod_prev[t];
    /* 0 at t = 0, where alpha_bar_prev is 1 */
    double sigma = eta * sqrt((1 - alpha_bar_prev) / (1 - alpha_bar)) * sqrt(1 - alpha_bar / alpha_bar_prev);
    ddim_step(d, t, (size_t)pixels * (size_t)channels, (size_t)channels, x_t, model_output, clip_denoised,
              alpha_bar_prev, sigma, noise, sample, pred_xstart);
}

void ddim_reverse_sample(const struct diffusion *d, int t, int pixels, int channels, const double *x_t,
                         const float *model_output, bool clip_denoised, double *sample, double *pred_xstart)
{
    ddim_step(d, t, (size_t)pixels * (size_t)channels, (size_t)channels, x_t, model_output, clip_denoised,
              d->alphas_cumprod_next[t], 0, NULL, sample, pred_xstart);
}
