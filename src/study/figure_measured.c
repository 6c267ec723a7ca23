/* What was measured against what it cost: sampling steps, and training compute. */
#include "figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- bits/dim and FID against sampling steps --------------------------------------------------------------------- */

static double value_of(const struct study_row *row, bool fid)
{
    return fid ? row->fid : row->bits_per_dim;
}

static int by_x(const void *a, const void *b)
{
    const struct series_row *p = a, *q = b;
    return (p->x > q->x) - (p->x < q->x);
}

static bool is_ddim(const struct figure_input *in, const struct study_row *row)
{
    const struct study_evaluation *evaluation = find_evaluation(in->study, row->evaluation);
    return (evaluation && evaluation->ddim) || strncmp(row->respacing, "ddim", 4) == 0;
}

/* Of the last step of a point that has such values. */
static int64_t last_step(const struct figure_input *in, int point, bool fid)
{
    int64_t step = -1;
    for (int i = in->first_row[point]; i >= 0; i = in->next_row[i])
        if (isfinite(value_of(&in->results->rows[i], fid)) && in->results->rows[i].step > step)
            step = in->results->rows[i].step;
    return step;
}

/* Of two measurements at the same number of steps the first stays. */
static bool has_x(const struct series *series, double x)
{
    for (size_t k = 0; k < series->n; k++)
        if (series->rows[k].x == x) return true;
    return false;
}

static enum iddpm_status add_steps(const struct figure_input *in, struct figure *figure, int panel, const char *title,
                                   int point, int colour, bool fid, bool ddim)
{
    struct series *series;
    const int64_t step = last_step(in, point, fid);
    TRY(figure_series(figure, panel, SERIES_LINE_POINTS, colour, &series, "%s%s", title, ddim ? ", DDIM" : ""));
    for (int i = in->first_row[point]; i >= 0; i = in->next_row[i]) {
        const struct study_row *row = &in->results->rows[i];
        const double x = (double)row->timesteps;
        if (row->step != step || !isfinite(value_of(row, fid)) || is_ddim(in, row) != ddim || has_x(series, x))
            continue;
        TRY(series_add_error(series, x, value_of(row, fid), fid ? NAN : row->standard_error));
    }
    if (series->n == 0)
        figure->n_series--;
    else
        qsort(series->rows, series->n, sizeof *series->rows, by_x);
    return IDDPM_OK;
}

static bool varies(const struct figure *figure)
{
    for (int i = 0; i < figure->n_series; i++)
        if (figure->series[i].n > 1) return true;
    return false;
}

static bool any_fid(const struct figure_input *in)
{
    for (int i = 0; in->results && i < in->results->n; i++)
        if (isfinite(in->results->rows[i].fid)) return true;
    return false;
}

enum iddpm_status fill_sampling_steps(const struct figure_input *in, struct figure *figure, char *why)
{
    struct group groups[FIGURE_SERIES_MAX];
    const int n = figure_groups(in->study, BY_VARIANCE, groups, figure->note);
    strcpy(figure->x_label, "steps of the reverse process");
    strcpy(figure->panels[0].label, "bits/dim");
    strcpy(figure->panels[1].label, "FID");
    figure->log_x = true;
    figure->n_panels = any_fid(in) ? 2 : 1;
    for (int g = 0; g < n; g++)
        for (int panel = 0; panel < figure->n_panels; panel++)
            for (int ddim = 0; ddim < 2; ddim++) {
                char title[FIGURE_TEXT];
                const char *variance = variance_name(in->study->points[groups[g].best].config);
                bool told = strcmp(groups[g].label, variance) == 0;
                snprintf(title, sizeof title, "%.60s%s%.180s", variance, told ? "" : "; ", told ? "" : groups[g].label);
                TRY(add_steps(in, figure, panel, title, groups[g].best, ddim ? g + n : g, panel == 1, ddim));
            }
    if (!varies(figure))
        snprintf(why, FIGURE_TEXT, "no point was measured with different numbers of steps (respacing)");
    return IDDPM_OK;
}

/* ---- bits/dim and FID against training compute --------------------------------------------------------------------
 */

struct reach {
    double low, high; /* compute of what is drawn, FLOP */
};

static enum iddpm_status add_compute(const struct figure_input *in, struct figure *figure,
                                     const struct study_evaluation *evaluation, int panel, const struct group *group,
                                     int colour, enum grouping by, struct reach *reach)
{
    struct series *series;
    TRY(figure_series(figure, panel, by == BY_CONFIGURATION ? SERIES_LINE_POINTS : SERIES_POINTS, colour, &series, "%s",
                      group->label));
    for (int p = 0; p < in->study->n_points; p++) {
        char label[FIGURE_TEXT];
        figure_group_label(&in->study->points[p], by, label);
        if (strcmp(label, group->label) != 0) continue;
        if (by == BY_CONFIGURATION && group->n > 1) series->style = SERIES_POINTS; /* a line would join points */
        for (int i = in->first_row[p]; i >= 0; i = in->next_row[i]) {
            const struct study_row *row = &in->results->rows[i];
            if (strcmp(row->evaluation, evaluation->name) != 0 && panel == 0) continue;
            if (!isfinite(value_of(row, panel == 1))) continue;
            TRY(series_add_error(series, row->flops, value_of(row, panel == 1), panel ? NAN : row->standard_error));
            reach->low = fmin(reach->low, row->flops), reach->high = fmax(reach->high, row->flops);
        }
    }
    if (series->n == 0) figure->n_series--;
    return IDDPM_OK;
}

/* Whether the first parts of a label are these. */
static bool begins_with(const char *label, const char *parts)
{
    size_t length = strlen(parts);
    return strncmp(label, parts, length) == 0 && (!label[length] || label[length] == ',');
}

/* A fit in the colour of the curve that it belongs to, that of the frontier in black; beyond what was measured as far
 * again as a tenth of its decades. */
static enum iddpm_status add_fit(struct figure *figure, const struct study_fit *fit, int n, const struct group *groups,
                                 const struct reach *reach)
{
    enum { CURVE = 100, BLACK = 6, GREY = 7 };
    struct series *series;
    int colour = strcmp(fit->what, "frontier") == 0 ? BLACK : GREY;
    for (int g = 0; g < n; g++)
        if (begins_with(groups[g].label, fit->what)) colour = g;
    const int panel = strcmp(fit->measure, "fid") == 0;
    const double span = log(reach->high / reach->low), from = log(reach->low);
    /* the curve in its colour stands in the legend too */
    const bool named = colour >= BLACK || strncmp(fit->what, "frontier", strlen("frontier")) == 0;
    TRY(figure_series(figure, panel, SERIES_DASHED, colour, &series, "%s%s%.3f + (%.2g FLOP / C)^%.3f",
                      named ? fit->what : "", named ? ": " : "", fit->law.l_inf, fit->law.c_0, fit->law.alpha));
    for (int k = 0; k <= CURVE; k++) {
        double compute = exp(from + span * 1.1 * k / CURVE);
        TRY(series_add(series, compute, power_law_at(&fit->law, compute)));
    }
    if (!isfinite(fit->held_predicted)) return IDDPM_OK;
    TRY(figure_series(figure, panel, SERIES_RING, colour, &series, "largest budget, predicted from the rest"));
    TRY(series_add(series, fit->held_compute, fit->held_predicted));
    series->rows[0].low = fit->held_low, series->rows[0].high = fit->held_high;
    return IDDPM_OK;
}

static enum iddpm_status add_fits(const struct figure_input *in, struct figure *figure,
                                  const struct study_evaluation *evaluation, int n, const struct group *groups,
                                  const struct reach *reach)
{
    int drawn = 0;
    for (int i = 0; in->fits && i < in->fits->n; i++) {
        const struct study_fit *fit = &in->fits->fits[i];
        const bool other = strcmp(fit->measure, "fid") != 0 && strcmp(fit->evaluation, evaluation->name) != 0;
        if (!fit->fitted || other || drawn == FIGURE_SERIES_MAX) continue;
        drawn++;
        TRY(add_fit(figure, fit, n, groups, reach));
    }
    return IDDPM_OK;
}

enum iddpm_status fill_compute(const struct figure_input *in, struct figure *figure, char *why)
{
    const struct study_evaluation *evaluation = main_evaluation(in);
    struct group groups[FIGURE_SERIES_MAX];
    struct reach reach = {INFINITY, 0};
    snprintf(why, FIGURE_TEXT, "no likelihood was collected yet");
    if (!evaluation) return IDDPM_OK;
    const int n = figure_groups(in->study, BY_SIZE, groups, figure->note);
    char label[FIGURE_TEXT];
    figure_group_label(&in->study->points[groups[0].best], BY_CONFIGURATION, label);
    const enum grouping by = strcmp(label, groups[0].label) == 0 ? BY_CONFIGURATION : BY_SIZE;
    if (by == BY_SIZE) *figure->note = 0; /* all points of a size are drawn */
    strcpy(figure->x_label, "training compute C, FLOP (6 x multiply-adds x images)");
    snprintf(figure->panels[0].label, FIGURE_TEXT, "%s, bits/dim", evaluation->name);
    strcpy(figure->panels[1].label, "FID");
    figure->log_x = true;
    figure->n_panels = any_fid(in) ? 2 : 1;
    for (int panel = 0; panel < figure->n_panels; panel++)
        for (int g = 0; g < n; g++) TRY(add_compute(in, figure, evaluation, panel, &groups[g], g, by, &reach));
    if (reach.low > 0 && reach.high > reach.low) TRY(add_fits(in, figure, evaluation, n, groups, &reach));
    if (figure_shows(figure)) *why = 0;
    return IDDPM_OK;
}
