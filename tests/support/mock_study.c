#include "mock_study.h"

#include "check.h"
#include "iddpm/store.h"
#include "scratch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct mock mock_default = {.sizes = 3,
                                  .seeds = 1,
                                  .budgets = 1,
                                  .checkpoints = 6,
                                  .images = 64,
                                  .columns = 8,
                                  .l_inf = 3,
                                  .c_0 = 1e11,
                                  .alpha = 0.3,
                                  .bend = 0.02,
                                  .image_noise = 0.5,
                                  .row_noise = 0.03,
                                  .seed = 1};

enum { BATCH = 32, STEPS = 1024, LINES = 20 };
#define PRIOR 0.001

/* ---- the study --------------------------------------------------------------------------------------------------- */

static const char *keep(const char *text)
{
    char *copy = mem_strdup(text);
    assert_non_null(copy);
    return copy;
}

static void set_values(struct study_point *point, int channels, int64_t steps, int seed)
{
    char text[3][32];
    snprintf(text[0], sizeof text[0], "%d", channels);
    snprintf(text[1], sizeof text[1], "%lld", (long long)steps);
    snprintf(text[2], sizeof text[2], "%d", seed);
    static const char *const keys[3] = {"model.num_channels", "budget.steps", "run.seed"};
    struct study_value *values = calloc(3, sizeof *values);
    assert_non_null(values);
    for (int i = 0; i < 3; i++) values[i] = (struct study_value){keys[i], keep(text[i])};
    point->values = values;
    point->n_values = 3;
}

static void make_point(const struct mock *mock, struct study_point *point, const char *folder, int size, int budget,
                       int seed)
{
    int channels = 32 * (size + 1);
    char overrides[6][PATH_SIZE];
    const char *list[6];
    point->steps = (int64_t)STEPS << budget;
    point->images = point->steps * BATCH;
    point->parameters = (uint64_t)(1e5 * pow(channels / 32., 2));
    point->macs = (uint64_t)(1e7 * pow(channels / 32., 2));
    point->flops = 6. * (double)point->macs * (double)point->images;
    snprintf(point->name, STUDY_NAME, "num_channels-%d_steps-%lld_seed-%d", channels, (long long)point->steps, seed);
    if (snprintf(point->run, PATH_SIZE, "%s/points/%s", folder, point->name) >= PATH_SIZE) fail();
    set_values(point, channels, point->steps, seed);
    point->n_saves = mock->checkpoints;
    for (int i = 0; i < mock->checkpoints; i++) point->saves[i] = point->steps >> (mock->checkpoints - 1 - i);
    snprintf(overrides[0], PATH_SIZE, "model.num_channels=%d", channels);
    snprintf(overrides[1], PATH_SIZE, "train.total_steps=%lld", (long long)point->steps);
    snprintf(overrides[2], PATH_SIZE, "run.seed=%d", seed);
    snprintf(overrides[3], PATH_SIZE, "train.batch_size=%d", BATCH);
    snprintf(overrides[4], PATH_SIZE, "diffusion.learn_sigma=true");
    snprintf(overrides[5], PATH_SIZE, "run.dir=%.4000s", point->run);
    for (int i = 0; i < 6; i++) list[i] = overrides[i];

    must(config_load(&point->config, NULL, 6, list));
}

static struct study_evaluation evaluation(enum study_evaluation_kind kind, const char *name, int64_t images)
{
    struct study_evaluation e = {.kind = kind, .images = images, .seed = -1, .data = (char *)keep("")};
    snprintf(e.name, sizeof e.name, "%s", name);
    return e;
}

struct study *mock_study(const struct mock *mock, const char *folder)
{
    struct study *study = calloc(1, sizeof *study);
    assert_non_null(study);
    snprintf(study->folder, PATH_SIZE, "%s", folder);
    snprintf(study->file, PATH_SIZE, "%.4000s/study.yaml", folder);
    study->title = (char *)keep("a mock study");
    study->slurm.time = (char *)keep("");
    study->slurm.partition = (char *)keep("");
    study->slurm.options = (char *)keep("");
    study->points = calloc((size_t)(mock->sizes * mock->seeds * mock->budgets), sizeof *study->points);
    study->evaluations = calloc(2, sizeof *study->evaluations);
    assert_true(study->points && study->evaluations && mock->checkpoints <= STUDY_SAVES_MAX);
    for (int size = 0; size < mock->sizes; size++)
        for (int budget = 0; budget < mock->budgets; budget++)
            for (int seed = 0; seed < mock->seeds; seed++)
                make_point(mock, &study->points[study->n_points++], folder, size, budget, seed);
    study->evaluations[study->n_evaluations++] = evaluation(STUDY_NLL, "curve", mock->images);
    study->evaluations[study->n_evaluations++] = evaluation(STUDY_SAMPLE, "grid", 16);
    return study;
}

void mock_study_destroy(struct study *study)
{
    for (int p = 0; p < study->n_points; p++) {
        for (int i = 0; i < study->points[p].n_values; i++) free((char *)study->points[p].values[i].text);
        free((struct study_value *)study->points[p].values);
        config_destroy(study->points[p].config);
    }
    for (int e = 0; e < study->n_evaluations; e++) free(study->evaluations[e].data);
    free(study->points);
    free(study->evaluations);
    free(study->title);
    free(study->slurm.time);
    free(study->slurm.partition);
    free(study->slurm.options);
    free(study);
}

/* ---- a row ------------------------------------------------------------------------------------------------------- */

double mock_loss(const struct mock *mock, const struct study_point *point, double compute)
{
    double off = log(compute / (point->flops / 4));
    return mock->l_inf + pow(mock->c_0 / compute, mock->alpha) * (1 + mock->bend * off * off);
}

/* [images], which depend on the row by its noise alone. */
static double *make_totals(const struct mock *mock, const struct study *study, int p, int e, int save, double compute)
{
    size_t n = (size_t)mock->images;
    double *totals = malloc(n * sizeof *totals), *noise = malloc(n * sizeof *noise), run;
    assert_true(totals && noise);
    const struct rng of_image = {mock->seed, RNG_TEST, 0, 0}, of_run = {mock->seed, RNG_TEST, 1, (uint32_t)p},
                     of_row = {mock->seed, RNG_TEST, 2 + (uint32_t)e, (uint32_t)(p * STUDY_SAVES_MAX + save)};
    rng_normal(&of_image, n, totals);
    rng_normal(&of_row, n, noise);
    rng_normal(&of_run, 1, &run);
    double loss = mock_loss(mock, &study->points[p], compute) + mock->seed_noise * run;
    for (size_t i = 0; i < n; i++) totals[i] = loss + mock->image_noise * totals[i] + mock->row_noise * noise[i];
    free(noise);
    return totals;
}

static void mean_and_error(size_t n, const double *x, const double *less, double *mean, double *error)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += (x[i] - (less ? less[i] : 0)) / (double)n;
    for (size_t i = 0; i < n; i++) squares += pow(x[i] - (less ? less[i] : 0) - sum, 2);
    *mean = sum;
    *error = n > 1 ? sqrt(squares / (double)(n - 1) / (double)n) : NAN;
}

/* Column 0 is the last timestep; early ones have most of the bound. */
static double term_share(const struct mock *mock, int column)
{
    double sum = 0;
    for (int k = 0; k < mock->columns; k++) sum += 1. / (mock->columns - k);
    return 1. / (mock->columns - column) / sum;
}

static void make_row(const struct mock *mock, const struct study *study, int p, int e, int save, struct study_row *row)
{
    const struct study_point *point = &study->points[p];
    const struct study_evaluation *evaluation = &study->evaluations[e];
    *row = (struct study_row){.step = point->saves[save], .ranks = 2, .clip_denoised = true, .fid = NAN};
    snprintf(row->point, sizeof row->point, "%s", point->name);
    snprintf(row->evaluation, sizeof row->evaluation, "%s", evaluation->name);
    snprintf(row->weights, sizeof row->weights, "ema/0.9999");
    snprintf(row->respacing, sizeof row->respacing, "%s", evaluation->respacing ? evaluation->respacing : "");
    snprintf(row->objective, sizeof row->objective, "L_hybrid");
    snprintf(row->data_hash, sizeof row->data_hash, mock->data_hash ? mock->data_hash : "0123456789abcdef");
    row->images = point->images / point->steps * row->step;
    row->flops = 6 * (double)point->macs * (double)row->images;
    row->seconds = 0.01 * (double)row->step;
    row->parameters = (int64_t)point->parameters;
    row->channels = point->config->model.num_channels;
    row->seed = point->config->run.seed;
    row->nll_seed = mock->nll_seed ? mock->nll_seed : row->seed;
    row->timesteps = row->n_terms = mock->columns;
    row->diffusion_steps = mock->columns;
    row->n_totals = mock->images;
    row->totals = make_totals(mock, study, p, e, save, row->flops);
    mean_and_error((size_t)mock->images, row->totals, NULL, &row->bits_per_dim, &row->standard_error);
    row->prior = PRIOR;
    row->vb = row->bits_per_dim - PRIOR;
    row->mse = row->vb / 100;
    row->difference = row->difference_error = NAN;
    row->terms = malloc((size_t)mock->columns * sizeof *row->terms);
    row->term_steps = malloc((size_t)mock->columns * sizeof *row->terms);
    for (int k = 0; k < mock->columns; k++) {
        row->terms[k] = row->vb * term_share(mock, k);
        row->term_steps[k] = mock->columns - 1 - k;
    }
}

/* ---- results in memory ------------------------------------------------------------------------------------------- */

static double line_value(const struct study_point *point, int line, int column)
{
    double step = (double)(point->steps * (line + 1) / LINES), part = (line + 1.) / LINES;
    switch (column) {
    case CURVE_STEP:
        return step;
    case CURVE_IMAGES:
        return step * BATCH;
    case CURVE_FLOPS:
        return 6 * (double)point->macs * step * BATCH;
    case CURVE_LOSS:
        return 0.05 + 0.2 / (1 + 10 * part);
    case CURVE_MSE:
        return 0.04 + 0.2 / (1 + 10 * part);
    case CURVE_VB:
        return 0.01;
    case CURVE_GRAD_NORM:
        return 1 / (1 + part);
    case CURVE_NOISE_SCALE:
        return 100 + 400 * part;
    case CURVE_SECONDS:
        return 0.01 * step;
    default:
        return 2;
    }
}

static void make_curve(const struct study_point *point, struct study_curve *curve)
{
    snprintf(curve->point, sizeof curve->point, "%s", point->name);
    curve->n = LINES;
    for (int c = 0; c < CURVE_COLUMNS; c++) {
        curve->column[c] = malloc(LINES * sizeof(double));
        for (int line = 0; line < LINES; line++) curve->column[c][line] = line_value(point, line, c);
    }
}

struct study_results *mock_results(const struct mock *mock, const struct study *study)
{
    struct study_results *results = calloc(1, sizeof *results);
    int most = 0;
    for (int p = 0; p < study->n_points; p++) most += study->points[p].n_saves * study->n_evaluations;
    assert_non_null(results);
    results->rows = calloc((size_t)most, sizeof *results->rows);
    results->curves = calloc((size_t)study->n_points, sizeof *results->curves);
    assert_true(results->rows && results->curves);
    for (int p = 0; p < study->n_points; p++) {
        make_curve(&study->points[p], &results->curves[results->n_curves++]);
        for (int e = 0; e < study->n_evaluations; e++)
            for (int save = 0; study->evaluations[e].kind == STUDY_NLL && save < study->points[p].n_saves; save++) {
                struct study_row *row = &results->rows[results->n++], *before = row - 1;
                make_row(mock, study, p, e, save, row);
                if (save)
                    mean_and_error((size_t)mock->images, row->totals, before->totals, &row->difference,
                                   &row->difference_error);
            }
    }
    return results;
}

/* ---- results as files -------------------------------------------------------------------------------------------- */

static void write_metrics(const struct study_point *point)
{
    char path[PATH_SIZE], *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (int line = 0; line < LINES; line++) {
        double v[CURVE_COLUMNS];
        for (int c = 0; c < CURVE_COLUMNS; c++) v[c] = line_value(point, line, c);
        fprintf(out,
                "{\"step\": %.10g, \"samples\": %.10g, \"loss\": %.10g, \"loss_q0\": 0.1, \"mse\": %.10g, \"vb\": "
                "%.10g, \"grad_norm\": %.10g, \"skipped\": 0, \"seconds\": %.10g, \"ranks\": 2, \"noise_scale\": "
                "%.10g}\n",
                v[CURVE_STEP], v[CURVE_IMAGES], v[CURVE_LOSS], v[CURVE_MSE], v[CURVE_VB], v[CURVE_GRAD_NORM],
                v[CURVE_SECONDS] - (line ? line_value(point, line - 1, CURVE_SECONDS) : 0), v[CURVE_NOISE_SCALE]);
    }
    fclose(out);
    must(path_make_folders(point->run));
    must(path_join(path, point->run, "metrics.jsonl"));
    scratch_write(path, text, size);
    free(text);
}

static void write_result(const struct mock *mock, const struct study_row *row, const char *path)
{
    size_t images = (size_t)mock->images, columns = (size_t)mock->columns;
    double *vb = malloc(images * columns * sizeof *vb), *prior = malloc(images * sizeof *prior);
    double *weights = malloc(columns * sizeof *weights);
    int64_t *timesteps = malloc(columns * sizeof *timesteps);
    for (size_t k = 0; k < columns; k++) weights[k] = 1, timesteps[k] = (int64_t)row->term_steps[k];
    for (size_t i = 0; i < images; i++) prior[i] = PRIOR;
    for (size_t i = 0; i < images * columns; i++)
        vb[i] = (row->totals[i / columns] - PRIOR) * term_share(mock, (int)(i % columns));
    const struct store_array arrays[] = {
        {"vb", STORE_F64, 2, {images, columns}, vb},          {"prior", STORE_F64, 1, {images}, prior},
        {"total", STORE_F64, 1, {images}, row->totals},       {"timesteps", STORE_I64, 1, {columns}, timesteps},
        {"column_weights", STORE_F64, 1, {columns}, weights},
    };
#define NUMBER(name, value)                                                                                            \
    {                                                                                                                  \
        name, STORE_NUMBER, .number = value                                                                            \
    }
#define INTEGER(name, value)                                                                                           \
    {                                                                                                                  \
        name, STORE_INTEGER, .integer = value                                                                          \
    }
#define TEXT(name, value)                                                                                              \
    {                                                                                                                  \
        name, STORE_TEXT, .text = value                                                                                \
    }
    const struct store_attribute attributes[] = {
        NUMBER("bits_per_dim", row->bits_per_dim),
        NUMBER("standard_error", row->standard_error),
        NUMBER("mean_vb", row->vb),
        NUMBER("mean_prior", row->prior),
        NUMBER("mean_mse", row->mse),
        NUMBER("mean_xstart_mse", row->mse),
        INTEGER("images", row->n_totals),
        INTEGER("step", row->step),
        INTEGER("diffusion_steps", row->diffusion_steps),
        INTEGER("num_timesteps", row->timesteps),
        INTEGER("strata", row->strata),
        INTEGER("seed", row->nll_seed),
        INTEGER("batch", 16),
        INTEGER("clip_denoised", row->clip_denoised),
        TEXT("checkpoint", "checkpoint"),
        TEXT("weights", row->weights),
        TEXT("data", "data/held-out"),
        TEXT("data_hash", row->data_hash),
        TEXT("noise_schedule", "cosine"),
        TEXT("respacing", row->respacing),
        TEXT("noise", "philox"),
        TEXT("instruction_set", "portable"),
    };
    must(store_write(path, sizeof arrays / sizeof *arrays, arrays, sizeof attributes / sizeof *attributes, attributes));
    free(vb);
    free(prior);
    free(weights);
    free(timesteps);
}

void mock_nll(const struct mock *mock, const struct study *study, int point, int evaluation, int save)
{
    char folder[PATH_SIZE], path[PATH_SIZE];
    struct study_row row;
    make_row(mock, study, point, evaluation, save, &row);
    must(path_join(path, study->points[point].run, "nll"));
    must(path_join(folder, path, row.evaluation));
    must(path_make_folders(folder));
    must(checkpoint_path(path, folder, row.step));
    write_result(mock, &row, path);
    free(row.totals);
    free(row.terms);
    free(row.term_steps);
}

void mock_runs(const struct mock *mock, const struct study *study)
{
    for (int p = 0; p < study->n_points; p++) {
        write_metrics(&study->points[p]);
        for (int e = 0; e < study->n_evaluations; e++)
            for (int save = 0; study->evaluations[e].kind == STUDY_NLL && save < study->points[p].n_saves; save++)
                mock_nll(mock, study, p, e, save);
    }
}
