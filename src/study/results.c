/* Results in memory: the members of a row by name, and who owns what. */
#include "results.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the columns ------------------------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct study_row, member), sizeof((struct study_row *)0)->member
static const struct column columns[] = {
    {"point", COLUMN_TEXT, AT(point), false},
    {"evaluation", COLUMN_TEXT, AT(evaluation), false},
    {"step", COLUMN_INTEGER, AT(step), false},
    {"images", COLUMN_INTEGER, AT(images), false},
    {"flops", COLUMN_NUMBER, AT(flops), false},
    {"seconds", COLUMN_NUMBER, AT(seconds), false},
    {"ranks", COLUMN_INTEGER, AT(ranks), false},
    {"parameters", COLUMN_INTEGER, AT(parameters), false},
    {"bits_per_dim", COLUMN_NUMBER, AT(bits_per_dim), false},
    {"standard_error", COLUMN_NUMBER, AT(standard_error), false},
    {"vb", COLUMN_NUMBER, AT(vb), false},
    {"mse", COLUMN_NUMBER, AT(mse), false},
    {"prior", COLUMN_NUMBER, AT(prior), false},
    {"difference", COLUMN_NUMBER, AT(difference), false},
    {"difference_error", COLUMN_NUMBER, AT(difference_error), false},
    {"fid", COLUMN_NUMBER, AT(fid), false},
    {"objective", COLUMN_TEXT, AT(objective), false},
    {"channels", COLUMN_INTEGER, AT(channels), false},
    {"seed", COLUMN_INTEGER, AT(seed), false},
    {"diffusion_steps", COLUMN_INTEGER, AT(diffusion_steps), false},
    {"timesteps", COLUMN_INTEGER, AT(timesteps), false},
    {"respacing", COLUMN_TEXT, AT(respacing), false},
    {"weights", COLUMN_TEXT, AT(weights), false},
    {"strata", COLUMN_INTEGER, AT(strata), false},
    {"nll_seed", COLUMN_INTEGER, AT(nll_seed), false},
    {"clip_denoised", COLUMN_FLAG, AT(clip_denoised), false},
    {"evaluated_images", COLUMN_INTEGER, AT(n_totals), false},
    {"data_hash", COLUMN_TEXT, AT(data_hash), false},
    {"n_terms", COLUMN_INTEGER, AT(n_terms), true},
    {"file_bytes", COLUMN_INTEGER, AT(file_bytes), true},
    {"file_time", COLUMN_INTEGER, AT(file_time), true},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

const struct column *result_columns(int *n)
{
    *n = COLUMNS;
    return columns;
}

static const void *member(const struct column *column, const struct study_row *row)
{
    return (const char *)row + column->offset;
}

const char *column_text(const struct column *column, const struct study_row *row, char out[COLUMN_SIZE])
{
    const void *at = member(column, row);
    out[0] = 0;
    if (column->kind == COLUMN_TEXT) return at;
    if (column->kind == COLUMN_NUMBER && isfinite(*(const double *)at))
        snprintf(out, COLUMN_SIZE, "%.10g", *(const double *)at);
    if (column->kind == COLUMN_INTEGER) snprintf(out, COLUMN_SIZE, "%" PRId64, *(const int64_t *)at);
    if (column->kind == COLUMN_FLAG) snprintf(out, COLUMN_SIZE, "%d", *(const bool *)at);
    return out;
}

const char *curve_column_name(enum study_curve_column column)
{
    static const char *const names[CURVE_COLUMNS] = {"step", "images",    "flops",       "loss",    "mse",
                                                     "vb",   "grad_norm", "noise_scale", "seconds", "ranks"};
    return names[column];
}

/* ---- ownership --------------------------------------------------------------------------------------------------- */

void row_free(struct study_row *row)
{
    free(row->totals);
    free(row->term_steps);
    free(row->terms);
    row->totals = row->term_steps = row->terms = NULL;
}

void curve_free(struct study_curve *curve)
{
    for (int c = 0; c < CURVE_COLUMNS; c++) {
        free(curve->column[c]);
        curve->column[c] = NULL;
    }
}

void study_results_destroy(struct study_results *results)
{
    if (!results) return;
    for (int i = 0; i < results->n; i++) row_free(&results->rows[i]);
    for (int i = 0; i < results->n_curves; i++) curve_free(&results->curves[i]);
    free(results->rows);
    free(results->curves);
    free(results);
}
