#include "cli.h"

#include "iddpm/train.h"

#include <limits.h>
#include <stdlib.h>

enum { CONFIG_LIMIT = 1 << 20 };

/* Collective. One rank reads the file; all take their configuration from the same text. */
static enum iddpm_status read_config(const struct cli *cli, struct config **out)
{
    char path[PATH_SIZE], *text = NULL;
    const char *target = cli->argv[0];
    int run = path_is_folder(target);
    TRY(parallel_broadcast(&cli->parallel, &run, sizeof run));
    if (run)
        TRY(path_join(path, target, "config.yaml"));
    else
        snprintf(path, sizeof path, "%s", target);
    enum iddpm_status status = IDDPM_OK;
    if (cli->parallel.rank == 0 && run && !path_exists(path))
        status = iddpm_error(IDDPM_USAGE, "%s: no run is in this folder (no config.yaml)", target);
    else if (cli->parallel.rank == 0)
        status = path_read_text(path, CONFIG_LIMIT, &text);
    TRY(parallel_agree(&cli->parallel, status));
    TRY(parallel_broadcast_text(&cli->parallel, &text));
    status = config_parse(out, path, text, cli->argc - 1, (const char *const *)cli->argv + 1);
    free(text);
    if (status == IDDPM_OK && run) status = config_set(*out, "run.dir", target); /* it may have been moved */
    return parallel_agree(&cli->parallel, status);
}

enum iddpm_status cmd_train(struct cli *cli)
{
    const struct usage usage = {
        "CONFIG|RUN [key=value ...]",
        "Trains the model of a configuration, or continues the run in a folder: the newest valid checkpoint, on any "
        "allowed number of ranks. SIGUSR1, SIGTERM or SIGINT end it with a checkpoint and exit status 75; the same "
        "command then continues.",
        1,
        INT_MAX,
        0,
        NULL};
    bool done;
    struct config *config = NULL;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    enum iddpm_status status = read_config(cli, &config);
    if (status == IDDPM_OK) status = cli_start(cli, config);
    if (status == IDDPM_OK) {
        stop_install();
        status = train_run(&cli->parallel, config);
    }
    config_destroy(config);
    return status;
}
