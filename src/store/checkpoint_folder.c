#include "iddpm/store.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void file_name(char out[64], int64_t step)
{
    snprintf(out, 64, "step-%08" PRId64 ".h5", step);
}

/* True when `name` is exactly a checkpoint's, with `ending` behind it. */
static bool parse_name(const char *name, const char *ending, int64_t *step)
{
    if (sscanf(name, "step-%" SCNd64, step) != 1 || *step < 0) return false;
    char expected[64];
    file_name(expected, *step);
    size_t length = strlen(expected);
    return strncmp(name, expected, length) == 0 && strcmp(name + length, ending) == 0;
}

enum iddpm_status checkpoint_path(char *out, const char *folder, int64_t step)
{
    char name[64];
    file_name(name, step);
    return path_join(out, folder, name);
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Steps of the files named step-NNNNNNNN.h5<ending> */
static enum iddpm_status list_names(const char *folder, const char *ending, int64_t **steps, int *n)
{
    *steps = NULL;
    *n = 0;
    DIR *open = opendir(folder);
    if (!open) return iddpm_error(IDDPM_FAILED, "%s: cannot list this folder: %s", folder, strerror(errno));
    size_t capacity = 0;
    int64_t step;
    enum iddpm_status status = IDDPM_OK;
    while (status == IDDPM_OK) {
        errno = 0; /* readdir tells its end from an error only so */
        struct dirent *entry = readdir(open);
        if (!entry && errno)
            status = iddpm_error(IDDPM_FAILED, "%s: cannot list this folder: %s", folder, strerror(errno));
        if (!entry) break;
        if (!parse_name(entry->d_name, ending, &step)) continue;
        status = mem_grow(steps, &capacity, (size_t)*n + 1, sizeof **steps, folder);
        if (status == IDDPM_OK) (*steps)[(*n)++] = step;
    }
    closedir(open);
    if (status == IDDPM_OK) {
        if (*n) qsort(*steps, (size_t)*n, sizeof **steps, ascending);
        return IDDPM_OK;
    }
    free(*steps);
    *steps = NULL;
    *n = 0;
    return status;
}

enum iddpm_status checkpoint_list(const char *folder, int64_t **steps, int *n)
{
    return list_names(folder, "", steps, n);
}

static enum iddpm_status remove_file(const char *folder, int64_t step, const char *ending)
{
    char path[PATH_SIZE + 8];
    TRY(checkpoint_path(path, folder, step));
    strcat(path, ending);
    if (unlink(path) == 0 || errno == ENOENT) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cannot remove: %s", path, strerror(errno));
}

enum iddpm_status checkpoint_prune(const char *folder, int64_t newest, int keep, int keep_every, int64_t save_interval)
{
    int64_t *steps;
    int n;
    TRY(list_names(folder, ".tmp", &steps, &n));
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < n && status == IDDPM_OK; i++) status = remove_file(folder, steps[i], ".tmp");
    free(steps);
    TRY(status);
    TRY(checkpoint_list(folder, &steps, &n));
    if (keep < 1) keep = 1; /* never the only one */
    while (n > 0 && steps[n - 1] > newest) n--;
    int64_t period = keep_every > 0 && save_interval > 0 ? keep_every * save_interval : 0;
    for (int i = 0; i < n - keep && status == IDDPM_OK; i++)
        if (!period || steps[i] % period != 0) status = remove_file(folder, steps[i], "");
    free(steps);
    return status;
}
