#include "slurm.h"

#include "iddpm/evaluate.h"

#include <limits.h>
#include <stdlib.h>

enum { TASK_SIZE = 256 };

/* One rank reads the file, or the one of the run in a folder. */
static enum iddpm_status read_config(const struct cli *cli, struct config **out)
{
    char path[PATH_SIZE];
    const char *target = cli->argv[0];
    bool run = path_is_folder(target);
    if (run) TRY(path_join(path, target, "config.yaml"));
    if (run && !path_exists(path))
        return iddpm_error(IDDPM_USAGE, "%s: no run is in this folder (no config.yaml)", target);
    TRY(config_load(out, run ? path : target, cli->argc - 1, (const char *const *)cli->argv + 1));
    if (!run) return IDDPM_OK;
    TRY(run_complete_config(*out));
    return config_set(*out, "run.dir", target); /* it may have been moved */
}

/* Collective. All ranks have the configuration that rank 0 has read. */
static enum iddpm_status share_config(const struct cli *cli, struct config **out)
{
    char *text = NULL;
    bool reader = cli->parallel.rank == 0;
    enum iddpm_status status = reader ? read_config(cli, out) : IDDPM_OK;
    if (status == IDDPM_OK && reader) status = config_text(*out, &text);
    TRY(parallel_agree(&cli->parallel, status));
    status = parallel_broadcast_text(&cli->parallel, &text);
    if (status == IDDPM_OK && !reader) status = config_parse(out, cli->argv[0], text, 0, NULL);
    free(text);
    return parallel_agree(&cli->parallel, status);
}

/* "ARRAY_TASK", "" outside arrays. One task of an array has the number of the whole array. */
static void name_task(const struct cli *cli, char task[TASK_SIZE])
{
    task[0] = 0;
    if (*cli->slurm.task) snprintf(task, TASK_SIZE, "%.100s_%.100s", cli->slurm.array, cli->slurm.task);
}

/* Seconds from now to the end of the job, 0 when not known; asked of Slurm by rank 0 alone. */
static enum iddpm_status find_time_left(const struct cli *cli, const char *task, const char *limit, double *left)
{
    *left = 0;
    if (!limit) {
        if (*cli->slurm.id && cli->parallel.rank == 0) *left = slurm_time_left(*task ? task : cli->slurm.id);
        return IDDPM_OK;
    }
    if (slurm_duration(limit, left) && *left > 0) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE,
                       "train: --time-limit: found '%.80s'; allowed are minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM and "
                       "D-HH:MM:SS",
                       limit);
}

static enum iddpm_status train(const struct cli *cli, const char *task, struct config *config, double end)
{
    const struct train_job job = {.id = cli->slurm.id,
                                  .cluster = cli->slurm.cluster,
                                  .task = task,
                                  .restarts = cli->slurm.restarts,
                                  .end = end,
                                  .state = slurm_job_state};
    struct validation validation = {0};
    struct grids grids = {0};
    const struct train_hook hooks[] = {validation_hook(&validation, config), grids_hook(&grids, config)};
    stop_install();
    return train_run(&cli->parallel, config, &job, 2, hooks);
}

enum iddpm_status cmd_train(struct cli *cli)
{
    const char *limit = NULL;
    const struct option options[] = {
        {"time-limit", "TIME",
         "of this command, as Slurm writes it: minutes, MM:SS, HH:MM:SS, D-HH:MM:SS; without "
         "it squeue is asked, in a job of Slurm",
         .text = &limit}};
    const struct usage usage = {
        "CONFIG|RUN [key=value ...]",
        "Trains the model of a configuration, or continues the run in a folder: the newest valid checkpoint, on any "
        "allowed number of ranks. SIGUSR1, SIGTERM or SIGINT end it with a checkpoint and exit status 75; the same "
        "command then continues. So it ends too when the time left would not do for another step and a checkpoint. A "
        "run has one writer at a time: a second job is refused and told which one has it; what a job left behind that "
        "ended, or was restarted elsewhere, is taken over.\n\nThe keys, their defaults and meanings: `iddpm help "
        "config`.",
        1, INT_MAX, OPTIONS(options)};
    bool done;
    struct config *config = NULL;
    char task[TASK_SIZE];
    double began = clock_seconds(), left;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    name_task(cli, task);
    TRY(find_time_left(cli, task, limit, &left));
    enum iddpm_status status = share_config(cli, &config);
    if (status == IDDPM_OK) status = cli_start(cli, config);
    if (status == IDDPM_OK) status = train(cli, task, config, left > 0 ? began + left : 0);
    config_destroy(config);
    return status;
}
