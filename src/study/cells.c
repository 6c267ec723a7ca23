/* The bootstrap: what the data would be with other images of the same kind and other seeds.
 *
 * All rows take the same images in a draw, as they were measured on the same ones: what images have in common for all
 * checkpoints shifts whole curves and bends none. */
#include "cells.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *measure_name(enum measure measure)
{
    return measure == MEASURE_BITS ? "bits_per_dim" : "fid";
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double quantile(int n, double *values, double q)
{
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(values[i])) values[kept++] = values[i];
    if (kept == 0) return NAN;
    qsort(values, (size_t)kept, sizeof *values, ascending);
    double at = q * (kept - 1);
    int i = (int)at;
    if (i >= kept - 1 || values[i] == values[i + 1]) return values[i];
    return values[i] + (at - i) * (values[i + 1] - values[i]);
}

/* ---- images ------------------------------------------------------------------------------------------------------ */

/* How often each draw takes each of n images, over n: [n][DRAWS]. */
static enum iddpm_status draw_shares(int64_t n, uint64_t seed, double **out)
{
    double *uniform;
    TRY(mem_alloc(out, (size_t)n * DRAWS, sizeof **out, "resampled images"));
    enum iddpm_status status = mem_alloc(&uniform, (size_t)n, sizeof *uniform, "resampled images");
    for (int64_t i = 0; i < n; i++) (*out)[i * DRAWS] = 1 / (double)n;
    for (int draw = 1; draw < DRAWS && status == IDDPM_OK; draw++) {
        rng_uniform(&(struct rng){seed, RNG_BOOTSTRAP, (uint32_t)draw, 0}, (size_t)n, uniform);
        for (int64_t i = 0; i < n; i++) (*out)[(int64_t)(uniform[i] * (double)n) * DRAWS + draw] += 1 / (double)n;
    }
    free(uniform);
    return status;
}

static void mean_of_row(const struct study_row *row, enum measure measure, const double *shares, double *means)
{
    if (measure == MEASURE_FID) {
        for (int draw = 0; draw < DRAWS; draw++) means[draw] = row->fid;
        return;
    }
    memset(means, 0, DRAWS * sizeof *means);
    for (int64_t i = 0; i < row->n_totals; i++)
        for (int draw = 0; draw < DRAWS; draw++) means[draw] += row->totals[i] * shares[i * DRAWS + draw];
}

enum iddpm_status draw_images(const struct study_results *results, enum measure measure, uint64_t seed, double **out)
{
    double *shares = NULL;
    int64_t images = 0;
    enum iddpm_status status = mem_alloc(out, (size_t)results->n * DRAWS, sizeof **out, "resampled results");
    for (int r = 0; r < results->n && status == IDDPM_OK; r++) {
        const struct study_row *row = &results->rows[r];
        if (measure == MEASURE_BITS && row->n_totals != images) {
            free(shares);
            status = draw_shares(images = row->n_totals, seed, &shares);
        }
        if (status == IDDPM_OK) mean_of_row(row, measure, shares, *out + (size_t)r * DRAWS);
    }
    free(shares);
    return status;
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

struct order {
    const struct study *study;
    const struct groups *groups;
    const struct study_results *results;
    const int *point; /* of each row */
};

static int compare_rows(const void *a, const void *b, void *context)
{
    const struct order *order = context;
    int i = *(const int *)a, j = *(const int *)b, p = order->point[i], q = order->point[j];
    const struct study_row *x = &order->results->rows[i], *y = &order->results->rows[j];
    double budget = order->study->points[p].flops, other = order->study->points[q].flops;
    if (order->groups->size[p] != order->groups->size[q]) return order->groups->size[p] - order->groups->size[q];
    if (budget != other) return budget < other ? -1 : 1;
    if (x->step != y->step) return x->step < y->step ? -1 : 1;
    return (x->seed > y->seed) - (x->seed < y->seed);
}

static bool same_cell(const struct order *order, int i, int j)
{
    int p = order->point[i], q = order->point[j];
    return order->groups->size[p] == order->groups->size[q] &&
           order->study->points[p].flops == order->study->points[q].flops &&
           order->results->rows[i].step == order->results->rows[j].step;
}

/* The point of each row, -1 when it is none of the study's any more. */
static enum iddpm_status find_points(const struct study *study, const struct study_results *results, int **out)
{
    TRY(mem_alloc(out, (size_t)results->n, sizeof **out, "points of rows"));
    for (int r = 0, p = 0; r < results->n; r++) {
        int tried = 0;
        while (tried < study->n_points && strcmp(study->points[p].name, results->rows[r].point) != 0)
            tried++, p = (p + 1) % study->n_points;
        (*out)[r] = tried < study->n_points ? p : -1;
    }
    return IDDPM_OK;
}

/* ---- seeds ------------------------------------------------------------------------------------------------------- */

enum { SEEDS_MOST = 64 }; /* of more, the mean is taken as known */

/* How runs of one size deviate from their mean: by an offset of the whole run and a rest of each cell. Part of both is
 * the noise of images, which the images of a draw bring in already; what is left of it is a share of the deviation. */
struct spread {
    int n; /* runs of a whole cell */
    double offset[SEEDS_MOST], offset_share, rest_share;
};

/* Of run i in a draw of images. */
static double deviation(const struct cell *cell, const double *means, int i, int draw)
{
    double mean = 0;
    for (int k = 0; k < cell->n_rows; k++) mean += means[(size_t)cell->rows[k] * DRAWS + (size_t)draw] / cell->n_rows;
    return means[(size_t)cell->rows[i] * DRAWS + (size_t)draw] - mean;
}

static double offset_of(const struct cell *cells, int n, int runs, const double *means, int i, int draw)
{
    double sum = 0, count = 0;
    for (int c = 0; c < n; c++)
        if (cells[c].n_rows == runs) sum += deviation(&cells[c], means, i, draw), count++;
    return sum / count;
}

static double share_beyond(double images, double all)
{
    return all > images ? sqrt(1 - images / all) : 0;
}

/* Of the n cells of a size. */
static struct spread find_spread(const struct cell *cells, int n, const double *means)
{
    struct spread spread = {0};
    double all[2] = {0}, images[2] = {0};
    for (int c = 0; c < n; c++)
        if (cells[c].n_rows > spread.n) spread.n = cells[c].n_rows;
    if (spread.n < 2 || spread.n > SEEDS_MOST) return spread;
    for (int i = 0; i < spread.n; i++) {
        spread.offset[i] = offset_of(cells, n, spread.n, means, i, 0);
        for (int draw = 0; draw < DRAWS; draw++) {
            double offset = draw ? offset_of(cells, n, spread.n, means, i, draw) : 0, first = spread.offset[i];
            double *to = draw ? images : all, weight = draw ? 1. / REPLICATES : 1;
            to[0] += weight * pow(draw ? offset - first : first, 2);
            for (int c = 0; c < n; c++) {
                if (cells[c].n_rows != spread.n) continue;
                double rest = deviation(&cells[c], means, i, 0) - first;
                to[1] += weight * pow(draw ? deviation(&cells[c], means, i, draw) - offset - rest : rest, 2);
            }
        }
    }
    spread.offset_share = share_beyond(images[0], all[0]);
    spread.rest_share = share_beyond(images[1], all[1]);
    return spread;
}

/* A resampled mean over few runs varies too little, by 1 - 1 / n; that is made up for. Which runs are taken is one
 * matter for all cells of a size. */
static void mean_over_seeds(const struct cell *cell, const struct spread *spread, const double *means, uint64_t seed,
                            double *out)
{
    int n = cell->n_rows;
    bool resample = n > 1 && spread->n > 0, whole = n == spread->n;
    double picks[SEEDS_MOST], kept[SEEDS_MOST];
    for (int i = 0; i < n && resample; i++) {
        double all = deviation(cell, means, i, 0), offset = whole ? spread->offset[i] : 0;
        kept[i] = sqrt(n / (n - 1.)) / n * (spread->offset_share * offset + spread->rest_share * (all - offset));
    }
    for (int draw = 0; draw < DRAWS; draw++) {
        out[draw] = 0;
        for (int i = 0; i < n; i++) out[draw] += means[(size_t)cell->rows[i] * DRAWS + (size_t)draw] / n;
        if (!resample || draw == 0) continue;
        rng_uniform(&(struct rng){seed, RNG_BOOTSTRAP, (uint32_t)draw, 1 + (uint32_t)cell->size}, (size_t)n, picks);
        for (int i = 0; i < n; i++) out[draw] += kept[(int)(picks[i] * n)];
    }
}

static void mean_of_sizes(struct cells *cells, const double *means, uint64_t seed)
{
    for (int first = 0, end; first < cells->n; first = end) {
        end = first;
        while (end < cells->n && cells->cells[end].size == cells->cells[first].size) end++;
        struct spread spread = find_spread(&cells->cells[first], end - first, means);
        for (int c = first; c < end; c++)
            mean_over_seeds(&cells->cells[c], &spread, means, seed, cells->loss + (size_t)c * DRAWS);
    }
}

static enum iddpm_status fill_cells(struct cells *cells, const struct order *order, int n_rows, const double *means,
                                    uint64_t seed)
{
    TRY(mem_alloc(&cells->cells, (size_t)n_rows, sizeof *cells->cells, "cells"));
    for (int i = 0; i < n_rows; i++) {
        int r = cells->rows[i], p = order->point[r];
        const struct study_row *row = &order->results->rows[r];
        if (i == 0 || !same_cell(order, cells->rows[i - 1], r))
            cells->cells[cells->n++] = (struct cell){.size = order->groups->size[p],
                                                     .family = order->groups->family[p],
                                                     .step = row->step,
                                                     .parameters = row->parameters,
                                                     .compute = row->flops,
                                                     .images = (double)row->images,
                                                     .budget = order->study->points[p].flops,
                                                     .rows = &cells->rows[i]};
        cells->cells[cells->n - 1].n_rows++;
    }
    TRY(mem_alloc(&cells->loss, (size_t)cells->n * DRAWS, sizeof *cells->loss, "resampled results"));
    mean_of_sizes(cells, means, seed);
    return IDDPM_OK;
}

enum iddpm_status cells_make(struct cells *cells, const struct study *study, const struct groups *groups,
                             const struct study_results *results, const char *evaluation, const double *means,
                             uint64_t seed)
{
    int *point, n = 0;
    *cells = (struct cells){0};
    TRY(mem_alloc(&cells->rows, (size_t)results->n, sizeof *cells->rows, "cells"));
    TRY(find_points(study, results, &point));
    for (int r = 0; r < results->n; r++)
        if (point[r] >= 0 && strcmp(results->rows[r].evaluation, evaluation) == 0 && isfinite(means[(size_t)r * DRAWS]))
            cells->rows[n++] = r;
    struct order order = {study, groups, results, point};
    qsort_r(cells->rows, (size_t)n, sizeof *cells->rows, compare_rows, &order);
    enum iddpm_status status = fill_cells(cells, &order, n, means, seed);
    free(point);
    return status;
}

void cells_free(struct cells *cells)
{
    free(cells->cells);
    free(cells->rows);
    free(cells->loss);
}
