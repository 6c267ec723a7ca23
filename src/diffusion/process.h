/* Private: p(x_{t-1} | x_t) of one element, shared by the sampling steps and the losses. */
#ifndef DIFFUSION_PROCESS_H
#define DIFFUSION_PROCESS_H

#include "iddpm/diffusion.h"

/* At one timestep everything is linear in the model's output: with its mean part o and variance part v
 *   pred_xstart  = xstart_x_t x_t + xstart_output o                                       (then clipped if asked)
 *   mean         = mean_xstart pred_xstart + mean_x_t x_t + mean_output o
 *   log_variance = log_variance + log_variance_output v */
struct p_step {
    double xstart_x_t, xstart_output;
    double mean_xstart, mean_x_t, mean_output;
    double log_variance, log_variance_output;
    bool learned, clip;
};
struct p_step p_step_at(const struct diffusion *diffusion, int t, bool clip_denoised);

static inline double p_xstart(const struct p_step *p, double x_t, double output)
{
    double xstart = p->xstart_x_t * x_t + p->xstart_output * output;
    if (!p->clip) return xstart;
    return xstart < -1 ? -1 : xstart > 1 ? 1 : xstart;
}

static inline double p_mean(const struct p_step *p, double x_t, double output, double xstart)
{
    return p->mean_xstart * xstart + p->mean_x_t * x_t + p->mean_output * output;
}

/* Element i of an image as the network's output has it: [pixels][channels] means, with a learned variance
 * [pixels][means, variances]. */
struct p_index {
    size_t mean, variance;
};
static inline struct p_index p_index_of(const struct p_step *p, size_t i, size_t channels)
{
    size_t mean = p->learned ? i + i / channels * channels : i;
    return (struct p_index){mean, mean + channels};
}

static inline double p_log_variance(const struct p_step *p, const float *model_output, size_t variance)
{
    return p->learned ? p->log_variance + p->log_variance_output * model_output[variance] : p->log_variance;
}

/* epsilon from x_t and a prediction of x_0 */
static inline double eps_from_xstart(const struct diffusion *d, int t, double x_t, double xstart)
{
    return (d->sqrt_recip_alphas_cumprod[t] * x_t - xstart) / d->sqrt_recipm1_alphas_cumprod[t];
}

#endif
