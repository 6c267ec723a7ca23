/* iddpm sample: images from a trained model. */
#include "result_name.h"

#include <limits.h>
#include <string.h>

struct sample_command {
    struct inference inference;
    const char *steps, *out, *base_path;
    struct base *base;
    int64_t images, label, start; /* start: timestep, -1 for the last */
    bool ddim, npz;
    double eta;
    char path[PATH_SIZE]; /* of the picture */
};

static enum iddpm_status check(struct sample_command *command)
{
    if (command->steps && command->inference.respacing)
        return iddpm_error(IDDPM_USAGE, "sample: --steps N is short for --respacing N; give one of them");
    if (command->steps) command->inference.respacing = command->steps;
    if (command->eta != 0 && !command->ddim)
        return iddpm_error(IDDPM_USAGE, "sample: --eta belongs to DDIM; give --ddim as well");
    if (command->images == 0)
        return iddpm_error(IDDPM_USAGE, "sample: --num: found '0'; at least one image must be asked for");
    const char *end = command->out ? strrchr(command->out, '.') : ".png";
    if (!end || strcmp(end, ".png") != 0)
        return iddpm_error(IDDPM_USAGE, "sample: --out %.200s: the picture is a PNG, so its name must end in .png",
                           command->out);
    return IDDPM_OK;
}

enum { IMAGES = 64 }; /* without --num and --base */

/* RUN/samples/step-00001200.png, and in the name what is not default. */
static enum iddpm_status name_result(struct sample_command *command)
{
    const struct inference *inference = &command->inference;
    char name[PATH_SIZE] = "", eta[TEXT_NUMBER_SIZE];
    if (command->out) {
        if (strlen(command->out) >= PATH_SIZE) return iddpm_error(IDDPM_USAGE, "sample: the path of --out is too long");
        strcpy(command->path, command->out);
        return IDDPM_OK;
    }
    result_name_add(name, "step-%08lld", (long long)inference->model->step);
    if (inference->weights) result_name_add(name, "-%s", inference->weights);
    if (inference->respacing) result_name_add(name, "-%s", inference->respacing);
    if (command->ddim) result_name_add(name, "-ddim");
    text_from_number(command->eta, eta);
    if (command->eta != 0) result_name_add(name, "-eta%s", eta);
    if (command->start >= 0) result_name_add(name, "-start%lld", (long long)command->start);
    if (command->label >= 0) result_name_add(name, "-class%lld", (long long)command->label);
    if (command->base) result_name_add(name, "-base-%.8s", command->base->hash);
    if (command->images != (command->base ? (int64_t)command->base->images : IMAGES))
        result_name_add(name, "-num%lld", (long long)command->images);
    return result_name_path(command->path, inference, "samples", name, ".png");
}

/* Rank 0. */
static enum iddpm_status write_result(const struct sample_command *command, const struct samples *samples)
{
    TRY(samples_write_png(samples, command->path));
    log_info("wrote %s%s", command->path,
             samples->images > SAMPLE_GRID_MAX ? ", with as many of the images as a grid shows" : "");
    if (!command->npz) return IDDPM_OK;
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%.*s.npz", (int)(strrchr(command->path, '.') - command->path), command->path);
    TRY(samples_write_npz(samples, path));
    log_info("wrote %s", path);
    return IDDPM_OK;
}

/* The steps before --start-step, into *skip. */
static enum iddpm_status find_start(const struct sample_command *command, int *skip)
{
    int last = command->inference.model->diffusion->num_timesteps - 1;
    *skip = command->start < 0 ? 0 : last - (int)command->start;
    if (command->start <= last) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "sample: --start-step %lld: the timesteps of this chain are 0 to %d",
                       (long long)command->start, last);
}

static enum iddpm_status run(struct cli *cli, struct sample_command *command)
{
    struct inference *inference = &command->inference;
    int skip;
    TRY(inference_start(cli, cli->argv[0], inference));
    if (command->base_path) TRY(base_open(&command->base, &cli->parallel, command->base_path));
    if (command->images < 0) command->images = command->base ? (int64_t)command->base->images : IMAGES;
    TRY(parallel_agree(&cli->parallel, find_start(command, &skip)));
    TRY(parallel_agree(&cli->parallel, name_result(command)));
    TRY(inference_make_folder(cli, command->path));
    const struct model *model = inference->model;
    const struct sample_options options = {.kind = command->ddim ? SAMPLING_DDIM : SAMPLING_ANCESTRAL,
                                           .eta = command->eta,
                                           .clip_denoised = !inference->no_clip,
                                           .images = (uint64_t)command->images,
                                           .seed = (uint64_t)inference->seed,
                                           .skip = skip,
                                           .label = command->label,
                                           .base = command->base,
                                           .noise = inference->noise};
    log_info("%lld samples of %s, %s of step %lld, %d %s", (long long)command->images, model->folder, model->weights,
             (long long)model->step, model->diffusion->num_timesteps - skip, command->ddim ? "DDIM steps" : "steps");
    struct samples *samples;
    TRY(sample_images(&cli->parallel, inference->model, &options, &samples));
    enum iddpm_status status = cli->parallel.rank == 0 ? write_result(command, samples) : IDDPM_OK;
    samples_destroy(samples);
    return parallel_agree(&cli->parallel, status);
}

enum iddpm_status cmd_sample(struct cli *cli)
{
    struct sample_command command = {.images = -1, .label = -1, .start = -1};
    enum { OWN = 9 };
    struct option options[OWN + INFERENCE_OPTIONS] = {
        {"num", "N", "number of images; -1: 64, or as many as --base has", .integer = &command.images, .min = -1},
        {"steps", "N", "number of timesteps, spread evenly; short for --respacing N", .text = &command.steps},
        {"ddim", NULL, "deterministic DDIM steps instead of ancestral ones", .flag = &command.ddim},
        {"eta", "E", "noise of DDIM steps, 0 to 1", .number = &command.eta, .min = 0, .max = 1},
        {"start-step", "T",
         "timestep, as spaced, at which the chains begin from noise, the later ones being skipped; -1: "
         "the last",
         .integer = &command.start, .min = -1, .max = INT_MAX},
        {"class", "K", "class of every image; -1: random ones", .integer = &command.label, .min = -1},
        {"base", "FILE",
         "for a super-resolution model: NPZ file of the images to enlarge, as --npz writes it, in its order, with "
         "their "
         "classes; they are begun again when --num is larger",
         .text = &command.base_path},
        {"out", "FILE", "picture; without it RUN/samples/step-N.png, with what is not default in its name",
         .text = &command.out},
        {"npz", NULL, "beside it also the NPZ file of the authors' image_sample.py", .flag = &command.npz},
    };
    inference_options(&command.inference, options + OWN);
    const struct usage usage = {
        "RUN|CHECKPOINT",
        "Draws images from a trained model and puts them into a picture. The images do not depend on the number of "
        "ranks.",
        1, 1, OPTIONS(options)};
    bool done;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    TRY(check(&command));
    enum iddpm_status status = run(cli, &command);
    base_close(command.base);
    inference_end(&command.inference);
    return status;
}
