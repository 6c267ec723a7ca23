/* What a model cannot draw. */
#include "images.h"
#include "noise.h"
#include "sample.h"

static enum iddpm_status check_base(const struct model *model, const struct sample_options *options)
{
    const struct base *base = options->base;
    int size = model->unet.super_res, classes = model->unet.num_classes;
    if (!base && (size == 0 || options->data)) return IDDPM_OK; /* images to encode are averaged */
    if (!base)
        return iddpm_error(IDDPM_USAGE, "the model of %s enlarges images of %dx%d pixels: give them (--base FILE.npz)",
                           model->path, size, size);
    if (size == 0)
        return iddpm_error(IDDPM_USAGE, "the model of %s is no super-resolution model: it takes no images such as %s",
                           model->path, base->path);
    if (base->size != size || base->channels != model->channels)
        return iddpm_error(IDDPM_USAGE,
                           "%s has images of %dx%d pixels and %d channels, but the model of %s enlarges those of %dx%d "
                           "and %d",
                           base->path, base->size, base->size, base->channels, model->path, size, size,
                           model->channels);
    if (classes == 0 || options->label >= 0 || options->data) return IDDPM_OK;
    if (!base->labels)
        return iddpm_error(IDDPM_USAGE, "%s has no classes (arr_1), which the class-conditional model of %s needs",
                           base->path, model->path);
    return images_check_labels(model, base->path, base->images, base->labels);
}

static enum iddpm_status check_columns(const struct model *model, const struct sample_options *options)
{
    int steps = model->diffusion->num_timesteps - options->skip;
    if (options->columns <= steps) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "a chain of %d steps cannot be shown in %d columns", steps, options->columns);
}

static enum iddpm_status check_noise(const struct model *model, const struct sample_options *options)
{
    const struct noise *noise = options->noise;
    bool one = options->kind == SAMPLING_DDIM && options->eta == 0; /* x_T is all that is drawn */
    TRY(noise_check(noise, one ? 1 : (uint64_t)model->diffusion->num_timesteps + 1, options->images, model->image));
    bool taken = noise && noise->labels && options->label < 0 && !(options->base && options->base->labels);
    if (!taken || model->unet.num_classes == 0) return IDDPM_OK;
    return images_check_labels(model, noise->name, options->images, noise->labels);
}

static enum iddpm_status check_encoding(const struct model *model, const struct sample_options *options)
{
    if (options->skip > 0 || options->eta > 0 || options->label >= 0 || options->noise || options->columns > 1)
        return iddpm_error(IDDPM_USAGE, "encoding is deterministic, of whole chains and with the images' own classes");
    return images_check(model, options->data, options->images);
}

enum iddpm_status sample_check(const struct model *model, const struct sample_options *options)
{
    int classes = model->unet.num_classes;
    if (options->images == 0) return iddpm_error(IDDPM_USAGE, "at least one sample must be asked for");
    if (options->eta < 0 || options->eta > 1)
        return iddpm_error(IDDPM_USAGE, "eta must lie between 0 and 1, not %g", options->eta);
    if (options->skip < 0 || options->skip >= model->diffusion->num_timesteps)
        return iddpm_error(IDDPM_USAGE, "of the %d steps of a chain %d cannot be left out",
                           model->diffusion->num_timesteps, options->skip);
    if (options->label >= 0 && classes == 0)
        return iddpm_error(IDDPM_USAGE, "the model of %s is not class-conditional: it has no class to be asked for",
                           model->path);
    if (options->label >= classes && classes > 0)
        return iddpm_error(IDDPM_USAGE, "the model of %s has the classes 0 to %d, not %lld", model->path, classes - 1,
                           (long long)options->label);
    TRY(check_base(model, options));
    TRY(check_columns(model, options));
    return options->kind == SAMPLING_DDIM_REVERSE ? check_encoding(model, options) : check_noise(model, options);
}
