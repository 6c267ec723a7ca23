#include "run.h"

#include <stdlib.h>
#include <string.h>

enum iddpm_status run_newest_checkpoint(const char *run, char *path, int64_t *step)
{
    char folder[PATH_SIZE];
    int64_t *steps = NULL;
    int n = 0;
    path[0] = 0;
    *step = -1;
    TRY(path_join(folder, run, "checkpoints"));
    if (!path_is_folder(folder)) return IDDPM_OK;
    TRY(checkpoint_list(folder, &steps, &n));
    enum iddpm_status status = IDDPM_OK;
    for (int i = n - 1; i >= 0 && *step < 0 && status == IDDPM_OK; i--) {
        struct checkpoint *checkpoint;
        status = checkpoint_path(path, folder, steps[i]);
        if (status != IDDPM_OK) break;
        enum iddpm_status valid = checkpoint_open(&checkpoint, path);
        if (valid == IDDPM_OK) {
            valid = checkpoint_verify(checkpoint);
            checkpoint_close(checkpoint);
        }
        if (valid == IDDPM_OK)
            *step = steps[i];
        else
            log_warn("passed over: %s", iddpm_error_text());
    }
    if (*step < 0) path[0] = 0;
    free(steps);
    return status;
}

/* Keys that may differ when a run is continued: how long, how often, where; nothing that changes a result. */
static const char *const free_keys[] = {
    "train.total_steps", "train.log_interval", "train.save_interval", "store.", "run.dir",
    "parallel.threads",  "data.cache",         "data.eval_path",      NULL};

enum iddpm_status run_check(const struct config *config, bool *exists)
{
    char path[PATH_SIZE];
    struct config *there;
    char *difference = NULL;
    TRY(path_join(path, config->run.dir, "config.yaml"));
    *exists = path_exists(path);
    if (!*exists) return IDDPM_OK;
    TRY(config_load(&there, path, 0, NULL));
    enum iddpm_status status = config_difference(config, there, free_keys, &difference);
    config_destroy(there);
    if (status == IDDPM_OK && difference)
        status = iddpm_error(IDDPM_USAGE,
                             "%s holds a run with another configuration:\n%scontinue it with its own configuration "
                             "(iddpm train %s), or give this one another run.dir",
                             config->run.dir, difference, config->run.dir);
    free(difference);
    return status;
}

/* Rank 0. */
static enum iddpm_status find_start(const struct config *config, char *from)
{
    char path[PATH_SIZE];
    int64_t step = -1;
    bool exists;
    TRY(run_check(config, &exists));
    if (exists) TRY(run_newest_checkpoint(config->run.dir, from, &step));
    if (step < 0 && *config->train.resume_checkpoint) {
        if (strlen(config->train.resume_checkpoint) >= PATH_SIZE)
            return config_error(config, "train.resume_checkpoint", "the path is too long");
        strcpy(from, config->train.resume_checkpoint);
    }
    char *text;
    TRY(path_join(path, config->run.dir, "checkpoints"));
    TRY(path_make_folders(path));
    TRY(config_text(config, &text));
    enum iddpm_status status = path_join(path, config->run.dir, "config.yaml");
    if (status == IDDPM_OK) status = path_write_text(path, text);
    free(text);
    return status;
}

enum iddpm_status run_open(const struct parallel *parallel, const struct config *config, char *from)
{
    from[0] = 0;
    TRY(parallel_agree(parallel, parallel->rank == 0 ? find_start(config, from) : IDDPM_OK));
    return parallel_broadcast(parallel, from, PATH_SIZE);
}
