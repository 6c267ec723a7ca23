#include "run.h"

#include <stdlib.h>

/* ---- the newest checkpoint ---------------------------------------------------------------------------------------
 */

/* IDDPM_FAILED: this one cannot be used, an older one may. */
typedef enum iddpm_status try_checkpoint_fn(void *context, const char *path);

/* Tries the run's checkpoints, the newest first. *step -1 and path "" when it has none. */
static enum iddpm_status find_newest(const char *run, int n, const int64_t *steps, try_checkpoint_fn *try,
                                     void *context, char *path, int64_t *step)
{
    char folder[PATH_SIZE], damage[1024] = "";
    path[0] = 0;
    *step = -1;
    TRY(path_join(folder, run, "checkpoints"));
    for (int i = n - 1; i >= 0; i--) {
        TRY(checkpoint_path(path, folder, steps[i]));
        enum iddpm_status status = try(context, path);
        if (status == IDDPM_OK) *step = steps[i];
        if (status != IDDPM_FAILED) return status;
        path[0] = 0;
        snprintf(damage, sizeof damage, "%.1000s", iddpm_error_text());
        log_warn("passed over: %s", damage);
    }
    if (n == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED,
                       "%s: none of its %d checkpoints can be read; the last one: %s. Repair them, or remove them "
                       "to start over",
                       folder, n, damage);
}

static enum iddpm_status list_checkpoints(const char *run, int64_t **steps, int *n)
{
    char folder[PATH_SIZE];
    *steps = NULL;
    *n = 0;
    TRY(path_join(folder, run, "checkpoints"));
    return path_exists(folder) ? checkpoint_list(folder, steps, n) : IDDPM_OK;
}

static enum iddpm_status try_to_verify(void *context, const char *path)
{
    struct checkpoint *checkpoint;
    (void)context;
    TRY(checkpoint_open(&checkpoint, path));
    enum iddpm_status status = checkpoint_verify(checkpoint);
    checkpoint_close(checkpoint);
    return status;
}

enum iddpm_status run_newest_checkpoint(const char *run, char *path, int64_t *step)
{
    int64_t *steps;
    int n;
    TRY(list_checkpoints(run, &steps, &n));
    enum iddpm_status status = find_newest(run, n, steps, try_to_verify, NULL, path, step);
    free(steps);
    return status;
}

/* ---- the configuration of the run --------------------------------------------------------------------------------
 */

const char *const train_free_keys[] = {"train.total_steps",
                                       "train.log_interval",
                                       "train.save_interval",
                                       "train.save_steps",
                                       "train.eval_interval",
                                       "train.eval_num",
                                       "train.eval_strata",
                                       "train.sample_interval",
                                       "train.sample_num",
                                       "train.sample_steps",
                                       "store.",
                                       "run.dir",
                                       "model.use_checkpoint",
                                       "parallel.threads",
                                       "parallel.overlap",
                                       "parallel.watchdog",
                                       "data.cache",
                                       "data.eval_path",
                                       "data.local",
                                       NULL};

/* The value that a later key would have had; those whose default changes nothing need none. */
static const struct {
    const char *key, *value;
} former[] = {{"parallel.kernels", "direct"}};

enum iddpm_status run_complete_config(struct config *config)
{
    for (size_t i = 0; i < sizeof former / sizeof *former; i++)
        if (!config_is_set(config, former[i].key)) TRY(config_set(config, former[i].key, former[i].value));
    return IDDPM_OK;
}

enum iddpm_status run_check(const struct config *config, bool *exists)
{
    char path[PATH_SIZE];
    struct config *there;
    char *difference = NULL;
    TRY(path_join(path, config->run.dir, "config.yaml"));
    *exists = path_exists(path);
    if (!*exists) return IDDPM_OK;
    TRY(config_load(&there, path, 0, NULL));
    enum iddpm_status status = run_complete_config(there);
    if (status == IDDPM_OK) status = config_difference(config, there, train_free_keys, &difference);
    config_destroy(there);
    if (status == IDDPM_OK && difference)
        status = iddpm_error(IDDPM_USAGE,
                             "%s holds a run with another configuration:\n%scontinue it with its own configuration "
                             "(iddpm train %s), or give this one another run.dir",
                             config->run.dir, difference, config->run.dir);
    free(difference);
    return status;
}

/* ---- the start ---------------------------------------------------------------------------------------------------
 */

/* Rank 0: the steps of the run's checkpoints. */
static enum iddpm_status look_at_run(const struct config *config, int64_t **steps, int *n)
{
    bool exists;
    TRY(run_check(config, &exists));
    TRY(list_checkpoints(config->run.dir, steps, n));
    if (exists || *n == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED,
                       "%s/checkpoints holds checkpoints, but %s has no config.yaml: put it back, or use another "
                       "run.dir",
                       config->run.dir, config->run.dir);
}

/* Collective: what rank 0 has found. *steps is to be freed in any case. */
static enum iddpm_status share_steps(const struct parallel *parallel, const struct config *config, int64_t **steps,
                                     int *n)
{
    *steps = NULL;
    *n = 0;
    TRY(parallel_agree(parallel, parallel->rank == 0 ? look_at_run(config, steps, n) : IDDPM_OK));
    TRY(parallel_broadcast(parallel, n, sizeof *n));
    enum iddpm_status status = IDDPM_OK;
    if (parallel->rank != 0) status = mem_alloc(steps, (size_t)*n, sizeof **steps, "steps of checkpoints");
    TRY(parallel_agree(parallel, status));
    return parallel_broadcast(parallel, *steps, (size_t)*n * sizeof **steps);
}

struct reading {
    const struct parallel *parallel;
    struct train_state *state;
};

static enum iddpm_status try_to_read(void *context, const char *path)
{
    const struct reading *reading = context;
    return state_read(reading->state, reading->parallel, path);
}

enum iddpm_status run_read_start(const struct parallel *parallel, const struct config *config,
                                 struct train_state *state, struct run_start *start)
{
    struct reading reading = {parallel, state};
    int64_t *steps, step = -1;
    int n;
    *start = (struct run_start){0};
    enum iddpm_status status = share_steps(parallel, config, &steps, &n);
    if (status == IDDPM_OK) status = find_newest(config->run.dir, n, steps, try_to_read, &reading, start->path, &step);
    free(steps);
    TRY(status);
    start->own = step >= 0;
    if (step > config->train.total_steps)
        return config_error(config, "train.total_steps", "is %lld, but this run has done %lld steps",
                            (long long)config->train.total_steps, (long long)step);
    if (start->own) return IDDPM_OK;
    if (!*config->train.resume_checkpoint) {
        state_begin(state, (uint64_t)config->run.seed);
        return IDDPM_OK;
    }
    if (snprintf(start->path, PATH_SIZE, "%s", config->train.resume_checkpoint) >= PATH_SIZE)
        return config_error(config, "train.resume_checkpoint", "the path is too long");
    return state_read(state, parallel, start->path);
}

enum iddpm_status run_write_config(const struct config *config, const char *text)
{
    char path[PATH_SIZE];
    TRY(path_join(path, config->run.dir, "checkpoints"));
    TRY(path_make_folders(path));
    TRY(path_join(path, config->run.dir, "config.yaml"));
    return path_write_text(path, text);
}
