/* iddpm nll: bits/dim of images under a trained model, or under checkpoints of its training. */
#include "result_name.h"
#include "steps.h"

#include "iddpm/train.h"

#include <stdlib.h>
#include <string.h>

struct nll_command {
    struct inference inference;
    const char *data_path, *out, *steps_text, *folder;
    int64_t images, strata, save_seconds;
    bool npz;
    bool many; /* checkpoints, of a list or into a folder: what is there already is passed over */
    struct dataset *data;
    int64_t *steps;
    int n, damaged;
    char path[PATH_SIZE], part[PATH_SIZE + 8]; /* of the result of one of them */
    /* Of the last result, the totals on rank 0: */
    double mean, standard_error, *totals;
    size_t images_measured;
    int64_t last_step;
};

/* ---- where results go -------------------------------------------------------------------------------------------- */

/* RUN/nll/step-00001200-ema-0.999-digits-test.h5: what was measured on what, then what is not default. */
static enum iddpm_status name_result(struct nll_command *command)
{
    const struct inference *inference = &command->inference;
    char name[PATH_SIZE] = "";
    int length;
    const char *data = result_name_last(command->data->folder, &length);
    result_name_add(name, "step-%08lld-%s-%.*s", (long long)inference->model->step, inference->model->weights, length,
                    data);
    if (inference->respacing) result_name_add(name, "-%s", inference->respacing);
    if (command->images > 0) result_name_add(name, "-num%lld", (long long)command->images);
    if (command->strata > 0) result_name_add(name, "-strata%lld", (long long)command->strata);
    return result_name_path(command->path, inference, "nll", name, ".h5");
}

static enum iddpm_status name_paths(struct nll_command *command)
{
    if (command->folder)
        TRY(checkpoint_path(command->path, command->folder, command->inference.model->step));
    else if (!command->out)
        TRY(name_result(command));
    else if (strlen(command->out) >= PATH_SIZE)
        return iddpm_error(IDDPM_USAGE, "nll: the path of --out is too long");
    else
        strcpy(command->path, command->out);
    snprintf(command->part, sizeof command->part, "%s.part", command->path);
    return IDDPM_OK;
}

/* ---- one checkpoint ---------------------------------------------------------------------------------------------- */

/* Rank 0. */
static enum iddpm_status write_result(const struct nll_command *command, const struct nll_options *options,
                                      const struct nll *nll)
{
    TRY(nll_write(nll, command->inference.model, command->data, options, command->path));
    nll_part_remove(command->part);
    log_info("wrote %s", command->path);
    if (!command->npz) return IDDPM_OK;
    char folder[PATH_SIZE];
    const char *slash = strrchr(command->path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - command->path) : 1, slash ? command->path : ".");
    TRY(nll_write_npz(nll, folder));
    log_info("wrote %s/{vb,mse,xstart_mse}_terms.npz", folder);
    return IDDPM_OK;
}

/* Rank 0. Prints a result beside the one before, and keeps it for the next; takes the totals. */
static void tell(struct nll_command *command, int64_t step, size_t images, double **totals)
{
    char change[128] = "";
    double mean, standard_error;
    nll_mean(images, *totals, NULL, &command->mean, &command->standard_error);
    if (command->totals && command->images_measured == images) {
        nll_mean(images, *totals, command->totals, &mean, &standard_error);
        snprintf(change, sizeof change, ", %+.3f +- %.3f from step %lld", mean, standard_error,
                 (long long)command->last_step);
    }
    if (command->many)
        log_info("step %lld: %.3f +- %.3f bits/dim%s", (long long)step, command->mean, command->standard_error, change);
    free(command->totals);
    command->totals = *totals;
    command->images_measured = images;
    command->last_step = step;
    *totals = NULL;
}

/* Rank 0. */
static enum iddpm_status take_result(struct nll_command *command)
{
    struct nll_result *result;
    TRY(nll_result_read(&result, command->path));
    tell(command, result->step, (size_t)result->images, &result->total);
    nll_result_destroy(result);
    return IDDPM_OK;
}

static enum iddpm_status measure(struct cli *cli, struct nll_command *command, const struct nll_options *options)
{
    struct model *model = command->inference.model;
    struct nll *nll;
    TRY(nll_measure(&cli->parallel, model, command->data, options, &nll));
    enum iddpm_status status = IDDPM_OK;
    if (cli->parallel.rank == 0) status = write_result(command, options, nll);
    if (cli->parallel.rank == 0 && status == IDDPM_OK) tell(command, model->step, (size_t)nll->images, &nll->total);
    nll_destroy(nll);
    return parallel_agree(&cli->parallel, status);
}

/* Collective. The model has turned to the checkpoint; `loaded`: its weights are there, too. */
static enum iddpm_status measure_unless_done(struct cli *cli, struct nll_command *command, bool loaded)
{
    const struct inference *inference = &command->inference;
    TRY(parallel_agree(&cli->parallel, name_paths(command)));
    TRY(inference_make_folder(cli, command->path));
    const struct nll_options options = {.images = (uint64_t)command->images,
                                        .clip_denoised = !inference->no_clip,
                                        .seed = (uint64_t)inference->seed,
                                        .noise = inference->noise,
                                        .strata = (int)command->strata,
                                        .part = command->part,
                                        .part_seconds = (double)command->save_seconds};
    bool reader = cli->parallel.rank == 0 && command->many;
    bool done = reader && nll_is_measured(inference->model, command->data, &options, command->path);
    if (parallel_max_int(&cli->parallel, done))
        return parallel_agree(&cli->parallel, reader ? take_result(command) : IDDPM_OK);
    if (!loaded && model_read_weights(inference->model, &cli->parallel) != IDDPM_OK) {
        log_warn("%s; passed over", iddpm_error_text());
        command->damaged++;
        return IDDPM_OK;
    }
    return measure(cli, command, &options);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

/* Collective: the data set, and which checkpoints. */
static enum iddpm_status prepare(const struct cli *cli, struct nll_command *command)
{
    const char *path = command->data_path;
    if (!path) path = command->inference.model->config->data.eval_path;
    if (!*path)
        return iddpm_error(IDDPM_USAGE, "nll: which images? The run names no held-out data (data.eval_path): give "
                                        "--data DATA/");
    TRY(train_open_data(&cli->parallel, &command->data, path));
    if (command->steps_text)
        return steps_read(&cli->parallel, cli->argv[0], command->steps_text, &command->steps, &command->n);
    TRY(mem_alloc(&command->steps, 1, sizeof *command->steps, "list of steps"));
    command->steps[0] = command->inference.model->step;
    command->n = 1;
    return IDDPM_OK;
}

static void announce(const struct nll_command *command)
{
    const struct model *model = command->inference.model;
    char what[64], strata[64] = "";
    if (command->steps_text)
        snprintf(what, sizeof what, "%d checkpoint%s", command->n, command->n > 1 ? "s" : "");
    else
        snprintf(what, sizeof what, "step %lld", (long long)model->step);
    if (command->strata > 0 && command->strata < model->diffusion->num_timesteps)
        snprintf(strata, sizeof strata, " in %d strata", (int)command->strata);
    log_info("bits/dim of %s under %s, %s of %s, %d timesteps%s", command->data->folder, model->folder, model->weights,
             what, model->diffusion->num_timesteps, strata);
}

static enum iddpm_status run(struct cli *cli, struct nll_command *command)
{
    TRY(inference_start(cli, cli->argv[0], &command->inference));
    TRY(parallel_agree(&cli->parallel, prepare(cli, command)));
    announce(command);
    for (int i = 0; i < command->n; i++) {
        bool loaded = !command->steps_text;
        enum iddpm_status status = IDDPM_OK;
        if (!loaded) status = model_turn_to(command->inference.model, &cli->parallel, command->steps[i]);
        if (status == IDDPM_OK) {
            TRY(measure_unless_done(cli, command, loaded));
        } else {
            log_warn("%s; passed over", iddpm_error_text());
            command->damaged++;
        }
    }
    if (command->totals) log_info("%.3f +- %.3f bits/dim", command->mean, command->standard_error);
    if (command->damaged == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "nll: %d of %d checkpoints could not be read", command->damaged, command->n);
}

static enum iddpm_status check(const struct nll_command *command)
{
    if (command->steps_text && command->inference.step >= 0)
        return iddpm_error(IDDPM_USAGE, "nll: --step is for one checkpoint, --steps for several: give one of them");
    if (command->many && command->out)
        return iddpm_error(IDDPM_USAGE, "nll: --out is the file of one result: give --folder instead of it");
    if (command->many && command->npz)
        return iddpm_error(IDDPM_USAGE, "nll: --npz has one name for every result: give it without --steps and "
                                        "--folder");
    if (command->strata > 0 && command->inference.noise_path)
        return iddpm_error(IDDPM_USAGE, "nll: --noise is for every timestep and cannot be had with --strata");
    return IDDPM_OK;
}

enum iddpm_status cmd_nll(struct cli *cli)
{
    struct nll_command command = {.save_seconds = 60};
    enum { OWN = 8 };
    struct option options[OWN + ENSEMBLE_OPTIONS + INFERENCE_OPTIONS] = {
        {"data", "DATA", "data set to measure; without it data.eval_path of the run", .text = &command.data_path},
        {"num", "N", "only the first N images; 0: all", .integer = &command.images},
        {"strata", "S",
         "one timestep, drawn for each image, of each of S strata: an estimate without bias, and its error; 0: every "
         "timestep",
         .integer = &command.strata, .max = INT32_MAX},
        {"steps", "all|LIST", "several checkpoints of a run, as 100,200,300; what is measured already is passed over",
         .text = &command.steps_text},
        {"folder", "FOLDER", "results go to FOLDER/step-NNNNNNNN.h5", .text = &command.folder},
        {"out", "FILE", "result; without it RUN/nll/step-N-WEIGHTS-DATA.h5, with what is not default in its name",
         .text = &command.out},
        {"npz", NULL, "beside it also the three NPZ files of the authors' image_nll.py", .flag = &command.npz},
        {"save-seconds", "N", "time between two writings of what is done, to RESULT.part",
         .integer = &command.save_seconds},
    };
    inference_options(&command.inference, options + OWN + ENSEMBLE_OPTIONS);
    ensemble_options(&command.inference, options + OWN);
    const struct usage usage = {
        "RUN|CHECKPOINT",
        "Measures the variational bound of images in bits/dim, with its standard error over images, and every term "
        "of it by timestep. All checkpoints meet the same images, noise and timesteps, so that the difference of two, "
        "which is given with its own error, is known better than each of them.\n\nA job that was stopped (exit status "
        "75) or killed continues where RESULT.part ends, on any number of ranks.",
        1, 1, OPTIONS(options)};
    bool done;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    command.many = command.steps_text || command.folder;
    TRY(check(&command));
    enum iddpm_status status = run(cli, &command);
    if (command.data) dataset_close(command.data);
    free(command.steps);
    free(command.totals);
    inference_end(&command.inference);
    return status;
}
