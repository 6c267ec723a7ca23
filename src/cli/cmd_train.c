#include "slurm.h"

#include <limits.h>
#include <stdlib.h>

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
    return run ? config_set(*out, "run.dir", target) : IDDPM_OK; /* it may have been moved */
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

static enum iddpm_status train(const struct cli *cli, struct config *config)
{
    char task[256] = "";
    if (*cli->slurm.task) snprintf(task, sizeof task, "%.100s_%.100s", cli->slurm.array, cli->slurm.task);
    const struct train_job job = {.id = cli->slurm.id,
                                  .cluster = cli->slurm.cluster,
                                  .task = task,
                                  .restarts = cli->slurm.restarts,
                                  .state = slurm_job_state};
    stop_install();
    return train_run(&cli->parallel, config, &job);
}

enum iddpm_status cmd_train(struct cli *cli)
{
    const struct usage usage = {
        "CONFIG|RUN [key=value ...]",
        "Trains the model of a configuration, or continues the run in a folder: the newest valid checkpoint, on any "
        "allowed number of ranks. SIGUSR1, SIGTERM or SIGINT end it with a checkpoint and exit status 75; the same "
        "command then continues. A run has one writer at a time: a second job is refused and told which one has it; "
        "what a "
        "job left behind that ended, or was restarted elsewhere, is taken over.\n\nThe keys, their defaults and "
        "meanings: `iddpm help config`.",
        1,
        INT_MAX,
        0,
        NULL};
    bool done;
    struct config *config = NULL;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    enum iddpm_status status = share_config(cli, &config);
    if (status == IDDPM_OK) status = cli_start(cli, config);
    if (status == IDDPM_OK) status = train(cli, config);
    config_destroy(config);
    return status;
}
