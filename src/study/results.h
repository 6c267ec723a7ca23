/* Private to src/study: collected results as files. */
#ifndef IDDPM_STUDY_RESULTS_H
#define IDDPM_STUDY_RESULTS_H

#include "iddpm/study.h"

/* Writes STUDY/results.h5, and reads it: IDDPM_USAGE when it is not there. */
enum iddpm_status results_write(const char *folder, const struct study_results *results);
enum iddpm_status results_read(struct study_results **out, const char *folder);
/* STUDY/results.csv, with the values of each point, and STUDY/metrics.csv; a file that says the same already stays. */
enum iddpm_status results_write_csv(const struct study *study, const struct study_results *results);

void row_free(struct study_row *row);
void curve_free(struct study_curve *curve);

/* The members of a row that are one value. */
struct column {
    const char *name;
    enum column_kind { COLUMN_TEXT, COLUMN_NUMBER, COLUMN_INTEGER, COLUMN_FLAG } kind;
    size_t offset, size;
    bool internal; /* not in the CSV file */
};
const struct column *result_columns(int *n);
/* Such a member as text, "" when unknown. */
#define COLUMN_SIZE 192
const char *column_text(const struct column *column, const struct study_row *row, char out[COLUMN_SIZE]);
/* Of the columns of a curve. */
const char *curve_column_name(enum study_curve_column column);

/* ---- text files (csv.c) ------------------------------------------------------------------------------------------ */

/* As path_write_text, unless the file says the same already. */
enum iddpm_status text_write_if_new(const char *path, const char *text);

/* A table that is written whole, and only when it is to change. */
struct csv {
    FILE *stream; /* of the text so far */
    char *text;
    size_t length;
};
enum iddpm_status csv_begin(struct csv *csv);
/* A field and, unless it is the first of a line, the comma before it; with quotes where CSV needs them. */
void csv_text(struct csv *csv, bool first, const char *text);
void csv_number(struct csv *csv, bool first, double value); /* empty for NAN */
/* Writes STUDY/NAME, in any case the text is gone. `status`: of what came before; after a failure nothing is written.
 */
enum iddpm_status csv_end(struct csv *csv, enum iddpm_status status, const char *folder, const char *name);

#endif
