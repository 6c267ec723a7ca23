#include "jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define JOBS_MAX ((size_t)256 << 20)
#define HEADING "time,job,index,point,task,log\n"

static int by_task(const void *a, const void *b)
{
    const struct job_row *p = a, *q = b;
    int d = strcmp(p->point, q->point);
    if (d == 0) d = strcmp(p->task, q->task);
    return d ? d : p->order - q->order;
}

/* Cuts the line into its fields; names and paths have no commas. False when it has not all of them. */
static bool read_row(char *line, struct job_row *row)
{
    char *fields[6] = {line};
    int n = 1;
    for (char *c = line; *c; c++)
        if (*c == ',' && n < 6) *c = 0, fields[n++] = c + 1;
    if (n < 6 || !text_integer(fields[2], &row->index)) return false;
    row->time = fields[0], row->job = fields[1], row->point = fields[3], row->task = fields[4], row->log = fields[5];
    return true;
}

enum iddpm_status jobs_read(struct jobs *jobs, const char *folder)
{
    char path[PATH_SIZE];
    size_t capacity = 0;
    *jobs = (struct jobs){0};
    TRY(path_join(path, folder, "jobs.csv"));
    if (!path_exists(path)) return IDDPM_OK;
    TRY(path_read_text(path, JOBS_MAX, &jobs->text));
    for (char *line = jobs->text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        TRY(mem_grow(&jobs->rows, &capacity, (size_t)jobs->n + 1, sizeof *jobs->rows, "jobs of a study"));
        if (!read_row(line, &jobs->rows[jobs->n])) continue;
        jobs->rows[jobs->n].order = jobs->n;
        jobs->newest = jobs->rows[jobs->n++];
    }
    if (jobs->n > 0) qsort(jobs->rows, (size_t)jobs->n, sizeof *jobs->rows, by_task);
    return IDDPM_OK;
}

void jobs_free(struct jobs *jobs)
{
    free(jobs->rows);
    free(jobs->text);
}

const struct job_row *jobs_find(const struct jobs *jobs, const char *point, const char *task)
{
    int low = 0, high = jobs->n; /* the first row behind those of the task */
    const struct job_row wanted = {.point = point, .task = task, .order = jobs->n};
    while (low < high) {
        int middle = (low + high) / 2;
        if (by_task(&jobs->rows[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const struct job_row *row = low > 0 ? &jobs->rows[low - 1] : NULL;
    return row && strcmp(row->point, point) == 0 && strcmp(row->task, task) == 0 ? row : NULL;
}

enum iddpm_status jobs_append(const char *folder, const struct job_row *row)
{
    char path[PATH_SIZE], line[2 * PATH_SIZE];
    TRY(path_join(path, folder, "jobs.csv"));
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666), error = fd < 0 ? errno : 0;
    if (!error) {
        off_t size = lseek(fd, 0, SEEK_END);
        bool cut = size > 0 && pread(fd, line, 1, size - 1) == 1 && *line != '\n'; /* by a full disk */
        int n = snprintf(line, sizeof line, "%s%s,%s,%lld,%s,%s,%s\n",
                         size == 0 ? HEADING
                         : cut     ? "\n"
                                   : "",
                         row->time, row->job, (long long)row->index, row->point, row->task, row->log);
        if (write(fd, line, (size_t)n) != n) error = errno ? errno : ENOSPC;
        if (close(fd) != 0 && !error) error = errno;
    }
    return error ? iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", path, strerror(error)) : IDDPM_OK;
}

enum iddpm_status jobs_log_path(const char *folder, const struct job_row *row, char *out)
{
    if (strncmp(row->log, "logs/", 5) == 0) return path_join(out, folder, row->log);
    snprintf(out, PATH_SIZE, "%s", row->log); /* of an older program: from where it was called */
    return IDDPM_OK;
}
