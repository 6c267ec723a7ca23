#include "run.h"

#include <stdlib.h>

enum iddpm_status run_newest_checkpoint(const char *run, char *path, int64_t *step)
{
    char folder[PATH_SIZE], damage[1024] = "";
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
        if (valid == IDDPM_OK) {
            *step = steps[i];
            break;
        }
        snprintf(damage, sizeof damage, "%.1000s", iddpm_error_text());
        log_warn("passed over: %s", damage);
    }
    if (*step < 0) path[0] = 0;
    free(steps);
    if (status == IDDPM_OK && n > 0 && *step < 0)
        status =
            iddpm_error(IDDPM_FAILED,
                        "%s: none of its %d checkpoints can be read; the last one: %s. Repair them, or remove them "
                        "to start over",
                        folder, n, damage);
    return status;
}

/* Keys that may differ when a run is continued: how long, how often, where; nothing that changes a result. */
static const char *const free_keys[] = {
    "train.total_steps", "train.log_interval", "train.save_interval", "store.",
    "run.dir",           "parallel.threads",   "parallel.overlap",    "parallel.watchdog",
    "data.cache",        "data.eval_path",     "data.local",          NULL};

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

/* Checkpoints without the configuration that says what they are of. */
static enum iddpm_status check_no_checkpoints(const struct config *config)
{
    char folder[PATH_SIZE];
    int64_t *steps = NULL;
    int n = 0;
    TRY(path_join(folder, config->run.dir, "checkpoints"));
    if (path_is_folder(folder)) TRY(checkpoint_list(folder, &steps, &n));
    free(steps);
    if (n == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED,
                       "%s holds checkpoints, but %s has no config.yaml: put it back, or use another run.dir", folder,
                       config->run.dir);
}

/* Rank 0. */
static enum iddpm_status find_start(const struct config *config, struct run_start *start)
{
    int64_t step = -1;
    bool exists;
    TRY(run_check(config, &exists));
    if (exists)
        TRY(run_newest_checkpoint(config->run.dir, start->path, &step));
    else
        TRY(check_no_checkpoints(config));
    start->own = step >= 0;
    if (step > config->train.total_steps)
        return config_error(config, "train.total_steps", "is %lld, but this run has done %lld steps",
                            (long long)config->train.total_steps, (long long)step);
    if (start->own || !*config->train.resume_checkpoint) return IDDPM_OK;
    if (snprintf(start->path, PATH_SIZE, "%s", config->train.resume_checkpoint) >= PATH_SIZE)
        return config_error(config, "train.resume_checkpoint", "the path is too long");
    return IDDPM_OK;
}

enum iddpm_status run_find_start(const struct parallel *parallel, const struct config *config, struct run_start *start)
{
    *start = (struct run_start){0};
    TRY(parallel_agree(parallel, parallel->rank == 0 ? find_start(config, start) : IDDPM_OK));
    return parallel_broadcast(parallel, start, sizeof *start);
}

enum iddpm_status run_write_config(const struct config *config, const char *text)
{
    char path[PATH_SIZE];
    TRY(path_join(path, config->run.dir, "checkpoints"));
    TRY(path_make_folders(path));
    TRY(path_join(path, config->run.dir, "config.yaml"));
    return path_write_text(path, text);
}
