/* Floor 5: what a trained model is worth: likelihoods in bits/dim, samples, and pictures of a run.
 *
 * Work is shared in fixed batches, cut by global index and always run at full size, the last one padded: batch b is the
 * images [b B, (b + 1) B), and rank r of n takes the batches r, r + n, ... So the bits of a result may depend on the
 * size B of a batch, but never on the number of ranks. */
#ifndef IDDPM_EVALUATE_H
#define IDDPM_EVALUATE_H

#include "iddpm/data.h"
#include "iddpm/models.h"
#include "iddpm/parallel.h"

/* ---- a model for inference (model.c, load.c, combine.c) ---------------------------------------------------------- */

struct model {
    struct config *config;  /* of its checkpoint; NULL without one */
    char path[PATH_SIZE];   /* of its checkpoint */
    char folder[PATH_SIZE]; /* where results go: the run, or the folder of a checkpoint outside any run */
    char weights[64];       /* "params" or "ema/RATE" */
    char respacing[256];    /* as timestep_respacing */
    int64_t step;           /* training steps done */
    uint32_t weights_crc32; /* checkpoint_group_crc of the weights; 0 without a checkpoint */
    struct unet_options unet;
    struct diffusion *diffusion;
    struct net *net;
    float *params; /* [net_flat_size] */
    int batch;     /* images of every run of the network */
    int pixels, channels;
    size_t image; /* elements of an image: pixels x channels */
    double *timesteps;
    int64_t *labels;                   /* both [batch], of a run */
    double *draw;                      /* [image], room for one draw of noise */
    const struct train_view *training; /* of model_around; NULL for others */
    double guidance;                   /* model_guide; 1: none */
    float *guided;                     /* [batch][pixels][output channels]; NULL without guidance */
    struct model *ends;                /* model_add_ends, owned; NULL: none */
    int ends_below, ends_from;         /* timesteps of diffusion_steps */
    float *mixed;                      /* like guided; NULL without another model */
};

/* A model without a checkpoint: the caller fills `params` and calls net_set_params. threads: OpenMP threads per rank.
 */
enum iddpm_status model_create(struct model **out, const struct model_spec *spec, int batch, int threads);
void model_destroy(struct model *model);

struct train_view;
/* Around the network of a run that is being trained, in batches of its microbatch and with its parameters: the network
 * stays the trainer's, and nothing has a second copy. Likelihoods and samples of such a model show no progress, and are
 * stopped also when the job ends soon (train_ends). `params` and `config` are NULL. `respacing`: instead of the one
 * that is trained, NULL for that; it must live on. */
enum iddpm_status model_around(struct model **out, const struct train_view *view, const char *respacing);
/* Collective: train_use_weights. */
enum iddpm_status model_use_weights(struct model *model, const char *weights);

struct model_options {
    const char *weights;   /* "params" or "ema/RATE"; NULL: the EMA of the first train.ema_rate */
    const char *respacing; /* instead of diffusion.timestep_respacing; NULL: that */
    int64_t step;          /* of the checkpoint, when a run is given; -1: the newest valid one */
    int batch, threads;
    const char *features; /* blocks whose outputs are kept, as unet_options.features; NULL: none */
};
/* The folder of the run that a path names, or the one that a checkpoint lies in outside a run. */
enum iddpm_status model_folder(const char *path, char folder[PATH_SIZE]);
/* Collective. `path`: a run folder or a checkpoint. What is missing is named together with what there is. */
enum iddpm_status model_load(struct model **out, const struct parallel *parallel, const char *path,
                             const struct model_options *options);

/* Collective, of a model of a run. Turns to the checkpoint of `step`: path, step and weights_crc32 are of that one, and
 * so are the parameters once model_read_weights has read them. After an error it can turn to another. */
enum iddpm_status model_turn_to(struct model *model, const struct parallel *parallel, int64_t step);
enum iddpm_status model_read_weights(struct model *model, const struct parallel *parallel);

/* An ensemble by timestep (appendix of the paper, "Combining L_hybrid and L_vlb models": L_hybrid in [100, T - 100),
 * L_vlb at both ends): timesteps, of diffusion_steps, under `below` and from `from` on are run by `ends`, which the
 * model owns from then on, also after an error. IDDPM_USAGE names the first key in which the two differ: images,
 * classes, the diffusion and what of it is predicted must be the same; each is told timesteps as it was trained
 * (rescale_timesteps). Both have the same batch. Before model_guide. */
#define MODEL_ENDS 100 /* timesteps of either end in the paper */
enum iddpm_status model_add_ends(struct model *model, struct model *ends, int below, int from);
/* Classifier-free guidance (Ho and Salimans 2022): the mean part of outputs becomes free + guidance (given - free),
 * where `free` is the output for the class of no class (model.label_dropout); the variance part stays that of the class
 * given, as in GLIDE (Nichol et al. 2021). The network runs twice. 1 is no guidance and leaves outputs as they are.
 * IDDPM_USAGE for another value when the network has no such class. */
enum iddpm_status model_guide(struct model *model, double guidance);

/* What images are conditioned on. */
struct condition {
    const int64_t *labels; /* [n], of a class-conditional network; num_classes is no class (unet.null_class) */
    const double *low_res; /* [n][small][small][channels] in [-1, 1], of a super-resolution network */
};
/* The network's outputs for n images (1 to batch) at timestep t: x_t [n][pixels][channels]. The result is
 * [n][pixels][output channels], valid until the next call. */
const float *model_outputs(struct model *model, int t, int n, const double *x_t, const struct condition *given);
/* Each image at its own timestep, t [n]. */
const float *model_outputs_each(struct model *model, const int *t, int n, const double *x_t,
                                const struct condition *given);

/* ---- noise given by a file (noise.c) ----------------------------------------------------------------------------- */

/* Draws made elsewhere, to be used instead of Philox: [draws][images] and then the elements of an image, channels last.
 * Draw k of nll belongs to column k; of a sampling chain, draw 0 is x_T and draw j + 1 belongs to step j. */
struct noise {
    const char *name; /* of the file */
    uint64_t draws, images;
    size_t image; /* elements */
    double *data;
    int64_t *labels; /* [images] of what was encoded; NULL: none */
    uint32_t crc32;  /* of the draws and labels, as read */
    char *label;     /* of results: name and checksum */
};
/* From the array "noise" of an HDF5 file, with "labels" if there are such, or the first array of an NPZ file, with
 * arr_1. */
enum iddpm_status noise_read(struct noise **out, const char *path);
void noise_destroy(struct noise *noise);

/* ---- bits/dim (nll.c, nll_result.c, nll_strata.c) ---------------------------------------------------------------- */

struct nll_options {
    uint64_t images; /* the first ones of the data set; 0: all */
    bool clip_denoised;
    uint64_t seed;
    const struct noise *noise; /* NULL: Philox (RNG_NLL; slot = image, step = timestep) */
    int strata;                /* 0 or as many as timesteps: every timestep */
    const char *part;          /* file that keeps what is done, so that a stopped job continues; NULL: none */
    double part_seconds;       /* between two writings of it; it takes a twentieth of the time at most */
};

/* What the authors' calc_bpd_loop gives, or an estimate of it without bias from one timestep of each stratum. A column
 * is a stratum of timesteps, with all timesteps strata of one; column 0 has the last ones. Stratum k is
 * [first[k], first[k + 1]) of the model's timesteps and column steps - 1 - k. The arrays are on rank 0 only. */
struct nll {
    uint64_t images;
    int steps;                     /* columns */
    int *first;                    /* [steps + 1], on every rank */
    double *vb, *mse, *xstart_mse; /* [images][steps]; a column counts as often as its stratum has timesteps */
    double *prior, *total;         /* [images], bits/dim */
    double mean, standard_error;   /* of total over images, on every rank; the error of a single image is NAN */
};
/* The strata of T timesteps: the first ones, whose terms are large and differ, have one, later ones more and more. Into
 * first[strata + 1]; 1 <= strata <= T. */
void nll_strata(int timesteps, int strata, int *first);
/* The timestep of an image in stratum k: RNG_STRATUM, slot = image, step = k; equal for all checkpoints. */
int nll_stratum_draw(const int *first, int k, uint64_t seed, uint64_t image);
/* Collective. Every term of the bound for images of a data set. IDDPM_STOPPED when some rank was signalled. With
 * options->part (the model then has a configuration) it first takes from there what a job of the same settings, on any
 * number of ranks, has done, and leaves there what it has done when it is stopped. The caller removes the file once the
 * result is written (nll_part_remove). */
enum iddpm_status nll_measure(const struct parallel *parallel, struct model *model, const struct dataset *data,
                              const struct nll_options *options, struct nll **out);
void nll_destroy(struct nll *nll);
void nll_part_remove(const char *part); /* rank 0; also what a killed job has left half-written */

/* The mean over n images and its standard error, NAN of a single one; of a - b image by image when b is given. */
void nll_mean(size_t n, const double *a, const double *b, double *mean, double *standard_error);

/* Rank 0. The result as HDF5: the arrays, the timestep of each column (of each image and column with strata) and its
 * weight, and as attributes what was measured on what. */
enum iddpm_status nll_write(const struct nll *nll, const struct model *model, const struct dataset *data,
                            const struct nll_options *options, const char *path);
/* Not collective. Whether `path` is a result of the same measurement; the last bits may differ (batch, instruction
 * set). */
bool nll_is_measured(const struct model *model, const struct dataset *data, const struct nll_options *options,
                     const char *path);
/* What nll_write has left, without the terms: those are summed up. */
struct nll_result {
    double bits_per_dim, standard_error;
    double vb, prior;       /* means over images, bits/dim; vb of the sum over timesteps: together bits_per_dim */
    double mse, xstart_mse; /* means over images and timesteps */
    uint64_t images;
    int64_t step, diffusion_steps, num_timesteps, strata, seed, batch; /* strata 0: every timestep */
    bool clip_denoised;
    char *checkpoint, *weights, *data, *data_hash, *noise_schedule, *respacing, *noise, *instruction_set;
    double *total; /* [images], bits/dim, in the order of the data set */
};
/* Not collective. IDDPM_FAILED, naming the file, for one that is damaged or no result. */
enum iddpm_status nll_result_read(struct nll_result **out, const char *path);
void nll_result_destroy(struct nll_result *result);
/* Rank 0. vb_terms.npz, mse_terms.npz and xstart_mse_terms.npz in `folder`: means over images, as image_nll.py. */
enum iddpm_status nll_write_npz(const struct nll *nll, const char *folder);

/* ---- low-resolution images that samples are made from (base.c) --------------------------------------------------- */

/* Images of a file as image_sample.py writes it: sample i is made from image i mod images, as the authors'
 * super_res_sample.py does on one process. */
struct base {
    char *path, hash[65]; /* of the file's contents: struct npz_images */
    uint64_t images;
    int size, channels;
    int64_t *labels;         /* [images]; NULL: none */
    struct npz_images *file; /* private: rank 0's, */
    uint8_t *pixels;         /* or, without a file, on rank 0 all images */
};
/* Collective. */
enum iddpm_status base_open(struct base **out, const struct parallel *parallel, const char *path);
/* Collective. The first images of a data set, made small by area averaging, in memory. */
enum iddpm_status base_from_data(struct base **out, const struct parallel *parallel, const struct dataset *data,
                                 uint64_t images, int size);
void base_close(struct base *base); /* NULL is fine */
/* Collective. The images of n samples from global index `first` on, uint8 [n][size][size][channels] on every rank. */
enum iddpm_status base_read(struct base *base, const struct parallel *parallel, uint64_t first, uint64_t n,
                            uint8_t *pixels);

/* ---- samples (sample*.c) ------------------------------------------------------------------------- */

enum sampling { SAMPLING_ANCESTRAL, SAMPLING_DDIM, SAMPLING_DDIM_REVERSE };

struct sample_options {
    enum sampling kind;
    double eta; /* of SAMPLING_DDIM */
    bool clip_denoised;
    uint64_t images, seed;
    int skip;      /* steps at the beginning of a chain that are left out (section 3.2 of the paper) */
    int64_t label; /* of every image of a class-conditional model; -1: those of `base`, else of `noise`, else
                    * random ones (RNG_CLASS) */
    const struct noise *noise;  /* NULL: Philox (RNG_SAMPLE, RNG_SAMPLE_BASE; slot = image, step = draw) */
    struct base *base;          /* of a super-resolution model, else NULL */
    const struct dataset *data; /* of SAMPLING_DDIM_REVERSE: the images, with their labels */
    int columns;                /* an image is kept so many times on its way, evenly, the last time finished; 0: 1 */
    bool xstart;                /* what is kept is the prediction of x_0 at that time, not x_t */
    const char *part;           /* file that keeps what is done, so that a stopped job continues; NULL: none */
    double part_seconds;        /* between two writings of chains on their way; a twentieth of the time at most */
};

/* Not collective. IDDPM_USAGE, with the reason, when the model cannot do this; sample_images begins with it. */
enum iddpm_status sample_check(const struct model *model, const struct sample_options *options);

/* Step j of the chains of n images from global index `first` on, x [n][pixels][channels] in place. Timesteps run from
 * the last to 0, of SAMPLING_DDIM_REVERSE (encoding) from 0 to the last. pred_xstart: like x, or NULL. */
void sample_step(struct model *model, const struct sample_options *options, int j, uint64_t first, int n, double *x,
                 const struct condition *given, double *pred_xstart);

/* On rank 0, like labels: in memory, or in the file options->part as long as that stays. */
struct samples {
    uint64_t images;
    int height, width, channels;
    uint8_t *pixels; /* [images][columns][height][width][channels]; NULL in a file */
    int64_t *labels; /* NULL unless class-conditional */
    int columns;     /* 0: 1 */
    bool latents;    /* not pixels but x_T, of SAMPLING_DDIM_REVERSE: [images][height][width][channels] float64 */
    struct sample_part *part; /* private */
};
/* Collective. Whole chains from noise to pixels, or from pixels to x_T. IDDPM_STOPPED when some rank was signalled.
 * With options->part (the model then has a configuration) it first takes from there, and from PART.chains, what a job
 * of the same settings, on any number of ranks, has done, and leaves there what it has done when it is stopped or
 * killed: every finished image, and from time to time, and when it is stopped, chains on their way. Memory does not
 * grow with the number of images then. The caller removes the files once the results are written (samples_part_remove).
 */
enum iddpm_status sample_images(const struct parallel *parallel, struct model *model,
                                const struct sample_options *options, struct samples **out);
void samples_destroy(struct samples *samples);
void samples_part_remove(const char *part); /* rank 0; also what a killed job has left half-written */

/* Rank 0. The first SAMPLE_GRID_MAX images in a grid, or as many rows of several columns; small images are enlarged by
 * a whole factor. */
#define SAMPLE_GRID_MAX 400
enum iddpm_status samples_write_png(const struct samples *samples, const char *path);
/* Rank 0. arr_0 uint8 [images][height][width][channels] and, when class-conditional, arr_1 int64 labels, as
 * image_sample.py; of several columns [images][columns][height][width][channels]; latents as samples_write_latents. */
enum iddpm_status samples_write_npz(const struct samples *samples, const char *path);
/* Rank 0. HDF5 that noise_read reads: noise float64 [1][images][height][width][channels], labels int64 [images]. */
enum iddpm_status samples_write_latents(const struct samples *samples, const char *path);

/* What makes a result (rank 0): written beside it when it is finished, as YAML, and removed before it is made again.
 * npz: there is an archive as well. */
enum iddpm_status samples_write_record(const struct model *model, const struct sample_options *options, bool npz,
                                       const char *path);
/* Not collective. Whether `path` is the record of a result of the same settings, which has an archive if one is wanted;
 * the last bits may differ (batch, instruction set). */
bool samples_are_made(const struct model *model, const struct sample_options *options, bool npz, const char *path);

/* ---- while a model is trained (validate.c, grids.c): hooks of train_run, to be given to it with the configuration
 * ---- */

struct train_hook;
struct train_plan;

/* Every train.eval_interval steps: rows of RUN/eval.csv, one for the parameters and one for each EMA, of the first
 * train.eval_num images of data.eval_path: means of loss, mse and vb as in training, at one timestep of each image,
 * which are spread evenly; and bits/dim by nll_measure with train.eval_strata. Images, timesteps and noise are the same
 * for all steps. */
struct validation {
    struct dataset *data;
};
struct train_hook validation_hook(struct validation *validation, const struct config *config);
/* Not collective. IDDPM_USAGE with the key unless `data`, of data.eval_path, has images and classes for this network,
 * and as many as train.eval_num says where there is to be validation. */
enum iddpm_status validation_check(const struct config *config, const struct unet_options *unet,
                                   const struct dataset *data);
/* The former alone, of the data set that `key` names. */
enum iddpm_status hooks_check_data(const struct config *config, const char *key, const struct unet_options *unet,
                                   const struct dataset *data);

/* What the loss of training is on held-out images, in the order of the data set; terms that the loss lacks are NAN.
 * Image i has a timestep of the i-th of so many equal parts, at random (RNG_STRATUM, slot = image, step = UINT32_MAX),
 * and the noise that nll_measure gives it there. Collective; the result is the same on all ranks, of any number. */
enum iddpm_status validation_losses(const struct parallel *parallel, struct model *model, const struct dataset *data,
                                    uint64_t images, uint64_t seed, struct loss_terms *mean);

/* Every train.sample_interval steps: RUN/samples/step-NNNNNNNN-params.png and, of the first EMA, -ema-RATE.png, of
 * train.sample_num images in train.sample_steps steps, from the same noise and with the same classes each time. What a
 * super-resolution network enlarges are the first images of data.eval_path, or else of data.path, made small. */
struct grids {
    struct base *base; /* what is enlarged, else NULL */
};
struct train_hook grids_hook(struct grids *grids, const struct config *config);
/* Not collective. IDDPM_USAGE with the key when there are to be grids, and cannot be. */
enum iddpm_status grids_check(const struct config *config, const struct train_plan *plan);

/* Bytes that these hooks, as the configuration asks for them, allocate on the rank that needs most. */
size_t hooks_bytes(const struct config *config, const struct train_plan *plan, int ranks);

/* ---- features of blocks (features.c) ----------------------------------------------------------------------------- */

struct feature_options {
    uint64_t images; /* the first ones of the data set; 0: all */
    int timestep;    /* as spaced; x_t is noised as for that one */
    bool pool;       /* means over positions */
    uint64_t seed;
    const struct noise *noise; /* its draw 0; NULL: Philox, the same as of nll_measure at that timestep */
};
/* Collective. The outputs of blocks (unet_options.features, which the model was made with) for noised images of a data
 * set, with their labels, as the authors' get_feature_vectors gives them: an array of float32 for each block under its
 * name, [images][height][width][channels], or [images][channels] with `pool`; the labels of a labelled data set as
 * int64 "labels"; and as attributes what was made from what. The file is written as it comes, in memory that does not
 * grow with the number of images, and is the same for any number of ranks. The model has a configuration. IDDPM_USAGE
 * names a pattern that no block has; IDDPM_STOPPED when some rank was signalled: there is no file then. */
enum iddpm_status features_write(const struct parallel *parallel, struct model *model, const struct dataset *data,
                                 const struct feature_options *options, const char *path);

/* ---- pictures by gnuplot (gnuplot.c), of a run (plot_loss.c, plot_vb.c) -------------------------------------------
 */

/* A picture in the making. gnuplot is given commands and data through a pipe; nothing half-written takes its name. */
struct gnuplot {
    FILE *script; /* commands go here, behind the style of our pictures */
    char *text;
    size_t length;
    int formats;
    char path[PATH_SIZE]; /* without its ending */
};
/* Begins `path`: NAME.png, or without that ending both NAME.png and NAME.svg from the one script. */
enum iddpm_status gnuplot_begin(struct gnuplot *plot, const char *path);
/* 'text' as a gnuplot string, to the script. */
void gnuplot_string(struct gnuplot *plot, const char *text);
/* A data block $name of n rows x, y; y that are no positive finite number (nothing for a logarithmic axis) are left
 * out. */
void gnuplot_data(struct gnuplot *plot, const char *name, size_t n, const double *x, const double *y);
/* Runs gnuplot on the script and puts the pictures in their places; `status` is passed through when it is an error
 * already. IDDPM_FAILED names the package when there is no gnuplot. */
enum iddpm_status gnuplot_end(struct gnuplot *plot, enum iddpm_status status);

/* Mean over a window of 2/25 of n values at most, centred so that a falling curve is not moved; at the end, where it is
 * flat, over what there is of it. Missing values (NAN) do not count. */
void curve_smooth(size_t n, const double *y, double *out);

/* Losses of RUN/progress.csv against steps, raw and smoothed, as PNG. */
enum iddpm_status plot_loss(const char *run, const char *path);
/* Terms of the bound by timestep, of one or more nll results, as PNG (figure 2 of the paper). */
enum iddpm_status plot_vb_terms(int n, char *const *results, const char *path);

#endif
