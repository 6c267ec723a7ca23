/* Likelihood terms and training losses: gradients by finite differences, and what must hold for any output. */
#include "check.h"
#include "example.h"

#include <math.h>
#include <string.h>

enum { STEPS = 40, N = EXAMPLE_SIZE, C = EXAMPLE_CHANNELS, PIXELS = EXAMPLE_PIXELS };

static const enum mean_type means[] = {MEAN_PREVIOUS_X, MEAN_START_X, MEAN_EPSILON};
static const enum var_type vars[] = {VAR_LEARNED, VAR_FIXED_SMALL, VAR_FIXED_LARGE, VAR_LEARNED_RANGE};
static const enum loss_type losses[] = {LOSS_MSE, LOSS_RESCALED_MSE, LOSS_KL, LOSS_RESCALED_KL};
static const int timesteps[] = {0, 1, STEPS / 2, STEPS - 1};
#define STEP 0x1p-20 /* of finite differences; outputs below 8 on the grid of STEP are exact in float32 */

/* Near the truth, so that no term is saturated: x_0 missed by up to `offset`, variances near the posterior's. */
static void make_output(const struct diffusion *d, int t, const struct example *e, double offset, float *output)
{
    int channels = diffusion_output_channels(d, C);
    double u[2 * N];
    rng_uniform(&(struct rng){.seed = 2, .purpose = RNG_TEST}, 2 * N, u);
    for (int i = 0; i < N; i++) {
        double xstart = e->x_start[i] + offset * (2 * u[i] - 1), center = 0;
        if (d->var == VAR_LEARNED) center = d->posterior_log_variance_clipped[t];
        float *pixel = output + i / C * channels;
        pixel[i % C] = (float)(rint(example_output(d, t, e->x_t[i], xstart) / STEP) * STEP);
        if (channels > C) pixel[C + i % C] = (float)(rint((center + u[N + i] - 0.5) / STEP) * STEP);
    }
}

static struct loss_terms loss_of(const struct diffusion *d, int t, const struct example *e, const float *output)
{
    struct loss_terms terms;
    training_losses(d, t, PIXELS, C, e->x_start, e->x_t, e->noise, output, 1, &terms, NULL);
    return terms;
}

/* d(loss)/d(output[i]) by central differences. In L_hybrid the mean learns from its squared error only. */
static double difference(const struct diffusion *d, int t, const struct example *e, float *output, int i, bool mean)
{
    float kept = output[i];
    output[i] = (float)(kept + STEP);
    struct loss_terms above = loss_of(d, t, e, output);
    output[i] = (float)(kept - STEP);
    struct loss_terms below = loss_of(d, t, e, output);
    output[i] = kept;
    if (!mean || isnan(above.mse)) return (above.loss - below.loss) / (2 * STEP);
    return (d->mse_weights ? d->mse_weights[t] : 1) * (above.mse - below.mse) / (2 * STEP);
}

static void check_gradient(const struct diffusion *d, int t)
{
    int channels = diffusion_output_channels(d, C), n = PIXELS * channels;
    struct example e = example_at(d, t);
    float output[2 * N], grad[2 * N];
    double got[2 * N], want[2 * N];
    make_output(d, t, &e, 0.05, output);
    struct loss_terms terms, alone = loss_of(d, t, &e, output);
    training_losses(d, t, PIXELS, C, e.x_start, e.x_t, e.noise, output, 0.25, &terms, grad);
    assert_memory_equal(&terms, &alone, sizeof terms);
    for (int i = 0; i < n; i++) {
        got[i] = 4 * grad[i];
        want[i] = difference(d, t, &e, output, i, i % channels < C);
        if (i % channels >= C && (d->var == VAR_LEARNED || t > 0 || d->loss >= LOSS_KL)) assert_true(grad[i] != 0);
    }
    check_scaled((size_t)n, got, want, 2e-6, "mean %d, variance %d, loss %d, t = %d", d->mean, d->var, d->loss, t);
}

static void gradients_are_finite_differences(void **state)
{
    (void)state;
    for (int m = 0; m < 3; m++)
        for (int v = 0; v < 4; v++)
            for (int l = 0; l < 4; l++) {
                struct diffusion *d = example_diffusion("cosine", STEPS, means[m], vars[v], losses[l]);
                for (int k = 0; k < 4; k++) check_gradient(d, timesteps[k]);
                diffusion_destroy(d);
            }
}

static struct diffusion *weighted(enum mean_type mean, enum loss_type loss, double gamma)
{
    const struct diffusion_options options = {.steps = STEPS,
                                              .noise_schedule = "cosine",
                                              .mean = mean,
                                              .var = VAR_LEARNED_RANGE,
                                              .loss = loss,
                                              .min_snr_gamma = gamma};
    struct diffusion *d;
    must(diffusion_create(&d, &options));
    return d;
}

/* Hang et al. 2023: the squared error counts min(SNR, gamma) / SNR, that of x_0 min(SNR, gamma); the bound as ever. */
static void squared_errors_by_signal_to_noise(void **state)
{
    (void)state;
    for (int m = 1; m < 3; m++) {
        int above = 0, below = 0;
        struct diffusion *plain = weighted(means[m], LOSS_RESCALED_MSE, 0),
                         *d = weighted(means[m], LOSS_RESCALED_MSE, 5);
        assert_null(plain->mse_weights);
        for (int t = 0; t < STEPS; t++) {
            double snr = pow(d->sqrt_alphas_cumprod[t] / d->sqrt_one_minus_alphas_cumprod[t], 2);
            double want = means[m] == MEAN_EPSILON ? (snr > 5 ? 5 / snr : 1) : (snr > 5 ? 5 : snr);
            check_close(1, &d->mse_weights[t], &want, 1e-9, 0, "weight, t = %d", t);
            snr > 5 ? above++ : below++;
            struct example e = example_at(d, t);
            float output[2 * N];
            make_output(d, t, &e, 0.05, output);
            struct loss_terms terms = loss_of(d, t, &e, output), unweighted = loss_of(plain, t, &e, output);
            assert_true(terms.mse == unweighted.mse && terms.vb == unweighted.vb);
            want = d->mse_weights[t] * terms.mse + terms.vb;
            check_close(1, &terms.loss, &want, 1e-14, 0, "loss, t = %d", t);
            if (d->mse_weights[t] > 1e-3) check_gradient(d, t); /* else rounding of the bound is what differs */
        }
        assert_true(above > 2 && below > 2);
        diffusion_destroy(plain);
        diffusion_destroy(d);
    }
}

static void losses_without_squared_error_have_no_weights(void **state)
{
    (void)state;
    const struct diffusion_options options[] = {
        {.steps = STEPS,
         .noise_schedule = "cosine",
         .mean = MEAN_EPSILON,
         .loss = LOSS_RESCALED_KL,
         .min_snr_gamma = 5},
        {.steps = STEPS, .noise_schedule = "cosine", .mean = MEAN_PREVIOUS_X, .loss = LOSS_MSE, .min_snr_gamma = 5}};
    for (int i = 0; i < 2; i++) {
        struct diffusion *d;
        assert_int_equal(diffusion_create(&d, &options[i]), IDDPM_USAGE);
        assert_non_null(strstr(iddpm_error_text(), "min_snr_gamma"));
    }
}

/* The authors' training_losses (their casts made double) on 40 cosine steps respaced, with learned range: the factor of
 * the bound is the spaced number of timesteps, over 1000 or whole, and the network sees the kept step times 1000 / 40.
 */
static void respaced_losses_are_the_authors(void **state)
{
    static const struct {
        const char *respacing;
        int steps, t;
        double model_t, hybrid, mse, vb, whole_bound;
    } cases[] = {{"10", 10, 0, 0, 0.213233683690577, 0.1875, 0.0257336836905772, 25.7336836905772},
                 {"10", 10, 1, 100, 0.196873783696987, 0.1875, 0.00937378369698739, 9.37378369698739},
                 {"10", 10, 9, 975, 21.783492741799, 0.1875, 21.595992741799, 21595.992741799},
                 {"ddim4", 4, 0, 0, 0.197818836157699, 0.1875, 0.0103188361576993, 10.3188361576993},
                 {"ddim4", 4, 1, 250, 0.195171295175152, 0.1875, 0.00767129517515177, 7.67129517515177},
                 {"ddim4", 4, 3, 750, 0.189580063076393, 0.1875, 0.00208006307639304, 2.08006307639304}};
    static const double x_start[] = {-1, 0.5, 0.25, 1}, noise[] = {0.5, -1.25, 0.75, 2};
    static const float output[] = {0.25f, 0.5f, -1, -0.25f, 1.5f, 0.75f, 1.75f, -0.5f};
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int kl = 0; kl < 2; kl++) {
            struct diffusion_options options = {.steps = 40,
                                                .noise_schedule = "cosine",
                                                .timestep_respacing = cases[k].respacing,
                                                .mean = MEAN_EPSILON,
                                                .var = VAR_LEARNED_RANGE,
                                                .loss = kl ? LOSS_RESCALED_KL : LOSS_RESCALED_MSE,
                                                .rescale_timesteps = true};
            struct diffusion *d;
            double x_t[4];
            struct loss_terms terms;
            must(diffusion_create(&d, &options));
            assert_int_equal(d->num_timesteps, cases[k].steps);
            assert_true(diffusion_model_timestep(d, cases[k].t) == cases[k].model_t);
            q_sample(d, cases[k].t, 4, x_start, noise, x_t);
            training_losses(d, cases[k].t, 4, 1, x_start, x_t, noise, output, 1, &terms, NULL);
            double got[] = {terms.loss, kl ? 0 : terms.mse, kl ? 0 : terms.vb};
            double want[] = {kl ? cases[k].whole_bound : cases[k].hybrid, kl ? 0 : cases[k].mse, kl ? 0 : cases[k].vb};
            check_close(3, got, want, TOLERANCE_MATHS, 0, "%s, t = %d", cases[k].respacing, cases[k].t);
            diffusion_destroy(d);
        }
}

/* Which terms there are, and their factors. */
static void loss_types_combine_terms(void **state)
{
    (void)state;
    for (int v = 0; v < 4; v++)
        for (int k = 0; k < 4; k++) {
            struct loss_terms terms[4];
            bool learned = vars[v] == VAR_LEARNED || vars[v] == VAR_LEARNED_RANGE;
            for (int l = 0; l < 4; l++) {
                struct diffusion *d = example_diffusion("cosine", STEPS, MEAN_EPSILON, vars[v], losses[l]);
                struct example e = example_at(d, timesteps[k]);
                float output[2 * N];
                make_output(d, timesteps[k], &e, 0.05, output);
                terms[losses[l]] = loss_of(d, timesteps[k], &e, output);
                diffusion_destroy(d);
            }
            double bound = terms[LOSS_KL].loss, mse = terms[LOSS_MSE].mse;
            assert_true(isnan(terms[LOSS_KL].mse) && isnan(terms[LOSS_KL].vb) && isnan(terms[LOSS_RESCALED_KL].vb));
            assert_true(isnan(terms[LOSS_MSE].vb) == !learned && isnan(terms[LOSS_RESCALED_MSE].vb) == !learned);
            double got[] = {terms[LOSS_RESCALED_KL].loss, terms[LOSS_MSE].loss, terms[LOSS_RESCALED_MSE].loss,
                            learned ? terms[LOSS_MSE].vb : 0, learned ? terms[LOSS_RESCALED_MSE].vb : 0};
            double factor = STEPS / 1000., vb = learned ? bound : 0;
            double want[] = {STEPS * bound, mse + vb, mse + factor * vb, vb, factor * vb};
            check_close(5, got, want, 1e-12, 1e-15, "variance type %d, t = %d", v, timesteps[k]);
        }
}

/* A perfect mean with the posterior's variance has no divergence, any other a positive one. */
static void divergence_is_not_negative(void **state)
{
    (void)state;
    for (int t = 1; t < STEPS; t++) {
        struct diffusion *d = example_diffusion("linear", STEPS, MEAN_START_X, VAR_LEARNED_RANGE, LOSS_KL);
        struct example e = example_at(d, t);
        float output[2 * N];
        struct bpd_terms perfect, other;
        make_output(d, t, &e, 0.5, output);
        bpd_terms(d, t, PIXELS, C, e.x_start, e.x_t, e.noise, output, false, &other);
        double want = loss_of(d, t, &e, output).loss;
        check_close(1, &other.vb, &want, 1e-12, 1e-15, "vb, t = %d", t);
        for (int i = 0; i < N; i++) {
            output[i / C * 2 * C + i % C] = (float)e.x_start[i];
            output[i / C * 2 * C + C + i % C] = -1;
        }
        bpd_terms(d, t, PIXELS, C, e.x_start, e.x_t, e.noise, output, true, &perfect);
        assert_true(fabs(perfect.vb) < 1e-9 && other.vb > perfect.vb && other.vb > 0);
        assert_true(perfect.xstart_mse < 1e-14 && perfect.mse < 1e-9 && other.xstart_mse > 1e-3 && other.mse > 0);
        diffusion_destroy(d);
    }
}

/* The 256 bins' probabilities add to 1, wherever the Gaussian lies. */
static void decoder_probabilities_add_to_one(void **state)
{
    (void)state;
    struct diffusion *d = example_diffusion("cosine", STEPS, MEAN_PREVIOUS_X, VAR_LEARNED, LOSS_KL);
    static const float mean_parts[] = {0, 0.3f, -1, 1, 1.7f}, log_variances[] = {-2, -5, -9};
    for (int m = 0; m < 5; m++)
        for (int v = 0; v < 3; v++) {
            double sum = 0, x_t = 0, noise = 0;
            for (int level = 0; level < 256; level++) {
                double x = level / 127.5 - 1;
                float output[2] = {mean_parts[m], log_variances[v]};
                struct bpd_terms terms;
                bpd_terms(d, 0, 1, 1, &x, &x_t, &noise, output, false, &terms);
                sum += exp2(-terms.vb);
            }
            assert_true(fabs(sum - 1) < 1e-8); /* probabilities below 1e-12 are taken as that */
        }
    diffusion_destroy(d);
}

/* Where the probability is clamped to 1e-12, loss is its logarithm and the gradient exactly zero. */
static void clamped_likelihoods_have_no_gradient(void **state)
{
    (void)state;
    struct diffusion *d = example_diffusion("cosine", STEPS, MEAN_PREVIOUS_X, VAR_LEARNED, LOSS_KL);
    static const double x[] = {-1, 1, 0, 0.5, -0.5};
    static const float mean_part[] = {0.9f, -0.9f, 0.9f, -1, 3}, log_variance[] = {-9, -9, -9, -800, -3000};
    for (int i = 0; i < 5; i++) {
        float output[2] = {mean_part[i], log_variance[i]}, grad[2] = {5, 5};
        double x_t = 0, noise = 0, want = -log2(1e-12);
        struct loss_terms terms;
        training_losses(d, 0, 1, 1, &x[i], &x_t, &noise, output, 1, &terms, grad);
        check_close(1, &terms.loss, &want, 1e-12, 0, "case %d", i);
        assert_true(grad[0] == 0 && grad[1] == 0);
    }
    diffusion_destroy(d);
}

/* Sure of the right level: probability 1, flat, also where squares of distances in standard deviations overflow. */
static void certain_likelihoods_have_no_loss(void **state)
{
    (void)state;
    struct diffusion *d = example_diffusion("cosine", STEPS, MEAN_PREVIOUS_X, VAR_LEARNED, LOSS_KL);
    static const double x[] = {-1, 0, 1};
    static const float log_variance[] = {-20, -100, -800};
    for (int i = 0; i < 3; i++)
        for (int v = 0; v < 3; v++) {
            float output[2] = {(float)x[i], log_variance[v]}, grad[2] = {5, 5};
            double x_t = 0, noise = 0;
            struct loss_terms terms;
            training_losses(d, 0, 1, 1, &x[i], &x_t, &noise, output, 1, &terms, grad);
            assert_true(fabs(terms.loss) < 1e-9 && grad[0] == 0 && grad[1] == 0);
        }
    diffusion_destroy(d);
}

static void not_a_number_is_passed_on(void **state)
{
    (void)state;
    for (int l = 0; l < 4; l++)
        for (int k = 0; k < 4; k++) {
            struct diffusion *d = example_diffusion("cosine", STEPS, MEAN_EPSILON, VAR_LEARNED_RANGE, losses[l]);
            struct example e = example_at(d, timesteps[k]);
            float output[2 * N];
            make_output(d, timesteps[k], &e, 0.05, output);
            output[7] = NAN;
            assert_true(isnan(loss_of(d, timesteps[k], &e, output).loss));
            struct bpd_terms terms;
            bpd_terms(d, timesteps[k], PIXELS, C, e.x_start, e.x_t, e.noise, output, true, &terms);
            assert_true(isnan(terms.vb) && isnan(terms.xstart_mse) && isnan(terms.mse));
            diffusion_destroy(d);
        }
}

/* At the last step of the cosine schedule hardly anything of x_0 is left. */
static void prior_is_small_and_positive(void **state)
{
    (void)state;
    static const char *schedules[] = {"linear", "cosine"};
    for (int s = 0; s < 2; s++) {
        struct diffusion *d = example_diffusion(schedules[s], 1000, MEAN_EPSILON, VAR_FIXED_SMALL, LOSS_MSE);
        struct example e = example_at(d, 999);
        double abar = d->alphas_cumprod[999], want = 0;
        for (int i = 0; i < N; i++)
            want += 0.5 * (-1 - log(1 - abar) + (1 - abar) + abar * e.x_start[i] * e.x_start[i]) / N / log(2);
        double got = prior_bpd(d, N, e.x_start), dark[N] = {0};
        check_close(1, &got, &want, 1e-9, 1e-15, "%s", schedules[s]);
        assert_true(got > 0 && got < 1e-4 && prior_bpd(d, N, dark) < got);
        diffusion_destroy(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_finite_differences),
        cmocka_unit_test(squared_errors_by_signal_to_noise),
        cmocka_unit_test(losses_without_squared_error_have_no_weights),
        cmocka_unit_test(respaced_losses_are_the_authors),
        cmocka_unit_test(loss_types_combine_terms),
        cmocka_unit_test(divergence_is_not_negative),
        cmocka_unit_test(decoder_probabilities_add_to_one),
        cmocka_unit_test(clamped_likelihoods_have_no_gradient),
        cmocka_unit_test(certain_likelihoods_have_no_loss),
        cmocka_unit_test(not_a_number_is_passed_on),
        cmocka_unit_test(prior_is_small_and_positive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
