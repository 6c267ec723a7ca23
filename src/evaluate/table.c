#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 30 };

struct heading {
    int at[TABLE_COLUMNS_MAX], label; /* numbers of fields, -1 where there is none */
};

/* The next field of *line, cut off; NULL behind the last one. */
static char *next_field(char **line)
{
    char *field = strsep(line, ",");
    if (field) field[strcspn(field, "\r")] = 0;
    return field;
}

static struct heading read_heading(char *line, int columns, const char *const *names, const char *label)
{
    struct heading heading = {.label = -1};
    for (int c = 0; c < columns; c++) heading.at[c] = -1;
    char *field;
    for (int i = 0; (field = next_field(&line)); i++) {
        for (int c = 0; c < columns; c++)
            if (strcmp(field, names[c]) == 0) heading.at[c] = i;
        if (label && strcmp(field, label) == 0) heading.label = i;
    }
    return heading;
}

static void read_row(char *line, const struct heading *heading, int columns, struct table *table)
{
    char *field, *end;
    for (int c = 0; c < columns; c++) table->column[c][table->n] = NAN;
    if (table->label) table->label[table->n] = "";
    for (int i = 0; (field = next_field(&line)); i++) {
        if (table->label && heading->label == i) table->label[table->n] = field;
        for (int c = 0; c < columns; c++) {
            double value = strtod(field, &end);
            if (heading->at[c] == i && end != field && !*end) table->column[c][table->n] = value;
        }
    }
    table->n += isfinite(table->column[0][table->n]);
}

static enum iddpm_status create(struct table *table, const char *path, int columns, bool labels)
{
    size_t lines = 1;
    for (const char *p = table->text; *p; p++) lines += *p == '\n';
    for (int c = 0; c < columns; c++) TRY(mem_alloc(&table->column[c], lines, sizeof(double), path));
    return labels ? mem_alloc(&table->label, lines, sizeof *table->label, path) : IDDPM_OK;
}

enum iddpm_status table_read(struct table *table, const char *path, int columns, const char *const *names, int needed,
                             const char *label, const char *what)
{
    *table = (struct table){0};
    TRY(path_read_text(path, FILE_LIMIT, &table->text));
    TRY(create(table, path, columns, label != NULL));
    char *rest = table->text, *line = strsep(&rest, "\n");
    const struct heading heading = read_heading(line, columns, names, label);
    bool complete = !label || heading.label >= 0;
    for (int c = 0; c < needed; c++) complete &= heading.at[c] >= 0;
    if (!complete)
        return iddpm_error(IDDPM_FAILED, "%s: has no columns %s and %s; is it the %s?", path, names[0],
                           names[needed - 1], what);
    while ((line = strsep(&rest, "\n"))) read_row(line, &heading, columns, table);
    return IDDPM_OK;
}

void table_destroy(struct table *table)
{
    for (int c = 0; c < TABLE_COLUMNS_MAX; c++) free(table->column[c]);
    free(table->label);
    free(table->text);
}

bool table_has(const struct table *table, int column)
{
    for (size_t i = 0; i < table->n; i++)
        if (table->column[column][i] > 0) return true;
    return false;
}
