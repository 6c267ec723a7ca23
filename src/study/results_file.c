/* STUDY/results.h5. Every member of a row is an array rows/NAME over the rows; a text is an index into the lines of the
 * file's attribute of that name. Arrays of rows (totals, terms) and of curves stand one behind the other in one long
 * array each, whose parts rows/evaluated_images, rows/n_terms and curves/n tell. */
#include "results.h"

#include "iddpm/store.h"

#include <stdlib.h>
#include <string.h>

#define FILE_NAME "results.h5"
enum { TEXTS_MAX = 8, ARRAYS_MAX = 64 };

/* ---- texts as lines ---------------------------------------------------------------------------------------------- */

struct lines {
    const char **v;
    int n;
    size_t capacity;
    int last; /* rows with one text stand together */
};

static enum iddpm_status lines_find(struct lines *lines, const char *text, int32_t *at)
{
    if (!lines->n || strcmp(lines->v[lines->last], text) != 0) {
        int i = 0;
        while (i < lines->n && strcmp(lines->v[i], text) != 0) i++;
        if (i == lines->n) {
            TRY(mem_grow(&lines->v, &lines->capacity, (size_t)i + 1, sizeof *lines->v, "texts of results"));
            lines->v[lines->n++] = text;
        }
        lines->last = i;
    }
    *at = lines->last;
    return IDDPM_OK;
}

static enum iddpm_status lines_join(const struct lines *lines, const char **out)
{
    size_t size = 1;
    for (int i = 0; i < lines->n; i++) size += strlen(lines->v[i]) + 1;
    char *text;
    TRY(mem_alloc(&text, size, 1, "texts of results"));
    *out = text;
    for (int i = 0; i < lines->n; i++) text += sprintf(text, "%s%s", i ? "\n" : "", lines->v[i]);
    return IDDPM_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

struct writer {
    struct store_array arrays[ARRAYS_MAX];
    char names[ARRAYS_MAX][64];
    struct store_attribute texts[TEXTS_MAX];
    int n_arrays, n_texts;
};

static void writer_free(struct writer *w)
{
    for (int i = 0; i < w->n_arrays; i++) free(w->arrays[i].data);
    for (int i = 0; i < w->n_texts; i++) free((char *)w->texts[i].text);
    free(w);
}

static enum iddpm_status add_array(struct writer *w, const char *group, const char *name, enum store_type type,
                                   size_t n, void *out)
{
    void **data = out;
    struct store_array *array = &w->arrays[w->n_arrays];
    snprintf(w->names[w->n_arrays], sizeof *w->names, "%s/%s", group, name);
    *array = (struct store_array){.path = w->names[w->n_arrays], .type = type, .ndim = 1, .dims = {n}};
    TRY(mem_alloc(&array->data, n, store_type_bytes(type), "results"));
    *data = array->data;
    w->n_arrays++;
    return IDDPM_OK;
}

/* n texts, `stride` bytes apart, as indices in GROUP/NAME and lines in the attribute `attribute`. */
static enum iddpm_status add_texts(struct writer *w, const char *group, const char *name, const char *attribute, int n,
                                   const char *first, size_t stride)
{
    struct lines lines = {0};
    int32_t *index;
    TRY(add_array(w, group, name, STORE_I32, (size_t)n, &index));
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < n && status == IDDPM_OK; i++)
        status = lines_find(&lines, first + (size_t)i * stride, &index[i]);
    struct store_attribute *text = &w->texts[w->n_texts];
    *text = (struct store_attribute){.name = attribute, .kind = STORE_TEXT};
    if (status == IDDPM_OK) status = lines_join(&lines, &text->text);
    w->n_texts += status == IDDPM_OK;
    free(lines.v);
    return status;
}

static enum iddpm_status add_column(struct writer *w, const struct study_results *results, const struct column *column)
{
    const char *first = (const char *)results->rows + column->offset;
    size_t n = (size_t)results->n, stride = sizeof *results->rows;
    if (column->kind == COLUMN_TEXT) return add_texts(w, "rows", column->name, column->name, results->n, first, stride);
    bool number = column->kind == COLUMN_NUMBER;
    char *data;
    TRY(add_array(w, "rows", column->name, number ? STORE_F64 : STORE_I64, n, &data));
    for (size_t i = 0; i < n; i++) {
        const char *from = first + i * stride;
        if (column->kind == COLUMN_FLAG)
            ((int64_t *)(void *)data)[i] = *(const bool *)from;
        else
            memcpy(data + 8 * i, from, 8);
    }
    return IDDPM_OK;
}

static enum iddpm_status add_long(struct writer *w, const struct study_results *results)
{
    size_t totals = 0, terms = 0;
    double *to[3];
    for (int i = 0; i < results->n; i++) {
        totals += (size_t)results->rows[i].n_totals;
        terms += (size_t)results->rows[i].n_terms;
    }
    TRY(add_array(w, "rows", "totals", STORE_F64, totals, &to[0]));
    TRY(add_array(w, "rows", "term_steps", STORE_F64, terms, &to[1]));
    TRY(add_array(w, "rows", "terms", STORE_F64, terms, &to[2]));
    for (int i = 0; i < results->n; i++) {
        const struct study_row *row = &results->rows[i];
        const double *from[3] = {row->totals, row->term_steps, row->terms};
        for (int k = 0; k < 3; k++) {
            size_t n = (size_t)(k ? row->n_terms : row->n_totals);
            if (n) memcpy(to[k], from[k], n * sizeof(double));
            to[k] += n;
        }
    }
    return IDDPM_OK;
}

static enum iddpm_status add_curves(struct writer *w, const struct study_results *results)
{
    size_t curves = (size_t)results->n_curves, lines = 0;
    int64_t *n, *bytes, *time;
    const char *first = results->n_curves ? results->curves->point : NULL;
    TRY(add_texts(w, "curves", "point", "curve_point", results->n_curves, first, sizeof *results->curves));
    TRY(add_array(w, "curves", "n", STORE_I64, curves, &n));
    TRY(add_array(w, "curves", "file_bytes", STORE_I64, curves, &bytes));
    TRY(add_array(w, "curves", "file_time", STORE_I64, curves, &time));
    for (size_t i = 0; i < curves; i++) {
        n[i] = results->curves[i].n;
        bytes[i] = results->curves[i].file_bytes;
        time[i] = results->curves[i].file_time;
        lines += (size_t)n[i];
    }
    for (int c = 0; c < CURVE_COLUMNS; c++) {
        double *to;
        TRY(add_array(w, "curves", curve_column_name(c), STORE_F64, lines, &to));
        for (size_t i = 0; i < curves; to += n[i++])
            if (n[i]) memcpy(to, results->curves[i].column[c], (size_t)n[i] * sizeof *to);
    }
    return IDDPM_OK;
}

static enum iddpm_status add_all(struct writer *w, const struct study_results *results)
{
    int n;
    const struct column *columns = result_columns(&n);
    for (int c = 0; c < n; c++) TRY(add_column(w, results, &columns[c]));
    TRY(add_long(w, results));
    return add_curves(w, results);
}

enum iddpm_status results_write(const char *folder, const struct study_results *results)
{
    char path[PATH_SIZE];
    struct writer *w;
    TRY(path_join(path, folder, FILE_NAME));
    TRY(mem_alloc(&w, 1, sizeof *w, "results"));
    enum iddpm_status status = add_all(w, results);
    if (status == IDDPM_OK) status = store_write(path, w->n_arrays, w->arrays, w->n_texts, w->texts);
    writer_free(w);
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* A one-dimensional array; of n elements unless n is -1. */
static enum iddpm_status read_array(const char *path, const char *group, const char *name, enum store_type type,
                                    int64_t n, struct store_array *array)
{
    char inside[64];
    snprintf(inside, sizeof inside, "%s/%s", group, name);
    TRY(store_read(path, inside, type, array));
    if (array->ndim == 1 && (n < 0 || array->dims[0] == (uint64_t)n)) return IDDPM_OK;
    free(array->data);
    return iddpm_error(IDDPM_FAILED, "%s: %s has not the length that belongs to the others", path, inside);
}

static enum iddpm_status spread_texts(const char *path, char *lines, int n, const int32_t *index, char *first,
                                      size_t stride, size_t size)
{
    struct lines list = {0};
    enum iddpm_status status = IDDPM_OK;
    for (char *line; status == IDDPM_OK && (line = strsep(&lines, "\n"));) {
        status = mem_grow(&list.v, &list.capacity, (size_t)list.n + 1, sizeof *list.v, path);
        if (status == IDDPM_OK) list.v[list.n++] = line;
    }
    for (int i = 0; i < n && status == IDDPM_OK; i++)
        if (index[i] < 0 || index[i] >= list.n)
            status = iddpm_error(IDDPM_FAILED, "%s: a text is missing", path);
        else
            snprintf(first + (size_t)i * stride, size, "%s", list.v[index[i]]);
    free(list.v);
    return status;
}

static enum iddpm_status read_texts(const char *path, const char *group, const char *name, const char *attribute, int n,
                                    char *first, size_t stride, size_t size)
{
    char *lines;
    struct store_array index;
    TRY(store_read_text(path, "/", attribute, &lines));
    enum iddpm_status status = read_array(path, group, name, STORE_I32, n, &index);
    if (status == IDDPM_OK) {
        status = spread_texts(path, lines, n, index.data, first, stride, size);
        free(index.data);
    }
    free(lines);
    return status;
}

static enum iddpm_status read_column(const char *path, struct study_results *results, const struct column *column)
{
    char *first = (char *)results->rows + column->offset;
    size_t stride = sizeof *results->rows;
    if (column->kind == COLUMN_TEXT)
        return read_texts(path, "rows", column->name, column->name, results->n, first, stride, column->size);
    struct store_array array;
    bool number = column->kind == COLUMN_NUMBER;
    TRY(read_array(path, "rows", column->name, number ? STORE_F64 : STORE_I64, results->n, &array));
    for (int i = 0; i < results->n; i++) {
        char *to = first + (size_t)i * stride;
        if (column->kind == COLUMN_FLAG)
            *(bool *)to = ((const int64_t *)array.data)[i] != 0;
        else
            memcpy(to, (const char *)array.data + 8 * (size_t)i, 8);
    }
    free(array.data);
    return IDDPM_OK;
}

/* Deals a long array out to the rows or curves: item i has counts[i] of it, put where to(i) points. */
static enum iddpm_status deal(const char *path, const char *group, const char *name, int n, const int64_t *counts,
                              char *first, size_t stride)
{
    struct store_array array;
    int64_t total = 0;
    for (int i = 0; i < n; i++) {
        if (counts[i] < 0 || counts[i] > INT32_MAX)
            return iddpm_error(IDDPM_FAILED, "%s: %s/%s: a length is damaged", path, group, name);
        total += counts[i];
    }
    TRY(read_array(path, group, name, STORE_F64, total, &array));
    const double *from = array.data;
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < n && status == IDDPM_OK; from += counts[i++]) {
        double **to = (double **)(void *)(first + (size_t)i * stride);
        size_t count = (size_t)counts[i];
        status = mem_alloc(to, count, sizeof **to, path);
        if (status == IDDPM_OK && count) memcpy(*to, from, count * sizeof **to);
    }
    free(array.data);
    return status;
}

static enum iddpm_status read_long(const char *path, struct study_results *results)
{
    int n = results->n;
    struct study_row *rows = results->rows;
    int64_t *counts;
    TRY(mem_alloc(&counts, (size_t)n, sizeof *counts, path));
    for (int i = 0; i < n; i++) counts[i] = rows[i].n_totals;
    enum iddpm_status status = deal(path, "rows", "totals", n, counts, (char *)&rows->totals, sizeof *rows);
    for (int i = 0; i < n; i++) counts[i] = rows[i].n_terms;
    if (status == IDDPM_OK)
        status = deal(path, "rows", "term_steps", n, counts, (char *)&rows->term_steps, sizeof *rows);
    if (status == IDDPM_OK) status = deal(path, "rows", "terms", n, counts, (char *)&rows->terms, sizeof *rows);
    free(counts);
    return status;
}

static enum iddpm_status read_rows(const char *path, struct study_results *results)
{
    struct store_array step;
    TRY(read_array(path, "rows", "step", STORE_I64, -1, &step));
    free(step.data);
    TRY(mem_alloc(&results->rows, step.dims[0], sizeof *results->rows, path));
    results->n = (int)step.dims[0];
    int n;
    const struct column *columns = result_columns(&n);
    for (int c = 0; c < n; c++) TRY(read_column(path, results, &columns[c]));
    return read_long(path, results);
}

static enum iddpm_status read_curves(const char *path, struct study_results *results)
{
    struct store_array counts, bytes = {0}, time = {0};
    TRY(read_array(path, "curves", "n", STORE_I64, -1, &counts));
    int n = (int)counts.dims[0];
    enum iddpm_status status = mem_alloc(&results->curves, (size_t)n, sizeof *results->curves, path);
    if (status == IDDPM_OK) results->n_curves = n;
    struct study_curve *curves = results->curves;
    if (status == IDDPM_OK) status = read_array(path, "curves", "file_bytes", STORE_I64, n, &bytes);
    if (status == IDDPM_OK) status = read_array(path, "curves", "file_time", STORE_I64, n, &time);
    for (int i = 0; i < n && status == IDDPM_OK; i++) {
        curves[i].n = ((const int64_t *)counts.data)[i];
        curves[i].file_bytes = ((const int64_t *)bytes.data)[i];
        curves[i].file_time = ((const int64_t *)time.data)[i];
    }
    for (int c = 0; c < CURVE_COLUMNS && status == IDDPM_OK; c++)
        status = deal(path, "curves", curve_column_name(c), n, counts.data, (char *)&curves->column[c], sizeof *curves);
    if (status == IDDPM_OK)
        status = read_texts(path, "curves", "point", "curve_point", n, (char *)curves, sizeof *curves, STUDY_NAME);
    free(counts.data);
    free(bytes.data);
    free(time.data);
    return status;
}

enum iddpm_status results_read(struct study_results **out, const char *folder)
{
    char path[PATH_SIZE];
    *out = NULL;
    TRY(path_join(path, folder, FILE_NAME));
    if (!path_exists(path))
        return iddpm_error(IDDPM_USAGE, "%s: nothing was collected yet: iddpm study collect does it", path);
    TRY(mem_alloc(out, 1, sizeof **out, path));
    enum iddpm_status status = read_rows(path, *out);
    if (status == IDDPM_OK) status = read_curves(path, *out);
    if (status == IDDPM_OK) return IDDPM_OK;
    study_results_destroy(*out);
    *out = NULL;
    return status;
}

enum iddpm_status study_results_read(struct study_results **out, const struct study *study)
{
    return results_read(out, study->folder);
}
