/* What was collected as tables for people and other programs. */
#include "names.h"
#include "results.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- keys that differ between points ----------------------------------------------------------------------------- */

struct keys {
    const char **v;
    int n;
    size_t capacity;
};

static enum iddpm_status add_key(struct keys *keys, const char *key)
{
    for (int i = 0; i < keys->n; i++)
        if (strcmp(keys->v[i], key) == 0) return IDDPM_OK;
    TRY(mem_grow(&keys->v, &keys->capacity, (size_t)keys->n + 1, sizeof *keys->v, "keys of a study"));
    keys->v[keys->n++] = key;
    return IDDPM_OK;
}

static enum iddpm_status collect_keys(const struct study *study, struct keys *keys)
{
    for (int p = 0; p < study->n_points; p++)
        for (int i = 0; i < study->points[p].n_values; i++) TRY(add_key(keys, study->points[p].values[i].key));
    return IDDPM_OK;
}

/* ---- results.csv ------------------------------------------------------------------------------------------------- */

static void put_row(struct csv *csv, const struct study_point *point, const struct keys *keys,
                    const struct study_row *row)
{
    char text[COLUMN_SIZE];
    int n;
    const struct column *columns = result_columns(&n);
    for (int c = 0; c < n; c++)
        if (!columns[c].internal) csv_text(csv, c == 0, column_text(&columns[c], row, text));
    for (int k = 0; k < keys->n; k++) csv_text(csv, false, point ? point_value(point, keys->v[k]) : "");
    fputc('\n', csv->stream);
}

static void put_rows(struct csv *csv, const struct study *study, const struct study_results *results,
                     const struct keys *keys)
{
    int n, p = 0;
    const struct column *columns = result_columns(&n);
    for (int c = 0; c < n; c++)
        if (!columns[c].internal) csv_text(csv, c == 0, columns[c].name);
    for (int k = 0; k < keys->n; k++) csv_text(csv, false, keys->v[k]);
    fputc('\n', csv->stream);
    for (int i = 0; i < results->n; i++) {
        while (p < study->n_points && strcmp(study->points[p].name, results->rows[i].point) != 0) p++;
        put_row(csv, p < study->n_points ? &study->points[p] : NULL, keys, &results->rows[i]);
    }
}

/* ---- metrics.csv ------------------------------------------------------------------------------------------------- */

static void put_curves(struct csv *csv, const struct study_results *results)
{
    csv_text(csv, true, "point");
    for (int c = 0; c < CURVE_COLUMNS; c++) csv_text(csv, false, curve_column_name(c));
    fputc('\n', csv->stream);
    for (int i = 0; i < results->n_curves; i++)
        for (int64_t line = 0; line < results->curves[i].n; line++) {
            csv_text(csv, true, results->curves[i].point);
            for (int c = 0; c < CURVE_COLUMNS; c++) csv_number(csv, false, results->curves[i].column[c][line]);
            fputc('\n', csv->stream);
        }
}

enum iddpm_status results_write_csv(const struct study *study, const struct study_results *results)
{
    struct keys keys = {0};
    struct csv csv;
    enum iddpm_status status = collect_keys(study, &keys);
    if (status == IDDPM_OK) status = csv_begin(&csv);
    if (status == IDDPM_OK) {
        put_rows(&csv, study, results, &keys);
        status = csv_end(&csv, status, study->folder, "results.csv");
    }
    free(keys.v);
    TRY(status);
    TRY(csv_begin(&csv));
    put_curves(&csv, results);
    return csv_end(&csv, IDDPM_OK, study->folder, "metrics.csv");
}
