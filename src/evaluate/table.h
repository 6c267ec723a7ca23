/* Private to src/evaluate: columns of a CSV file by the names in its heading. */
#ifndef IDDPM_EVALUATE_TABLE_H
#define IDDPM_EVALUATE_TABLE_H

#include "iddpm/base.h"

enum { TABLE_COLUMNS_MAX = 8 };

struct table {
    size_t n;                          /* rows */
    double *column[TABLE_COLUMNS_MAX]; /* numbers, as asked for; NAN where there is none */
    char **label;                      /* the column of texts, or NULL */
    char *text;                        /* private: what labels lie in */
};
/* Rows whose first column is a number. names[columns] may stand in any order there; the first `needed` of them must,
 * else IDDPM_FAILED. `label`: a column of texts, which must be there too, or NULL. `what`: the file's name for the
 * error, "progress.csv of a run". To be destroyed after an error too. */
enum iddpm_status table_read(struct table *table, const char *path, int columns, const char *const *names, int needed,
                             const char *label, const char *what);
void table_destroy(struct table *table);
/* Whether a column has a positive number. */
bool table_has(const struct table *table, int column);

#endif
