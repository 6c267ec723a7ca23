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
    const char *features;               /* patterns of blocks (unet_block_is_in) whose outputs are kept; NULL: none */
    int super_res; /* size of a second input, enlarged and put behind the first (SuperResModel); 0: none */
};

/* Elements of the small image that a super-resolution network enlarges; 0 of another one. */
static inline size_t low_res_elements(const struct unet_options *options)
{
    return (size_t)options->super_res * (size_t)options->super_res * (size_t)options->in_channels;
}

/* Pixels of a side: model.image_size, or the large_size of a super-resolution model where it is given; and which of
 * these keys it is. */
int image_size_from_config(const struct config *config);
const char *image_size_key(const struct config *config);

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

/* Whether a block is in a list of patterns as the shell has them (fnmatch), with commas between: "middle_block" and
 * "input_blocks.0", "output_blocks.3", ... are the blocks, as in the names of their parameters. With options->features
 * those in it are kept (net_keep) under these names, in the order in which they run, in the network's precision. They
 * are what the authors' get_feature_vectors gives. */
bool unet_block_is_in(const char *patterns, const char *block);

/* Fills input k of a finished network: n images x [n][size][size][in_channels] and, up to `batch`, blank ones. */
void unet_set_input(struct net *net, const struct unet_options *options, int k, int n, int batch, const double *x);

/* A finished network of these options. */
enum iddpm_status unet_create(struct net **out, const struct unet_options *options, int batch, enum net_mode mode,
                              int threads);
/* The same without memory: it has its parameters' names and shapes, and counts, and cannot run. */
enum iddpm_status unet_plan(struct net **out, const struct unet_options *options, int batch, enum net_mode mode,
                            int threads);

/* ---- the options that tensors belong to (infer.c, fit.c) --------------------------------------------------------- */

/* The options of the network whose parameters have these names and shapes (offsets are not looked at). What these
 * cannot tell (unet_untold_keys) is taken from `like`, which may be NULL, where it is possible with the rest; else it
 * is the authors' image size for this channel_mult or the smallest that halves often enough, one head, no dropout.
 * Where as many channels go in as come out, 2 or 6 mean a super-resolution model, unless `like` has them all as
 * in_channels. IDDPM_FAILED names the tensor that no network of this kind has, or lacks; that all tensors fit, unet_fit
 * then says. */
enum iddpm_status unet_options_infer(int n, const struct net_param *tensors, const struct unet_options *like,
                                     struct unet_options *out);
extern const char unet_untold_keys[]; /* "model.image_size, model.num_heads, ..." */

/* How tensors differ from a network's parameters by name and shape. */
#define UNET_FIT_SHOWN 3
struct unet_fit {
    int differences;
    char first[UNET_FIT_SHOWN][320]; /* texts of the first ones, in the network's order */
};
/* `whose` network it is in the texts: "the configuration's". The options may be any; those that no network can have are
 * an error. */
enum iddpm_status unet_fit(const struct unet_options *options, const char *whose, int n,
                           const struct net_param *tensors, struct unet_fit *out);

/* The keys of a configuration that decide about names and shapes, with the values that give these options. */
#define UNET_KEYS 13
struct unet_key {
    const char *key; /* "model.num_channels" */
    char value[192]; /* as an override takes it */
};
void unet_options_keys(const struct unet_options *options, struct unet_key keys[UNET_KEYS]);

#endif
