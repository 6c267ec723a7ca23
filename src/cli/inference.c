#include "inference.h"

#include "iddpm/kernels.h"

#include <string.h>

#define WATCHDOG_LEAST 1800 /* seconds */

void inference_options(struct inference *inference, struct option rows[INFERENCE_OPTIONS])
{
    *inference = (struct inference){.step = -1, .batch = 16, .seed = -1};
    const struct option table[INFERENCE_OPTIONS] = {
        {"weights", "NAME", "params or ema/RATE; without it the first of the run's EMAs", .text = &inference->weights},
        {"step", "N", "checkpoint of a run; -1: the newest valid one", .integer = &inference->step, .min = -1},
        {"respacing", "WORD", "timesteps kept, as timestep_respacing; without it the run's",
         .text = &inference->respacing},
        {"no-clip", NULL, "predictions of the image are not clipped to [-1, 1]", .flag = &inference->no_clip},
        {"batch", "N", "images at once; the last bits depend on it", .integer = &inference->batch, .min = 1,
         .max = 65536},
        {"seed", "N", "of the noise; -1: the run's", .integer = &inference->seed, .min = -1},
        {"noise", "FILE", "draws to use: HDF5 (array noise) or NPZ, [draws][images][height][width][channels]",
         .text = &inference->noise_path},
    };
    memcpy(rows, table, sizeof table);
}

/* Collective. Silent ranks are told of in the folder of the run. */
static enum iddpm_status watch(const struct parallel *parallel, const char *path, double seconds)
{
    char folder[PATH_SIZE] = "";
    TRY(parallel_agree(parallel, parallel->rank == 0 ? model_folder(path, folder) : IDDPM_OK));
    TRY(parallel_broadcast(parallel, folder, sizeof folder));
    TRY(watchdog_start(parallel, seconds));
    return parallel_agree(parallel, watchdog_serve(folder, NULL, NULL));
}

enum iddpm_status inference_start(struct cli *cli, const char *path, struct inference *inference)
{
    stop_install();
    TRY(cli_start(cli, NULL)); /* the environment decides about threads: what the training run had is of another job */
    const struct model_options options = {.weights = inference->weights,
                                          .respacing = inference->respacing,
                                          .step = inference->step,
                                          .batch = (int)inference->batch,
                                          .threads = kernels_threads()};
    TRY(watch(&cli->parallel, path, WATCHDOG_LEAST));
    TRY(model_load(&inference->model, &cli->parallel, path, &options));
    /* The key is the training run's, whose batches may be quicker. */
    double watchdog = inference->model->config->parallel.watchdog;
    watchdog_stop();
    TRY(watch(&cli->parallel, path, watchdog > 0 && watchdog < WATCHDOG_LEAST ? WATCHDOG_LEAST : watchdog));
    if (inference->seed < 0) inference->seed = inference->model->config->run.seed;
    if (!inference->noise_path) return IDDPM_OK;
    return parallel_agree(&cli->parallel, noise_read(&inference->noise, inference->noise_path));
}

void inference_end(struct inference *inference)
{
    watchdog_stop();
    model_destroy(inference->model);
    noise_destroy(inference->noise);
}

enum iddpm_status inference_make_folder(const struct cli *cli, const char *path)
{
    char folder[PATH_SIZE];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 0, path);
    enum iddpm_status status = IDDPM_OK;
    if (cli->parallel.rank == 0 && *folder) status = path_make_folders(folder);
    return parallel_agree(&cli->parallel, status);
}
