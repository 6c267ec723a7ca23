/* Private to src/study: what collect.c is made of. */
#ifndef IDDPM_STUDY_COLLECT_H
#define IDDPM_STUDY_COLLECT_H

#include "results.h"

/* Which state of a file was read. */
struct stamp {
    int64_t bytes, time; /* of its last change, nanoseconds */
};
bool stamp_of(const char *path, struct stamp *stamp); /* false when there is no such file */

/* ---- collect_row.c ----------------------------------------------------------------------------------------------- */

/* A result of nll as a row; what follows from the point is left to row_complete. Owned by the caller after success. */
enum iddpm_status row_read(struct study_row *row, const char *path);
const char *config_objective(const struct config *config); /* as in study_row */
/* What a row has from its point and from the point's curve (NULL: none). */
void row_complete(struct study_row *row, const struct study_point *point, const struct study_curve *curve);
/* The difference from the row before, NULL or of the same point and evaluation. */
void row_difference(struct study_row *row, const struct study_row *before);
/* Whether a row was measured as the study file says; else IDDPM_USAGE. */
enum iddpm_status row_is_wanted(const struct study_evaluation *evaluation, const struct study_row *row,
                                const struct study_point *point);
/* Whether an evaluation measures two points on one data set. */
bool have_same_data(const struct study_evaluation *evaluation, const struct study_point *a,
                    const struct study_point *b);
/* Whether rows of one evaluation may stand in one table; else IDDPM_USAGE names both. `points`: of the two rows. */
enum iddpm_status row_match(const struct study_evaluation *evaluation, const struct study_row *a,
                            const struct study_row *b, const struct study_point *const points[2]);

/* ---- collect_curve.c --------------------------------------------------------------------------------------------- */

/* Reads RUN/metrics.jsonl. *damaged: the first line that is none (the others are taken), 0: all are. A last line that
 * is still being written does not count. Owned by the caller after success. */
enum iddpm_status curve_read(struct study_curve *curve, const struct study_point *point, const char *path,
                             int64_t *damaged);
/* Seconds of training up to a step, and the ranks there; NAN and 0 when unknown. */
double curve_seconds(const struct study_curve *curve, int64_t step);
int64_t curve_ranks(const struct study_curve *curve, int64_t step);

#endif
