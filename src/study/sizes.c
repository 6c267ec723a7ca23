/* How good each size is at one compute: the trade-off between parameters and images. */
#include "cells.h"
#include "results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct sizes_job {
    const struct study *study;
    double compute;
    struct groups groups;
    struct study_sizes *sizes;
    size_t capacity;
};

/* ---- one curve --------------------------------------------------------------------------------------------------- */

/* The cells next to a compute, from both sides; among equal ones the better. False when the curve does not cover it. */
static bool neighbours(const struct cells *cells, int size, double compute, int *below, int *above)
{
    *below = *above = -1;
    for (int c = 0; c < cells->n; c++) {
        const struct cell *cell = &cells->cells[c];
        if (cell->size != size) continue;
        double loss = cell_loss(cells, c, 0), at = cell->compute, b = *below < 0 ? 0 : cells->cells[*below].compute,
               a = *above < 0 ? INFINITY : cells->cells[*above].compute;
        if (at <= compute && (at > b || (at == b && loss < cell_loss(cells, *below, 0)))) *below = c;
        if (at >= compute && (at < a || (at == a && loss < cell_loss(cells, *above, 0)))) *above = c;
    }
    return *below >= 0 && *above >= 0;
}

static void interpolate(const struct cells *cells, int below, int above, double compute, double *draws)
{
    double from = log(cells->cells[below].compute), to = log(cells->cells[above].compute);
    double part = to > from ? (log(compute) - from) / (to - from) : 0;
    for (int draw = 0; draw < DRAWS; draw++)
        draws[draw] = (1 - part) * cell_loss(cells, below, draw) + part * cell_loss(cells, above, draw);
}

/* Of the largest computes of a family's sizes, the second: two curves reach it. */
static double common_compute(const struct cells *cells, int n_sizes, int family)
{
    double first = 0, second = 0;
    for (int size = 0; size < n_sizes; size++) {
        double most = 0;
        for (int c = 0; c < cells->n; c++)
            if (cells->cells[c].size == size && cells->cells[c].family == family)
                most = fmax(most, cells->cells[c].compute);
        if (most > first)
            second = first, first = most;
        else if (most > second)
            second = most;
    }
    return second;
}

/* ---- one family -------------------------------------------------------------------------------------------------- */

static enum iddpm_status add_size(struct sizes_job *job, const struct cells *cells, int size, double compute,
                                  const char *evaluation, enum measure measure, double *draws, bool *covered)
{
    int below, above;
    *covered = neighbours(cells, size, compute, &below, &above);
    if (!*covered) return IDDPM_OK;
    struct study_sizes *sizes = job->sizes;
    TRY(mem_grow(&sizes->sizes, &job->capacity, (size_t)sizes->n + 1, sizeof *sizes->sizes, "sizes"));
    struct study_size *s = &sizes->sizes[sizes->n++];
    const struct cell *cell = &cells->cells[below];
    interpolate(cells, below, above, compute, draws);
    *s = (struct study_size){.parameters = cell->parameters,
                             .compute = compute,
                             .images = cell->images * (compute / cell->compute),
                             .loss = draws[0]};
    memcpy(s->what, job->groups.sizes[size], STUDY_NAME);
    memcpy(s->family, job->groups.families[cell->family], STUDY_NAME);
    snprintf(s->evaluation, sizeof s->evaluation, "%s", evaluation);
    snprintf(s->measure, sizeof s->measure, "%s", measure_name(measure));
    return IDDPM_OK;
}

/* `draws` [n][DRAWS] of the n sizes from `first` on. */
static void compare(struct study_sizes *sizes, int first, double *draws)
{
    int n = sizes->n - first;
    for (int draw = 1; draw < DRAWS; draw++) {
        int best = 0;
        for (int i = 1; i < n; i++)
            if (draws[(size_t)i * DRAWS + (size_t)draw] < draws[(size_t)best * DRAWS + (size_t)draw]) best = i;
        if (n) sizes->sizes[first + best].best += 1. / REPLICATES;
    }
    for (int i = 0; i < n; i++) {
        double *own = draws + (size_t)i * DRAWS + 1;
        sizes->sizes[first + i].low = quantile(REPLICATES, own, 0.025);
        sizes->sizes[first + i].high = quantile(REPLICATES, own, 0.975);
    }
}

static bool is_of_family(const struct cells *cells, int size, int family)
{
    for (int c = 0; c < cells->n; c++)
        if (cells->cells[c].size == size) return cells->cells[c].family == family;
    return false;
}

static enum iddpm_status add_family(struct sizes_job *job, const struct cells *cells, int family,
                                    const char *evaluation, enum measure measure)
{
    double compute = isnan(job->compute) ? common_compute(cells, job->groups.n_sizes, family) : job->compute, *draws;
    int first = job->sizes->n, n = 0;
    if (!(compute > 0)) return IDDPM_OK;
    TRY(mem_alloc(&draws, (size_t)job->groups.n_sizes * DRAWS, sizeof *draws, "sizes"));
    enum iddpm_status status = IDDPM_OK;
    for (int size = 0; size < job->groups.n_sizes && status == IDDPM_OK; size++) {
        bool covered;
        if (!is_of_family(cells, size, family)) continue;
        status = add_size(job, cells, size, compute, evaluation, measure, draws + (size_t)n * DRAWS, &covered);
        n += covered;
    }
    if (status == IDDPM_OK) compare(job->sizes, first, draws);
    free(draws);
    return status;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static enum iddpm_status add_evaluation(struct sizes_job *job, const struct study_results *results,
                                        const char *evaluation, enum measure measure, const double *means,
                                        uint64_t seed)
{
    struct cells cells;
    enum iddpm_status status = cells_make(&cells, job->study, &job->groups, results, evaluation, means, seed);
    for (int family = 0; family < job->groups.n_families && status == IDDPM_OK; family++)
        status = add_family(job, &cells, family, evaluation, measure);
    cells_free(&cells);
    return status;
}

static enum iddpm_status write_sizes(const struct study *study, const struct study_sizes *sizes)
{
    struct csv csv;
    TRY(csv_begin(&csv));
    fputs("evaluation,measure,family,what,parameters,flops,images,loss,low,high,best\n", csv.stream);
    for (int i = 0; i < sizes->n; i++) {
        const struct study_size *s = &sizes->sizes[i];
        const double numbers[] = {(double)s->parameters, s->compute, s->images, s->loss, s->low, s->high, s->best};
        csv_text(&csv, true, s->evaluation);
        csv_text(&csv, false, s->measure);
        csv_text(&csv, false, s->family);
        csv_text(&csv, false, s->what);
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) csv_number(&csv, false, numbers[k]);
        fputc('\n', csv.stream);
    }
    return csv_end(&csv, IDDPM_OK, study->folder, "sizes.csv");
}

static enum iddpm_status find_sizes(struct sizes_job *job, const struct study_results *results, uint64_t seed)
{
    TRY(groups_make(job->study, &job->groups));
    enum iddpm_status status = IDDPM_OK;
    for (enum measure measure = 0; measure < MEASURES && status == IDDPM_OK; measure++) {
        double *means = NULL;
        status = draw_images(results, measure, seed, &means);
        for (int e = 0; e < job->study->n_evaluations && status == IDDPM_OK; e++)
            status = add_evaluation(job, results, job->study->evaluations[e].name, measure, means, seed);
        free(means);
    }
    return status == IDDPM_OK ? write_sizes(job->study, job->sizes) : status;
}

enum iddpm_status study_sizes_at(struct study_sizes **out, const struct study *study,
                                 const struct study_results *results, double compute, uint64_t seed)
{
    struct sizes_job job = {.study = study, .compute = compute};
    TRY(mem_alloc(&job.sizes, 1, sizeof *job.sizes, "sizes"));
    enum iddpm_status status = find_sizes(&job, results, seed);
    groups_free(&job.groups);
    if (status != IDDPM_OK) study_sizes_destroy(job.sizes);
    *out = status == IDDPM_OK ? job.sizes : NULL;
    return status;
}

void study_sizes_destroy(struct study_sizes *sizes)
{
    if (!sizes) return;
    free(sizes->sizes);
    free(sizes);
}
