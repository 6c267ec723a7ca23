/* The one table of keys. Names, meanings and defaults are the authors' where they have the flag; a new key is a field
 * of struct config and a row here. */
#include "key.h"

#include <math.h>

#define AT(member) .offset = offsetof(struct config, member)
#define UP INFINITY
#define STEPS_MAX 4294967295.0 /* a step is a 32-bit word of the random counter */

const struct key_group key_groups[KEY_GROUPS] = {
    {"run", "the folder that a run lives in, and its randomness"},
    {"data", "the images, made by `iddpm import`"},
    {"model", "the network, the authors' UNet"},
    {"diffusion", "the diffusion process and its loss"},
    {"train", "optimisation, what is logged and saved"},
    {"parallel", "how a step is shared among the MPI ranks"},
    {"store", "checkpoints: which stay, how they are written, and what when one cannot be"},
};

const struct key keys[] = {
    {"run.dir", KEY_TEXT, AT(run.dir), "", "folder of the run; a command whose folder holds a run continues it"},
    {"run.seed", KEY_INTEGER, AT(run.seed), "0", "seed of all randomness", .min = 0, .max = UP},

    {"data.path", KEY_TEXT, AT(data.path), "", "folder of the data set"},
    {"data.eval_path", KEY_TEXT, AT(data.eval_path), "", "folder of the held-out data set that `iddpm nll` takes"},
    {"data.local", KEY_TEXT, AT(data.local), "",
     "folder with copies of the data set's index and of the shards that this node's ranks read, as jobs/stage.sh makes "
     "them; it belongs to the job, and is not kept in the run's configuration"},
    {"data.cache", KEY_NUMBER, AT(data.cache), "2", "GiB per rank that may be used to keep images in memory", .min = 0,
     .max = UP},

    {"model.image_size", KEY_INTEGER, AT(model.image_size), "64", "height and width in pixels", .min = 1, .max = 4096},
    {"model.in_channels", KEY_INTEGER, AT(model.in_channels), "3", "channels of the images: 1 grey, 3 RGB", .min = 1,
     .max = 1024},
    {"model.num_channels", KEY_INTEGER, AT(model.num_channels), "128", "base channel count; a multiple of 32", .min = 1,
     .max = 65536},
    {"model.channel_mult", KEY_INTEGERS, AT(model.channel_mult), "",
     "times num_channels, per resolution; empty: the authors' for image_size 32, 64 and 256", .min = 1, .max = 1024},
    {"model.num_res_blocks", KEY_INTEGER, AT(model.num_res_blocks), "2", "residual blocks per resolution", .min = 1,
     .max = 1024},
    {"model.attention_resolutions", KEY_INTEGERS, AT(model.attention_resolutions), "16,8",
     "heights in pixels of the maps that have attention", .min = 1, .max = 4096},
    {"model.num_heads", KEY_INTEGER, AT(model.num_heads), "4", "attention heads", .min = 1, .max = 1024},
    {"model.num_heads_upsample", KEY_INTEGER, AT(model.num_heads_upsample), "-1",
     "attention heads on the way up; -1: num_heads", .min = 1, .max = 1024, .also = -1},
    {"model.use_scale_shift_norm", KEY_BOOL, AT(model.use_scale_shift_norm), "true",
     "timestep embedding by scale and shift of the group norm, not by addition"},
    {"model.conv_resample", KEY_BOOL, AT(model.conv_resample), "true", "convolutions in down- and upsampling"},
    {"model.dropout", KEY_NUMBER, AT(model.dropout), "0", "dropout probability in residual blocks", .min = 0, .max = 1,
     .below = true},
    {"model.precision", KEY_WORD, AT(model.precision), "float32",
     "activations and what weights are multiplied as: float32, or bf16 (bfloat16; weights, statistics, sums, gradients "
     "of weights and the optimiser stay float32), which takes less memory",
     .words = "float32|bf16"},
    {"model.class_cond", KEY_BOOL, AT(model.class_cond), "false", "condition on class labels"},
    {"model.num_classes", KEY_INTEGER, AT(model.num_classes), "0",
     "classes with class_cond; 0: as many as the data set has", .min = 0, .max = 1 << 24},

    {"diffusion.diffusion_steps", KEY_INTEGER, AT(diffusion.diffusion_steps), "1000", "timesteps T", .min = 1,
     .max = 1 << 24},
    {"diffusion.noise_schedule", KEY_WORD, AT(diffusion.noise_schedule), "linear", "schedule of the betas",
     .words = "linear|cosine"},
    {"diffusion.timestep_respacing", KEY_TEXT, AT(diffusion.timestep_respacing), "",
     "timesteps kept: '250', '10,15,20' per section, 'ddim25'; empty: all"},
    {"diffusion.learn_sigma", KEY_BOOL, AT(diffusion.learn_sigma), "false",
     "the network also gives the variance; the loss is L_hybrid"},
    {"diffusion.sigma_small", KEY_BOOL, AT(diffusion.sigma_small), "false",
     "without learn_sigma: variance beta tilde, not beta"},
    {"diffusion.use_kl", KEY_BOOL, AT(diffusion.use_kl), "false", "train on L_vlb"},
    {"diffusion.predict_xstart", KEY_BOOL, AT(diffusion.predict_xstart), "false",
     "the network predicts x_0, not the noise"},
    {"diffusion.rescale_timesteps", KEY_BOOL, AT(diffusion.rescale_timesteps), "true",
     "the network sees t 1000 / T, not t"},
    {"diffusion.rescale_learned_sigmas", KEY_BOOL, AT(diffusion.rescale_learned_sigmas), "true",
     "the vb term of L_hybrid is multiplied by T / 1000"},

    {"train.batch_size", KEY_INTEGER, AT(train.batch_size), "1", "images of a step, over all ranks", .min = 1,
     .max = 1 << 24},
    {"train.microbatch", KEY_INTEGER, AT(train.microbatch), "-1",
     "images of a leaf that are in memory at once; -1: the whole leaf", .min = 1, .max = 1 << 24, .also = -1},
    {"train.lr", KEY_NUMBER, AT(train.lr), "1e-4", "learning rate of AdamW", .min = 0, .max = UP},
    {"train.weight_decay", KEY_NUMBER, AT(train.weight_decay), "0", "decoupled weight decay of AdamW", .min = 0,
     .max = UP},
    {"train.lr_anneal_steps", KEY_INTEGER, AT(train.lr_anneal_steps), "0",
     "steps over which the learning rate goes linearly to 0; 0: constant", .min = 0, .max = STEPS_MAX},
    {"train.total_steps", KEY_INTEGER, AT(train.total_steps), "0", "steps of the run; 0: lr_anneal_steps", .min = 0,
     .max = STEPS_MAX},
    {"train.ema_rate", KEY_NUMBERS, AT(train.ema_rate), "0.9999",
     "decay rates of the moving averages of the parameters, per step", .min = 0, .max = 1, .below = true,
     .distinct = true},
    {"train.ema_warmup", KEY_BOOL, AT(train.ema_warmup), "false",
     "after k updates the rate is min(ema_rate, (1 + k) / (10 + k))"},
    {"train.schedule_sampler", KEY_WORD, AT(train.schedule_sampler), "uniform", "how timesteps are drawn",
     .words = "uniform|loss-second-moment"},
    {"train.log_interval", KEY_INTEGER, AT(train.log_interval), "10", "steps between lines of metrics", .min = 1,
     .max = STEPS_MAX},
    {"train.save_interval", KEY_INTEGER, AT(train.save_interval), "10000", "steps between checkpoints", .min = 1,
     .max = STEPS_MAX},
    {"train.save_steps", KEY_INTEGERS, AT(train.save_steps), "",
     "steps after which there is a checkpoint too, which stays whatever store.keep says", .min = 1, .max = STEPS_MAX,
     .ascending = true},
    {"train.resume_checkpoint", KEY_TEXT, AT(train.resume_checkpoint), "",
     "checkpoint from which a new run starts, step and moments included"},

    {"parallel.leaves", KEY_INTEGER, AT(parallel.leaves), "0",
     "pieces of a batch that ranks may own, a power of two; 0: the largest up to batch_size / 8, at most 16", .min = 0,
     .max = 65536},
    {"parallel.reduction", KEY_WORD, AT(parallel.reduction), "reproducible",
     "how gradients are averaged: reproducible has the same bits on any number of ranks and threads",
     .words = "reproducible|mpi_allreduce"},
    {"parallel.overlap", KEY_BOOL, AT(parallel.overlap), "true",
     "with reproducible: gradients travel while others are computed; the bits are the same"},
    {"parallel.threads", KEY_INTEGER, AT(parallel.threads), "0", "OpenMP threads per rank; 0: OMP_NUM_THREADS, else 1",
     .min = 0, .max = 1024},
    {"parallel.watchdog", KEY_NUMBER, AT(parallel.watchdog), "1800",
     "seconds without progress on a rank after which the job ends and says which rank stands where; several times the "
     "longest of: reading a checkpoint, one leaf's images into data.cache, one phase of writing it, a microbatch on "
     "the slowest rank; 0: never",
     .min = 0, .max = UP},
    {"parallel.kernels", KEY_WORD, AT(parallel.kernels), "auto",
     "3x3 convolutions: direct, by minimal filtering (winograd) at stride 1, or for each layer what is the fastest on "
     "the instruction set (auto; with parallel.reduction=mpi_allreduce the fastest for float32 is measured when a run "
     "starts, and kept in its kernels.txt); their last bits differ",
     .words = "direct|winograd|auto"},

    {"store.keep", KEY_INTEGER, AT(store.keep), "3", "newest checkpoints that stay", .min = 1, .max = 1 << 24},
    {"store.keep_every", KEY_INTEGER, AT(store.keep_every), "0", "every k-th checkpoint stays too; 0: none", .min = 0,
     .max = 1 << 24},
    {"store.hints", KEY_TEXT, AT(store.hints), "",
     "hints for MPI-IO where checkpoints are written: name=value,name=value, such as striping_factor=8"},
    {"store.alignment", KEY_INTEGER, AT(store.alignment), "0",
     "bytes; arrays at least so large begin at a multiple of it, as at the stripes of a parallel file system; 0: "
     "anywhere",
     .min = 0, .max = 1 << 30},
    {"store.max_failures", KEY_INTEGER, AT(store.max_failures), "3",
     "save intervals in a row that may pass without a checkpoint, though it is tried again in between, before training "
     "ends; tries of the last one",
     .min = 1, .max = 1 << 24},
};
const int key_count = sizeof keys / sizeof *keys;
