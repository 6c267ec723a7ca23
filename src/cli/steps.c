#include "steps.h"

#include "iddpm/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static enum iddpm_status parse(const char *text, int64_t **steps, int *n)
{
    size_t capacity = 0;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        long long step = strtoll(at, &end, 10);
        if (end == at || errno || step < 0 || (*end && *end != ','))
            return iddpm_error(IDDPM_USAGE, "--steps: found '%.80s'; allowed are 'all' and steps, as in 100,200,300",
                               text);
        TRY(mem_grow(steps, &capacity, (size_t)*n + 1, sizeof **steps, "list of steps"));
        (*steps)[(*n)++] = step;
        at = end;
        if (!*at) return IDDPM_OK;
    }
}

static enum iddpm_status list(const char *run, const char *text, int64_t **steps, int *n)
{
    char folder[PATH_SIZE];
    TRY(path_join(folder, run, "checkpoints"));
    if (!path_is_folder(folder))
        return iddpm_error(IDDPM_USAGE, "%s: --steps is for the folder of a run, with its checkpoints", run);
    if (strcmp(text, "all") != 0) return parse(text, steps, n);
    TRY(checkpoint_list(folder, steps, n));
    return *n > 0 ? IDDPM_OK : iddpm_error(IDDPM_USAGE, "%s: no checkpoint in this folder", folder);
}

enum iddpm_status steps_read(const struct parallel *parallel, const char *run, const char *text, int64_t **steps,
                             int *n)
{
    *steps = NULL;
    *n = 0;
    bool reader = parallel->rank == 0;
    TRY(parallel_agree(parallel, reader ? list(run, text, steps, n) : IDDPM_OK));
    TRY(parallel_broadcast(parallel, n, sizeof *n));
    enum iddpm_status status = IDDPM_OK;
    if (!reader) status = mem_alloc(steps, (size_t)*n, sizeof **steps, "list of steps");
    TRY(parallel_agree(parallel, status));
    return parallel_broadcast(parallel, *steps, (size_t)*n * sizeof **steps);
}
