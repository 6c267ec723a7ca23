/* Schedules and respacing: definitions, Python's rounding, limits, and messages that say what would do. */
#include "check.h"
#include "iddpm/diffusion.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static enum iddpm_status create(struct diffusion **d, int steps, const char *schedule, const char *respacing,
                                enum var_type var)
{
    struct diffusion_options options = {.steps = steps,
                                        .noise_schedule = schedule,
                                        .timestep_respacing = respacing,
                                        .mean = MEAN_EPSILON,
                                        .var = var,
                                        .rescale_timesteps = true};
    return diffusion_create(d, &options);
}

static void betas_follow_their_formulas(void **state)
{
    (void)state;
    struct diffusion *d;
    assert_int_equal(create(&d, 1000, "linear", NULL, VAR_LEARNED), IDDPM_OK);
    double got[] = {d->betas[0], d->betas[999], d->alphas_cumprod[0]}, linear[] = {1e-4, 0.02, 1 - 1e-4};
    check_close(3, got, linear, 1e-10, 0, "linear");
    diffusion_destroy(d);
    assert_int_equal(create(&d, 4000, "cosine", "", VAR_LEARNED), IDDPM_OK);
    double f0 = pow(cos(0.008 / 1.008 * M_PI / 2), 2);
    for (int t = 0; t < 3999; t += 31) { /* equation 17: abar_t = f(t) / f(0), where no beta is clipped */
        double want = pow(cos(((t + 1) / 4000. + 0.008) / 1.008 * M_PI / 2), 2) / f0;
        check_close(1, &d->alphas_cumprod[t], &want, 1e-9, 1e-14, "cosine, t = %d", t);
    }
    assert_true(fabs(d->betas[3999] - 0.999) < 1e-9); /* clipped */
    diffusion_destroy(d);
}

static void tables_are_consistent(void **state)
{
    (void)state;
    const char *specs[] = {"", "50", "ddim25", "1,2,3"};
    for (int k = 0; k < 4; k++) {
        struct diffusion *d;
        assert_int_equal(create(&d, 100, "cosine", specs[k], VAR_FIXED_LARGE), IDDPM_OK);
        assert_int_equal(d->original_num_steps, 100);
        int n = d->num_timesteps;
        double product = 1;
        for (int t = 0; t < n; t++) {
            assert_true(d->betas[t] > 0 && d->betas[t] < 1);
            assert_true(d->alphas_cumprod_prev[t] == (t ? d->alphas_cumprod[t - 1] : 1));
            assert_true(d->alphas_cumprod_next[t] == (t < n - 1 ? d->alphas_cumprod[t + 1] : 0));
            product *= 1 - d->betas[t];
            check_close(1, &d->alphas_cumprod[t], &product, 1e-12, 0, "%s, alphas_cumprod[%d]", specs[k], t);
            assert_true(d->posterior_variance[t] <= d->betas[t]);
            double fixed = t ? d->log_betas[t] : d->posterior_log_variance_clipped[1];
            assert_true(d->fixed_log_variance[t] == fixed && isfinite(d->posterior_log_variance_clipped[t]));
        }
        assert_true(d->posterior_variance[0] == 0);
        diffusion_destroy(d);
    }
}

/* The kept steps' alphas_cumprod are the long process's at these steps. */
static void respacing_keeps_alphas_cumprod(void **state)
{
    (void)state;
    struct diffusion *whole, *part;
    assert_int_equal(create(&whole, 300, "linear", "", VAR_LEARNED), IDDPM_OK);
    assert_int_equal(create(&part, 300, "linear", "10,15,20", VAR_LEARNED), IDDPM_OK);
    assert_int_equal(part->num_timesteps, 45);
    for (int t = 0; t < 45; t++) {
        const double *want = &whole->alphas_cumprod[part->timestep_map[t]];
        check_close(1, &part->alphas_cumprod[t], want, 1e-11, 0, "t = %d", t);
        assert_true(fabs(diffusion_model_timestep(part, t) - part->timestep_map[t] * (1000 / 300.)) < 1e-4);
    }
    part->rescale_timesteps = false;
    assert_true(diffusion_model_timestep(part, 44) == 299);
    diffusion_destroy(whole);
    diffusion_destroy(part);
}

static void output_channels_double_with_learned_variance(void **state)
{
    (void)state;
    static const struct {
        enum var_type var;
        int channels;
    } cases[] = {{VAR_LEARNED, 6}, {VAR_LEARNED_RANGE, 6}, {VAR_FIXED_LARGE, 3}, {VAR_FIXED_SMALL, 3}};
    for (int i = 0; i < 4; i++) {
        struct diffusion *d;
        assert_int_equal(create(&d, 2, "cosine", NULL, cases[i].var), IDDPM_OK);
        assert_int_equal(diffusion_output_channels(d, 3), cases[i].channels);
        assert_true((d->fixed_log_variance == NULL) == (cases[i].channels == 6));
        diffusion_destroy(d);
    }
}

static void counts_keep_first_and_last(void **state)
{
    (void)state;
    enum { STEPS = 97 };
    uint8_t kept[STEPS];
    char spec[16];
    int count;
    for (int n = 2; n <= STEPS; n++) {
        snprintf(spec, sizeof spec, "%d", n);
        assert_int_equal(space_timesteps(STEPS, spec, kept, &count), IDDPM_OK);
        assert_int_equal(count, n);
        assert_true(kept[0] && kept[STEPS - 1]);
    }
    assert_int_equal(space_timesteps(STEPS, NULL, kept, &count), IDDPM_OK);
    assert_int_equal(count, STEPS);
    assert_int_equal(space_timesteps(STEPS, " 0, 1 ,2", kept, &count), IDDPM_OK); /* of 33, 32, 32 steps */
    assert_int_equal(count, 3);
    assert_true(kept[33] && kept[65] && kept[96]);
}

static void halves_round_to_even(void **state)
{
    (void)state;
    uint8_t kept[12];
    int count;
    assert_int_equal(space_timesteps(12, "3", kept, &count), IDDPM_OK); /* 0, 5.5, 11 */
    assert_true(count == 3 && kept[0] && kept[6] && kept[11]);
    assert_int_equal(space_timesteps(10, "3", kept, &count), IDDPM_OK); /* 0, 4.5, 9 */
    assert_true(count == 3 && kept[0] && kept[4] && kept[9]);
}

/* ddimN for every N: possible exactly when some stride leaves N steps. */
static void ddim_strides(void **state)
{
    (void)state;
    enum { STEPS = 40 };
    for (int n = 0; n <= STEPS + 1; n++) {
        uint8_t kept[STEPS];
        char spec[16];
        int count, stride = 1;
        while (stride < STEPS && (STEPS + stride - 1) / stride != n) stride++;
        snprintf(spec, sizeof spec, "ddim%d", n);
        enum iddpm_status status = space_timesteps(STEPS, spec, kept, &count);
        if (stride == STEPS) {
            assert_int_equal(status, IDDPM_USAGE);
            assert_non_null(strstr(iddpm_error_text(), "diffusion.timestep_respacing"));
            continue;
        }
        assert_int_equal(status, IDDPM_OK);
        assert_int_equal(count, n);
        for (int t = 0; t < STEPS; t++) assert_int_equal(kept[t], t % stride == 0);
    }
}

/* A message names the key and holds what would do. */
static void bad_options_give_messages(void **state)
{
    (void)state;
    static const struct {
        int steps;
        const char *schedule, *respacing, *key, *advice;
    } cases[] = {
        {1000, "cosine", "ddim60", "diffusion.timestep_respacing", "ddim59 and ddim63"},
        {1000, "cosine", "ddim", "diffusion.timestep_respacing", "ddim25"},
        {1000, "cosine", "ddim25x", "diffusion.timestep_respacing", "ddim25"},
        {1000, "cosine", "ddim1001", "diffusion.timestep_respacing", "1000"},
        {1000, "cosine", "ddim1", "diffusion.timestep_respacing", "between 2"},
        {1000, "cosine", "1001", "diffusion.timestep_respacing", "at most 1000"},
        {100, "cosine", "99999999999999999999", "diffusion.timestep_respacing", "at most 100"},
        {100, "cosine", "10,51", "diffusion.timestep_respacing", "section 2 of 2 has 50 of the 100"},
        {100, "cosine", "fast", "diffusion.timestep_respacing", "10,15,20"},
        {100, "cosine", "10,", "diffusion.timestep_respacing", "10,15,20"},
        {100, "cosine", ",10", "diffusion.timestep_respacing", "10,15,20"},
        {100, "cosine", "-5", "diffusion.timestep_respacing", "10,15,20"},
        {100, "cosine", "10 15", "diffusion.timestep_respacing", "10,15,20"},
        {100, "cosine", "1", "diffusion.timestep_respacing", "at least 2"},
        {100, "cosine", "0,0", "diffusion.timestep_respacing", "at least 2"},
        {2, "cosine", "1,1,1", "diffusion.timestep_respacing", "at most 0"},
        {100, "sigmoid", "", "diffusion.noise_schedule", "linear or cosine"},
        {20, "linear", "", "diffusion.diffusion_steps", "at least 21"},
        {1, "cosine", "", "diffusion.diffusion_steps", "at least 2"},
        {0, "cosine", "", "diffusion.diffusion_steps", "at least 2"},
        {-3, "linear", "", "diffusion.diffusion_steps", "at least 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct diffusion *d = (struct diffusion *)&d;
        enum iddpm_status status = create(&d, cases[i].steps, cases[i].schedule, cases[i].respacing, VAR_LEARNED);
        const char *text = iddpm_error_text();
        if (status != IDDPM_USAGE || d || !strstr(text, cases[i].key) || !strstr(text, cases[i].advice))
            fail_msg("%d %s %s: status %d, \"%s\"", cases[i].steps, cases[i].schedule, cases[i].respacing, status,
                     text);
    }
    struct diffusion *d;
    assert_int_equal(create(&d, 21, "linear", "2", VAR_LEARNED), IDDPM_OK); /* the smallest that do */
    diffusion_destroy(d);
    diffusion_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(betas_follow_their_formulas),
        cmocka_unit_test(tables_are_consistent),
        cmocka_unit_test(respacing_keeps_alphas_cumprod),
        cmocka_unit_test(output_channels_double_with_learned_variance),
        cmocka_unit_test(counts_keep_first_and_last),
        cmocka_unit_test(halves_round_to_even),
        cmocka_unit_test(ddim_strides),
        cmocka_unit_test(bad_options_give_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
