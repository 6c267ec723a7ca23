/* The processes q and p and the sampling steps: identities that hold whatever a network says. */
#include "check.h"
#include "example.h"

#include <math.h>
#include <string.h>

enum { STEPS = 50, N = EXAMPLE_SIZE, C = EXAMPLE_CHANNELS, PIXELS = EXAMPLE_PIXELS };
#define CLOSE 1e-6 /* outputs are float32 */

static const enum mean_type means[] = {MEAN_PREVIOUS_X, MEAN_START_X, MEAN_EPSILON};
static const int timesteps[] = {0, 1, STEPS / 2, STEPS - 1};

/* An output that says x_0 = x_start + offset, and 0.25 for each variance, laid out for the variance type. */
static void make_output(const struct diffusion *d, int t, const struct example *e, double offset, float *output)
{
    int channels = diffusion_output_channels(d, C);
    for (int i = 0; i < N; i++) {
        float *pixel = output + i / C * channels;
        pixel[i % C] = (float)example_output(d, t, e->x_t[i], e->x_start[i] + offset);
        if (channels > C) pixel[C + i % C] = 0.25f;
    }
}

/* The largest error that the rounding of an output to float32 makes in x_0, with a margin. */
static double xstart_tolerance(const struct diffusion *d, int t)
{
    double gain = d->mean == MEAN_PREVIOUS_X ? 1 / d->posterior_mean_coef1[t]
                  : d->mean == MEAN_EPSILON  ? d->sqrt_recipm1_alphas_cumprod[t]
                                             : 1;
    return CLOSE * (1 + gain);
}

static void posterior_is_bayes_rule(void **state)
{
    (void)state;
    struct diffusion *d = example_diffusion("linear", STEPS, MEAN_EPSILON, VAR_LEARNED, LOSS_MSE);
    for (int t = 1; t < STEPS; t++) {
        /* q(x_{t-1} | x_0) q(x_t | x_{t-1}) as a Gaussian in x_{t-1}: precisions add */
        double alpha = 1 - d->betas[t], prior = 1 - d->alphas_cumprod_prev[t];
        double variance = 1 / (alpha / d->betas[t] + 1 / prior);
        double got[] = {d->posterior_variance[t], d->posterior_mean_coef1[t], d->posterior_mean_coef2[t]};
        double want[] = {variance, variance * sqrt(d->alphas_cumprod_prev[t]) / prior,
                         variance * sqrt(alpha) / d->betas[t]};
        check_close(3, got, want, 1e-10, 0, "t = %d", t);
    }
    diffusion_destroy(d);
}

static void q_sample_mixes_signal_and_noise(void **state)
{
    (void)state;
    struct diffusion *d = example_diffusion("cosine", STEPS, MEAN_EPSILON, VAR_LEARNED, LOSS_MSE);
    for (int k = 0; k < 4; k++) {
        int t = timesteps[k];
        struct example e = example_at(d, t);
        double abar = d->alphas_cumprod[t], want[N];
        for (int i = 0; i < N; i++) want[i] = sqrt(abar) * e.x_start[i] + sqrt(1 - abar) * e.noise[i];
        check_close(N, e.x_t, want, 1e-12, 1e-15, "t = %d", t);
    }
    diffusion_destroy(d);
}

/* All ways to say the same x_0 give it back, and the posterior's mean. */
static void mean_types_agree(void **state)
{
    (void)state;
    for (int m = 0; m < 3; m++)
        for (int k = 0; k < 4; k++) {
            struct diffusion *d = example_diffusion("linear", STEPS, means[m], VAR_LEARNED_RANGE, LOSS_MSE);
            int t = timesteps[k];
            struct example e = example_at(d, t);
            float output[2 * N];
            double mean[N], log_variance[N], xstart[N], want[N], tolerance = xstart_tolerance(d, t);
            make_output(d, t, &e, 0, output);
            p_mean_variance(d, t, PIXELS, C, e.x_t, output, false,
                            &(struct p_mean_variance){mean, log_variance, xstart});
            check_close(N, xstart, e.x_start, 0, tolerance, "mean type %d, t = %d, x_0", m, t);
            for (int i = 0; i < N; i++)
                want[i] = d->posterior_mean_coef1[t] * e.x_start[i] + d->posterior_mean_coef2[t] * e.x_t[i];
            check_close(N, mean, want, 0, tolerance, "mean type %d, t = %d, mean", m, t);
            diffusion_destroy(d);
        }
}

/* Clipping holds x_0 in [-1, 1]; the mean follows, except where the output is the mean. */
static void clipping(void **state)
{
    (void)state;
    for (int m = 0; m < 3; m++) {
        struct diffusion *d = example_diffusion("linear", STEPS, means[m], VAR_FIXED_SMALL, LOSS_MSE);
        int t = STEPS / 2;
        struct example e = example_at(d, t);
        float output[N];
        double mean[N], xstart[N], free_xstart[N];
        make_output(d, t, &e, 0.75, output);
        p_mean_variance(d, t, PIXELS, C, e.x_t, output, false, &(struct p_mean_variance){.pred_xstart = free_xstart});
        p_mean_variance(d, t, PIXELS, C, e.x_t, output, true,
                        &(struct p_mean_variance){.mean = mean, .pred_xstart = xstart});
        int clipped = 0;
        for (int i = 0; i < N; i++) {
            assert_true(xstart[i] == fmax(-1, fmin(1, free_xstart[i])));
            clipped += xstart[i] != free_xstart[i];
            double want = d->posterior_mean_coef1[t] * xstart[i] + d->posterior_mean_coef2[t] * e.x_t[i];
            if (means[m] == MEAN_PREVIOUS_X) want = output[i];
            check_close(1, &mean[i], &want, 1e-12, 1e-15, "mean type %d, mean[%d]", m, i);
        }
        assert_in_range(clipped, 1, N - 1);
        diffusion_destroy(d);
    }
}

static void variance_types(void **state)
{
    (void)state;
    static const enum var_type vars[] = {VAR_LEARNED, VAR_FIXED_SMALL, VAR_FIXED_LARGE, VAR_LEARNED_RANGE};
    for (int v = 0; v < 4; v++)
        for (int k = 0; k < 4; k++) {
            struct diffusion *d = example_diffusion("cosine", STEPS, MEAN_EPSILON, vars[v], LOSS_MSE);
            int t = timesteps[k], channels = diffusion_output_channels(d, C);
            struct example e = example_at(d, t);
            float output[2 * N] = {0};
            for (int i = 0; i < N && channels > C; i++) output[i / C * channels + C + i % C] = (float)i / 8 - 1;
            double got[N], small = d->posterior_log_variance_clipped[t], large = log(d->betas[t]);
            p_mean_variance(d, t, PIXELS, C, e.x_t, output, true, &(struct p_mean_variance){.log_variance = got});
            for (int i = 0; i < N; i++) {
                double value = (double)i / 8 - 1, fraction = (value + 1) / 2;
                double want[] = {[VAR_LEARNED] = value,
                                 [VAR_FIXED_SMALL] = small,
                                 [VAR_FIXED_LARGE] = t ? large : small,
                                 [VAR_LEARNED_RANGE] = fraction * large + (1 - fraction) * small};
                check_close(1, &got[i], &want[vars[v]], 1e-12, 1e-14, "variance type %d, t = %d, [%d]", v, t, i);
            }
            diffusion_destroy(d);
        }
}

static void p_sample_adds_noise_but_at_zero(void **state)
{
    (void)state;
    static const enum var_type vars[] = {VAR_FIXED_LARGE, VAR_LEARNED_RANGE};
    for (int v = 0; v < 2; v++)
        for (int k = 0; k < 4; k++) {
            struct diffusion *d = example_diffusion("cosine", STEPS, MEAN_EPSILON, vars[v], LOSS_MSE);
            int t = timesteps[k];
            struct example e = example_at(d, t);
            float output[2 * N];
            double mean[N], log_variance[N], xstart[N], sample[N], pred_xstart[N], want[N];
            make_output(d, t, &e, 0.1, output);
            p_mean_variance(d, t, PIXELS, C, e.x_t, output, true,
                            &(struct p_mean_variance){mean, log_variance, xstart});
            for (int i = 0; i < N; i++) want[i] = mean[i] + (t ? exp(log_variance[i] / 2) * e.noise[i] : 0);
            const double *noise = t ? e.noise : NULL;
            p_sample(d, t, PIXELS, C, e.x_t, output, true, noise, sample, pred_xstart);
            check_close(N, sample, want, 1e-12, 1e-14, "t = %d", t);
            assert_memory_equal(pred_xstart, xstart, sizeof xstart);
            p_sample(d, t, PIXELS, C, e.x_t, output, true, noise, e.x_t, NULL); /* in place */
            assert_memory_equal(e.x_t, sample, sizeof sample);
            diffusion_destroy(d);
        }
}

/* With eta = 1 DDIM is the ancestral process with the posterior's variance; between, the variance is eta^2 of it. */
static void ddim_with_eta_one_is_ancestral(void **state)
{
    (void)state;
    for (int m = 0; m < 3; m++)
        for (int k = 0; k < 4; k++) {
            struct diffusion *d = example_diffusion("linear", STEPS, means[m], VAR_FIXED_SMALL, LOSS_MSE);
            int t = timesteps[k];
            struct example e = example_at(d, t);
            float output[N];
            double ancestral[N], ddim[N], half[N], quiet[N], want[N], zero[N] = {0};
            make_output(d, t, &e, 0.02, output);
            bool clip = means[m] != MEAN_PREVIOUS_X; /* which the ancestral mean does not heed there */
            p_sample(d, t, PIXELS, C, e.x_t, output, clip, e.noise, ancestral, NULL);
            ddim_sample(d, t, PIXELS, C, e.x_t, output, clip, 1, e.noise, ddim, NULL);
            check_close(N, ddim, ancestral, 1e-9, 1e-11, "mean type %d, t = %d", m, t);
            ddim_sample(d, t, PIXELS, C, e.x_t, output, clip, 0.5, zero, quiet, NULL);
            ddim_sample(d, t, PIXELS, C, e.x_t, output, clip, 0.5, e.noise, half, NULL);
            for (int i = 0; i < N; i++) want[i] = quiet[i] + 0.5 * sqrt(d->posterior_variance[t]) * e.noise[i];
            check_close(N, half, want, 1e-9, 1e-12, "mean type %d, t = %d, eta = 0.5", m, t);
            diffusion_destroy(d);
        }
}

/* Told the truth, DDIM moves along q's path with the same noise: down to x_{t-1}, and up to x_{t+1}. */
static void ddim_follows_the_path(void **state)
{
    (void)state;
    for (int m = 0; m < 3; m++)
        for (int t = 0; t < STEPS; t++) {
            struct diffusion *d = example_diffusion("cosine", STEPS, means[m], VAR_FIXED_SMALL, LOSS_MSE);
            struct example e = example_at(d, t), below = example_at(d, t ? t - 1 : 0);
            struct example above = example_at(d, t < STEPS - 1 ? t + 1 : t);
            float output[N];
            double sample[N], xstart[N], error = xstart_tolerance(d, t);
            double tolerance = error + 2 * error / d->sqrt_recipm1_alphas_cumprod[t];
            make_output(d, t, &e, 0, output);
            ddim_sample(d, t, PIXELS, C, e.x_t, output, false, 0, NULL, sample, xstart);
            check_close(N, sample, t ? below.x_t : e.x_start, 0, tolerance, "mean type %d, t = %d, down", m, t);
            check_close(N, xstart, e.x_start, 0, error, "mean type %d, t = %d, x_0", m, t);
            ddim_reverse_sample(d, t, PIXELS, C, e.x_t, output, false, sample, xstart);
            check_close(N, sample, t < STEPS - 1 ? above.x_t : e.noise, 0, tolerance, "mean type %d, t = %d, up", m, t);
            check_close(N, xstart, e.x_start, 0, error, "mean type %d, t = %d, x_0 of up", m, t);
            ddim_reverse_sample(d, t, PIXELS, C, e.x_t, output, false, e.x_t, NULL); /* in place */
            assert_memory_equal(e.x_t, sample, sizeof sample);
            diffusion_destroy(d);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posterior_is_bayes_rule),
        cmocka_unit_test(q_sample_mixes_signal_and_noise),
        cmocka_unit_test(mean_types_agree),
        cmocka_unit_test(clipping),
        cmocka_unit_test(variance_types),
        cmocka_unit_test(p_sample_adds_noise_but_at_zero),
        cmocka_unit_test(ddim_with_eta_one_is_ancestral),
        cmocka_unit_test(ddim_follows_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
