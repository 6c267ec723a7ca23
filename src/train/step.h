/* Private to src/train: one training step. */
#ifndef IDDPM_TRAIN_STEP_H
#define IDDPM_TRAIN_STEP_H

#include "state.h"

struct trainer {
    const struct parallel *parallel;
    const struct config *config;
    struct train_plan plan;
    struct dataset *data;
    struct leaf_reader **readers; /* [leaves.count] of this rank */
    struct diffusion *diffusion;
    struct net *net;
    struct train_state *state;
    float *grads;
    uint8_t *pixels; /* of a microbatch */
    int64_t *labels;
    double *x_start, *x_t, *noise, *timesteps;
    uint32_t *slots;
    int *t;                /* of this rank's images, in slot order */
    double *weight, *loss; /* unweighted */
    double grad_norm;      /* of the last step */
};

/* Not collective but for its check of the data set; everything of the trainer but `parallel` and `config`. */
enum iddpm_status trainer_create(struct trainer *trainer);
void trainer_destroy(struct trainer *trainer);

/* Collective. Computes the mean gradient of the step's batch and updates parameters, moments and EMAs, or, when loss or
 * gradient are not finite, only counts that. IDDPM_STOPPED when some rank was signalled: nothing has changed then. */
enum iddpm_status train_step(struct trainer *trainer);

#endif
