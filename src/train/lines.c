#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_LIMIT = 1 << 30, FILES_MAX = 4 };

static int append(const struct lines *lines)
{
    const char *text = lines->text;
    size_t length = lines->length;
    while (length) {
        ssize_t n = write(lines->file, text, length);
        if (n < 0 && errno != EINTR) return errno;
        if (n > 0) text += n, length -= (size_t)n;
    }
    return 0;
}

enum iddpm_status lines_append(int n, const struct lines *lines)
{
    off_t before[FILES_MAX];
    int error = 0;
    for (int i = 0; i < n; i++) before[i] = lseek(lines[i].file, 0, SEEK_END);
    for (int i = 0; i < n && !error; i++) error = append(&lines[i]);
    for (int i = 0; i < n && error; i++)
        if (ftruncate(lines[i].file, before[i]) != 0)
            log_warn("%s: half a line stays: %s", lines[i].name, strerror(errno));
    if (!error) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s%s%s: cannot write: %s", lines[0].name, n > 1 ? " or " : "",
                       n > 1 ? lines[1].name : "", strerror(error));
}

/* The step of a line, behind `prefix`; -1 for anything else. */
static int64_t line_step(const char *line, const char *prefix)
{
    size_t length = strlen(prefix);
    if (strncmp(line, prefix, length) != 0 || line[length] < '0' || line[length] > '9') return -1;
    return strtoll(line + length, NULL, 10);
}

/* ",ranks,...": what the table's heading lacks of the one that is written today, or "". */
static const char *missing_columns(const char *table, const char *today)
{
    size_t length = strcspn(table, "\n");
    bool older = table[length] && length < strlen(today) && strncmp(table, today, length) == 0;
    return older && today[length] == ',' ? today + length : "";
}

static void copy_lines(FILE *out, const char *text, const char *prefix, const char *heading, int64_t step, bool *there)
{
    const char *missing = heading ? missing_columns(text, heading) : "";
    for (const char *from = text, *end; (end = strchr(from, '\n')); from = end + 1) {
        int64_t at = line_step(from, prefix);
        bool first = heading && from == text;
        if (!first && (at < 0 || at > step)) continue;
        *there |= !first && at == step;
        fwrite(from, 1, (size_t)(end - from), out);
        for (const char *c = missing; *c && *c != '\n'; c++)
            if (first || *c == ',') fputc(*c, out);
        fputc('\n', out);
    }
}

enum iddpm_status lines_cut_back(struct owner *owner, const char *path, const char *prefix, const char *heading,
                                 int64_t step, bool *there)
{
    char *text, *kept = NULL;
    size_t size;
    bool found = false;
    if (there) *there = false;
    if (!path_exists(path)) return IDDPM_OK;
    TRY(path_read_text(path, FILE_LIMIT, &text));
    FILE *out = open_memstream(&kept, &size);
    if (out) copy_lines(out, text, prefix, heading, step, &found);
    bool whole = out && !ferror(out);
    whole = out && fclose(out) == 0 && whole;
    free(text);
    enum iddpm_status status = whole ? owner_check(owner) : iddpm_error(IDDPM_FAILED, "%s: no memory for it", path);
    if (status == IDDPM_OK) status = path_write_text(path, kept);
    free(kept);
    if (there) *there = found;
    return status;
}
