/* The network that a configuration describes, with the checks of what no network can have (script_util.py). */
#include "unet.h"

#include <string.h>

int unet_authors_channel_mult(int image_size, int *mult)
{
    static const struct {
        int size, n, mult[6];
    } authors[] = {{256, 6, {1, 1, 2, 2, 4, 4}}, {64, 4, {1, 2, 3, 4}}, {32, 4, {1, 2, 2, 2}}};
    for (size_t k = 0; k < sizeof authors / sizeof *authors; k++) {
        if (authors[k].size != image_size) continue;
        memcpy(mult, authors[k].mult, sizeof authors[k].mult);
        return authors[k].n;
    }
    return 0;
}

static enum iddpm_status channel_mult(const struct config *config, struct unet_options *out)
{
    const struct int_list *list = &config->model.channel_mult;
    out->n_mult = list->n;
    for (int i = 0; i < list->n; i++) out->channel_mult[i] = (int)list->v[i];
    if (list->n == 0) out->n_mult = unet_authors_channel_mult(out->image_size, out->channel_mult);
    if (out->n_mult > 0) return IDDPM_OK;
    return config_error(
        config, "model.channel_mult",
        "needed at an image_size of %d, for example channel_mult: 1,2; the authors' defaults are for 32, "
        "64 and 256 pixels",
        out->image_size);
}

int image_size_from_config(const struct config *config)
{
    return (int)(config->model.large_size ? config->model.large_size : config->model.image_size);
}

const char *image_size_key(const struct config *config)
{
    return config->model.large_size ? "model.large_size" : "model.image_size";
}

#define DEFAULT_SIZE 64 /* of model.image_size; a configuration told to other ranks has it as if it had been set */

static enum iddpm_status choose_sizes(const struct config *config, struct unet_options *out)
{
    int64_t small = config->model.small_size, large = config->model.large_size, image = config->model.image_size;
    if (large && !small)
        return config_error(config, "model.large_size",
                            "belongs to a super-resolution model: set model.small_size, the size of the images that it "
                            "enlarges, as well, or model.image_size instead");
    if (large && large != image && image != DEFAULT_SIZE)
        return config_error(config, "model.large_size", "is %lld, but model.image_size is %lld: give one of them",
                            (long long)large, (long long)image);
    out->image_size = image_size_from_config(config);
    out->super_res = (int)small;
    if (small < out->image_size) return IDDPM_OK;
    return config_error(config, "model.small_size", "%lld is not smaller than the %d pixels to which it is enlarged",
                        (long long)small, out->image_size);
}

static enum iddpm_status check_sizes(const struct config *config, const struct unet_options *o)
{
    if (o->model_channels % 32)
        return config_error(config, "model.num_channels",
                            "%d is not divisible by 32, the number of groups of every group norm", o->model_channels);
    int factor = 1 << (o->n_mult - 1);
    if (o->image_size % factor)
        return config_error(config, image_size_key(config),
                            "%d is not divisible by %d: %d levels of channel_mult halve the image %d times",
                            o->image_size, factor, o->n_mult, o->n_mult - 1);
    if (unet_skips(o) > UNET_SKIPS_MAX)
        return config_error(config, "model.num_res_blocks",
                            "%d at each of %d levels are too many: allowed are at most %d at this channel_mult",
                            o->num_res_blocks, o->n_mult, UNET_SKIPS_MAX / o->n_mult - 1);
    return IDDPM_OK;
}

static enum iddpm_status check_heads(const struct config *config, const struct unet_options *o)
{
    for (int level = 0; level < o->n_mult; level++) {
        int channels = o->channel_mult[level] * o->model_channels;
        bool here = unet_attends(o, 1 << level), middle = level == o->n_mult - 1; /* which has num_heads */
        if ((here || middle) && channels % o->num_heads)
            return config_error(config, "model.num_heads", "%d heads do not divide the %d channels at %d pixels",
                                o->num_heads, channels, o->image_size >> level);
        if (here && o->num_heads_upsample != -1 && channels % o->num_heads_upsample)
            return config_error(config, "model.num_heads_upsample",
                                "%d heads do not divide the %d channels at %d pixels", o->num_heads_upsample, channels,
                                o->image_size >> level);
    }
    return IDDPM_OK;
}

static enum iddpm_status check_classes(const struct config *config, int classes, struct unet_options *o)
{
    o->null_class = config->model.label_dropout > 0;
    if (o->null_class && !config->model.class_cond)
        return config_error(config, "model.label_dropout",
                            "without class_cond: true there are no classes to leave out");
    if (!config->model.class_cond) return IDDPM_OK;
    o->num_classes = (int)config->model.num_classes;
    if (o->num_classes == 0 && classes > 0) o->num_classes = classes;
    if (o->num_classes == 0)
        return config_error(config, "model.class_cond",
                            classes < 0
                                ? "the number of classes is not known here: set model.num_classes"
                                : "the data set has no classes; import one with labels or set class_cond: false");
    if (classes > o->num_classes)
        return config_error(config, "model.num_classes", "%d are fewer than the %d classes of the data set",
                            o->num_classes, classes);
    return IDDPM_OK;
}

static enum conv_choice kernels_choice(const char *word)
{
    if (strcmp(word, "direct") == 0) return CONV_CHOICE_DIRECT;
    return strcmp(word, "winograd") == 0 ? CONV_CHOICE_WINOGRAD : CONV_CHOICE_AUTO;
}

enum iddpm_status unet_options_from_config(const struct config *config, int classes, struct unet_options *out)
{
    memset(out, 0, sizeof *out);
    TRY(choose_sizes(config, out));
    out->in_channels = (int)config->model.in_channels;
    out->out_channels = out->in_channels * (config->diffusion.learn_sigma ? 2 : 1);
    out->model_channels = (int)config->model.num_channels;
    out->num_res_blocks = (int)config->model.num_res_blocks;
    out->dropout = config->model.dropout;
    out->conv_resample = config->model.conv_resample;
    out->num_heads = (int)config->model.num_heads;
    out->num_heads_upsample = (int)config->model.num_heads_upsample;
    out->use_scale_shift_norm = config->model.use_scale_shift_norm;
    out->use_checkpoint = config->model.use_checkpoint;
    out->kernels = kernels_choice(config->parallel.kernels);
    out->precision = strcmp(config->model.precision, "bf16") == 0 ? ELEMENT_BF16 : ELEMENT_FLOAT32;
    TRY(channel_mult(config, out));
    TRY(check_sizes(config, out));
    const struct int_list *resolutions = &config->model.attention_resolutions;
    out->n_attention = resolutions->n;
    for (int i = 0; i < resolutions->n; i++) out->attention_ds[i] = out->image_size / (int)resolutions->v[i];
    TRY(check_heads(config, out));
    return check_classes(config, classes, out);
}
