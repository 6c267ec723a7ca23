/* iddpm sample: images from a trained model, and images back into its noise. */
#include "iddpm/train.h"
#include "sample_command.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* ---- what is asked for ------------------------------------------------------------------------------------------- */

static bool ends_in(const char *name, const char *ending)
{
    const char *end = strrchr(name, '.');
    return end && strcmp(end, ending) == 0;
}

static enum iddpm_status check_encoding(const struct sample_command *command)
{
    const bool other = command->eta != 0 || command->start >= 0 || command->label >= 0 || command->columns > 0 ||
                       command->npz || command->inference.noise_path;
    if (other)
        return iddpm_error(IDDPM_USAGE, "sample: --encode goes with --num, --steps, --base and --out, and what every "
                                        "model takes; it is DDIM without noise, of whole chains");
    if (!command->out || ends_in(command->out, ".h5") || ends_in(command->out, ".npz")) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE,
                       "sample: --out %.200s: latents are HDF5 or NPZ, so its name must end in .h5 or .npz",
                       command->out);
}

static enum iddpm_status check(struct sample_command *command)
{
    if (command->steps && command->inference.respacing)
        return iddpm_error(IDDPM_USAGE, "sample: --steps N is short for --respacing N; give one of them");
    if (command->steps) command->inference.respacing = command->steps;
    if (command->images == 0)
        return iddpm_error(IDDPM_USAGE, "sample: --num: found '0'; at least one image must be asked for");
    if (command->xstart && command->columns == 0)
        return iddpm_error(IDDPM_USAGE, "sample: --xstart says what --progressive K shows; give that as well");
    if (command->data_path) return check_encoding(command);
    if (command->eta != 0 && !command->ddim)
        return iddpm_error(IDDPM_USAGE, "sample: --eta belongs to DDIM; give --ddim as well");
    if (command->out && !ends_in(command->out, ".png"))
        return iddpm_error(IDDPM_USAGE, "sample: --out %.200s: the picture is a PNG, so its name must end in .png",
                           command->out);
    return IDDPM_OK;
}

/* Collective. How many images, and from what. */
static enum iddpm_status open_inputs(struct cli *cli, struct sample_command *command)
{
    if (command->base_path) TRY(base_open(&command->base, &cli->parallel, command->base_path));
    if (command->data_path) TRY(train_open_data(&cli->parallel, &command->data, command->data_path));
    command->more = command->columns > 0 ? SAMPLE_ROWS : SAMPLE_IMAGES;
    if (command->base) command->more = (int64_t)command->base->images;
    if (command->data) command->more = (int64_t)command->data->images;
    if (command->images < 0) command->images = command->more;
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

/* ---- results (rank 0) -------------------------------------------------------------------------------------------- */

static bool is_made(const struct sample_command *command, const struct sample_options *options)
{
    if (!path_exists(command->path) || (command->npz && !path_exists(command->npz_path))) return false;
    return samples_are_made(command->inference.model, options, command->npz, command->record);
}

/* A record must never stand beside the result of another job. */
static enum iddpm_status forget_old(const struct sample_command *command)
{
    if (unlink(command->record) == 0 || errno == ENOENT) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cannot be removed: %s", command->record, strerror(errno));
}

static enum iddpm_status write_result(const struct sample_command *command, const struct sample_options *options,
                                      const struct samples *samples)
{
    bool latents = samples->latents;
    bool large = samples->images * (uint64_t)samples->columns > SAMPLE_GRID_MAX;
    if (command->npz) {
        TRY(samples_write_npz(samples, command->npz_path));
        log_info("wrote %s", command->npz_path);
    }
    if (!latents)
        TRY(samples_write_png(samples, command->path));
    else if (ends_in(command->path, ".npz"))
        TRY(samples_write_npz(samples, command->path));
    else
        TRY(samples_write_latents(samples, command->path));
    TRY(samples_write_record(command->inference.model, options, command->npz, command->record));
    samples_part_remove(command->part);
    log_info("wrote %s%s", command->path, !latents && large ? ", with as many of the images as a grid shows" : "");
    return IDDPM_OK;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static void announce(const struct sample_command *command, const struct sample_options *options)
{
    const struct model *model = command->inference.model;
    int steps = model->diffusion->num_timesteps - options->skip;
    if (command->data)
        log_info("latents of %lld images of %s under %s, %s of step %lld, %d steps", (long long)command->images,
                 command->data->folder, model->folder, model->weights, (long long)model->step, steps);
    else
        log_info("%lld samples of %s, %s of step %lld, %d %s", (long long)command->images, model->folder,
                 model->weights, (long long)model->step, steps, command->ddim ? "DDIM steps" : "steps");
}

/* Collective. */
static enum iddpm_status draw(struct cli *cli, struct sample_command *command, const struct sample_options *options)
{
    bool root = cli->parallel.rank == 0;
    struct samples *samples;
    TRY(parallel_agree(&cli->parallel, sample_check(command->inference.model, options)));
    TRY(inference_make_folder(cli, command->path));
    if (parallel_max_int(&cli->parallel, root && !command->again && is_made(command, options))) {
        log_info("%s is there already, of the same settings; --again makes it once more", command->path);
        return IDDPM_OK;
    }
    announce(command, options);
    TRY(parallel_agree(&cli->parallel, root ? forget_old(command) : IDDPM_OK));
    TRY(sample_images(&cli->parallel, command->inference.model, options, &samples));
    watchdog_at("writing samples", -1);
    enum iddpm_status status = root ? write_result(command, options, samples) : IDDPM_OK;
    samples_destroy(samples);
    return parallel_agree(&cli->parallel, status);
}

static enum iddpm_status run(struct cli *cli, struct sample_command *command)
{
    struct inference *inference = &command->inference;
    int skip;
    TRY(inference_start(cli, cli->argv[0], inference));
    TRY(open_inputs(cli, command));
    TRY(parallel_agree(&cli->parallel, find_start(command, &skip)));
    TRY(parallel_agree(&cli->parallel, sample_name(command)));
    const struct sample_options options = {.kind = command->data   ? SAMPLING_DDIM_REVERSE
                                                   : command->ddim ? SAMPLING_DDIM
                                                                   : SAMPLING_ANCESTRAL,
                                           .eta = command->eta,
                                           .clip_denoised = !inference->no_clip,
                                           .images = (uint64_t)command->images,
                                           .seed = (uint64_t)inference->seed,
                                           .skip = skip,
                                           .label = command->label,
                                           .noise = inference->noise,
                                           .base = command->base,
                                           .data = command->data,
                                           .columns = (int)command->columns,
                                           .xstart = command->xstart,
                                           .part = command->part,
                                           .part_seconds = (double)command->save_seconds};
    return draw(cli, command, &options);
}

enum iddpm_status cmd_sample(struct cli *cli)
{
    struct sample_command command = {.images = -1, .label = -1, .start = -1, .save_seconds = 60};
    enum { OWN = 15 };
    struct option options[OWN + ENSEMBLE_OPTIONS + INFERENCE_OPTIONS] = {
        {"num", "N", "number of images; -1: 64, 8 rows of --progressive, or as many as --base or --encode has",
         .integer = &command.images, .min = -1, .max = UINT32_MAX},
        {"steps", "N", "number of timesteps, spread evenly; short for --respacing N", .text = &command.steps},
        {"ddim", NULL, "deterministic DDIM steps instead of ancestral ones", .flag = &command.ddim},
        {"eta", "E", "noise of DDIM steps, 0 to 1", .number = &command.eta, .min = 0, .max = 1},
        {"start-step", "T",
         "timestep, as spaced, at which the chains begin from noise, the later ones being skipped; -1: "
         "the last",
         .integer = &command.start, .min = -1, .max = INT_MAX},
        {"class", "K", "class of every image; -1: random ones, or those of --base or --noise",
         .integer = &command.label, .min = -1},
        {"guidance", "S",
         "classifier-free guidance, of models trained with label_dropout: outputs are S times as far from those "
         "without "
         "class; 1: none",
         .number = &command.inference.guidance},
        {"base", "FILE",
         "for a super-resolution model: NPZ file of the images to enlarge, as --npz writes it, in its order, with "
         "their "
         "classes; they are begun again when --num is larger",
         .text = &command.base_path},
        {"progressive", "K", "the picture has K columns, evenly along the chain, and a row for each image; 0: a grid",
         .integer = &command.columns, .min = 0, .max = SAMPLE_GRID_MAX},
        {"xstart", NULL, "these columns show what the model takes the finished image to be", .flag = &command.xstart},
        {"encode", "DATA",
         "in place of samples: the images of a data set along the deterministic path into noise, which sample --ddim "
         "--noise FILE decodes",
         .text = &command.data_path},
        {"out", "FILE",
         "picture (.png), or latents (.h5, .npz); without it RUN/samples/step-N.png or RUN/latents/step-N-DATA.h5, "
         "with what is not default in its name",
         .text = &command.out},
        {"npz", NULL, "beside the picture also the NPZ file of the authors' image_sample.py", .flag = &command.npz},
        {"save-seconds", "N", "time between two writings of chains on their way, to RESULT.part.chains",
         .integer = &command.save_seconds},
        {"again", NULL, "also when the result is there already", .flag = &command.again},
    };
    inference_options(&command.inference, options + OWN + ENSEMBLE_OPTIONS);
    ensemble_options(&command.inference, options + OWN);
    const struct usage usage = {
        "RUN|CHECKPOINT",
        "Draws images from a trained model and puts them into a picture. The images do not depend on the number of "
        "ranks.\n\nA job that was stopped (exit status 75) or killed continues on any number of ranks: finished images "
        "are in RESULT.part, chains on their way in RESULT.part.chains. What a result was made of is written beside it "
        "as YAML; the same command does not make it again.",
        1, 1, OPTIONS(options)};
    bool done;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    TRY(check(&command));
    enum iddpm_status status = run(cli, &command);
    if (command.data) dataset_close(command.data);
    base_close(command.base);
    inference_end(&command.inference);
    return status;
}
