/* iddpm nll: bits/dim of images under a trained model. */
#include "result_name.h"

#include "iddpm/train.h"

#include <string.h>

struct nll_command {
    struct inference inference;
    const char *data_path, *out;
    int64_t images;
    bool npz;
    struct dataset *data;
    char path[PATH_SIZE]; /* of the result */
};

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
    return result_name_path(command->path, inference, "nll", name, ".h5");
}

/* Collective: the data set and the name of the result. */
static enum iddpm_status prepare(const struct cli *cli, struct nll_command *command)
{
    const char *path = command->data_path;
    if (!path) path = command->inference.model->config->data.eval_path;
    if (!*path)
        return iddpm_error(IDDPM_USAGE, "nll: which images? The run names no held-out data (data.eval_path): give "
                                        "--data DATA/");
    TRY(train_open_data(&cli->parallel, &command->data, path));
    if (!command->out) return name_result(command);
    if (strlen(command->out) >= PATH_SIZE) return iddpm_error(IDDPM_USAGE, "nll: the path of --out is too long");
    strcpy(command->path, command->out);
    return IDDPM_OK;
}

/* Rank 0. */
static enum iddpm_status write_result(const struct nll_command *command, const struct nll_options *options,
                                      const struct nll *nll)
{
    TRY(nll_write(nll, command->inference.model, command->data, options, command->path));
    log_info("wrote %s", command->path);
    if (!command->npz) return IDDPM_OK;
    char folder[PATH_SIZE];
    const char *slash = strrchr(command->path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - command->path) : 1, slash ? command->path : ".");
    TRY(nll_write_npz(nll, folder));
    log_info("wrote %s/{vb,mse,xstart_mse}_terms.npz", folder);
    return IDDPM_OK;
}

static enum iddpm_status run(struct cli *cli, struct nll_command *command)
{
    struct inference *inference = &command->inference;
    TRY(inference_start(cli, cli->argv[0], inference));
    TRY(parallel_agree(&cli->parallel, prepare(cli, command)));
    TRY(inference_make_folder(cli, command->path));
    const struct model *model = inference->model;
    const struct nll_options options = {.images = (uint64_t)command->images,
                                        .clip_denoised = !inference->no_clip,
                                        .seed = (uint64_t)inference->seed,
                                        .noise = inference->noise};
    log_info("bits/dim of %s under %s, %s of step %lld, %d timesteps", command->data->folder, model->folder,
             model->weights, (long long)model->step, model->diffusion->num_timesteps);
    struct nll *nll;
    TRY(nll_measure(&cli->parallel, inference->model, command->data, &options, &nll));
    enum iddpm_status status = cli->parallel.rank == 0 ? write_result(command, &options, nll) : IDDPM_OK;
    status = parallel_agree(&cli->parallel, status);
    if (status == IDDPM_OK) log_info("%.3f +- %.3f bits/dim", nll->mean, nll->standard_error);
    nll_destroy(nll);
    return status;
}

enum iddpm_status cmd_nll(struct cli *cli)
{
    struct nll_command command = {0};
    enum { OWN = 4 };
    struct option options[OWN + INFERENCE_OPTIONS] = {
        {"data", "DATA", "data set to measure; without it data.eval_path of the run", .text = &command.data_path},
        {"num", "N", "only the first N images; 0: all", .integer = &command.images},
        {"out", "FILE", "result; without it RUN/nll/step-N-WEIGHTS-DATA.h5, with what is not default in its name",
         .text = &command.out},
        {"npz", NULL, "beside it also the three NPZ files of the authors' image_nll.py", .flag = &command.npz},
    };
    inference_options(&command.inference, options + OWN);
    const struct usage usage = {
        "RUN|CHECKPOINT",
        "Measures the variational bound of images in bits/dim, with its standard error over images, and every term "
        "of it by timestep.",
        1, 1, OPTIONS(options)};
    bool done;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    enum iddpm_status status = run(cli, &command);
    if (command.data) dataset_close(command.data);
    inference_end(&command.inference);
    return status;
}
