/* What happens during training: losses, noise of the gradient, and where held-out pictures stop to profit. */
#include "figure.h"
#include "iddpm/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What makes the bound of the whole chain, in bits/dim, out of a term that is logged (losses.c): which metric, and
 * times what; 0: the objective has no such term. */
static double bound_factor(const struct config *config, int *metric)
{
    *metric = CURVE_VB;
    if (config->diffusion.use_kl) {
        *metric = CURVE_LOSS;
        return 1;
    }
    if (!config->diffusion.learn_sigma) return 0;
    return config->diffusion.rescale_learned_sigmas ? 1000 : (double)config->diffusion.diffusion_steps;
}

/* Raw and pale (unless `smoothed_only`), and smoothed. Nothing when there is no value. */
static enum iddpm_status add_smoothed(const struct figure_input *in, struct figure *figure, int panel, int point,
                                      int colour, int metric, double factor, bool smoothed_only, const char *title)
{
    struct series *series;
    double *values, *smoothed;
    bool any = false;
    if (in->curve[point] < 0) return IDDPM_OK;
    const struct study_curve *curve = &in->results->curves[in->curve[point]];
    const size_t n = (size_t)curve->n;
    for (size_t i = 0; i < n; i++) any |= isfinite(curve->column[metric][i]);
    if (!any || factor == 0) return IDDPM_OK;
    TRY(mem_alloc(&values, 2 * n, sizeof *values, "a learning curve"));
    smoothed = values + n;
    for (size_t i = 0; i < n; i++) values[i] = factor * curve->column[metric][i];
    curve_smooth(n, values, smoothed);
    enum iddpm_status status = IDDPM_OK;
    if (!smoothed_only) {
        status = figure_series(figure, panel, SERIES_PALE, colour, &series, "%s, raw", title);
        if (status == IDDPM_OK) status = series_add_curve(series, n, curve->column[CURVE_STEP], values);
    }
    if (status == IDDPM_OK) status = figure_series(figure, panel, SERIES_LINE, colour, &series, "%s", title);
    if (status == IDDPM_OK) status = series_add_curve(series, n, curve->column[CURVE_STEP], smoothed);
    free(values);
    return status;
}

/* Bits/dim of the checkpoints of a point, with errors; *best: the lowest one, NULL when there is none. */
static enum iddpm_status add_held_out(const struct figure_input *in, struct figure *figure, int panel, int point,
                                      int colour, const char *title, const struct study_row **best)
{
    const struct study_evaluation *evaluation = main_evaluation(in);
    struct series *series;
    *best = NULL;
    if (!evaluation || !last_row(in, point, evaluation)) return IDDPM_OK;
    TRY(figure_series(figure, panel, SERIES_LINE_POINTS, colour, &series, "%s", title));
    for (int i = in->first_row[point]; i >= 0; i = in->next_row[i]) {
        const struct study_row *row = &in->results->rows[i];
        if (strcmp(row->evaluation, evaluation->name) != 0) continue;
        TRY(series_add_error(series, (double)row->step, row->bits_per_dim, row->standard_error));
        if (!*best || row->bits_per_dim < (*best)->bits_per_dim) *best = row;
    }
    return IDDPM_OK;
}

/* ---- learning curves of the objectives --------------------------------------------------------------------------- */

enum iddpm_status fill_learning_curves(const struct figure_input *in, struct figure *figure, char *why)
{
    struct group groups[FIGURE_SERIES_MAX];
    const int n = figure_groups(in->study, BY_OBJECTIVE, groups, figure->note);
    strcpy(figure->x_label, "training step");
    strcpy(figure->panels[0].label, "training bound, bits/dim");
    strcpy(figure->panels[1].label, "held-out, bits/dim");
    figure->panels[0].log = true;
    figure->n_panels = main_evaluation(in) ? 2 : 1;
    for (int g = 0; g < n; g++) {
        const struct study_row *best;
        int metric;
        const double factor = bound_factor(in->study->points[groups[g].best].config, &metric);
        TRY(add_smoothed(in, figure, 0, groups[g].best, g, metric, factor, false, groups[g].label));
        TRY(add_held_out(in, figure, 1, groups[g].best, g, groups[g].label, &best));
    }
    if (!figure_shows(figure))
        snprintf(why, FIGURE_TEXT, "no learning curve of a bound, and no likelihood, was collected yet");
    return IDDPM_OK;
}

/* ---- gradient noise scale ---------------------------------------------------------------------------------------- */

enum iddpm_status fill_noise_scale(const struct figure_input *in, struct figure *figure, char *why)
{
    struct group groups[FIGURE_SERIES_MAX];
    const int n = figure_groups(in->study, BY_OBJECTIVE, groups, figure->note);
    strcpy(figure->x_label, "training step");
    strcpy(figure->panels[0].label, "gradient noise scale, images");
    figure->n_panels = 1;
    figure->panels[0].log = true;
    for (int g = 0; g < n; g++) {
        TRY(add_smoothed(in, figure, 0, groups[g].best, g, CURVE_NOISE_SCALE, 1, false, groups[g].label));
    }
    if (!figure_shows(figure))
        snprintf(why, FIGURE_TEXT, "no collected learning curve has a noise_scale; it needs two leaves or more");
    return IDDPM_OK;
}

/* ---- overfitting ------------------------------------------------------------------------------------------------- */

static enum iddpm_status mark(struct figure *figure, int colour, const struct study_row *best)
{
    struct series *series;
    TRY(figure_series(figure, 1, SERIES_RING, colour, &series, "lowest: step %lld, %.3f bits/dim",
                      (long long)best->step, best->bits_per_dim));
    return series_add(series, (double)best->step, best->bits_per_dim);
}

enum iddpm_status fill_overfitting(const struct figure_input *in, struct figure *figure, char *why)
{
    struct group groups[FIGURE_SERIES_MAX];
    const int n = figure_groups(in->study, BY_DROPOUT, groups, figure->note);
    bool measured = false;
    strcpy(figure->x_label, "training step");
    strcpy(figure->panels[0].label, "training loss");
    strcpy(figure->panels[1].label, "held-out, bits/dim");
    figure->panels[0].log = true;
    figure->n_panels = 2;
    for (int g = 0; g < n; g++) {
        const int p = groups[g].best;
        const struct study_row *best;
        TRY(add_held_out(in, figure, 1, p, g, groups[g].label, &best));
        if (!best) continue;
        measured = true;
        TRY(mark(figure, g, best));
        TRY(add_smoothed(in, figure, 0, p, g, CURVE_LOSS, 1, true, groups[g].label));
    }
    if (!measured || !figure_shows(figure)) snprintf(why, FIGURE_TEXT, "no likelihood was collected yet");
    return IDDPM_OK;
}
