/* Gathering the results of a study. What was read from a file stays with the file's size and time, so that a file is
 * read again only after it has changed. */
#include "collect.h"

#include "iddpm/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct collection {
    const struct study *study;
    struct study_results *old, *results; /* arrays of `old` go over to `results` */
    size_t capacity;
    int old_row, old_curve; /* where to look first: both are in the study's order */
    struct study_collected *counts;
    bool changed;
};

bool stamp_of(const char *path, struct stamp *stamp)
{
    struct stat info;
    if (stat(path, &info) != 0) return false;
    *stamp = (struct stamp){info.st_size, (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec};
    return true;
}

static void pass_over(struct collection *c)
{
    c->counts->damaged++;
    log_warn("%s; passed over", iddpm_error_text());
}

/* ---- learning curves --------------------------------------------------------------------------------------------- */

static struct study_curve *find_old_curve(struct collection *c, const char *point)
{
    for (int i = 0; i < c->old->n_curves; i++) {
        struct study_curve *curve = &c->old->curves[(c->old_curve + i) % c->old->n_curves];
        if (strcmp(curve->point, point) != 0) continue;
        c->old_curve = (int)(curve - c->old->curves) + 1;
        return curve;
    }
    return NULL;
}

static bool same_curve(const struct study_curve *a, const struct study_curve *b)
{
    bool same = a->n == b->n && a->file_bytes == b->file_bytes && a->file_time == b->file_time;
    for (int c = 0; c < CURVE_COLUMNS && same; c++)
        same = memcmp(a->column[c], b->column[c], (size_t)a->n * sizeof(double)) == 0;
    return same;
}

static void read_curve(struct collection *c, const struct study_point *point, const char *path, struct stamp stamp,
                       const struct study_curve *old)
{
    int64_t damaged;
    struct study_curve *curve = &c->results->curves[c->results->n_curves];
    if (curve_read(curve, point, path, &damaged) != IDDPM_OK) {
        pass_over(c);
        return;
    }
    c->results->n_curves++;
    curve->file_bytes = stamp.bytes;
    curve->file_time = damaged ? 0 : stamp.time; /* so that it is named the next time too */
    if (!old || !same_curve(curve, old)) c->changed = true;
    if (!damaged) return;
    iddpm_error(IDDPM_FAILED, "%s:%lld: this line is damaged", path, (long long)damaged);
    pass_over(c);
}

/* The curve of a point, NULL when it has none. */
static enum iddpm_status collect_curve(struct collection *c, const struct study_point *point,
                                       const struct study_curve **out)
{
    char path[PATH_SIZE];
    struct stamp stamp;
    int n = c->results->n_curves;
    *out = NULL;
    TRY(path_join(path, point->run, "metrics.jsonl"));
    if (!stamp_of(path, &stamp)) return IDDPM_OK;
    struct study_curve *old = find_old_curve(c, point->name);
    if (old && old->file_bytes == stamp.bytes && old->file_time == stamp.time) {
        c->results->curves[c->results->n_curves++] = *old;
        memset(old->column, 0, sizeof old->column);
    } else
        read_curve(c, point, path, stamp, old);
    if (c->results->n_curves > n) *out = &c->results->curves[n];
    return IDDPM_OK;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static struct study_row *find_old_row(struct collection *c, const char *point, const char *evaluation, int64_t step)
{
    for (int i = 0; i < c->old->n; i++) {
        struct study_row *row = &c->old->rows[(c->old_row + i) % c->old->n];
        if (row->step != step || strcmp(row->point, point) != 0 || strcmp(row->evaluation, evaluation) != 0) continue;
        c->old_row = (int)(row - c->old->rows) + 1;
        return row;
    }
    return NULL;
}

/* *row is complete but for what the point adds; *taken: there is one. */
static enum iddpm_status take_row(struct collection *c, struct study_row *row, const char *path, int64_t step,
                                  struct study_row *old, bool *taken)
{
    struct stamp stamp;
    *taken = stamp_of(path, &stamp);
    if (!*taken) return IDDPM_OK;
    if (old && old->file_bytes == stamp.bytes && old->file_time == stamp.time) {
        *row = *old;
        old->totals = old->term_steps = old->terms = NULL;
        return IDDPM_OK;
    }
    enum iddpm_status status = row_read(row, path);
    if (status == IDDPM_OK && row->step != step) {
        status = iddpm_error(IDDPM_FAILED, "%s: this result is of step %lld", path, (long long)row->step);
        row_free(row);
    }
    *taken = status == IDDPM_OK;
    if (!*taken) {
        pass_over(c);
        return IDDPM_OK;
    }
    row->file_bytes = stamp.bytes;
    row->file_time = stamp.time;
    c->counts->added++;
    c->changed = true;
    return IDDPM_OK;
}

static enum iddpm_status collect_steps(struct collection *c, const struct study_point *point,
                                       const struct study_curve *curve, const struct study_evaluation *evaluation,
                                       const char *folder, int n, const int64_t *steps)
{
    struct study_results *results = c->results;
    int first = results->n;
    for (int i = 0; i < n; i++) {
        char path[PATH_SIZE];
        bool taken;
        TRY(checkpoint_path(path, folder, steps[i]));
        TRY(mem_grow(&results->rows, &c->capacity, (size_t)results->n + 1, sizeof *results->rows, "results"));
        struct study_row *row = &results->rows[results->n];
        struct study_row *old = find_old_row(c, point->name, evaluation->name, steps[i]);
        TRY(take_row(c, row, path, steps[i], old, &taken));
        if (!taken) continue;
        snprintf(row->point, sizeof row->point, "%s", point->name);
        snprintf(row->evaluation, sizeof row->evaluation, "%s", evaluation->name);
        row_complete(row, point, curve);
        row_difference(row, results->n > first ? row - 1 : NULL);
        results->n++;
    }
    return IDDPM_OK;
}

static enum iddpm_status collect_evaluation(struct collection *c, const struct study_point *point,
                                            const struct study_curve *curve, const struct study_evaluation *evaluation)
{
    char all[PATH_SIZE], folder[PATH_SIZE];
    int64_t *steps;
    int n;
    TRY(path_join(all, point->run, "nll"));
    TRY(path_join(folder, all, evaluation->name));
    if (!path_is_folder(folder)) return IDDPM_OK;
    if (checkpoint_list(folder, &steps, &n) != IDDPM_OK) {
        pass_over(c);
        return IDDPM_OK;
    }
    enum iddpm_status status = collect_steps(c, point, curve, evaluation, folder, n, steps);
    free(steps);
    return status;
}

static enum iddpm_status collect_point(struct collection *c, const struct study_point *point)
{
    const struct study_curve *curve;
    TRY(collect_curve(c, point, &curve));
    for (int e = 0; e < c->study->n_evaluations; e++)
        if (c->study->evaluations[e].kind == STUDY_NLL)
            TRY(collect_evaluation(c, point, curve, &c->study->evaluations[e]));
    return IDDPM_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* A row of an evaluation, and its point. */
struct measured {
    const struct study_row *row;
    const struct study_point *point;
};

static enum iddpm_status match(const struct study_evaluation *evaluation, struct measured a, struct measured b)
{
    return row_match(evaluation, a.row, b.row, (const struct study_point *const[]){a.point, b.point});
}

/* Each row against the study file, the row before, which may be of its point, the first of the evaluation, and the
 * first on its data set. firsts[points] is room for those. */
static enum iddpm_status check_rows(const struct collection *c, const struct study_evaluation *evaluation,
                                    struct measured *firsts)
{
    struct measured now = {NULL, c->study->points}, before = {0};
    int n = 0;
    for (int i = 0; i < c->results->n; i++) {
        now.row = &c->results->rows[i];
        while (strcmp(now.point->name, now.row->point) != 0) now.point++; /* rows are in the study's order */
        if (strcmp(now.row->evaluation, evaluation->name) != 0) continue;
        TRY(row_is_wanted(evaluation, now.row, now.point));
        if (before.row) TRY(match(evaluation, before, now));
        before = now;
        int k = 0;
        while (k < n && !have_same_data(evaluation, firsts[k].point, now.point)) k++;
        if (k == n) firsts[n++] = now;
        TRY(match(evaluation, firsts[k], now));
        TRY(match(evaluation, firsts[0], now));
    }
    return IDDPM_OK;
}

static enum iddpm_status check_mixing(const struct collection *c)
{
    struct measured *firsts;
    enum iddpm_status status = IDDPM_OK;
    TRY(mem_alloc(&firsts, (size_t)c->study->n_points, sizeof *firsts, "rows to compare"));
    for (int e = 0; e < c->study->n_evaluations && status == IDDPM_OK; e++)
        status = check_rows(c, &c->study->evaluations[e], firsts);
    free(firsts);
    return status;
}

static bool same_row(const struct study_row *a, const struct study_row *b)
{
    int n;
    const struct column *columns = result_columns(&n);
    for (int i = 0; i < n; i++) {
        const char *x = (const char *)a + columns[i].offset, *y = (const char *)b + columns[i].offset;
        bool text = columns[i].kind == COLUMN_TEXT;
        if (text ? strcmp(x, y) != 0 : memcmp(x, y, columns[i].size) != 0) return false;
    }
    return true;
}

/* Nothing new was read; but files may be gone, or the study another. */
static bool is_as_before(const struct collection *c)
{
    const struct study_results *old = c->old, *now = c->results;
    if (c->changed || old->n != now->n || old->n_curves != now->n_curves) return false;
    for (int i = 0; i < now->n; i++)
        if (!same_row(&old->rows[i], &now->rows[i])) return false;
    for (int i = 0; i < now->n_curves; i++)
        if (strcmp(old->curves[i].point, now->curves[i].point) != 0) return false;
    return true;
}

static enum iddpm_status open_old(struct collection *c)
{
    enum iddpm_status status = results_read(&c->old, c->study->folder);
    if (status == IDDPM_OK) return status;
    c->changed = true;
    if (status == IDDPM_FAILED) log_warn("%s; everything is read again", iddpm_error_text());
    return mem_alloc(&c->old, 1, sizeof *c->old, "results");
}

static enum iddpm_status collect(struct collection *c, bool mixed)
{
    const struct study *study = c->study;
    TRY(open_old(c));
    TRY(mem_alloc(&c->results, 1, sizeof *c->results, "results"));
    TRY(mem_alloc(&c->results->curves, (size_t)study->n_points, sizeof *c->results->curves, "results"));
    for (int p = 0; p < study->n_points; p++) TRY(collect_point(c, &study->points[p]));
    if (!mixed) TRY(check_mixing(c));
    c->counts->rows = c->results->n;
    if (!is_as_before(c)) TRY(results_write(study->folder, c->results));
    return results_write_csv(study, c->results);
}

enum iddpm_status study_collect(const struct study *study, bool mixed, struct study_collected *out)
{
    struct collection c = {.study = study, .counts = out};
    *out = (struct study_collected){0};
    if (!path_is_folder(study->folder))
        return iddpm_error(IDDPM_USAGE, "%s: there is no such study folder yet: iddpm study submit makes it",
                           study->folder);
    /* Two at once would meet in their temporary files. Where a file system has no such locks, so be it. */
    int lock = open(study->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock >= 0) flock(lock, LOCK_EX);
    enum iddpm_status status = collect(&c, mixed);
    if (lock >= 0) close(lock);
    study_results_destroy(c.old);
    study_results_destroy(c.results);
    return status;
}
