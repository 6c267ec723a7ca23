/* Private to src/train: one training step. */
#ifndef IDDPM_TRAIN_STEP_H
#define IDDPM_TRAIN_STEP_H

#include "ending.h"
#include "state.h"

enum { TREE_MAX = 32 };

/* Where this rank's time goes: each mark adds the time since the last one to a part. */
enum time_part { TIME_COMPUTE, TIME_COMMUNICATION, TIME_DATA, TIME_STORE, TIME_PARTS };
struct stopwatch {
    double last, seconds[TIME_PARTS];
};
void stopwatch_start(struct stopwatch *watch); /* what was before the first mark counts for nothing */
void stopwatch_mark(struct stopwatch *watch, enum time_part part);

/* Of one image of the batch; the same on every rank once gathered. */
struct image_terms {
    int t;
    double weight;        /* of importance sampling */
    double losses[TERMS]; /* loss, mse, vb before weighting; NAN where the loss has no such term */
};

/* ---- noise_scale.c: the gradient noise scale (McCandlish et al. 2018, appendix A.1), from the gradients of the batch
 * and of its parts that a step has anyway: leaves, or, with MPI_Allreduce, what a rank has. ------------------------ */

struct noise_scale {
    int parts;           /* of this rank; 0: there is only one in the whole batch, which tells nothing */
    double *squares;     /* [parts] of the gradient of each part's share in the batch's loss */
    double *all_squares; /* of all parts, in their order in the batch */
};
struct trainer;
enum iddpm_status noise_scale_create(struct trainer *trainer);
void noise_scale_destroy(struct noise_scale *noise);
void noise_scale_begin(struct noise_scale *noise); /* of a step */
/* n elements of the gradient of this rank's part `part` are final. */
void noise_scale_add(struct noise_scale *noise, int part, size_t n, const float *grads);
/* Collective. */
enum iddpm_status noise_scale_gather(struct trainer *trainer);
/* Of a step whose gradient is finite, once grad_norm is known. */
void noise_scale_learn(struct trainer *trainer);

struct trainer {
    const struct parallel *parallel;
    const struct config *config;
    struct train_plan plan;
    struct dataset *data;
    struct leaf_reader **readers; /* [leaves.count] of this rank */
    struct diffusion *diffusion;
    struct net_kernels kernels; /* as measured; none in a reproducible run */
    struct net *net;
    struct train_state *state;
    float *grads[TREE_MAX];  /* [0] ends as the mean gradient of this rank's part; the others hold partial sums of the
                              * tree over leaves */
    struct reducer *reducer; /* of the tree; NULL for MPI_Allreduce */
    double *squares;         /* of the gradient, of each block */
    struct noise_scale noise_scale;
    double *x_start; /* one image */
    uint8_t *pixels; /* of a microbatch, like the next six */
    int64_t *labels;
    double *x_t, *noise, *timesteps, *low_res; /* the last of a super-resolution model */
    uint32_t *slots;
    struct image_terms *terms, *all_terms; /* of this rank's images and of the whole batch, in slot order */
    int *all_t;                            /* the same for the sampler */
    double *all_losses;
    double grad_norm; /* of the last step */
    struct stopwatch watch;
    struct ending ending;
};

/* Everything of the trainer but `parallel` and `config`. Collective in opening the data set and choosing the kernels,
 * so that an error up to there is one of all ranks; other errors are still to be agreed on. */
enum iddpm_status trainer_create(struct trainer *trainer);
void trainer_destroy(struct trainer *trainer);

static inline size_t image_elements(const struct trainer *t)
{
    return (size_t)t->data->height * (size_t)t->data->width * (size_t)t->data->channels;
}

/* The inputs of the network for `count` images, as they were read, from slot `first` of the global batch on, with their
 * timesteps, noise and slots; in `terms` timesteps and weights. What is changed of pixels and labels (mirroring,
 * dropped labels) stays changed; inputs.c. */
void prepare_images(struct trainer *trainer, uint32_t first, int count, struct image_terms *terms);

/* Collective (a signal is agreed on before each microbatch). Sums the gradient of mean(loss weight) over this rank's
 * leaves into grads[0] and fills `terms`; gradient.c. In the tree its reduction over ranks has begun, as far as
 * gradients were ready while others were computed. IDDPM_STOPPED when some rank was
 * signalled, or, with ending.near set, when the job ends soon. */
enum iddpm_status compute_gradient(struct trainer *trainer);

/* Collective. Computes the mean gradient of the step's batch and updates parameters, moments and EMAs, or, when loss or
 * gradient are not finite, only counts that. IDDPM_STOPPED as compute_gradient: nothing has changed then. */
enum iddpm_status train_step(struct trainer *trainer);

#endif
