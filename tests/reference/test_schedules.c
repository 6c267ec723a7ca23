/* Schedules and respacing against the authors' tables. */
#include "iddpm/diffusion.h"
#include "reference.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset;
} tables[] = {
#define TABLE(name)                                                                                                    \
    {                                                                                                                  \
#name, offsetof(struct diffusion, name)                                                                        \
    }
    TABLE(betas),
    TABLE(alphas_cumprod),
    TABLE(alphas_cumprod_prev),
    TABLE(alphas_cumprod_next),
    TABLE(sqrt_alphas_cumprod),
    TABLE(sqrt_one_minus_alphas_cumprod),
    TABLE(log_one_minus_alphas_cumprod),
    TABLE(sqrt_recip_alphas_cumprod),
    TABLE(sqrt_recipm1_alphas_cumprod),
    TABLE(posterior_variance),
    TABLE(posterior_log_variance_clipped),
    TABLE(posterior_mean_coef1),
    TABLE(posterior_mean_coef2),
};

static const double *table(const struct diffusion *d, size_t k)
{
    return *(double *const *)((const char *)d + tables[k].offset);
}

static struct diffusion *create(const char *schedule, const char *steps, const char *respacing, bool rescale)
{
    struct diffusion_options options = {.steps = atoi(steps),
                                        .noise_schedule = schedule,
                                        .timestep_respacing = respacing,
                                        .mean = MEAN_EPSILON,
                                        .var = VAR_LEARNED_RANGE,
                                        .loss = LOSS_RESCALED_MSE,
                                        .rescale_timesteps = rescale};
    struct diffusion *d;
    if (diffusion_create(&d, &options) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return d;
}

/* Every table that the group holds, at its indices `at`. */
static int check_group(const struct reference *reference, const char *group, const struct diffusion *d,
                       const struct array *at)
{
    int compared = 0;
    for (size_t k = 0; k < sizeof tables / sizeof *tables; k++) {
        if (!reference_has(reference, group, tables[k].name)) continue;
        struct array want = reference_array(reference, group, tables[k].name);
        double *got = malloc(want.size * sizeof *got);
        for (size_t i = 0; i < want.size; i++) got[i] = table(d, k)[at ? (size_t)at->data[i] : i];
        check_close(want.size, got, want.data, TOLERANCE_MATHS, TOLERANCE_MATHS_ZERO, "%s %s", group, tables[k].name);
        free(got);
        array_free(&want);
        compared++;
    }
    return compared;
}

static void schedules_are_the_authors(void **state)
{
    (void)state;
    struct reference *reference = reference_open("schedules");
    struct names schedules = reference_groups(reference, "");
    int cases = 0;
    for (int i = 0; i < schedules.n; i++) {
        const char *schedule = schedules.name[i];
        if (strcmp(schedule, "respacing") == 0) continue;
        struct names sizes = reference_groups(reference, schedule);
        for (int k = 0; k < sizes.n; k++, cases++) {
            char group[256];
            snprintf(group, sizeof group, "%s/%s", schedule, sizes.name[k]);
            struct array at = reference_array(reference, group, "at");
            struct diffusion *d = create(schedule, sizes.name[k], "", false);
            assert_int_equal(d->num_timesteps, atoi(sizes.name[k]));
            assert_int_equal(check_group(reference, group, d, &at), sizeof tables / sizeof *tables);
            diffusion_destroy(d);
            array_free(&at);
        }
        names_free(&sizes);
    }
    assert_true(cases > 0);
    names_free(&schedules);
    reference_close(reference);
}

static void check_respacing(const struct reference *reference, const char *steps, const char *spec, bool rescale)
{
    char group[256];
    snprintf(group, sizeof group, "respacing/%s/%s/rescale%d", steps, spec, rescale);
    struct array use = reference_array(reference, group, "use_timesteps");
    struct array seen = reference_array(reference, group, "model_timesteps");
    struct diffusion *d = create("cosine", steps, spec, rescale);
    assert_int_equal(d->num_timesteps, use.size);
    for (int t = 0; t < d->num_timesteps; t++) {
        assert_int_equal(d->timestep_map[t], use.data[t]);
        double model_timestep = diffusion_model_timestep(d, t);
        check_close(1, &model_timestep, &seen.data[t], 0, 0, "%s model_timesteps[%d]", group, t);
    }
    assert_int_equal(check_group(reference, group, d, NULL), 3);
    diffusion_destroy(d);
    array_free(&use);
    array_free(&seen);
}

static void respacing_is_the_authors(void **state)
{
    (void)state;
    struct reference *reference = reference_open("schedules");
    struct names sizes = reference_groups(reference, "respacing");
    assert_true(sizes.n > 0);
    for (int i = 0; i < sizes.n; i++) {
        char group[256];
        snprintf(group, sizeof group, "respacing/%s", sizes.name[i]);
        struct names specs = reference_groups(reference, group);
        assert_true(specs.n > 0);
        for (int k = 0; k < specs.n; k++)
            for (int rescale = 0; rescale < 2; rescale++)
                check_respacing(reference, sizes.name[i], specs.name[k], rescale);
        names_free(&specs);
    }
    names_free(&sizes);
    reference_close(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(schedules_are_the_authors),
                                       cmocka_unit_test(respacing_is_the_authors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
