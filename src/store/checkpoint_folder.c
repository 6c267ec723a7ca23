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

/* The step when `name` begins as a checkpoint's, and what is behind it. */
static bool parse_name(const char *name, int64_t *step, const char **ending)
{
    if (sscanf(name, "step-%" SCNd64, step) != 1 || *step < 0) return false;
    char expected[64];
    file_name(expected, *step);
    size_t length = strlen(expected);
    *ending = name + length;
    return strncmp(name, expected, length) == 0;
}

/* "", or ".TOKEN.tmp" or ".tmp" of a temporary file of any job */
static bool is_ending(const char *ending, bool temporary)
{
    if (!temporary) return !*ending;
    size_t token = *ending == '.' ? strspn(ending + 1, "0123456789abcdef") : 0;
    return strcmp(ending + (token ? token + 1 : 0), ".tmp") == 0;
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

struct steps {
    int64_t *v;
    int n;
    size_t capacity;
};

typedef enum iddpm_status visit_fn(struct steps *steps, const char *folder, const char *name, int64_t step);

/* Calls `visit` for the checkpoints of the folder, or for the temporary files. */
static enum iddpm_status each_name(const char *folder, bool temporary, visit_fn *visit, struct steps *steps)
{
    DIR *open = opendir(folder);
    if (!open) return iddpm_error(IDDPM_FAILED, "%s: cannot list this folder: %s", folder, strerror(errno));
    int64_t step;
    const char *ending;
    enum iddpm_status status = IDDPM_OK;
    while (status == IDDPM_OK) {
        errno = 0; /* readdir tells its end from an error only so */
        struct dirent *entry = readdir(open);
        if (!entry && errno)
            status = iddpm_error(IDDPM_FAILED, "%s: cannot list this folder: %s", folder, strerror(errno));
        if (!entry) break;
        if (parse_name(entry->d_name, &step, &ending) && is_ending(ending, temporary))
            status = visit(steps, folder, entry->d_name, step);
    }
    closedir(open);
    return status;
}

static enum iddpm_status add_step(struct steps *steps, const char *folder, const char *name, int64_t step)
{
    (void)name;
    TRY(mem_grow(&steps->v, &steps->capacity, (size_t)steps->n + 1, sizeof *steps->v, folder));
    steps->v[steps->n++] = step;
    return IDDPM_OK;
}

static enum iddpm_status remove_file(struct steps *steps, const char *folder, const char *name, int64_t step)
{
    (void)steps, (void)step;
    char path[PATH_SIZE];
    TRY(path_join(path, folder, name));
    if (unlink(path) == 0 || errno == ENOENT) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cannot remove: %s", path, strerror(errno));
}

enum iddpm_status checkpoint_list(const char *folder, int64_t **steps, int *n)
{
    struct steps found = {0};
    enum iddpm_status status = each_name(folder, false, add_step, &found);
    if (status == IDDPM_OK && found.n) qsort(found.v, (size_t)found.n, sizeof *found.v, ascending);
    if (status != IDDPM_OK) {
        free(found.v);
        found = (struct steps){0};
    }
    *steps = found.v;
    *n = found.n;
    return status;
}

static bool stays(const struct checkpoint_kept *kept, int64_t step)
{
    for (int i = 0; i < kept->n_steps; i++)
        if (kept->steps[i] == step) return true;
    return kept->period > 0 && step % kept->period == 0;
}

enum iddpm_status checkpoint_prune(const char *folder, int64_t newest, const struct checkpoint_kept *kept)
{
    int64_t *steps;
    int n;
    enum iddpm_status status = IDDPM_OK;
    TRY(each_name(folder, true, remove_file, NULL));
    TRY(checkpoint_list(folder, &steps, &n));
    int keep = kept->newest > 1 ? kept->newest : 1; /* never the only one */
    while (n > 0 && steps[n - 1] > newest) n--;
    for (int i = 0; i < n - keep && status == IDDPM_OK; i++)
        if (!stays(kept, steps[i])) {
            char name[64];
            file_name(name, steps[i]);
            status = remove_file(NULL, folder, name, steps[i]);
        }
    free(steps);
    return status;
}
