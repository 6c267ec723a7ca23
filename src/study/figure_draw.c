/* A figure by gnuplot: title and caption above, panels over a shared x axis, the legend below, where it hides nothing.
 */
#include "figure.h"
#include "iddpm/evaluate.h"
#include "results.h"

#include <math.h>
#include <string.h>

enum { CAPTION_LINE = 150, TITLE_SHORT = 50 /* letters of a legend's line, and of one in two columns */ };
#define LEGEND_LINE 0.034 /* of the picture's height */
#define LEFT 0.1
#define RIGHT 0.975
#define TOP 0.875

/* ---- text around it ---------------------------------------------------------------------------------------------- */

static void put_label(struct gnuplot *plot, const char *text, double y, const char *font)
{
    fputs("set label ", plot->script);
    gnuplot_string(plot, text);
    fprintf(plot->script, " at screen 0.02,%g left noenhanced front %s\n", y, font);
}

/* In two lines when it is too long for one. */
static void put_caption(struct gnuplot *plot, const char *caption)
{
    char line[CAPTION_LINE + 1];
    const char *font = "font ',11' textcolor '#505050'";
    size_t length = strlen(caption), cut = length;
    if (length > CAPTION_LINE)
        for (cut = CAPTION_LINE; cut > 0 && caption[cut] != ' '; cut--) continue;
    snprintf(line, sizeof line, "%.*s", (int)cut, caption);
    put_label(plot, line, 0.93, font);
    if (cut < length) put_label(plot, caption + cut + 1, 0.905, font);
}

/* ---- series ------------------------------------------------------------------------------------------------------ */

static bool has_errors(const struct series *series)
{
    for (size_t k = 0; k < series->n; k++)
        if (isfinite(series->rows[k].low) && isfinite(series->rows[k].high)) return true;
    return false;
}

static void put_data(struct gnuplot *plot, const struct figure *figure, int i)
{
    const struct series *series = &figure->series[i];
    const bool log_y = panel_is_log(figure, series->panel);
    fprintf(plot->script, "$series_%d << END\n", i);
    for (size_t k = 0; k < series->n; k++) {
        const struct series_row *row = &series->rows[k];
        if (!isfinite(row->x) || !isfinite(row->y) || (figure->log_x && row->x <= 0) || (log_y && row->y <= 0))
            continue;
        double low = isfinite(row->low) && !(log_y && row->low <= 0) ? row->low : row->y;
        fprintf(plot->script, "%.10g %.10g %.10g %.10g\n", row->x, row->y, low,
                isfinite(row->high) ? row->high : row->y);
    }
    fputs("END\n", plot->script);
}

/* Shapes differ as well as colours. */
static void put_style(FILE *script, const struct series *series)
{
    static const int shapes[FIGURE_SERIES_MAX] = {7, 5, 9, 11, 13, 15, 6, 4};
    static const char *const pale[FIGURE_SERIES_MAX] = {"#b00072b2", "#b0d55e00", "#b0009e73", "#b0cc79a7",
                                                        "#b0e69f00", "#b056b4e9", "#b0000000", "#b0999999"};
    const int line = series->colour + 1, shape = shapes[series->colour];
    switch (series->style) {
    case SERIES_PALE:
        fprintf(script, "lines linecolor '%s' linewidth 0.8", pale[series->colour]);
        break;
    case SERIES_POINTS:
        fprintf(script, "points linetype %d pointtype %d pointsize 1.1", line, shape);
        break;
    case SERIES_LINE_POINTS:
        fprintf(script, "linespoints linetype %d linewidth 1.6 pointtype %d pointsize 1.1", line, shape);
        break;
    case SERIES_DASHED:
        fprintf(script, "lines linetype %d linewidth 1.6 dashtype 2", line);
        break;
    case SERIES_RING:
        fprintf(script, "points linetype %d linewidth 2 pointtype 6 pointsize 2.6", line);
        break;
    default:
        fprintf(script, "lines linetype %d linewidth 2", line);
    }
}

static void put_plot(FILE *script, const struct series *series, int i, bool first)
{
    fputs(first ? "" : ", ", script);
    if (has_errors(series))
        fprintf(script, "$series_%d using 1:2:3:4 with yerrorbars linetype %d linewidth 1.2 pointsize 0, ", i,
                series->colour + 1);
    fprintf(script, "$series_%d using 1:2 with ", i);
    put_style(script, series);
}

/* ---- the legend -------------------------------------------------------------------------------------------------- */

/* Whether series i is the first of its title that is drawn in full. */
static bool stands_in_legend(const struct figure *figure, int i)
{
    const struct series *series = &figure->series[i];
    if (series->style == SERIES_HIDDEN || series->style == SERIES_PALE || !*series->title || !series->n) return false;
    for (int k = 0; k < i; k++)
        if (stands_in_legend(figure, k) && strcmp(figure->series[k].title, series->title) == 0) return false;
    return true;
}

static int legend_rows(const struct figure *figure)
{
    int n = 0;
    bool long_titles = false;
    for (int i = 0; i < figure->n_series; i++) {
        bool stands = stands_in_legend(figure, i);
        n += stands;
        long_titles |= stands && strlen(figure->series[i].title) > TITLE_SHORT;
    }
    return long_titles ? n : (n + 1) / 2;
}

static void put_legend(struct gnuplot *plot, const struct figure *figure)
{
    for (int i = 0; i < figure->n_series; i++) {
        if (!stands_in_legend(figure, i)) continue;
        fputs(", NaN with ", plot->script);
        put_style(plot->script, &figure->series[i]);
        fputs(" title ", plot->script);
        gnuplot_string(plot, figure->series[i].title);
    }
}

/* In lines: a string with escapes, where a backquote would start a command. */
static void put_lines(FILE *script, const char *text)
{
    fputc('"', script);
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", script);
        else if (*text == '"' || *text == '\\' || *text == '`')
            fprintf(script, "\\%03o", *text);
        else
            fputc((unsigned char)*text < ' ' ? ' ' : *text, script);
    }
    fputc('"', script);
}

/* ---- panels and tiles -------------------------------------------------------------------------------------------- */

static void x_range(const struct figure *figure, double *low, double *high)
{
    *low = INFINITY, *high = -INFINITY;
    for (int i = 0; i < figure->n_series; i++)
        for (size_t k = 0; k < figure->series[i].n; k++) {
            double x = figure->series[i].rows[k].x;
            if (!isfinite(x) || (figure->log_x && x <= 0)) continue;
            *low = fmin(*low, x), *high = fmax(*high, x);
        }
    double room = figure->log_x ? pow(*high / *low, 0.02) : 0.015 * (*high - *low); /* points stay off the axes */
    if (figure->log_x)
        *low /= fmax(room, 1.02), *high *= fmax(room, 1.02);
    else
        *low -= room > 0 ? room : 1, *high += room > 0 ? room : 1;
}

static void put_axes(struct gnuplot *plot, const struct figure *figure)
{
    double low, high;
    x_range(figure, &low, &high);
    if (figure->log_x) fputs("set logscale x\n", plot->script);
    fprintf(plot->script, "set xrange [%.10g:%.10g] noextend\n", low, high);
    fprintf(plot->script, "x_format = '%s'\n", high >= 1e6 && figure->log_x ? "10^{%T}" : "%g");
    fputs("set lmargin at screen 0.1\nset rmargin at screen 0.975\nset offsets graph 0, graph 0, graph 0.03, graph "
          "0.03\n",
          plot->script);
}

static void put_panel(struct gnuplot *plot, const struct figure *figure, int p, double bottom, double top)
{
    FILE *script = plot->script;
    const bool last = p == figure->n_panels - 1;
    fprintf(script, "set bmargin at screen %g\nset tmargin at screen %g\nset ylabel ", bottom, top);
    gnuplot_string(plot, figure->panels[p].label);
    fprintf(script, " noenhanced font ',13'\n%sset logscale y\nset yrange [*:*] noextend\nset format y '%%g'\n",
            panel_is_log(figure, p) ? "" : "un");
    fputs(last ? "set format x x_format\n" : "set format x ''\n", script);
    fputs(last ? "set xlabel " : "set xlabel ''", script);
    if (last) gnuplot_string(plot, figure->x_label);
    fputs(last ? " noenhanced\nplot " : "\nplot ", script);
    bool first = true;
    for (int i = 0; i < figure->n_series; i++) {
        if (figure->series[i].panel != p || figure->series[i].style == SERIES_HIDDEN) continue;
        put_plot(script, &figure->series[i], i, first);
        first = false;
    }
    if (last) put_legend(plot, figure);
    fputs(last ? "\n" : "\nunset label\n", script);
}

static void put_panels(struct gnuplot *plot, const struct figure *figure)
{
    const int rows = legend_rows(figure);
    const double bottom = 0.115 + LEGEND_LINE * rows, height = (TOP - bottom) / figure->n_panels;
    for (int i = 0; i < figure->n_series; i++) put_data(plot, figure, i);
    put_axes(plot, figure);
    fprintf(
        plot->script,
        "set key left top Left reverse vertical maxrows %d spacing 1.25 font ',13' at screen %g,%g\nset multiplot\n",
        rows > 0 ? rows : 1, LEFT - 0.01, LEGEND_LINE * rows + 0.012);
    for (int p = 0; p < figure->n_panels; p++) {
        double top = TOP - height * p;
        put_panel(plot, figure, p, p == figure->n_panels - 1 ? bottom : top - height + 0.045, top - (p ? 0.015 : 0));
    }
    fputs("unset multiplot\n", plot->script);
}

static void put_pixels(FILE *script, const struct picture *picture)
{
    const size_t n = (size_t)picture->width * (size_t)picture->height;
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < 3; c++)
            fputc(picture->pixels[i * (size_t)picture->channels + (picture->channels > 1 ? c : 0)], script);
}

/* Of the figure's height, above a tile. */
static double title_height(const char *title, int font)
{
    int lines = 1;
    while ((title = strchr(title, '\n'))) lines++, title++;
    return 0.018 + 0.0024 * font * lines;
}

static void put_tiles(struct gnuplot *plot, const struct figure *figure)
{
    int columns = figure->tile_columns ? figure->tile_columns : (int)ceil(sqrt(1.6 * figure->n_tiles));
    if (columns > figure->n_tiles) columns = figure->n_tiles;
    const int rows = (figure->n_tiles + columns - 1) / columns;
    const int font = columns > 8 ? 6 : columns > 6 ? 7 : columns > 4 ? 9 : columns > 2 ? 11 : 13;
    const double width = (RIGHT - 0.02) / columns, height = (TOP - 0.015) / rows,
                 head = title_height(figure->tiles[0].title, font);
    fputs("unset border\nunset tics\nunset key\nset size ratio -1\nset autoscale fix\nset multiplot\n", plot->script);
    for (int i = 0; i < figure->n_tiles; i++) {
        const struct picture *picture = &figure->tiles[i].picture;
        const double left = 0.02 + width * (i % columns), top = TOP - height * (i / columns);
        fprintf(plot->script,
                "set lmargin at screen %g\nset rmargin at screen %g\nset tmargin at screen %g\n"
                "set bmargin at screen %g\nset label ",
                left, left + width - 0.015, top - head, top - height + 0.005);
        put_lines(plot->script, figure->tiles[i].title);
        fprintf(plot->script, " at screen %g,%g left noenhanced font ',%d'\n", left, top - 0.015, font);
        fprintf(plot->script, "plot '-' binary array=(%d,%d) flip=y format='%%uchar' using 1:2:3 with rgbimage\n",
                picture->width, picture->height);
        put_pixels(plot->script, picture);
        fputs("\nunset label\n", plot->script);
    }
    fputs("unset multiplot\n", plot->script);
}

/* ---- its data ---------------------------------------------------------------------------------------------------- */

static void csv_series(struct csv *csv, const struct figure *figure)
{
    csv_text(csv, true, "quantity");
    csv_text(csv, false, "series");
    csv_text(csv, false, figure->x_label);
    fputs(",value,low,high\n", csv->stream);
    for (int i = 0; i < figure->n_series; i++)
        for (size_t k = 0; k < figure->series[i].n; k++) {
            const struct series_row *row = &figure->series[i].rows[k];
            csv_text(csv, true, figure->panels[figure->series[i].panel].label);
            csv_text(csv, false, figure->series[i].title);
            csv_number(csv, false, row->x);
            csv_number(csv, false, row->y);
            csv_number(csv, false, row->low);
            csv_number(csv, false, row->high);
            fputc('\n', csv->stream);
        }
}

static void csv_tiles(struct csv *csv, const struct figure *figure)
{
    fputs("picture,width,height\n", csv->stream);
    for (int i = 0; i < figure->n_tiles; i++) {
        csv_text(csv, true, figure->tiles[i].title);
        csv_number(csv, false, figure->tiles[i].picture.width);
        csv_number(csv, false, figure->tiles[i].picture.height);
        fputc('\n', csv->stream);
    }
}

static enum iddpm_status write_csv(const struct figure *figure, const char *folder, const char *name)
{
    struct csv csv;
    TRY(csv_begin(&csv));
    if (figure->n_tiles > 0)
        csv_tiles(&csv, figure);
    else
        csv_series(&csv, figure);
    return csv_end(&csv, IDDPM_OK, folder, name);
}

enum iddpm_status figure_write(const struct figure *figure, const char *folder, const char *name, const char *title,
                               const char *caption)
{
    char path[PATH_SIZE], csv[FIGURE_TEXT];
    struct gnuplot plot;
    snprintf(csv, sizeof csv, "%s.csv", name);
    TRY(path_join(path, folder, name));
    TRY(gnuplot_begin(&plot, path));
    put_label(&plot, title, 0.965, "font ',18'");
    put_caption(&plot, caption);
    if (figure->n_tiles > 0)
        put_tiles(&plot, figure);
    else
        put_panels(&plot, figure);
    TRY(gnuplot_end(&plot, IDDPM_OK));
    return write_csv(figure, folder, csv);
}
