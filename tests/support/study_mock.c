#include "study_mock.h"

#include "check.h"
#include "iddpm/data.h"
#include "iddpm/diffusion.h"
#include "mock_study.h"
#include "scratch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double uniform(uint32_t slot, uint32_t step)
{
    return rng_one_uniform(&(struct rng){.purpose = RNG_TEST, .slot = slot, .step = step});
}

/* What an objective costs beside L_hybrid, bits/dim. */
static double cost(const struct config *config)
{
    if (!config->diffusion.learn_sigma) return 0.3;
    if (strcmp(config->train.schedule_sampler, "uniform") != 0) return -0.1;
    return config->diffusion.use_kl ? 0.08 : 0;
}

static const struct study_point *point_of(const struct study *study, const char *name)
{
    int p = 0;
    while (strcmp(study->points[p].name, name) != 0) p++;
    return &study->points[p];
}

static void change_row(const struct study *study, struct study_row *row)
{
    const struct study_point *point = point_of(study, row->point);
    uint8_t kept[4096];
    int n, e = 0;
    while (strcmp(study->evaluations[e].name, row->evaluation) != 0) e++;
    must(space_timesteps((int)point->config->diffusion.diffusion_steps, study->evaluations[e].respacing, kept, &n));
    row->timesteps = n;
    row->bits_per_dim += cost(point->config) + (cost(point->config) > 0.2 ? 20 : 5) / (double)n;
    if (point->config->model.dropout == 0 && row->step > point->steps / 2) row->bits_per_dim += 0.1; /* overfits */
    for (int64_t k = 0; k < row->n_terms; k++) row->terms[k] *= 1 + cost(point->config) * (double)(k + 1);
}

/* Of L_vlb the loss is the bound, and its gradient noisy; L_simple has no bound. */
static void change_curve(const struct study *study, struct study_curve *curve)
{
    const struct study_point *point = point_of(study, curve->point);
    const bool kl = point->config->diffusion.use_kl;
    for (int64_t i = 0; i < curve->n; i++) {
        const double rough = 1 + (kl ? 0.4 : 0.1) * (uniform(7, (uint32_t)i) - 0.5);
        const double bound = (3.5 + cost(point->config) + 2 / (1. + (double)i)) * rough;
        curve->column[CURVE_VB][i] = point->config->diffusion.learn_sigma && !kl ? bound / 1000 : NAN;
        if (kl) curve->column[CURVE_LOSS][i] = bound;
        curve->column[CURVE_NOISE_SCALE][i] *= kl ? 20 * rough : rough;
    }
}

static void write_samples(const struct study_point *point, const struct study_evaluation *evaluation, int64_t step)
{
    enum { SIDE = 64 };
    uint8_t pixels[SIDE * SIDE * 3];
    char path[PATH_SIZE], folder[PATH_SIZE];
    for (int i = 0; i < SIDE * SIDE * 3; i++) pixels[i] = (uint8_t)(i % 3 == 0 ? i / 3 % SIDE * 4 : i / 3 / SIDE * 4);
    must(study_result_path(point, evaluation, step, path));
    strcpy(folder, path);
    *strrchr(folder, '/') = 0;
    must(path_make_folders(folder));
    must(picture_write_png(&(struct picture){SIDE, SIDE, 3, pixels}, path));
}

static void write_all_samples(const struct study *study)
{
    for (int p = 0; p < study->n_points; p++)
        for (int e = 0; e < study->n_evaluations; e++) {
            int64_t steps[STUDY_SAVES_MAX];
            int n = study_evaluation_steps(&study->points[p], &study->evaluations[e], steps);
            for (int i = 0; i < n && study->evaluations[e].kind == STUDY_SAMPLE; i++)
                write_samples(&study->points[p], &study->evaluations[e], steps[i]);
        }
}

static void add_fits(struct study_mock *mock)
{
    if (mock->results->n == 0) return;
    mock->fits.fits = calloc(2, sizeof *mock->fits.fits);
    mock->fits.n = 2;
    const struct study_row *last = &mock->results->rows[mock->results->n - 1];
    struct study_fit *fit = mock->fits.fits;
    *fit = (struct study_fit){.what = "frontier",
                              .measure = "bits_per_dim",
                              .fitted = true,
                              .n = 5,
                              .law = {3, 1e11, 0.3, 0.01},
                              .low = {2.9, 5e10, 0.25, 0},
                              .high = {3.1, 2e11, 0.36, 0},
                              .held_compute = last->flops,
                              .held_loss = last->bits_per_dim,
                              .held_predicted = last->bits_per_dim + 0.05,
                              .held_low = last->bits_per_dim - 0.1,
                              .held_high = last->bits_per_dim + 0.2};
    snprintf(fit->evaluation, sizeof fit->evaluation, "%s", mock->results->rows[0].evaluation);
    fit[1] =
        (struct study_fit){.what = "num_channels 32", .measure = "bits_per_dim", .why = "two points < 4 & no fall"};
    snprintf(fit[1].evaluation, sizeof fit[1].evaluation, "%s", fit->evaluation);
}

void study_mock_make(struct study_mock *mock, const char *folder, const char *text, bool samples)
{
    static const char base[] =
        "model: {image_size: 8, in_channels: 1, num_channels: 32, channel_mult: 1, num_res_blocks: 1, "
        "attention_resolutions: []}\n"
        "diffusion: {diffusion_steps: 200, noise_schedule: cosine, learn_sigma: true}\n"
        "train: {batch_size: 16}\n";
    char path[PATH_SIZE], whole[8192];
    *mock = (struct study_mock){0};
    must(path_join(path, folder, "base.yaml"));
    scratch_write(path, base, strlen(base));
    snprintf(whole, sizeof whole, "study: %s/out\ntitle: 'A <mock> & \"study\"'\nbase: base.yaml\n%s", folder, text);
    must(path_join(path, folder, "s.yaml"));
    scratch_write(path, whole, strlen(whole));
    must(study_read(&mock->study, path));
    mock->results = mock_results(&mock_default, mock->study);
    for (int i = 0; i < mock->results->n; i++) change_row(mock->study, &mock->results->rows[i]);
    for (int i = 0; i < mock->results->n_curves; i++) change_curve(mock->study, &mock->results->curves[i]);
    if (samples) write_all_samples(mock->study);
    add_fits(mock);
}

void study_mock_free(struct study_mock *mock)
{
    study_results_destroy(mock->results);
    study_destroy(mock->study);
    free(mock->fits.fits);
}
