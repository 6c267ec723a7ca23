/* iddpm features: outputs of a network's blocks for images of a data set. */
#include "result_name.h"

#include "iddpm/train.h"

#include <limits.h>
#include <string.h>

struct features_command {
    struct inference inference;
    const char *data_path, *out, *timestep_text;
    int64_t images, timestep;
    bool pool;
    struct dataset *data;
    char path[PATH_SIZE];
};

static enum iddpm_status check(struct features_command *command)
{
    const char *timestep = command->timestep_text;
    if (!timestep) return iddpm_error(IDDPM_USAGE, "features: how much noise? Give --timestep T, 0 for the least");
    if (!text_integer(timestep, &command->timestep) || command->timestep < 0 || command->timestep > INT_MAX)
        return iddpm_error(IDDPM_USAGE, "features: --timestep: found '%.80s'; allowed is a whole number of at least 0",
                           timestep);
    if (command->out && strlen(command->out) >= PATH_SIZE)
        return iddpm_error(IDDPM_USAGE, "features: the path of --out is too long");
    return IDDPM_OK;
}

/* RUN/features/step-00001200-ema-0.999-digits-test-t100.h5, and in the name what is not default. */
static enum iddpm_status name_result(struct features_command *command)
{
    const struct inference *inference = &command->inference;
    char name[PATH_SIZE] = "";
    int length;
    const char *data = result_name_last(command->data->folder, &length);
    if (command->out) {
        strcpy(command->path, command->out);
        return IDDPM_OK;
    }
    result_name_add(name, "step-%08lld-%s-%.*s-t%lld", (long long)inference->model->step, inference->model->weights,
                    length, data, (long long)command->timestep);
    if (inference->respacing) result_name_add(name, "-%s", inference->respacing);
    if (command->images > 0) result_name_add(name, "-num%lld", (long long)command->images);
    if (strcmp(inference->features, "*") != 0) result_name_add(name, "-%s", inference->features);
    if (command->pool) result_name_add(name, "-pool");
    return result_name_path(command->path, inference, "features", name, ".h5");
}

static enum iddpm_status run(struct cli *cli, struct features_command *command)
{
    const struct inference *inference = &command->inference;
    const char *path = command->data_path;
    TRY(inference_start(cli, cli->argv[0], &command->inference));
    const struct model *model = inference->model;
    if (!path) path = model->config->data.eval_path;
    if (!*path)
        return iddpm_error(IDDPM_USAGE, "features: of which images? The run names no held-out data (data.eval_path): "
                                        "give --data DATA/");
    TRY(train_open_data(&cli->parallel, &command->data, path));
    TRY(parallel_agree(&cli->parallel, name_result(command)));
    TRY(inference_make_folder(cli, command->path));
    const struct feature_options options = {.images = (uint64_t)command->images,
                                            .timestep = (int)command->timestep,
                                            .pool = command->pool,
                                            .seed = (uint64_t)inference->seed,
                                            .noise = inference->noise};
    log_info("features of %s under %s, %s of step %lld, timestep %d", command->data->folder, model->folder,
             model->weights, (long long)model->step, options.timestep);
    TRY(features_write(&cli->parallel, inference->model, command->data, &options, command->path));
    log_info("wrote %s", command->path);
    return IDDPM_OK;
}

enum iddpm_status cmd_features(struct cli *cli)
{
    struct features_command command = {.images = 0};
    enum { OWN = 6 };
    const char *blocks = "*";
    struct option options[OWN + INFERENCE_OPTIONS] = {
        {"timestep", "T", "timestep, as spaced, for which images are noised; to be given",
         .text = &command.timestep_text},
        {"data", "DATA", "data set; without it data.eval_path of the run", .text = &command.data_path},
        {"num", "N", "only the first N images; 0: all", .integer = &command.images},
        {"blocks", "LIST",
         "names or patterns of the shell with commas between, as middle_block,'output_blocks.*'; blocks are "
         "input_blocks.0, ..., middle_block, output_blocks.0, ...",
         .text = &blocks},
        {"pool", NULL, "means over positions in place of every position", .flag = &command.pool},
        {"out", "FILE",
         "result; without it RUN/features/step-N-WEIGHTS-DATA-tT.h5, with what is not default in its name",
         .text = &command.out},
    };
    inference_options(&command.inference, options + OWN);
    const struct usage usage = {
        "RUN|CHECKPOINT",
        "Writes what blocks of the network give for noised images of a data set, with their labels, to HDF5: an array "
        "[images][height][width][channels] under the name of each block. The file is the same for any number of ranks; "
        "a job that was stopped begins again.",
        1,
        1,
        OWN + INFERENCE_OPTIONS - 1,
        options};
    bool done;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    command.inference.features = blocks;
    TRY(check(&command));
    enum iddpm_status status = run(cli, &command);
    if (command.data) dataset_close(command.data);
    inference_end(&command.inference);
    return status;
}
