/* Private to src/study: rows as points of a fit, and what they would be with other images and seeds. */
#ifndef IDDPM_STUDY_CELLS_H
#define IDDPM_STUDY_CELLS_H

#include "iddpm/study.h"

#define RNG_BOOTSTRAP RNG_SHUFFLE /* what is drawn from, in a way: a study has a seed of its own for it */
enum { REPLICATES = 500, DRAWS = 1 + REPLICATES /* draw 0: the data as they are */ };

/* ---- groups.c ---------------------------------------------------------------------------------------------------- */

typedef char group_name[STUDY_NAME];
/* A size has all values of a study but seed and budget; a family has models that compete for one frontier: one
 * objective, schedule, number of steps and data set. */
struct groups {
    int n_sizes, n_families;
    group_name *sizes, *families; /* names: what differs in the study */
    int *size, *family;           /* [points] */
};
enum iddpm_status groups_make(const struct study *study, struct groups *groups);
void groups_free(struct groups *groups);

/* ---- cells.c ----------------------------------------------------------------------------------------------------- */

/* The runs of one size and budget at one step, with different seeds. */
struct cell {
    int size, family, n_rows;
    int64_t step, parameters;
    double compute, images, budget; /* FLOPs and images trained; FLOPs of the whole training */
    const int *rows;                /* [n_rows] of the results */
};
struct cells {
    int n;
    struct cell *cells; /* by size, budget, step */
    int *rows;
    double *loss; /* [n][DRAWS] means over images and seeds */
};
enum measure { MEASURE_BITS, MEASURE_FID, MEASURES };
const char *measure_name(enum measure measure);

/* Means over images of all rows, [rows][DRAWS]: each draw takes the same images of all rows. NAN: not measured. */
enum iddpm_status draw_images(const struct study_results *results, enum measure measure, uint64_t seed, double **out);
/* The cells of an evaluation; each draw takes other seeds of a size, where it has several. cells_free in any case. */
enum iddpm_status cells_make(struct cells *cells, const struct study *study, const struct groups *groups,
                             const struct study_results *results, const char *evaluation, const double *means,
                             uint64_t seed);
void cells_free(struct cells *cells);
static inline double cell_loss(const struct cells *cells, int cell, int draw)
{
    return cells->loss[(size_t)cell * DRAWS + (size_t)draw];
}
/* Quantile of n values, which are put into order; NAN among them do not count. */
double quantile(int n, double *values, double q);

#endif
