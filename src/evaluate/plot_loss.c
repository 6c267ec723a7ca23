/* The curves of a run: RUN/progress.csv as a picture. */
#include "iddpm/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 30, SMOOTHING = 25 /* a smoothed value is a mean over 2/25 of the run at most */ };

/* ---- the table --------------------------------------------------------------------------------------------------- */

enum { STEP, LOSS, MSE, VB, COLUMNS };
static const char *const names[COLUMNS] = {"step", "loss", "mse", "vb"};

struct table {
    size_t n;
    double *column[COLUMNS]; /* NAN where there is no value */
};

static void table_destroy(struct table *table)
{
    for (int c = 0; c < COLUMNS; c++) free(table->column[c]);
}

/* The next field of *line, cut off; NULL behind the last one. */
static char *next_field(char **line)
{
    char *field = strsep(line, ",");
    if (field) field[strcspn(field, "\r")] = 0;
    return field;
}

/* The numbers of the fields in a heading, -1 where there is none. */
static void read_heading(char *line, int at[COLUMNS])
{
    for (int c = 0; c < COLUMNS; c++) at[c] = -1;
    char *field;
    for (int i = 0; (field = next_field(&line)); i++)
        for (int c = 0; c < COLUMNS; c++)
            if (strcmp(field, names[c]) == 0) at[c] = i;
}

static void read_row(char *line, const int at[COLUMNS], struct table *table)
{
    char *field;
    for (int c = 0; c < COLUMNS; c++) table->column[c][table->n] = NAN;
    for (int i = 0; (field = next_field(&line)); i++)
        for (int c = 0; c < COLUMNS; c++) {
            char *end;
            double value = strtod(field, &end);
            if (at[c] == i && end != field && !*end) table->column[c][table->n] = value;
        }
    table->n += isfinite(table->column[STEP][table->n]);
}

static bool has_values(const struct table *table, int c)
{
    for (size_t i = 0; i < table->n; i++)
        if (table->column[c][i] > 0) return true;
    return false;
}

static enum iddpm_status table_parse(struct table *table, const char *path, char *text)
{
    size_t lines = 0;
    int at[COLUMNS];
    for (const char *p = text; *p; p++) lines += *p == '\n';
    for (int c = 0; c < COLUMNS; c++) TRY(mem_alloc(&table->column[c], lines + 1, sizeof(double), path));
    char *heading = strsep(&text, "\n"), *line;
    read_heading(heading, at);
    if (at[STEP] < 0 || at[LOSS] < 0)
        return iddpm_error(IDDPM_FAILED, "%s: has no columns step and loss; is it the progress.csv of a run?", path);
    while ((line = strsep(&text, "\n"))) read_row(line, at, table);
    if (!has_values(table, LOSS)) return iddpm_error(IDDPM_FAILED, "%s: holds no loss yet", path);
    return IDDPM_OK;
}

static enum iddpm_status table_read(struct table *table, const char *path)
{
    char *text;
    TRY(path_read_text(path, FILE_LIMIT, &text));
    enum iddpm_status status = table_parse(table, path, text);
    free(text);
    return status;
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

/* Raw values thin and pale, smoothed ones over all of them. */
static void write_curves(struct gnuplot *plot, const struct table *table)
{
    static const char *const titles[COLUMNS] = {"", "loss", "mse: squared error, which trains the mean",
                                                "vb: term of the bound, bits/dim, as weighted in the loss"};
    static const char *const pale[COLUMNS] = {"", "#a00072b2", "#a0d55e00", "#a0009e73"}; /* with transparency */
    fputs("plot ", plot->script);
    for (int smoothed = 0; smoothed < 2; smoothed++)
        for (int c = LOSS; c < COLUMNS; c++) {
            if (!has_values(table, c)) continue;
            if (!smoothed)
                fprintf(plot->script, "$%s using 1:2 with lines linecolor '%s' linewidth 0.8, ", names[c], pale[c]);
            else
                fprintf(plot->script, "$%s_smooth using 1:2 with lines linetype %d linewidth 2 title '%s', ", names[c],
                        c, titles[c]);
        }
    fputs("\n", plot->script);
}

static enum iddpm_status draw(const struct table *table, const char *run, const char *path)
{
    struct gnuplot plot;
    double *smoothed;
    TRY(mem_alloc(&smoothed, table->n, sizeof *smoothed, "smoothed losses"));
    enum iddpm_status status = gnuplot_begin(&plot, path);
    if (status == IDDPM_OK) {
        for (int c = LOSS; c < COLUMNS; c++) {
            char name[32];
            snprintf(name, sizeof name, "%s_smooth", names[c]);
            curve_smooth(table->n, table->column[c], smoothed);
            gnuplot_data(&plot, names[c], table->n, table->column[STEP], table->column[c]);
            gnuplot_data(&plot, name, table->n, table->column[STEP], smoothed);
        }
        fputs("set title 'Training of ' . ", plot.script);
        gnuplot_string(&plot, run);
        fputs(" noenhanced\nset xlabel 'step'\nset ylabel 'training loss (thin: as logged, bold: smoothed)'\nset "
              "logscale y\n"
              "set format x '%.0f'\nset format y '%g'\n",
              plot.script);
        write_curves(&plot, table);
        status = gnuplot_end(&plot, status);
    }
    free(smoothed);
    return status;
}

enum iddpm_status plot_loss(const char *run, const char *path)
{
    char progress[PATH_SIZE];
    struct table table = {0};
    TRY(path_join(progress, run, "progress.csv"));
    enum iddpm_status status = table_read(&table, progress);
    if (status == IDDPM_OK) status = draw(&table, run, path);
    table_destroy(&table);
    return status;
}
