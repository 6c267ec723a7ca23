#include "figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void figure_destroy(struct figure *figure)
{
    for (int i = 0; i < figure->n_series; i++) free(figure->series[i].rows);
    for (int i = 0; i < figure->n_tiles; i++) picture_destroy(&figure->tiles[i].picture);
    free(figure->series);
    free(figure->tiles);
}

enum iddpm_status figure_series(struct figure *figure, int panel, enum series_style style, int colour,
                                struct series **out, const char *title, ...)
{
    va_list args;
    TRY(mem_grow(&figure->series, &figure->series_capacity, (size_t)figure->n_series + 1, sizeof *figure->series,
                 "series of a figure"));
    struct series *series = *out = &figure->series[figure->n_series++];
    *series = (struct series){.style = style, .panel = panel, .colour = colour % FIGURE_SERIES_MAX};
    va_start(args, title);
    vsnprintf(series->title, sizeof series->title, title, args);
    va_end(args);
    return IDDPM_OK;
}

static enum iddpm_status add(struct series *series, struct series_row row)
{
    TRY(mem_grow(&series->rows, &series->capacity, series->n + 1, sizeof row, "a series of a figure"));
    series->rows[series->n++] = row;
    return IDDPM_OK;
}

enum iddpm_status series_add(struct series *series, double x, double y)
{
    return add(series, (struct series_row){x, y, NAN, NAN});
}

enum iddpm_status series_add_error(struct series *series, double x, double y, double error)
{
    return add(series, (struct series_row){x, y, y - error, y + error});
}

enum iddpm_status series_add_curve(struct series *series, size_t n, const double *x, const double *y)
{
    size_t stride = (n + FIGURE_POINTS - 1) / FIGURE_POINTS;
    for (size_t i = 0; i < n; i += stride) TRY(series_add(series, x[i], y[i]));
    if (n > 1 && (n - 1) % stride) TRY(series_add(series, x[n - 1], y[n - 1]));
    return IDDPM_OK;
}

enum iddpm_status figure_tile(struct figure *figure, struct picture *picture, const char *title, ...)
{
    va_list args;
    enum iddpm_status status = mem_grow(&figure->tiles, &figure->tile_capacity, (size_t)figure->n_tiles + 1,
                                        sizeof *figure->tiles, "tiles of a figure");
    if (status != IDDPM_OK) {
        picture_destroy(picture);
        return status;
    }
    struct tile *tile = &figure->tiles[figure->n_tiles++];
    *tile = (struct tile){.picture = *picture};
    va_start(args, title);
    vsnprintf(tile->title, sizeof tile->title, title, args);
    va_end(args);
    return IDDPM_OK;
}

/* Where values span less than that, a logarithmic axis would have no numbers. */
#define LOG_SPAN 30

bool panel_is_log(const struct figure *figure, int panel)
{
    double low = INFINITY, high = 0;
    for (int i = 0; i < figure->n_series; i++)
        for (size_t k = 0; k < figure->series[i].n && figure->series[i].panel == panel; k++) {
            double y = figure->series[i].rows[k].y;
            if (isfinite(y) && y > 0) low = fmin(low, y), high = fmax(high, y);
        }
    return figure->panels[panel].log && high > LOG_SPAN * low;
}

bool figure_shows(const struct figure *figure)
{
    for (int i = 0; i < figure->n_series; i++)
        for (size_t k = 0; k < figure->series[i].n && figure->series[i].style != SERIES_HIDDEN; k++) {
            const struct series_row *row = &figure->series[i].rows[k];
            if (isfinite(row->x) && isfinite(row->y) && (!figure->log_x || row->x > 0) &&
                (row->y > 0 || !panel_is_log(figure, figure->series[i].panel)))
                return true;
        }
    return figure->n_tiles > 0;
}
