/* The curves of a run as a picture: RUN/progress.csv, and RUN/eval.csv when it is there. */
#include "iddpm/evaluate.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SMOOTHING = 25 /* a smoothed value is a mean over 2/25 of the run at most */ };

enum { STEP, LOSS, MSE, VB, COLUMNS };
static const char *const names[COLUMNS] = {"step", "loss", "mse", "vb"};

enum { HELD_OUT_LOSS = 1, BITS, HELD_OUT_COLUMNS };
static const char *const held_out_names[HELD_OUT_COLUMNS] = {"step", "loss", "bits_per_dim"};

enum { WEIGHTS_MAX = 5, FIRST_LINETYPE = 4 }; /* the first ones are drawn, in colours that training has not */

struct curves {
    struct table training, held_out; /* the latter has no rows without RUN/eval.csv */
    int n;                           /* of it, different weights */
    const char *weights[WEIGHTS_MAX];
};

/* ---- the tables -------------------------------------------------------------------------------------------------- */

/* Of rows that can be drawn: the last one may be half-written. */
static void find_weights(struct curves *curves)
{
    const struct table *table = &curves->held_out;
    for (size_t row = 0; row < table->n && curves->n < WEIGHTS_MAX; row++) {
        int i = 0;
        if (!(table->column[BITS][row] > 0)) continue;
        while (i < curves->n && strcmp(curves->weights[i], table->label[row]) != 0) i++;
        if (i == curves->n) curves->weights[curves->n++] = table->label[row];
    }
}

static enum iddpm_status read_curves(struct curves *curves, const char *run)
{
    char path[PATH_SIZE];
    TRY(path_join(path, run, "progress.csv"));
    TRY(table_read(&curves->training, path, COLUMNS, names, 2, NULL, "progress.csv of a run"));
    if (!table_has(&curves->training, LOSS)) return iddpm_error(IDDPM_FAILED, "%s: holds no loss yet", path);
    TRY(path_join(path, run, "eval.csv"));
    if (!path_exists(path)) return IDDPM_OK;
    TRY(table_read(&curves->held_out, path, HELD_OUT_COLUMNS, held_out_names, HELD_OUT_COLUMNS, "weights",
                   "eval.csv of a run"));
    find_weights(curves);
    return IDDPM_OK;
}

/* ---- the picture ------------------------------------------------------------------------------------------------- */

void curve_smooth(size_t n, const double *y, double *out)
{
    size_t half = n / SMOOTHING;
    for (size_t i = 0; i < n; i++) {
        size_t left = half < i ? half : i, right = left < n - 1 - i ? left : n - 1 - i;
        double sum = 0, count = 0;
        for (size_t k = i - left; k <= i + right; k++)
            if (isfinite(y[k])) sum += y[k], count++;
        out[i] = sum / count;
    }
}

static void write_training_data(struct gnuplot *plot, const struct table *table, double *smoothed)
{
    for (int c = LOSS; c < COLUMNS; c++) {
        char name[32];
        snprintf(name, sizeof name, "%s_smooth", names[c]);
        curve_smooth(table->n, table->column[c], smoothed);
        gnuplot_data(plot, names[c], table->n, table->column[STEP], table->column[c]);
        gnuplot_data(plot, name, table->n, table->column[STEP], smoothed);
    }
}

/* Data blocks $loss_0, $bits_per_dim_0, ... of each weights. */
static void write_held_out_data(struct gnuplot *plot, const struct curves *curves, double *selected)
{
    const struct table *table = &curves->held_out;
    for (int i = 0; i < curves->n; i++)
        for (int c = HELD_OUT_LOSS; c < HELD_OUT_COLUMNS; c++) {
            char name[32];
            snprintf(name, sizeof name, "%s_%d", held_out_names[c], i);
            for (size_t row = 0; row < table->n; row++)
                selected[row] = strcmp(table->label[row], curves->weights[i]) == 0 ? table->column[c][row] : NAN;
            gnuplot_data(plot, name, table->n, table->column[STEP], selected);
        }
}

static const char *const long_titles[COLUMNS] = {"", "loss", "mse: squared error, which trains the mean",
                                                 "vb: term of the bound, bits/dim, as weighted in the loss"};
static const char *const short_titles[COLUMNS] = {"", "loss", "mse", "vb, as weighted"};

/* Raw values thin and pale, smoothed ones over all of them. */
static void write_training_curves(struct gnuplot *plot, const struct table *table, const char *const *titles)
{
    static const char *const pale[COLUMNS] = {"", "#a00072b2", "#a0d55e00", "#a0009e73"}; /* with transparency */
    fputs("plot ", plot->script);
    for (int smoothed = 0; smoothed < 2; smoothed++)
        for (int c = LOSS; c < COLUMNS; c++) {
            if (!table_has(table, c)) continue;
            if (!smoothed)
                fprintf(plot->script, "$%s using 1:2 with lines linecolor '%s' linewidth 0.8, ", names[c], pale[c]);
            else
                fprintf(plot->script, "$%s_smooth using 1:2 with lines linetype %d linewidth 2 title '%s', ", names[c],
                        c, titles[c]);
        }
}

static void write_held_out_curves(struct gnuplot *plot, const struct curves *curves, int column, const char *title)
{
    for (int i = 0; i < curves->n; i++) {
        fprintf(plot->script,
                "$%s_%d using 1:2 with linespoints linetype %d linewidth 1.2 pointtype 7 pointsize 0.8 title '%s' . ",
                held_out_names[column], i, FIRST_LINETYPE + i, title);
        gnuplot_string(plot, curves->weights[i]);
        fputs(", ", plot->script);
    }
    fputs("\n", plot->script);
}

static void write_head(struct gnuplot *plot, const char *run)
{
    fputs("set title 'Training of ' . ", plot->script);
    gnuplot_string(plot, run);
    fputs(" noenhanced\nset format x '%.0f'\nset format y '%g'\nset logscale y\n", plot->script);
}

static void write_one_panel(struct gnuplot *plot, const struct curves *curves)
{
    fputs("set xlabel 'step'\nset ylabel 'training loss (thin: as logged, bold: smoothed)'\n", plot->script);
    write_training_curves(plot, &curves->training, long_titles);
    fputs("\n", plot->script);
}

static double last_step(const struct table *table)
{
    double last = 0;
    for (size_t row = 0; row < table->n; row++) last = fmax(last, table->column[STEP][row]);
    return last;
}

/* Losses above, bits/dim of held-out images below, keys beside them. */
static void write_two_panels(struct gnuplot *plot, const struct curves *curves)
{
    double last = fmax(last_step(&curves->training), last_step(&curves->held_out));
    fprintf(plot->script, "set xrange [0:%.10g]\n", fmax(1, last));
    fputs("set key at graph 1.02, graph 1 left Left reverse\nset rmargin 24\n"
          "set multiplot\nset size 1,0.6\nset origin 0,0.4\nset bmargin 2\n"
          "set ylabel 'loss (thin: as logged, bold: smoothed)'\n",
          plot->script);
    write_training_curves(plot, &curves->training, short_titles);
    write_held_out_curves(plot, curves, HELD_OUT_LOSS, "held-out, ");
    fputs("unset title\nunset logscale y\nset size 1,0.4\nset origin 0,0\nset bmargin 4\nset xlabel 'step'\n"
          "set ylabel 'held-out bits/dim'\nplot ",
          plot->script);
    write_held_out_curves(plot, curves, BITS, "");
    fputs("unset multiplot\n", plot->script);
}

static enum iddpm_status draw(const struct curves *curves, const char *run, const char *path)
{
    struct gnuplot plot;
    double *room;
    size_t n = curves->training.n > curves->held_out.n ? curves->training.n : curves->held_out.n;
    TRY(mem_alloc(&room, n, sizeof *room, "curves"));
    enum iddpm_status status = gnuplot_begin(&plot, path);
    if (status == IDDPM_OK) {
        write_training_data(&plot, &curves->training, room);
        write_held_out_data(&plot, curves, room);
        write_head(&plot, run);
        if (curves->n > 0)
            write_two_panels(&plot, curves);
        else
            write_one_panel(&plot, curves);
        status = gnuplot_end(&plot, status);
    }
    free(room);
    return status;
}

enum iddpm_status plot_loss(const char *run, const char *path)
{
    struct curves curves = {0};
    enum iddpm_status status = read_curves(&curves, run);
    if (status == IDDPM_OK) status = draw(&curves, run, path);
    table_destroy(&curves.training);
    table_destroy(&curves.held_out);
    return status;
}
