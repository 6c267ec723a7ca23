/* Private to src/evaluate: images in fixed batches by global index, shared over ranks in rounds. */
#ifndef IDDPM_EVALUATE_BATCHES_H
#define IDDPM_EVALUATE_BATCHES_H

#include "iddpm/evaluate.h"
#include "iddpm/train.h"

struct batches {
    uint64_t images;
    int batch, ranks;
    uint64_t start; /* batches before it are done */
};
/* Images [first, first + n); n is 0 for a rank that has none in this round. */
struct batch {
    uint64_t first;
    int n;
};

static inline uint64_t batches_rounds(const struct batches *b)
{
    uint64_t round = (uint64_t)b->batch * (uint64_t)b->ranks;
    uint64_t done = b->start * (uint64_t)b->batch;
    return done < b->images ? (b->images - done + round - 1) / round : 0;
}

static inline struct batch batches_at(const struct batches *b, uint64_t round, int rank)
{
    uint64_t first = (b->start + round * (uint64_t)b->ranks + (uint64_t)rank) * (uint64_t)b->batch;
    uint64_t left = first < b->images ? b->images - first : 0;
    return (struct batch){first, left < (uint64_t)b->batch ? (int)left : b->batch};
}

/* Of all ranks in a round. */
static inline uint64_t batches_images(const struct batches *b, uint64_t round)
{
    uint64_t first = batches_at(b, round, 0).first, next = batches_at(b, round + 1, 0).first;
    return (next < b->images ? next : b->images) - first;
}

/* Collective: the worst status of all ranks; IDDPM_STOPPED when all is well but some rank was asked to stop, or the
 * training that the model is of ends. */
static inline enum iddpm_status batches_go_on(const struct parallel *parallel, const struct model *model,
                                              enum iddpm_status status)
{
    watchdog_at("agreement of the ranks", -1);
    if (status == IDDPM_OK && stop_signal()) status = iddpm_error(IDDPM_STOPPED, "stopped by a signal");
    if (status == IDDPM_OK && model->training && train_ends(model->training))
        status = iddpm_error(IDDPM_STOPPED, "stopped before the job ends");
    return parallel_agree(parallel, status);
}

#endif
