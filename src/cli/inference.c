#include "inference.h"

#include "iddpm/kernels.h"

#include <string.h>

#define WATCHDOG_LEAST 1800 /* seconds */

void inference_options(struct inference *inference, struct option rows[INFERENCE_OPTIONS])
{
    *inference = (struct inference){.step = -1, .batch = 16, .seed = -1, .guidance = 1};
    const struct option table[INFERENCE_OPTIONS] = {
        {"weights", "NAME", "params or ema/RATE; without it the first of the run's EMAs", .text = &inference->weights},
        {"step", "N", "checkpoint of a run; -1: the newest valid one", .integer = &inference->step, .min = -1},
        {"respacing", "WORD", "timesteps kept, as timestep_respacing; without it the run's",
         .text = &inference->respacing},
        {"batch", "N", "images at once; the last bits depend on it", .integer = &inference->batch, .min = 1,
         .max = 65536},
        {"seed", "N", "of the noise; -1: the run's", .integer = &inference->seed, .min = -1},
        {"noise", "FILE", "draws to use: HDF5 (array noise) or NPZ, [draws][images][height][width][channels]",
         .text = &inference->noise_path},
        {"no-clip", NULL, "predictions of the image are not clipped to [-1, 1]", .flag = &inference->no_clip},
    };
    memcpy(rows, table, sizeof table);
}

void ensemble_options(struct inference *inference, struct option rows[ENSEMBLE_OPTIONS])
{
    const struct option table[ENSEMBLE_OPTIONS] = {
        {"ends", "RUN|CHECKPOINT",
         "ensemble: this second model runs the first and the last timesteps (the paper's appendix: one of L_vlb at "
         "the "
         "ends of one of L_hybrid)",
         .text = &inference->ends_path},
        {"ends-steps", "A,B",
         "timesteps of diffusion_steps under A and from B on are the second model's; without it the first and the last "
         "100",
         .text = &inference->ends_steps},
    };
    memcpy(rows, table, sizeof table);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

/* "A,B"; whether they are ends of that many timesteps, model_add_ends says. */
static enum iddpm_status read_ends_steps(const char *text, int steps, int *below, int *from)
{
    char first[32] = "";
    const char *comma = text ? strchr(text, ',') : NULL;
    int64_t a = MODEL_ENDS, b = steps - MODEL_ENDS;
    if (!text && a >= b)
        return iddpm_error(IDDPM_USAGE,
                           "--ends: the first and the last %d of %d timesteps are all of them: give --ends-steps A,B",
                           MODEL_ENDS, steps);
    if (comma) snprintf(first, sizeof first, "%.*s", (int)(comma - text), text);
    bool read = !text || (comma && text_integer(first, &a) && text_integer(comma + 1, &b));
    if (!read || a < 0 || b > steps)
        return iddpm_error(IDDPM_USAGE,
                           "--ends-steps: found '%.80s'; allowed are A,B with 0 <= A <= B <= %d, as in 100,%d", text,
                           steps, steps > 100 ? steps - 100 : steps);
    *below = (int)(a < steps ? a : steps);
    *from = (int)(b > 0 ? b : 0);
    return IDDPM_OK;
}

/* Collective. With the timesteps of the first model, and its own weights unless they are named. */
static enum iddpm_status load_ends(const struct cli *cli, const struct inference *inference,
                                   const struct model_options *options)
{
    struct model *model = inference->model, *ends;
    struct model_options own = *options;
    int below = 0, from = 0;
    own.step = -1;
    own.respacing = model->respacing;
    TRY(parallel_agree(&cli->parallel,
                       read_ends_steps(inference->ends_steps, model->diffusion->original_num_steps, &below, &from)));
    TRY(model_load(&ends, &cli->parallel, inference->ends_path, &own));
    TRY(parallel_agree(&cli->parallel, model_add_ends(model, ends, below, from)));
    log_info("timesteps under %d and from %d on: %s of %s, step %lld", below, from, ends->weights, ends->folder,
             (long long)ends->step);
    return IDDPM_OK;
}

/* Collective. */
static enum iddpm_status load_models(const struct cli *cli, const char *path, struct inference *inference)
{
    const struct model_options options = {.weights = inference->weights,
                                          .respacing = inference->respacing,
                                          .step = inference->step,
                                          .batch = (int)inference->batch,
                                          .threads = kernels_threads(),
                                          .features = inference->features};
    if (inference->ends_steps && !inference->ends_path)
        return iddpm_error(IDDPM_USAGE, "--ends-steps belongs to an ensemble; give --ends as well");
    TRY(model_load(&inference->model, &cli->parallel, path, &options));
    if (inference->ends_path) TRY(load_ends(cli, inference, &options));
    return parallel_agree(&cli->parallel, model_guide(inference->model, inference->guidance));
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
    TRY(watch(&cli->parallel, path, WATCHDOG_LEAST));
    TRY(load_models(cli, path, inference));
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
