/* Results of nll as rows. */
#include "collect.h"

#include "iddpm/evaluate.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

static void take_result(struct study_row *row, struct nll_result *r)
{
    *row = (struct study_row){.step = r->step,
                              .strata = r->strata,
                              .nll_seed = r->seed,
                              .timesteps = r->num_timesteps,
                              .diffusion_steps = r->diffusion_steps,
                              .clip_denoised = r->clip_denoised,
                              .bits_per_dim = r->bits_per_dim,
                              .standard_error = r->standard_error,
                              .vb = r->vb,
                              .mse = r->mse,
                              .prior = r->prior,
                              .seconds = NAN,
                              .difference = NAN,
                              .difference_error = NAN,
                              .fid = NAN,
                              .n_totals = (int64_t)r->images,
                              .totals = r->total};
    r->total = NULL;
    copy(row->weights, sizeof row->weights, r->weights);
    copy(row->respacing, sizeof row->respacing, r->respacing);
    copy(row->data_hash, sizeof row->data_hash, r->data_hash);
}

/* Means over the images: of vb, and of the timesteps where each image has its own. */
static enum iddpm_status take_terms(struct study_row *row, const struct store_array *vb,
                                    const struct store_array *steps, const char *path)
{
    if (vb->ndim != 2 || vb->dims[0] != (uint64_t)row->n_totals || steps->dims[steps->ndim - 1] != vb->dims[1] ||
        (steps->ndim == 2 && steps->dims[0] != vb->dims[0]) || steps->ndim > 2)
        return iddpm_error(IDDPM_FAILED, "%s: the shapes of vb, timesteps and total do not belong together", path);
    size_t images = vb->dims[0], n = vb->dims[1], rows = steps->ndim == 2 ? images : 1;
    const double *terms = vb->data;
    const int64_t *timesteps = steps->data;
    TRY(mem_alloc(&row->terms, n, sizeof *row->terms, path));
    TRY(mem_alloc(&row->term_steps, n, sizeof *row->term_steps, path));
    row->n_terms = (int64_t)n;
    for (size_t i = 0; i < images; i++)
        for (size_t k = 0; k < n; k++) row->terms[k] += terms[i * n + k] / (double)images;
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < n; k++) row->term_steps[k] += (double)timesteps[i * n + k] / (double)rows;
    return IDDPM_OK;
}

static enum iddpm_status read_terms(struct study_row *row, const char *path)
{
    struct store_array vb, steps;
    TRY(store_read(path, "vb", STORE_F64, &vb));
    enum iddpm_status status = store_read(path, "timesteps", STORE_I64, &steps);
    if (status == IDDPM_OK) {
        if (steps.ndim == 0)
            status = iddpm_error(IDDPM_FAILED, "%s: timesteps is no array", path);
        else
            status = take_terms(row, &vb, &steps, path);
        free(steps.data);
    }
    free(vb.data);
    return status;
}

/* Everything that later sums up must be a number. */
static enum iddpm_status check_numbers(const struct study_row *row, const char *path)
{
    bool finite = isfinite(row->bits_per_dim) && row->n_totals > 0;
    for (int64_t i = 0; i < row->n_totals; i++) finite = finite && isfinite(row->totals[i]);
    return finite ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: bits/dim of some image is no number", path);
}

enum iddpm_status row_read(struct study_row *row, const char *path)
{
    struct nll_result *result;
    TRY(nll_result_read(&result, path));
    take_result(row, result);
    nll_result_destroy(result);
    enum iddpm_status status = check_numbers(row, path);
    if (status == IDDPM_OK) status = read_terms(row, path);
    if (status != IDDPM_OK) row_free(row);
    return status;
}

/* ---- what the point adds ----------------------------------------------------------------------------------------- */

const char *config_objective(const struct config *config)
{
    bool sampled = strcmp(config->train.schedule_sampler, "loss-second-moment") == 0;
    if (config->diffusion.use_kl) return sampled ? "L_vlb importance-sampled" : "L_vlb";
    return config->diffusion.learn_sigma ? "L_hybrid" : "L_simple";
}

void row_complete(struct study_row *row, const struct study_point *point, const struct study_curve *curve)
{
    copy(row->objective, sizeof row->objective, config_objective(point->config));
    row->images = row->step * point->config->train.batch_size;
    row->flops = 6 * (double)point->macs * (double)row->images;
    row->parameters = (int64_t)point->parameters;
    row->channels = point->config->model.num_channels;
    row->seed = point->config->run.seed;
    row->seconds = curve_seconds(curve, row->step);
    row->ranks = curve_ranks(curve, row->step);
}

/* So that images alone do not make them differ. */
static bool has_same_noise(const struct study_row *a, const struct study_row *b)
{
    return a->n_totals == b->n_totals && a->nll_seed == b->nll_seed && a->strata == b->strata &&
           a->timesteps == b->timesteps && a->clip_denoised == b->clip_denoised &&
           strcmp(a->data_hash, b->data_hash) == 0 && strcmp(a->respacing, b->respacing) == 0 &&
           strcmp(a->weights, b->weights) == 0;
}

void row_difference(struct study_row *row, const struct study_row *before)
{
    row->difference = row->difference_error = NAN;
    if (before && has_same_noise(before, row))
        nll_mean((size_t)row->n_totals, row->totals, before->totals, &row->difference, &row->difference_error);
}

/* ---- what belongs together --------------------------------------------------------------------------------------- */

static enum iddpm_status differs(const struct study_evaluation *evaluation, const struct study_row *a,
                                 const struct study_row *b, const char *what, const char *x, const char *y)
{
    return iddpm_error(IDDPM_USAGE,
                       "evaluation %s: %s at step %" PRId64 " was measured with %s %s, but %s at step %" PRId64
                       " with %s; measure again what is wrong, or take both with --mixed",
                       evaluation->name, a->point, a->step, what, x, b->point, b->step, y);
}

static enum iddpm_status match_number(const struct study_evaluation *evaluation, const struct study_row *a,
                                      const struct study_row *b, const char *what, int64_t x, int64_t y)
{
    char texts[2][32];
    if (x == y) return IDDPM_OK;
    snprintf(texts[0], sizeof texts[0], "%" PRId64, x);
    snprintf(texts[1], sizeof texts[1], "%" PRId64, y);
    return differs(evaluation, a, b, what, texts[0], texts[1]);
}

bool have_same_data(const struct study_evaluation *evaluation, const struct study_point *a, const struct study_point *b)
{
    return a == b || (evaluation->data && *evaluation->data) ||
           strcmp(a->config->data.eval_path, b->config->data.eval_path) == 0;
}

static enum iddpm_status is_another(const struct study_evaluation *evaluation, const struct study_row *row,
                                    const char *what, const char *found, const char *wanted)
{
    return iddpm_error(IDDPM_USAGE,
                       "evaluation %s: %s at step %" PRId64 " was measured with %s %s, but the study file has %s; move "
                       "that result away to measure it again, or take it with --mixed",
                       evaluation->name, row->point, row->step, what, found, wanted);
}

static enum iddpm_status is_number(const struct study_evaluation *evaluation, const struct study_row *row,
                                   const char *what, int64_t found, int64_t wanted)
{
    char texts[2][32];
    if (found == wanted) return IDDPM_OK;
    snprintf(texts[0], sizeof texts[0], "%" PRId64, found);
    snprintf(texts[1], sizeof texts[1], "%" PRId64, wanted);
    return is_another(evaluation, row, what, texts[0], texts[1]);
}

enum iddpm_status row_is_wanted(const struct study_evaluation *e, const struct study_row *row,
                                const struct study_point *point)
{
    int64_t strata = e->strata < row->timesteps ? e->strata : 0; /* as many as timesteps: each has its own */
    if (e->images > 0) TRY(is_number(e, row, "images", row->n_totals, e->images));
    TRY(is_number(e, row, "strata", row->strata, strata));
    TRY(is_number(e, row, "seed", row->nll_seed, e->seed >= 0 ? e->seed : point->config->run.seed));
    if (e->respacing && strcmp(e->respacing, row->respacing) != 0)
        return is_another(e, row, "respacing", row->respacing, e->respacing);
    if (e->weights && strcmp(e->weights, row->weights) != 0)
        return is_another(e, row, "weights", row->weights, e->weights);
    return IDDPM_OK;
}

/* Points may have data sets, weights and noise of their own; what the study says of all must be the same in all. */
enum iddpm_status row_match(const struct study_evaluation *evaluation, const struct study_row *a,
                            const struct study_row *b, const struct study_point *const points[2])
{
    bool point = points[0] == points[1];
    bool data = have_same_data(evaluation, points[0], points[1]);
    if (data && strcmp(a->data_hash, b->data_hash) != 0)
        return differs(evaluation, a, b, "data set", a->data_hash, b->data_hash);
    if (data) TRY(match_number(evaluation, a, b, "images", a->n_totals, b->n_totals));
    TRY(match_number(evaluation, a, b, "clip_denoised", a->clip_denoised, b->clip_denoised));
    if (a->strata && b->strata) TRY(match_number(evaluation, a, b, "strata", a->strata, b->strata));
    if (point || evaluation->seed >= 0) TRY(match_number(evaluation, a, b, "seed", a->nll_seed, b->nll_seed));
    if (point) TRY(match_number(evaluation, a, b, "strata", a->strata, b->strata));
    if ((point || evaluation->weights) && strcmp(a->weights, b->weights) != 0)
        return differs(evaluation, a, b, "weights", a->weights, b->weights);
    if ((point || evaluation->respacing) && strcmp(a->respacing, b->respacing) != 0)
        return differs(evaluation, a, b, "respacing", a->respacing, b->respacing);
    return IDDPM_OK;
}
