/* The options of a network from the names and shapes of its tensors. */
#include "unet.h"

#include <stdlib.h>
#include <string.h>

const char unet_untold_keys[] = "model.image_size (attention_resolutions go with it), model.num_heads, "
                                "model.num_heads_upsample, model.dropout, model.label_dropout";

#define CHANNELS_MAX (INT32_MAX / 8) /* so that those of a concatenation or of q, k and v can be counted */

struct tensors {
    int n;
    const struct net_param *v;
};

static const struct net_param *look_up(const struct tensors *tensors, const char *name)
{
    for (int i = 0; i < tensors->n; i++)
        if (strcmp(tensors->v[i].name, name) == 0) return &tensors->v[i];
    return NULL;
}

/* Part `part` of block `index` of the way down. */
static const struct net_param *in_block(const struct tensors *tensors, int index, const char *part)
{
    char name[96];
    snprintf(name, sizeof name, "input_blocks.%d.%s", index, part);
    return look_up(tensors, name);
}

/* Whether there is anything of block `index` of the way down, or, for -1, a convolution between levels. */
static bool has_block(const struct tensors *tensors, int index)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, "input_blocks.%d.", index);
    for (int i = 0; i < tensors->n; i++) {
        const char *name = tensors->v[i].name, *end = strstr(name, ".0.op.weight");
        if (index < 0 ? end && !end[12] : strncmp(name, prefix, strlen(prefix)) == 0) return true;
    }
    return false;
}

/* A tensor that every network of this kind has. */
static enum iddpm_status need(const struct tensors *tensors, const char *name, int ndim, const struct net_param **out)
{
    *out = look_up(tensors, name);
    if (!*out) return iddpm_error(IDDPM_FAILED, "%s is missing", name);
    if ((*out)->ndim != ndim || (*out)->dims[0] == 0 || (*out)->dims[0] > CHANNELS_MAX ||
        (*out)->dims[1] > CHANNELS_MAX)
        return iddpm_error(IDDPM_FAILED, "%s has %d dimensions or none in the first; it must have %d", name,
                           (*out)->ndim, ndim);
    return IDDPM_OK;
}

/* ---- channels in and out ----------------------------------------------------------------------------------------- */

/* Whether `in` channels are two images, when `out` come out. */
static bool is_super_res(int in, int out, const struct unet_options *like)
{
    if (in % 2 || (out != in && out != in / 2)) return false; /* out: of one image, or with its variances */
    if (out == in / 2) return true;
    if (like && (like->in_channels == in || like->in_channels == in / 2)) return like->in_channels == in / 2;
    return in == 2 || in == 6;
}

static enum iddpm_status infer_channels(const struct tensors *tensors, const struct unet_options *like,
                                        struct unet_options *out)
{
    const struct net_param *first, *last;
    TRY(need(tensors, "input_blocks.0.0.weight", 4, &first));
    TRY(need(tensors, "out.2.weight", 4, &last));
    int in = (int)first->dims[1];
    out->model_channels = (int)first->dims[0];
    out->out_channels = (int)last->dims[0];
    bool two = is_super_res(in, out->out_channels, like);
    out->in_channels = two ? in / 2 : in;
    out->super_res = two; /* the size comes with that of the image */
    if (out->out_channels == out->in_channels || out->out_channels == 2 * out->in_channels) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED,
                       "out.2.weight gives %d channels, which are those of one image, with variances or without, of "
                       "neither the %d that input_blocks.0.0.weight takes nor half of them",
                       out->out_channels, in);
}

/* ---- levels ------------------------------------------------------------------------------------------------------ */

static enum iddpm_status begin_level(const struct tensors *tensors, int index, const struct net_param *conv,
                                     struct unet_options *out)
{
    if (out->n_mult == UNET_LEVELS_MAX)
        return iddpm_error(IDDPM_FAILED, "input_blocks.%d begins a level beyond the %d that there may be", index,
                           UNET_LEVELS_MAX);
    if (conv->dims[0] == 0 || conv->dims[0] > CHANNELS_MAX || conv->dims[0] % (uint64_t)out->model_channels)
        return iddpm_error(IDDPM_FAILED, "input_blocks.%d gives %llu channels, no multiple of the %d of input_blocks.0",
                           index, (unsigned long long)conv->dims[0], out->model_channels);
    int channels = (int)conv->dims[0];
    out->channel_mult[out->n_mult] = channels / out->model_channels;
    if (in_block(tensors, index, "1.qkv.weight")) out->attention_ds[out->n_attention++] = 1 << out->n_mult;
    out->n_mult++;
    return IDDPM_OK;
}

enum stage { RESIDUAL, DOWNSAMPLE, END, NEITHER };

/* What block `index` of the way down is. Average pooling, without conv_resample, has no tensors. */
static enum stage stage_of(const struct tensors *tensors, int index, bool conv_resample)
{
    if (in_block(tensors, index, "0.in_layers.2.weight")) return RESIDUAL;
    if (in_block(tensors, index, "0.op.weight")) return DOWNSAMPLE;
    if (has_block(tensors, index)) return NEITHER;
    if (!has_block(tensors, index + 1)) return END;
    return conv_resample ? NEITHER : DOWNSAMPLE;
}

/* The blocks of the way down, level by level. Other numbers of blocks in later levels the comparison finds. */
static enum iddpm_status infer_levels(const struct tensors *tensors, struct unet_options *out)
{
    enum stage stage, before = DOWNSAMPLE;
    out->conv_resample = has_block(tensors, -1);
    for (int index = 1; (stage = stage_of(tensors, index, out->conv_resample)) != END; index++, before = stage) {
        if (stage == NEITHER)
            return iddpm_error(IDDPM_FAILED,
                               "input_blocks.%d has neither 0.in_layers.2.weight, as a residual block, nor 0.op.weight",
                               index);
        if (stage == RESIDUAL && before == DOWNSAMPLE)
            TRY(begin_level(tensors, index, in_block(tensors, index, "0.in_layers.2.weight"), out));
        out->num_res_blocks += stage == RESIDUAL && out->n_mult == 1;
    }
    if (out->num_res_blocks > 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "input_blocks.1.0.in_layers.2.weight is missing");
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

static enum iddpm_status infer_embedding(const struct tensors *tensors, const struct unet_options *like,
                                         struct unet_options *out)
{
    const struct net_param *emb, *labels;
    TRY(need(tensors, "input_blocks.1.0.emb_layers.1.weight", 2, &emb));
    out->use_scale_shift_norm = emb->dims[0] == 2 * (uint64_t)out->channel_mult[0] * (uint64_t)out->model_channels;
    if (!look_up(tensors, "label_emb.weight")) return IDDPM_OK;
    TRY(need(tensors, "label_emb.weight", 2, &labels));
    out->num_classes = (int)labels->dims[0];
    out->null_class = like && like->null_class && out->num_classes > 1;
    out->num_classes -= out->null_class;
    return IDDPM_OK;
}

static int authors_image_size(const struct unet_options *o)
{
    for (int size = 32; size <= 256; size *= 2) {
        int mult[UNET_LEVELS_MAX], n = unet_authors_channel_mult(size, mult);
        if (n == o->n_mult && memcmp(mult, o->channel_mult, (size_t)n * sizeof *mult) == 0) return size;
    }
    return 1 << (o->n_mult - 1);
}

static void choose_sizes(const struct unet_options *like, struct unet_options *out)
{
    bool possible = like && like->image_size > 0 && like->image_size % (1 << (out->n_mult - 1)) == 0;
    out->image_size = possible ? like->image_size : authors_image_size(out);
    if (!out->super_res) return;
    out->super_res = like && like->super_res ? like->super_res : out->image_size / 4; /* as the authors' 64 to 256 */
    if (out->super_res < 1) out->super_res = 1;
}

enum iddpm_status unet_options_infer(int n, const struct net_param *tensors, const struct unet_options *like,
                                     struct unet_options *out)
{
    const struct tensors all = {n, tensors};
    *out = (struct unet_options){.num_heads = 1, .num_heads_upsample = -1, .kernels = CONV_CHOICE_DIRECT};
    TRY(infer_channels(&all, like, out));
    TRY(infer_levels(&all, out));
    TRY(infer_embedding(&all, like, out));
    if (out->n_mult == 1 && like) out->conv_resample = like->conv_resample; /* there is nothing between levels */
    choose_sizes(like, out);
    if (!like) return IDDPM_OK;
    out->dropout = like->dropout;
    out->precision = like->precision;
    return IDDPM_OK;
}
