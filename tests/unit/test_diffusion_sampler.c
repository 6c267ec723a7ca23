/* Timestep samplers: draws follow the weights, losses stay unbiased, edges. */
#include "check.h"
#include "iddpm/diffusion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct sampler *create(const char *name, int steps)
{
    struct sampler *sampler;
    if (sampler_create(&sampler, name, steps) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return sampler;
}

/* Ten losses for each timestep, around level[t]. */
static void warm_up(struct sampler *sampler, const double *level)
{
    for (int k = 0; k < SAMPLER_HISTORY; k++)
        for (int t = 0; t < sampler->num_timesteps; t++) sampler_update(sampler, 1, &t, &level[t]);
}

/* Chi-square of 20,000 draws against p, which must lie within 5 standard deviations of its mean. */
static void check_draws(const struct sampler *sampler, const double *p)
{
    enum { DRAWS = 20000 };
    int n = sampler->num_timesteps, counts[64] = {0};
    double u[DRAWS], chi_square = 0;
    rng_uniform(&(struct rng){.seed = 3, .purpose = RNG_TEST}, DRAWS, u);
    for (int i = 0; i < DRAWS; i++) {
        int t;
        double weight;
        sampler_draw(sampler, u[i], &t, &weight);
        assert_in_range(t, 0, n - 1);
        assert_true(fabs(weight * n * p[t] - 1) < 1e-12);
        counts[t]++;
    }
    for (int t = 0; t < n; t++) chi_square += pow(counts[t] - DRAWS * p[t], 2) / (DRAWS * p[t]);
    double degrees = n - 1;
    assert_true(fabs(chi_square - degrees) < 5 * sqrt(2 * degrees));
}

static void uniform_draws(void **state)
{
    (void)state;
    double p[40];
    for (int t = 0; t < 40; t++) p[t] = 1 / 40.;
    struct sampler *sampler = create("uniform", 40);
    check_draws(sampler, p);
    double losses[40];
    for (int t = 0; t < 40; t++) losses[t] = t;
    warm_up(sampler, losses); /* which it does not heed */
    for (int i = 0; i < 400; i++) {
        int t;
        double weight;
        sampler_draw(sampler, (i + 0.5) / 400, &t, &weight);
        assert_int_equal(t, i / 10);
        assert_true(weight == 1); /* exactly */
    }
    sampler_destroy(sampler);
}

static void loss_aware_draws(void **state)
{
    (void)state;
    enum { STEPS = 12 };
    double level[STEPS], p[STEPS], w[STEPS], sum = 0;
    for (int t = 0; t < STEPS; t++) sum += level[t] = 3 - 0.25 * t;
    for (int t = 0; t < STEPS; t++) p[t] = (1 - SAMPLER_UNIFORM_PROB) * level[t] / sum + SAMPLER_UNIFORM_PROB / STEPS;
    struct sampler *sampler = create("loss-second-moment", STEPS);
    warm_up(sampler, level);
    sampler_weights(sampler, w);
    check_close(STEPS, w, p, 1e-12, 0, "weights");
    check_draws(sampler, p);
    sampler_destroy(sampler);
}

static void warm_up_ends_with_the_last_timestep(void **state)
{
    (void)state;
    enum { STEPS = 5 };
    struct sampler *sampler = create("loss-second-moment", STEPS);
    double w[STEPS], loss = 2;
    for (int k = 0; k < SAMPLER_HISTORY * STEPS; k++) {
        sampler_weights(sampler, w);
        for (int t = 0; t < STEPS; t++) assert_true(w[t] == 1);
        int t = k / SAMPLER_HISTORY;
        loss = t == 0 ? 4 : 2;
        sampler_update(sampler, 1, &t, &loss);
    }
    sampler_weights(sampler, w);
    assert_true(w[0] > 0.33 && w[0] < 0.34 && w[1] == w[4]); /* 4 / 12 */
    sampler_destroy(sampler);
}

/* The ten newest losses count; an update may bring one timestep several times, in order. */
static void history_keeps_the_newest(void **state)
{
    (void)state;
    struct sampler *sampler = create("loss-second-moment", 2);
    int t[25] = {0};
    double loss[25];
    for (int i = 0; i < 25; i++) loss[i] = i;
    sampler_update(sampler, 25, t, loss);
    assert_int_equal(sampler->counts[0], SAMPLER_HISTORY);
    for (int k = 0; k < SAMPLER_HISTORY; k++) assert_true(sampler->history[k] == 15 + k);
    assert_int_equal(sampler->counts[1], 0);
    sampler_destroy(sampler);
}

/* What a checkpoint keeps, history and counts, makes an equal sampler after sampler_refresh. */
static void refresh_restores(void **state)
{
    (void)state;
    double level[] = {1, 5, 2};
    struct sampler *sampler = create("loss-second-moment", 3), *copy = create("loss-second-moment", 3);
    warm_up(sampler, level);
    memcpy(copy->history, sampler->history, 3 * SAMPLER_HISTORY * sizeof *copy->history);
    memcpy(copy->counts, sampler->counts, 3 * sizeof *copy->counts);
    sampler_refresh(copy);
    for (int i = 0; i < 100; i++) {
        int t[2];
        double weight[2];
        sampler_draw(sampler, i / 100., &t[0], &weight[0]);
        sampler_draw(copy, i / 100., &t[1], &weight[1]);
        assert_true(t[0] == t[1] && weight[0] == weight[1]);
    }
    sampler_destroy(sampler);
    sampler_destroy(copy);
}

static void edges(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 7, 1000, 4000};
    const double largest = 1 - 0x1p-53;
    for (int k = 0; k < 6; k++) {
        struct sampler *sampler = create("uniform", sizes[k]);
        int t;
        double weight;
        sampler_draw(sampler, 0, &t, &weight);
        assert_int_equal(t, 0);
        sampler_draw(sampler, largest, &t, &weight);
        assert_int_equal(t, sizes[k] - 1);
        assert_true(weight == 1);
        sampler_destroy(sampler);
    }
    struct sampler *quarters = create("uniform", 4);
    for (int i = 0; i < 4; i++) { /* a boundary belongs to the timestep above it */
        int t;
        double weight;
        sampler_draw(quarters, i / 4., &t, &weight);
        assert_int_equal(t, i);
    }
    sampler_destroy(quarters);
    /* losses that say nothing: all zero, or not finite */
    static const double levels[] = {0, INFINITY, NAN};
    for (int k = 0; k < 3; k++) {
        struct sampler *sampler = create("loss-second-moment", 4);
        double level[] = {levels[k], levels[k], levels[k], levels[k]}, weight;
        int t;
        warm_up(sampler, level);
        sampler_draw(sampler, 0.6, &t, &weight);
        assert_true(t == 2 && weight == 1);
        sampler_destroy(sampler);
    }
    sampler_destroy(NULL);
}

static void unknown_name(void **state)
{
    (void)state;
    struct sampler *sampler = (struct sampler *)&sampler;
    assert_int_equal(sampler_create(&sampler, "fastest", 10), IDDPM_USAGE);
    assert_null(sampler);
    assert_non_null(strstr(iddpm_error_text(), "train.schedule_sampler"));
    assert_non_null(strstr(iddpm_error_text(), "uniform or loss-second-moment"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_draws),
        cmocka_unit_test(loss_aware_draws),
        cmocka_unit_test(warm_up_ends_with_the_last_timestep),
        cmocka_unit_test(history_keeps_the_newest),
        cmocka_unit_test(refresh_restores),
        cmocka_unit_test(edges),
        cmocka_unit_test(unknown_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
