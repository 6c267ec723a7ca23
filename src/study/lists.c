/* Lists of arrays, STUDY/tasks/NNNN-TASK.txt. One is never removed and its number never used again: sbatch may have
 * made a job of it although it gave no answer. Comments in it say what its tasks are, so that such a job is found. */
#include "tasks.h"

#include "lock.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX ((size_t)64 << 20)
#define COMMENT "iddpm study "

int lists_count(const char *folder)
{
    char path[PATH_SIZE];
    int most = 0;
    if (path_join(path, folder, "tasks") != IDDPM_OK) return 0;
    DIR *stream = opendir(path);
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        const char *end = strrchr(entry->d_name, '.');
        int number = atoi(entry->d_name);
        if (end && strcmp(end, ".txt") == 0 && number > most) most = number;
    }
    if (stream) closedir(stream);
    return most;
}

enum iddpm_status list_comment(const char *list, char *out, size_t size)
{
    char *path = realpath(list, NULL);
    int n = snprintf(out, size, COMMENT "%s", path ? path : list);
    free(path);
    return n < (int)size ? IDDPM_OK : iddpm_error(IDDPM_USAGE, "%s: the path of the study is too long", list);
}

void list_name_task(FILE *stream, int index, const char *point, const char *task)
{
    fprintf(stream, "# %d %s %s\n", index, point, task);
}

/* ---- what Slurm has and jobs.csv has not ------------------------------------------------------------------------- */

struct adoption {
    const char *folder;
    char prefix[2 * PATH_SIZE]; /* of the comments of this study's arrays */
    struct queue recorded;
    int64_t job; /* whose list is read */
    char *list;  /* NULL: it cannot be */
    int adopted;
};

static enum iddpm_status find_recorded(const struct jobs *jobs, struct queue *recorded)
{
    for (int i = 0; i < jobs->n; i++) {
        struct queued q = {.index = jobs->rows[i].index};
        if (text_integer(jobs->rows[i].job, &q.job)) TRY(queue_add(recorded, q));
    }
    queue_sort(recorded);
    return IDDPM_OK;
}

static enum iddpm_status read_list(struct adoption *a, const struct queued *queued)
{
    if (a->job == queued->job) return IDDPM_OK;
    a->job = queued->job;
    free(a->list);
    a->list = NULL;
    if (path_read_text(queued->comment + strlen(COMMENT), LIST_MAX, &a->list) != IDDPM_OK)
        log_warn("job %lld is of this study, but of what: %s", (long long)queued->job, iddpm_error_text());
    return IDDPM_OK;
}

/* The name of the list ends with that of the array's logs. */
static enum iddpm_status adopt(struct adoption *a, const struct queued *queued)
{
    char wanted[32], point[STUDY_NAME], task[TASK_NAME], job[JOB_TEXT], now[TIME_TEXT], log[PATH_SIZE];
    const char *name = strchr(queued->comment + strlen(a->prefix), '-'), *line = a->list;
    snprintf(wanted, sizeof wanted, "# %lld ", (long long)queued->index);
    while (line && strncmp(line, wanted, strlen(wanted)) != 0) line = (line = strchr(line, '\n')) ? line + 1 : NULL;
    if (!line || !name || sscanf(line + strlen(wanted), "%159s %183s", point, task) != 2) return IDDPM_OK;
    int length = (int)strcspn(++name, " ") - (int)strlen(".txt");
    time_text(now);
    snprintf(job, sizeof job, "%lld", (long long)queued->job);
    snprintf(log, sizeof log, "logs/%.*s-%s_%lld.out", length > 0 ? length : 0, name, job, (long long)queued->index);
    const struct job_row row = {now, job, point, task, log, queued->index, 0};
    TRY(jobs_append(a->folder, &row));
    a->adopted++;
    return IDDPM_OK;
}

enum iddpm_status lists_adopt(const char *folder, const struct jobs *jobs, const struct queue *queue, int *adopted)
{
    struct adoption a = {.folder = folder, .job = -1};
    char tasks[PATH_SIZE];
    *adopted = 0;
    TRY(path_join(tasks, folder, "tasks"));
    TRY(list_comment(tasks, a.prefix, sizeof a.prefix - 1));
    strcat(a.prefix, "/");
    enum iddpm_status status = find_recorded(jobs, &a.recorded);
    for (int i = 0; i < queue->n && status == IDDPM_OK; i++) {
        const struct queued *queued = &queue->of[i];
        if (strncmp(queued->comment, a.prefix, strlen(a.prefix)) != 0) continue;
        if (queue_find(&a.recorded, queued->job, queued->index)) continue;
        status = read_list(&a, queued);
        if (status == IDDPM_OK) status = adopt(&a, queued);
    }
    queue_free(&a.recorded);
    free(a.list);
    *adopted = a.adopted;
    return status;
}
