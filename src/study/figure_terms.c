/* Which timesteps the bits of an image come from. */
#include "collect.h"
#include "figure.h"

#include <string.h>

static void axes(struct figure *figure)
{
    strcpy(figure->x_label, "diffusion step t");
    strcpy(figure->panels[0].label, "term of the bound, bits/dim");
    figure->n_panels = 1;
    figure->panels[0].log = true;
}

static enum iddpm_status add_row(struct figure *figure, int colour, const struct study_row *row, const char *label)
{
    struct series *series;
    TRY(figure_series(figure, 0, row->n_terms <= 100 ? SERIES_LINE_POINTS : SERIES_LINE, colour, &series,
                      "%.180s: step %lld, %.3f ± %.3f bits/dim", label, (long long)row->step, row->bits_per_dim,
                      row->standard_error));
    for (int64_t k = 0; k < row->n_terms; k++) TRY(series_add(series, row->term_steps[k], row->terms[k]));
    return IDDPM_OK;
}

enum iddpm_status fill_terms(const struct figure_input *in, struct figure *figure, char *why)
{
    const struct study_evaluation *evaluation = main_evaluation(in);
    struct group groups[FIGURE_SERIES_MAX];
    axes(figure);
    snprintf(why, FIGURE_TEXT, "no likelihood was collected yet");
    if (!evaluation) return IDDPM_OK;
    const int n = figure_groups(in->study, BY_OBJECTIVE, groups, figure->note);
    for (int g = 0; g < n; g++) {
        const struct study_row *row = last_row(in, groups[g].best, evaluation);
        if (row) TRY(add_row(figure, g, row, groups[g].label));
    }
    if (figure_shows(figure)) *why = 0;
    return IDDPM_OK;
}

/* ---- two checkpoints --------------------------------------------------------------------------------------------- */

struct chosen {
    int point;
    const struct study_row *row;
    const char *label;
};

static const struct study_row *first_row(const struct figure_input *in, int point,
                                         const struct study_evaluation *evaluation)
{
    const struct study_row *first = NULL;
    for (int i = in->first_row[point]; i >= 0; i = in->next_row[i]) {
        const struct study_row *row = &in->results->rows[i];
        if (strcmp(row->evaluation, evaluation->name) == 0 && (!first || row->step < first->step)) first = row;
    }
    return first;
}

/* The last ones of L_hybrid and L_vlb, as in the paper; else the first and the last of one point. */
static bool choose(const struct figure_input *in, const struct study_evaluation *evaluation, struct chosen chosen[2])
{
    static const char *const wanted[] = {"L_hybrid", "L_vlb"};
    struct chosen most = {-1, NULL, NULL};
    chosen[0] = chosen[1] = most;
    for (int p = 0; p < in->study->n_points; p++) {
        const struct study_point *point = &in->study->points[p];
        const struct study_row *row = last_row(in, p, evaluation);
        if (!row) continue;
        for (int i = 0; i < 2; i++)
            if (strcmp(config_objective(point->config), wanted[i]) == 0 &&
                (!chosen[i].row || row->flops > chosen[i].row->flops))
                chosen[i] = (struct chosen){p, row, wanted[i]};
        if (!most.row || row->flops > most.row->flops) most = (struct chosen){p, row, config_objective(point->config)};
    }
    if (chosen[0].row && chosen[1].row) return true;
    if (!most.row) return false;
    chosen[0] = chosen[1] = most;
    chosen[0].row = first_row(in, most.point, evaluation);
    return chosen[0].row->step < chosen[1].row->step;
}

static enum iddpm_status add_ratio(struct figure *figure, const struct study_row *first, const struct study_row *second)
{
    struct series *series;
    const int64_t n = first->n_terms;
    if (n < 1 || n != second->n_terms) return IDDPM_OK;
    figure->n_panels = 2;
    strcpy(figure->panels[1].label, "ratio, first / second");
    TRY(figure_series(figure, 1, SERIES_LINE, 6, &series, "ratio"));
    for (int64_t k = 0; k < n; k++) TRY(series_add(series, first->term_steps[k], first->terms[k] / second->terms[k]));
    TRY(figure_series(figure, 1, SERIES_DASHED, 7, &series, "%s", ""));
    TRY(series_add(series, first->term_steps[0], 1));
    return series_add(series, first->term_steps[n - 1], 1);
}

enum iddpm_status fill_two_checkpoints(const struct figure_input *in, struct figure *figure, char *why)
{
    const struct study_evaluation *evaluation = main_evaluation(in);
    struct chosen chosen[2];
    axes(figure);
    snprintf(why, FIGURE_TEXT, "no likelihood was collected yet of two checkpoints, or of L_hybrid and L_vlb");
    if (!evaluation || !choose(in, evaluation, chosen)) return IDDPM_OK;
    for (int i = 0; i < 2; i++) TRY(add_row(figure, i, chosen[i].row, chosen[i].label));
    TRY(add_ratio(figure, chosen[0].row, chosen[1].row));
    if (figure_shows(figure)) *why = 0;
    return IDDPM_OK;
}
