/* Private to src/train: everything that a checkpoint holds, and its place in the file. */
#ifndef IDDPM_TRAIN_STATE_H
#define IDDPM_TRAIN_STATE_H

#include "iddpm/train.h"

/* Means since the last metrics line, over all ranks: sums and counts of each term (loss, mse, vb: whole and by quartile
 * of t), of grad_norm, and of the parts of the gradient noise scale (noise_scale.c). */
enum {
    TERMS = 3,
    QUARTILES = 4,
    TERM_SLOTS = TERMS * (1 + QUARTILES),
    GRAD_NORM_SLOT = TERM_SLOTS,
    FORMER_SLOTS, /* what checkpoints had before there was a noise scale */
    GRAD_SQ_SMALL_SLOT = FORMER_SLOTS,
    GRAD_SQ_BIG_SLOT,
    GRAD_SIGNAL_SLOT,
    GRAD_NOISE_SLOT,
    METRIC_SLOTS
};

/* Every rank has all parameters, and of moments and EMAs those of its part of them. */
struct train_state {
    const struct net *net; /* names and shapes of the parameters */
    size_t flat;           /* elements of params */
    struct part own;       /* of these elements this rank has: */
    float *params;
    float *exp_avg, *exp_avg_sq, *emas[CONFIG_LIST_MAX]; /* [own.count] */
    int n_ema;
    const double *ema_rates;
    int64_t step;    /* training steps done */
    int64_t updates; /* of them, those that changed the parameters */
    int64_t skipped; /* those that were not finite */
    int64_t skipped_in_row;
    char isa[16]; /* instruction set of the kernels; another one gives other bits */
    double sums[METRIC_SLOTS], counts[METRIC_SLOTS];
    struct sampler *sampler;
};

/* Allocates: all is zero, to be filled by state_begin or state_read. The net must live on. */
enum iddpm_status state_create(struct train_state **out, const struct config *config, const struct net *net,
                               const struct parallel *parallel, int num_timesteps);
/* The beginning of a run: parameters from the seed, EMAs equal to them. */
void state_begin(struct train_state *state, uint64_t seed);
void state_destroy(struct train_state *state);
/* Collective. */
enum iddpm_status state_write(const struct train_state *state, const struct parallel *parallel, const char *path,
                              const char *config_text, const struct checkpoint_options *options);
/* Collective. Rates of EMAs that the checkpoint does not have start from its parameters, with a warning. After a
 * failure the state is of no use until another checkpoint has been read into it. */
enum iddpm_status state_read(struct train_state *state, const struct parallel *parallel, const char *path);

#endif
