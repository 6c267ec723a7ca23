/* Tables as text. */
#include "results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum iddpm_status csv_begin(struct csv *csv)
{
    csv->stream = open_memstream(&csv->text, &csv->length);
    return csv->stream ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "no memory for a table");
}

void csv_text(struct csv *csv, bool first, const char *text)
{
    if (!first) fputc(',', csv->stream);
    if (!text[strcspn(text, ",\"\n\r")]) {
        fputs(text, csv->stream);
        return;
    }
    fputc('"', csv->stream);
    for (; *text; text++) {
        if (*text == '"') fputc('"', csv->stream);
        fputc(*text, csv->stream);
    }
    fputc('"', csv->stream);
}

void csv_number(struct csv *csv, bool first, double value)
{
    if (!first) fputc(',', csv->stream);
    if (isfinite(value)) fprintf(csv->stream, "%.10g", value);
}

enum iddpm_status text_write_if_new(const char *path, const char *text)
{
    char *there = NULL;
    bool same = path_exists(path) && path_read_text(path, strlen(text) + 1, &there) == IDDPM_OK && !strcmp(there, text);
    free(there);
    return same ? IDDPM_OK : path_write_text(path, text);
}

enum iddpm_status csv_end(struct csv *csv, enum iddpm_status status, const char *folder, const char *name)
{
    char path[PATH_SIZE];
    bool whole = !ferror(csv->stream);
    whole = fclose(csv->stream) == 0 && whole;
    if (status == IDDPM_OK) status = path_join(path, folder, name);
    if (status == IDDPM_OK && !whole) status = iddpm_error(IDDPM_FAILED, "%s: no memory for the table", path);
    if (status == IDDPM_OK) status = text_write_if_new(path, csv->text);
    free(csv->text);
    return status;
}
