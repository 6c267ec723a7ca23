/* Power laws of a study's curves, with intervals and a prediction of what was left out. */
#include "cells.h"
#include "power_law.h"
#include "results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAME_BUDGET 0.99 /* budgets in images or FLOPs are met up to a batch */
#define TAIL 0.025       /* beyond a 95 % interval, on each side */

/* ---- a curve: some cells ----------------------------------------------------------------------------------------- */

struct curve {
    const struct cells *cells;
    int n;
    const int *index; /* of the cells */
    bool frontier;    /* only the cells that no other of the curve beats */
};

struct points {
    int n;
    int *keep; /* of the curve's cells */
    double *compute, *loss, *kept_compute, *kept_loss;
};

static enum iddpm_status points_create(struct points *points, int n)
{
    size_t size = (size_t)n;
    TRY(mem_alloc(&points->compute, 4 * size, sizeof(double), "a fit"));
    points->loss = points->compute + size;
    points->kept_compute = points->loss + size;
    points->kept_loss = points->kept_compute + size;
    enum iddpm_status status = mem_alloc(&points->keep, size, sizeof *points->keep, "a fit");
    if (status != IDDPM_OK) free(points->compute);
    return status;
}

static void points_free(struct points *points)
{
    free(points->compute);
    free(points->keep);
}

/* What there is to fit in a draw. */
static void points_of(const struct curve *curve, int draw, struct points *points)
{
    for (int i = 0; i < curve->n; i++) {
        points->compute[i] = curve->cells->cells[curve->index[i]].compute;
        points->loss[i] = cell_loss(curve->cells, curve->index[i], draw);
        points->keep[i] = i;
    }
    points->n = curve->frontier ? compute_frontier(curve->n, points->compute, points->loss, points->keep) : curve->n;
    for (int i = 0; i < points->n; i++) {
        points->kept_compute[i] = points->compute[points->keep[i]];
        points->kept_loss[i] = points->loss[points->keep[i]];
    }
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* How much a point moves between draws beside the mean of all, over all points: what all have in common neither bends a
 * curve nor hides its fall. One error for all points, as they stand on the same images. */
static double error_beside_mean(const struct curve *curve)
{
    double squares = 0;
    for (int draw = 1; draw < DRAWS; draw++) {
        double common = 0;
        for (int i = 0; i < curve->n; i++)
            common += (cell_loss(curve->cells, curve->index[i], draw) - cell_loss(curve->cells, curve->index[i], 0)) /
                      curve->n;
        for (int i = 0; i < curve->n; i++)
            squares += pow(cell_loss(curve->cells, curve->index[i], draw) -
                               cell_loss(curve->cells, curve->index[i], 0) - common,
                           2);
    }
    return sqrt(squares / REPLICATES / curve->n);
}

static enum iddpm_status fit_data(const struct curve *curve, struct points *points, double l_inf, struct power_law *out)
{
    double error = error_beside_mean(curve), *errors = NULL;
    points_of(curve, 0, points);
    if (error > 0) {
        TRY(mem_alloc(&errors, (size_t)points->n, sizeof *errors, "a fit"));
        for (int i = 0; i < points->n; i++) errors[i] = error;
    }
    enum iddpm_status status = power_law_fit(points->n, points->kept_compute, points->kept_loss, errors, l_inf, out);
    free(errors);
    return status;
}

/* ---- intervals --------------------------------------------------------------------------------------------------- */

/* The law of each draw; NAN where a frontier has become too short. */
static void refit_draws(const struct curve *curve, struct points *points, double l_inf, const struct power_law *law,
                        struct power_law *laws)
{
    for (int draw = 0; draw < DRAWS; draw++) {
        points_of(curve, draw, points);
        laws[draw] = (struct power_law){NAN, NAN, NAN, NAN};
        if (points->n >= power_law_least(l_inf))
            power_law_refit(points->n, points->kept_compute, points->kept_loss, l_inf, law, &laws[draw]);
    }
}

static void interval(const struct power_law *laws, size_t member, double *low, double *high)
{
    double values[REPLICATES];
    for (int i = 0; i < REPLICATES; i++)
        values[i] = *(const double *)(const void *)((const char *)&laws[1 + i] + member);
    *low = quantile(REPLICATES, values, TAIL);
    *high = quantile(REPLICATES, values, 1 - TAIL);
}

static void find_intervals(const struct power_law *laws, struct study_fit *fit)
{
    const size_t members[] = {offsetof(struct power_law, l_inf), offsetof(struct power_law, c_0),
                              offsetof(struct power_law, alpha), offsetof(struct power_law, residual)};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        interval(laws, members[i], (double *)(void *)((char *)&fit->low + members[i]),
                 (double *)(void *)((char *)&fit->high + members[i]));
}

/* ---- what was left out ------------------------------------------------------------------------------------------- */

/* The cell to be predicted: the last of the curve. */
static int last_cell(const struct curve *curve, struct points *points)
{
    points_of(curve, 0, points);
    int last = 0;
    for (int i = 1; i < points->n; i++)
        if (points->kept_compute[i] > points->kept_compute[last]) last = i;
    return curve->index[points->keep[last]];
}

/* The cells without those of the largest budget, or, when these are too few or not all of the largest compute goes with
 * them, without those of that compute. */
static int leave_out(const struct curve *curve, int target, int least, int *rest)
{
    const struct cell *cells = curve->cells->cells, *largest = &cells[target];
    for (int by_budget = 1; by_budget >= 0; by_budget--) {
        int n = 0;
        double most = 0;
        for (int i = 0; i < curve->n; i++) {
            const struct cell *cell = &cells[curve->index[i]];
            double of = by_budget ? cell->budget : cell->compute,
                   limit = by_budget ? largest->budget : largest->compute;
            if (of >= SAME_BUDGET * limit) continue;
            rest[n++] = curve->index[i];
            most = fmax(most, cell->compute);
        }
        if (n >= least && most < largest->compute) return n;
    }
    return 0;
}

/* The interval is that of the prediction's error on the same images: what moves prediction and truth alike does not
 * count. */
static void predict(const struct curve *rest, struct points *points, double l_inf, const struct power_law *law,
                    int target, struct power_law *laws, struct study_fit *fit)
{
    double errors[REPLICATES], compute = rest->cells->cells[target].compute;
    fit->held_predicted = power_law_at(law, compute);
    double error = fit->held_predicted - fit->held_loss;
    refit_draws(rest, points, l_inf, law, laws);
    for (int draw = 1; draw < DRAWS; draw++)
        errors[draw - 1] = power_law_at(&laws[draw], compute) - cell_loss(rest->cells, target, draw) - error;
    fit->held_low = fit->held_predicted + quantile(REPLICATES, errors, TAIL);
    fit->held_high = fit->held_predicted + quantile(REPLICATES, errors, 1 - TAIL);
}

static enum iddpm_status hold_out(const struct curve *curve, struct points *points, double l_inf,
                                  struct power_law *laws, struct study_fit *fit)
{
    int target = last_cell(curve, points), *index;
    struct power_law law;
    TRY(mem_alloc(&index, (size_t)curve->n, sizeof *index, "a fit"));
    int n = leave_out(curve, target, power_law_least(l_inf), index);
    struct curve rest = {curve->cells, n, index, curve->frontier};
    if (n && fit_data(&rest, points, l_inf, &law) == IDDPM_OK) {
        fit->held_compute = curve->cells->cells[target].compute;
        fit->held_loss = cell_loss(curve->cells, target, 0);
        predict(&rest, points, l_inf, &law, target, laws, fit);
    }
    free(index);
    return IDDPM_OK;
}

/* ---- one fit ----------------------------------------------------------------------------------------------------- */

static void fit_clear(struct study_fit *fit)
{
    const struct power_law unknown = {NAN, NAN, NAN, NAN};
    fit->law = fit->low = fit->high = unknown;
    fit->held_compute = fit->held_loss = fit->held_predicted = fit->held_low = fit->held_high = NAN;
}

static enum iddpm_status fit_curve(const struct curve *curve, double l_inf, struct study_fit *fit)
{
    struct points points;
    struct power_law *laws;
    fit_clear(fit);
    TRY(points_create(&points, curve->n));
    enum iddpm_status status = mem_alloc(&laws, DRAWS, sizeof *laws, "a fit");
    if (status == IDDPM_OK) {
        fit->fitted = fit_data(curve, &points, l_inf, &fit->law) == IDDPM_OK;
        fit->n = points.n;
        if (!fit->fitted) snprintf(fit->why, sizeof fit->why, "%s", iddpm_error_text());
    }
    if (status == IDDPM_OK && fit->fitted) {
        refit_draws(curve, &points, l_inf, &fit->law, laws);
        find_intervals(laws, fit);
        status = hold_out(curve, &points, l_inf, laws, fit);
    }
    free(laws);
    points_free(&points);
    return status;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

struct job {
    const struct study *study;
    const struct study_results *results;
    double l_inf;
    struct groups groups;
    struct study_fits *fits;
    size_t capacity;
};

/* Fits the cells of one size, or of one family. */
static enum iddpm_status fit_group(struct job *job, const struct cells *cells, bool frontier, int group, int *index,
                                   const char *evaluation, enum measure measure)
{
    struct curve curve = {cells, 0, index, frontier};
    for (int c = 0; c < cells->n; c++)
        if ((frontier ? cells->cells[c].family : cells->cells[c].size) == group) index[curve.n++] = c;
    if (curve.n == 0) return IDDPM_OK;
    struct study_fits *fits = job->fits;
    TRY(mem_grow(&fits->fits, &job->capacity, (size_t)fits->n + 1, sizeof *fits->fits, "fits"));
    struct study_fit *fit = &fits->fits[fits->n++];
    memset(fit, 0, sizeof *fit);
    memcpy(fit->what, frontier ? job->groups.families[group] : job->groups.sizes[group], STUDY_NAME);
    snprintf(fit->evaluation, sizeof fit->evaluation, "%s", evaluation);
    snprintf(fit->measure, sizeof fit->measure, "%s", measure_name(measure));
    return fit_curve(&curve, job->l_inf, fit);
}

static enum iddpm_status fit_evaluation(struct job *job, const char *evaluation, enum measure measure,
                                        const double *means, uint64_t seed)
{
    struct cells cells;
    int *index = NULL;
    enum iddpm_status status = cells_make(&cells, job->study, &job->groups, job->results, evaluation, means, seed);
    if (status == IDDPM_OK) status = mem_alloc(&index, (size_t)cells.n, sizeof *index, "fits");
    for (int size = 0; size < job->groups.n_sizes && status == IDDPM_OK; size++)
        status = fit_group(job, &cells, false, size, index, evaluation, measure);
    for (int family = 0; family < job->groups.n_families && status == IDDPM_OK; family++)
        status = fit_group(job, &cells, true, family, index, evaluation, measure);
    free(index);
    cells_free(&cells);
    return status;
}

static enum iddpm_status fit_all(struct job *job, uint64_t seed)
{
    enum iddpm_status status = IDDPM_OK;
    for (enum measure measure = 0; measure < MEASURES && status == IDDPM_OK; measure++) {
        double *means = NULL;
        status = draw_images(job->results, measure, seed, &means);
        for (int e = 0; e < job->study->n_evaluations && status == IDDPM_OK; e++)
            status = fit_evaluation(job, job->study->evaluations[e].name, measure, means, seed);
        free(means);
    }
    return status;
}

static void put_law(struct csv *csv, double value, double low, double high)
{
    csv_number(csv, false, value);
    csv_number(csv, false, low);
    csv_number(csv, false, high);
}

static enum iddpm_status write_fits(const struct study *study, const struct study_fits *fits)
{
    struct csv csv;
    TRY(csv_begin(&csv));
    fputs("evaluation,measure,what,points,fitted,why,l_inf,l_inf_low,l_inf_high,c_0,c_0_low,c_0_high,alpha,alpha_low,"
          "alpha_high,residual,held_flops,held_measured,held_predicted,held_low,held_high\n",
          csv.stream);
    for (int i = 0; i < fits->n; i++) {
        const struct study_fit *f = &fits->fits[i];
        csv_text(&csv, true, f->evaluation);
        csv_text(&csv, false, f->measure);
        csv_text(&csv, false, f->what);
        csv_number(&csv, false, f->n);
        csv_number(&csv, false, f->fitted);
        csv_text(&csv, false, f->why);
        put_law(&csv, f->law.l_inf, f->low.l_inf, f->high.l_inf);
        put_law(&csv, f->law.c_0, f->low.c_0, f->high.c_0);
        put_law(&csv, f->law.alpha, f->low.alpha, f->high.alpha);
        csv_number(&csv, false, f->law.residual);
        csv_number(&csv, false, f->held_compute);
        csv_number(&csv, false, f->held_loss);
        put_law(&csv, f->held_predicted, f->held_low, f->held_high);
        fputc('\n', csv.stream);
    }
    return csv_end(&csv, IDDPM_OK, study->folder, "fits.csv");
}

enum iddpm_status study_fit(struct study_fits **out, const struct study *study, const struct study_results *results,
                            double l_inf, uint64_t seed)
{
    struct job job = {.study = study, .results = results, .l_inf = l_inf};
    TRY(mem_alloc(&job.fits, 1, sizeof *job.fits, "fits"));
    enum iddpm_status status = groups_make(study, &job.groups);
    if (status == IDDPM_OK) status = fit_all(&job, seed);
    if (status == IDDPM_OK) status = write_fits(study, job.fits);
    groups_free(&job.groups);
    if (status != IDDPM_OK) study_fits_destroy(job.fits);
    *out = status == IDDPM_OK ? job.fits : NULL;
    return status;
}

void study_fits_destroy(struct study_fits *fits)
{
    if (!fits) return;
    free(fits->fits);
    free(fits);
}
