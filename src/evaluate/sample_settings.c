/* By what a job of samples is known again. */
#include "iddpm/kernels.h"
#include "sample.h"

#include <string.h>

static const char *const kinds[] = {
    [SAMPLING_ANCESTRAL] = "ancestral", [SAMPLING_DDIM] = "ddim", [SAMPLING_DDIM_REVERSE] = "ddim encoding"};

void sample_settings(const struct model *model, const struct sample_options *options,
                     struct store_attribute out[SAMPLE_SETTINGS])
{
    const struct diffusion *diffusion = model->diffusion;
    const struct store_attribute settings[SAMPLE_SETTINGS - ENDS_SETTINGS] = {
        setting_integer("images", (int64_t)options->images),
        setting_text("checkpoint", model->path),
        setting_integer("step", model->step),
        setting_text("weights", model->weights),
        setting_integer("weights_crc32", model->weights_crc32),
        setting_text("noise_schedule", model->config->diffusion.noise_schedule),
        setting_integer("diffusion_steps", diffusion->original_num_steps),
        setting_integer("num_timesteps", diffusion->num_timesteps),
        setting_text("respacing", model->respacing),
        setting_text("kind", kinds[options->kind]),
        setting_number("eta", options->eta),
        setting_integer("skipped_steps", options->skip),
        setting_integer("clip_denoised", options->clip_denoised),
        setting_integer("class", options->label),
        setting_number("guidance", model->guidance),
        setting_text("noise", options->noise ? "file" : "philox"),
        setting_integer("noise_crc32", options->noise ? options->noise->crc32 : 0),
        setting_integer("seed", (int64_t)options->seed),
        setting_text("base", options->base ? options->base->path : ""),
        setting_text("base_hash", options->base ? options->base->hash : ""),
        setting_text("data", options->data ? options->data->folder : ""),
        setting_text("data_hash", options->data ? options->data->hash : ""),
        setting_integer("columns", sample_columns(options)),
        setting_integer("columns_of_xstart", options->xstart),
        setting_integer("batch", model->batch),
        setting_text("instruction_set", kernels_isa()),
    };
    memcpy(out, settings, sizeof settings);
    ends_settings(model, out + SAMPLE_SETTINGS - ENDS_SETTINGS);
}
