/* Likelihood terms and training losses with their gradients (gaussian_diffusion.py, losses.py). */
#include "process.h"

#include <math.h>

/* ---- one element of the bound, in nats, with its derivatives by the mean and the log variance of p ----------------
 */

struct term {
    double value, by_mean, by_log_variance;
};

/* The authors' approximation of the standard normal's cumulative distribution, and its derivative. */
struct cdf {
    double value, slope;
};

static struct cdf approx_standard_normal_cdf(double x)
{
    const double scale = sqrt(2 / M_PI), cubic = 0.044715;
    double h = tanh(scale * (x + cubic * x * x * x)), rest = 1 - h * h;
    /* exactly flat where it is saturated, also where x * x is infinite */
    return (struct cdf){0.5 * (1 + h), rest > 0 ? 0.5 * rest * scale * (1 + 3 * cubic * x * x) : 0};
}

/* -log of the probability that p gives x's bin of width 2 / 255, the outermost bins reaching to infinity. A probability
 * below 1e-12 is taken as that, without gradient. */
static struct term discretized_gaussian_nll(double x, double mean, double inv_stdv)
{
    const double outermost = 0.999, least = 1e-12;
    double plus = inv_stdv * (x - mean + 1 / 255.), minus = inv_stdv * (x - mean - 1 / 255.);
    struct cdf upper = {1, 0}, lower = {0, 0};
    if (!(x > outermost)) upper = approx_standard_normal_cdf(plus);
    if (!(x < -outermost)) lower = approx_standard_normal_cdf(minus);
    double probability = upper.value - lower.value;
    if (probability < least) return (struct term){.value = -log(least)};
    return (struct term){.value = -log(probability),
                         .by_mean = inv_stdv * (upper.slope - lower.slope) / probability,
                         .by_log_variance = 0.5 * (plus * upper.slope - minus * lower.slope) / probability};
}

/* What the elements of an image share at one timestep. */
struct bound {
    bool decoder;                            /* t = 0: likelihood of the image, not a KL */
    double coef1, coef2;                     /* of the mean of q(x_{t-1} | x_t, x_0) */
    double true_log_variance, true_variance; /* of q */
    bool learned;
    double inv_stdv; /* of p where its variance is fixed */
};

static struct bound bound_at(const struct diffusion *d, int t, const struct p_step *p)
{
    double true_log_variance = d->posterior_log_variance_clipped[t];
    return (struct bound){.decoder = t == 0,
                          .coef1 = d->posterior_mean_coef1[t],
                          .coef2 = d->posterior_mean_coef2[t],
                          .true_log_variance = true_log_variance,
                          .true_variance = exp(true_log_variance),
                          .learned = p->learned,
                          .inv_stdv = exp(-0.5 * p->log_variance)};
}

static double true_mean(const struct bound *b, double x_start, double x_t)
{
    return b->coef1 * x_start + b->coef2 * x_t;
}

/* KL(q || p) of two Gaussians; -log p(x_0 | x_1) at t = 0. */
static struct term bound_term(const struct bound *b, double x_start, double x_t, double mean, double log_variance)
{
    double inv_stdv = b->learned ? exp(-0.5 * log_variance) : b->inv_stdv, precision = inv_stdv * inv_stdv;
    if (b->decoder) return discretized_gaussian_nll(x_start, mean, inv_stdv);
    double ratio = b->true_variance * precision, difference = mean - true_mean(b, x_start, x_t);
    double squared = difference * difference * precision;
    return (struct term){.value = 0.5 * (log_variance - b->true_log_variance - 1 + ratio + squared),
                         .by_mean = difference * precision,
                         .by_log_variance = 0.5 * (1 - ratio - squared)};
}

/* ---- likelihood -------------------------------------------------------------------------------------------------- */

void bpd_terms(const struct diffusion *d, int t, int pixels, int channels, const double *x_start, const double *x_t,
               const double *noise, const float *model_output, bool clip_denoised, struct bpd_terms *out)
{
    struct p_step p = p_step_at(d, t, clip_denoised);
    struct bound bound = bound_at(d, t, &p);
    size_t n = (size_t)pixels * (size_t)channels;
    double vb = 0, xstart_mse = 0, mse = 0;
    for (size_t i = 0; i < n; i++) {
        struct p_index at = p_index_of(&p, i, (size_t)channels);
        double output = model_output[at.mean], xstart = p_xstart(&p, x_t[i], output);
        double mean = p_mean(&p, x_t[i], output, xstart);
        vb += bound_term(&bound, x_start[i], x_t[i], mean, p_log_variance(&p, model_output, at.variance)).value;
        double xstart_error = xstart - x_start[i], error = eps_from_xstart(d, t, x_t[i], xstart) - noise[i];
        xstart_mse += xstart_error * xstart_error;
        mse += error * error;
    }
    *out = (struct bpd_terms){vb / ((double)n * M_LN2), xstart_mse / (double)n, mse / (double)n};
}

double prior_bpd(const struct diffusion *d, size_t n, const double *x_start)
{
    int t = d->num_timesteps - 1;
    double signal = d->sqrt_alphas_cumprod[t], log_variance = d->log_one_minus_alphas_cumprod[t], squares = 0;
    for (size_t i = 0; i < n; i++) squares += x_start[i] * x_start[i];
    double mean_square = signal * signal * squares / (double)n;
    return 0.5 * (exp(log_variance) - 1 - log_variance + mean_square) / M_LN2;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

/* What a loss type is made of: weight of the bound, and whether the mean learns from squared error instead. */
struct objective {
    bool mse, vb;
    double vb_weight;
};

static struct objective objective_of(const struct diffusion *d, bool learned)
{
    double steps = d->num_timesteps;
    switch (d->loss) {
    case LOSS_KL:
        return (struct objective){.vb = true, .vb_weight = 1};
    case LOSS_RESCALED_KL: /* an estimate of the whole bound */
        return (struct objective){.vb = true, .vb_weight = steps};
    case LOSS_MSE:
        return (struct objective){.mse = true, .vb = learned, .vb_weight = 1};
    case LOSS_RESCALED_MSE: /* equation 16 with lambda = 0.001 */
        break;
    }
    return (struct objective){.mse = true, .vb = learned, .vb_weight = steps / 1000};
}

static double mse_target(const struct diffusion *d, const struct bound *bound, double x_start, double x_t, double noise)
{
    switch (d->mean) {
    case MEAN_PREVIOUS_X:
        return true_mean(bound, x_start, x_t);
    case MEAN_START_X:
        return x_start;
    case MEAN_EPSILON:
        break;
    }
    return noise;
}

void training_losses(const struct diffusion *d, int t, int pixels, int channels, const double *x_start,
                     const double *x_t, const double *noise, const float *model_output, double grad_scale,
                     struct loss_terms *terms, float *grad_output)
{
    struct p_step p = p_step_at(d, t, false);
    struct bound bound = bound_at(d, t, &p);
    struct objective objective = objective_of(d, p.learned);
    size_t n = (size_t)pixels * (size_t)channels;
    double vb_scale = objective.vb_weight / ((double)n * M_LN2), mse_scale = 1 / (double)n;
    double mse_weight = d->mse_weights ? d->mse_weights[t] : 1;
    double mean_slope = p.mean_xstart * p.xstart_output + p.mean_output; /* of p's mean by the output */
    double vb = 0, mse = 0;
    for (size_t i = 0; i < n; i++) {
        struct p_index at = p_index_of(&p, i, (size_t)channels);
        double output = model_output[at.mean], by_output = 0;
        struct term term = {0};
        if (objective.vb) {
            double mean = p_mean(&p, x_t[i], output, p_xstart(&p, x_t[i], output));
            term = bound_term(&bound, x_start[i], x_t[i], mean, p_log_variance(&p, model_output, at.variance));
            vb += term.value;
            by_output = vb_scale * mean_slope * term.by_mean;
        }
        if (objective.mse) { /* then the bound trains the variance only */
            double error = output - mse_target(d, &bound, x_start[i], x_t[i], noise[i]);
            mse += error * error;
            by_output = mse_weight * (2 * mse_scale * error);
        }
        if (!grad_output) continue;
        grad_output[at.mean] = (float)(grad_scale * by_output);
        if (p.learned)
            grad_output[at.variance] = (float)(grad_scale * vb_scale * p.log_variance_output * term.by_log_variance);
    }
    vb *= vb_scale;
    mse *= mse_scale;
    *terms = (struct loss_terms){.loss = (objective.vb ? vb : 0) + (objective.mse ? mse_weight * mse : 0),
                                 .mse = objective.mse ? mse : NAN,
                                 .vb = objective.mse && objective.vb ? vb : NAN};
}
