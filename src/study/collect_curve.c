/* Learning curves from the metrics of runs. */
#include "collect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 30 };

/* The number of `"key": ` in a line of JSON without nesting; NAN when it is not there. */
static double number_of(const char *line, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(line, quoted);
    if (!at) return NAN;
    at += strlen(quoted);
    char *end;
    double value = strtod(at, &end);
    return end == at ? NAN : value;
}

static bool is_line(const char *line)
{
    size_t length = strlen(line);
    return length > 2 && line[0] == '{' && line[length - 1] == '}' && number_of(line, "step") >= 0;
}

static void take_line(struct study_curve *curve, const struct study_point *point, const char *line)
{
    static const char *const keys[CURVE_COLUMNS] = {"step", "samples",   NULL,          "loss",    "mse",
                                                    "vb",   "grad_norm", "noise_scale", "seconds", "ranks"};
    int64_t n = curve->n++;
    for (int c = 0; c < CURVE_COLUMNS; c++) curve->column[c][n] = keys[c] ? number_of(line, keys[c]) : NAN;
    double *images = &curve->column[CURVE_IMAGES][n];
    if (isnan(*images)) *images = curve->column[CURVE_STEP][n] * (double)point->config->train.batch_size;
    curve->column[CURVE_FLOPS][n] = 6 * (double)point->macs * *images;
    /* a line has the seconds since the one before, so that the sum passes over the gaps between continuations */
    if (n) curve->column[CURVE_SECONDS][n] += curve->column[CURVE_SECONDS][n - 1];
}

enum iddpm_status curve_read(struct study_curve *curve, const struct study_point *point, const char *path,
                             int64_t *damaged)
{
    char *text;
    size_t lines = 0;
    *curve = (struct study_curve){0};
    *damaged = 0;
    snprintf(curve->point, sizeof curve->point, "%s", point->name);
    TRY(path_read_text(path, FILE_LIMIT, &text));
    for (const char *c = text; *c; c++) lines += *c == '\n';
    enum iddpm_status status = IDDPM_OK;
    for (int c = 0; c < CURVE_COLUMNS && status == IDDPM_OK; c++)
        status = mem_alloc(&curve->column[c], lines, sizeof(double), path);
    char *line = text;
    for (int64_t i = 1; i <= (int64_t)lines && status == IDDPM_OK; i++) {
        char *end = strchr(line, '\n');
        *end = 0;
        if (is_line(line))
            take_line(curve, point, line);
        else if (!*damaged)
            *damaged = i;
        line = end + 1;
    }
    free(text);
    if (status != IDDPM_OK) curve_free(curve);
    return status;
}

/* The first line at or behind a step; the number of lines when there is none. */
static int64_t line_at(const struct study_curve *curve, int64_t step)
{
    int64_t i = 0;
    while (i < curve->n && curve->column[CURVE_STEP][i] < (double)step) i++;
    return i;
}

double curve_seconds(const struct study_curve *curve, int64_t step)
{
    if (!curve || curve->n == 0) return NAN;
    int64_t i = line_at(curve, step);
    if (i == curve->n) i--; /* goes on as fast as before */
    const double *steps = curve->column[CURVE_STEP], *seconds = curve->column[CURVE_SECONDS];
    double from = i ? steps[i - 1] : 0, since = i ? seconds[i - 1] : 0;
    if (steps[i] <= from) return seconds[i];
    return since + (seconds[i] - since) * ((double)step - from) / (steps[i] - from);
}

int64_t curve_ranks(const struct study_curve *curve, int64_t step)
{
    if (!curve || curve->n == 0) return 0;
    int64_t i = line_at(curve, step);
    double ranks = curve->column[CURVE_RANKS][i < curve->n ? i : curve->n - 1];
    return ranks >= 1 && ranks < 1e9 ? (int64_t)ranks : 0;
}
