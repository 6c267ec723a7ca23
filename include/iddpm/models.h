/* Floor 3: builders of networks over the ops of net.h, under the authors' parameter names and order. */
#ifndef IDDPM_MODELS_H
#define IDDPM_MODELS_H

#include "iddpm/config.h"
#include "iddpm/diffusion.h"
#include "iddpm/net.h"

#define UNET_LEVELS_MAX CONFIG_LIST_MAX

/* The arguments of the authors' UNetModel (unet.py). */
struct unet_options {
    int image_size;
    int in_channels, model_channels, out_channels, num_res_blocks;
    int n_attention;
    int attention_ds[UNET_LEVELS_MAX]; /* downsampling rates (2 = half size) at which attention takes place */
    int n_mult;
    int channel_mult[UNET_LEVELS_MAX];
    double dropout;
    bool conv_resample;
    int num_classes;                   /* 0: not class-conditional */
    bool null_class;                   /* one row more in label_emb, the last: that of no class (label_dropout) */
    int num_heads, num_heads_upsample; /* num_heads_upsample -1: num_heads */
    bool use_scale_shift_norm;
    enum conv_choice kernels;
    const struct net_kernels *measured; /* goes before it (net_choose_kernels); NULL: none */
    enum element precision;             /* of the torso: from the first convolution to the last group norm */
    bool use_checkpoint;                /* recomputation in the backward pass; changes no bit */
    int super_res; /* size of a second input, enlarged and put behind the first (SuperResModel); 0: none */
};

/* From the groups model and diffusion (out_channels doubles with learn_sigma); channel_mult and attention resolutions
 * as the authors' script_util.py. `classes`: of the data set, for model.num_classes 0; -1 when the data set is unknown.
 * Every combination that no network can have is an error naming the key: channels by 32, heads, sizes that do not
 * halve. */
enum iddpm_status unet_options_from_config(const struct config *config, int classes, struct unet_options *out);

/* Network and diffusion that a configuration describes. The strings in `diffusion` belong to the configuration. */
struct model_spec {
    struct unet_options unet;
    struct diffusion_options diffusion;
};
/* `classes` as above. `respacing`: instead of diffusion.timestep_respacing unless NULL. */
enum iddpm_status model_spec_from_config(const struct config *config, int classes, const char *respacing,
                                         struct model_spec *out);

/* Appends the network to `net`: input 0 [n][size][size][in_channels] (with super_res input 1, the small image), output
 * [n][size][size][out_channels]. The caller then calls net_finish, which reports errors. */
void unet_build(struct net *net, const struct unet_options *options);

/* A finished network of these options. */
enum iddpm_status unet_create(struct net **out, const struct unet_options *options, int batch, enum net_mode mode,
                              int threads);

#endif
