/* Likelihoods from strata of timesteps, and jobs that are continued. */
#include "check.h"
#include "iddpm/evaluate.h"
#include "iddpm/kernels.h"
#include "network.h"
#include "ranks.h"
#include "scratch.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3, STEPS = 40, STRATA = 12, IMAGES = 3 * 12 + 1, SEED = 5 };

static char folder[PATH_SIZE];
static struct dataset *data;
static struct model *model;
static struct nll *full; /* every timestep */

static struct nll *measure(const struct nll_options *options)
{
    struct nll *nll;
    must(nll_measure(&ranks, model, data, options, &nll));
    return nll;
}

/* ---- strata ------------------------------------------------------------------------------------------------------ */

static void strata_cut_all_timesteps(void **state)
{
    (void)state;
    static const int cases[][2] = {{1, 1},  {2, 1},    {2, 2},     {20, 2},   {4000, 3},
                                   {20, 7}, {400, 10}, {400, 399}, {1000, 1}, {4000, 100}};
    int first[4001];
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int timesteps = cases[c][0], strata = cases[c][1], before = 0;
        nll_strata(timesteps, strata, first);
        assert_int_equal(first[0], 0);
        assert_int_equal(first[strata], timesteps);
        for (int k = 0; k < strata; k++) assert_true(first[k + 1] > first[k]);
        if (strata > 1) assert_int_equal(first[1], 1);              /* t = 0 is unlike all others */
        for (int k = 0; k < strata - 1 && timesteps == 4000; k++) { /* longer and longer, but for rounding */
            assert_true(first[k + 1] - first[k] >= before - 1);
            before = first[k + 1] - first[k];
        }
    }
    nll_strata(4000, 100, first);
    assert_true(first[15] == 15 && first[100] - first[99] > 200);
    nll_strata(400, 400, first);
    for (int k = 0; k < 400; k++) assert_int_equal(first[k], k);
}

static void draws_are_even_in_a_stratum(void **state)
{
    (void)state;
    enum { DRAWS = 6000, FROM = 10, WIDTH = 5 };
    const int first[] = {0, FROM, FROM + WIDTH};
    int counts[WIDTH] = {0};
    for (uint64_t image = 0; image < DRAWS; image++) {
        int t = nll_stratum_draw(first, 1, SEED, image);
        assert_in_range(t, FROM, FROM + WIDTH - 1);
        counts[t - FROM]++;
    }
    double expected = DRAWS / WIDTH, four_sigma = 4 * sqrt(expected * (1 - 1. / WIDTH));
    for (int i = 0; i < WIDTH; i++) assert_true(fabs(counts[i] - expected) < four_sigma);
}

/* Each term is that of the full evaluation at the timestep drawn, and counts as often as its stratum is long. */
static void a_stratum_gives_the_term_of_its_timestep(void **state)
{
    (void)state;
    const struct nll_options options = {.images = IMAGES, .seed = SEED, .strata = STRATA};
    struct nll *nll = measure(&options);
    assert_int_equal(nll->steps, STRATA);
    for (size_t i = 0; i < IMAGES && ranks.rank == 0; i++) {
        double total = nll->prior[i];
        for (int column = 0; column < STRATA; column++) {
            int k = STRATA - 1 - column, t = nll_stratum_draw(nll->first, k, SEED, i);
            double vb = nll->vb[i * STRATA + (size_t)column];
            check_close(1, &vb, &full->vb[i * STEPS + (size_t)(STEPS - 1 - t)], 1e-5, 1e-9, "image %zu, t %d", i, t);
            total += vb * (nll->first[k + 1] - nll->first[k]);
        }
        check_close(1, &nll->total[i], &total, 1e-12, 0, "total of image %zu", i);
    }
    nll_destroy(nll);
}

/* From the terms of the full evaluation, the estimate of image `from` as number `image` of a job with another seed. */
static double estimate(const int *first, uint64_t seed, uint64_t image, size_t from)
{
    double total = full->prior[from];
    for (int k = 0; k < STRATA; k++) {
        int t = nll_stratum_draw(first, k, seed, image);
        total += full->vb[from * STEPS + (size_t)(STEPS - 1 - t)] * (first[k + 1] - first[k]);
    }
    return total;
}

/* Jobs on images drawn from IMAGES ones. Their 95 % intervals must cover the mean of all images and timesteps, and the
 * estimates of one image must have its total as their mean. */
static void intervals_cover_the_full_evaluation(void **state)
{
    (void)state;
    enum { JOBS = 200, DRAWN = 60 };
    int first[STRATA + 1], covered = 0;
    double estimates[DRAWN], jobs[JOBS], mean, error;
    if (ranks.rank != 0) return;
    nll_strata(STEPS, STRATA, first);
    for (uint64_t job = 0; job < JOBS; job++) {
        for (uint64_t i = 0; i < DRAWN; i++) {
            const struct rng rng = {job, RNG_TEST, 0, (uint32_t)i};
            estimates[i] = estimate(first, 1000 + job, i, (size_t)(rng_one_uniform(&rng) * IMAGES));
        }
        nll_mean(DRAWN, estimates, NULL, &mean, &error);
        covered += fabs(mean - full->mean) < 1.96 * error;
        jobs[job] = estimate(first, job, 0, 0);
    }
    assert_in_range(covered, JOBS * 90 / 100, JOBS * 99 / 100);
    nll_mean(JOBS, jobs, NULL, &mean, &error);
    assert_true(error > 0 && fabs(mean - full->total[0]) < 3 * error);
}

static void strata_take_no_noise_of_a_file(void **state)
{
    (void)state;
    double value = 0;
    const struct noise noise = {.name = "draws.h5", .draws = 1, .images = 1, .image = 1, .data = &value};
    const struct nll_options options = {.images = 1, .noise = &noise, .strata = STRATA};
    struct nll *nll;
    assert_int_equal(nll_measure(&ranks, model, data, &options, &nll), IDDPM_USAGE);
    assert_non_null(strstr(iddpm_error_text(), "draws.h5"));
}

/* ---- main -------------------------------------------------------------------------------------------------------- */

static struct model *open_model(void)
{
    struct model_spec spec = {.unet = {.image_size = 8,
                                       .in_channels = 1,
                                       .model_channels = 32,
                                       .out_channels = 2,
                                       .num_res_blocks = 1,
                                       .n_mult = 1,
                                       .channel_mult = {1},
                                       .num_heads = 1,
                                       .num_heads_upsample = -1,
                                       .use_scale_shift_norm = true},
                              .diffusion = {.steps = STEPS,
                                            .noise_schedule = "cosine",
                                            .mean = MEAN_EPSILON,
                                            .var = VAR_LEARNED_RANGE,
                                            .rescale_timesteps = true}};
    struct model *made;
    must(model_create(&made, &spec, BATCH, 1));
    network_fill(made->net, made->params);
    return made;
}

static int begin(void **state)
{
    (void)state;
    char path[PATH_SIZE];
    enum iddpm_status status = IDDPM_OK;
    if (ranks.rank == 0) scratch_make(folder);
    must(parallel_broadcast(&ranks, folder, sizeof folder));
    must(path_join(path, folder, "digits"));
    const struct import_options options = {.kind = IMPORT_DIGITS, .target = path, .split = "test"};
    struct import_result result;
    if (ranks.rank == 0) status = data_import(&options, &result);
    must(parallel_agree(&ranks, status));
    must(dataset_open(&data, path));
    must(kernels_select(NULL));
    model = open_model();
    const struct nll_options every = {.images = IMAGES, .seed = SEED};
    full = measure(&every);
    return 0;
}

static int end(void **state)
{
    (void)state;
    nll_destroy(full);
    model_destroy(model);
    dataset_close(data);
    parallel_barrier(&ranks);
    if (ranks.rank == 0) scratch_remove(folder);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strata_cut_all_timesteps),
        cmocka_unit_test(draws_are_even_in_a_stratum),
        cmocka_unit_test(a_stratum_gives_the_term_of_its_timestep),
        cmocka_unit_test(intervals_cover_the_full_evaluation),
        cmocka_unit_test(strata_take_no_noise_of_a_file),
    };
    if (ranks_start(&argc, &argv, 120) != 0) return 1;
    log_set_quiet(true);
    return ranks_end(cmocka_run_group_tests(tests, begin, end));
}
