#include "step.h"

#include "iddpm/kernels.h"

#include <stdlib.h>
#include <string.h>

enum iddpm_status noise_scale_create(struct trainer *t)
{
    struct noise_scale *noise = &t->noise_scale;
    int parts = t->reducer ? t->plan.leaves.count : 1;
    size_t all = (size_t)parts * (size_t)t->parallel->size;
    if (all < 2) return IDDPM_OK;
    noise->parts = parts;
    TRY(mem_alloc(&noise->squares, (size_t)parts, sizeof(double), "norms of the leaves' gradients"));
    return mem_alloc(&noise->all_squares, all, sizeof(double), "norms of the leaves' gradients");
}

void noise_scale_destroy(struct noise_scale *noise)
{
    free(noise->squares);
    free(noise->all_squares);
}

void noise_scale_begin(struct noise_scale *noise)
{
    for (int i = 0; i < noise->parts; i++) noise->squares[i] = 0;
}

/* The ops of a network come in one order, whoever has the leaf, so that the bits do not depend on the ranks. */
void noise_scale_add(struct noise_scale *noise, int part, size_t n, const float *grads)
{
    if (noise->parts) noise->squares[part] += sum_of_squares(n, grads);
}

enum iddpm_status noise_scale_gather(struct trainer *t)
{
    struct noise_scale *noise = &t->noise_scale;
    if (noise->parts == 0) return IDDPM_OK;
    return parallel_gather(t->parallel, noise->squares, (size_t)noise->parts * sizeof(double), noise->all_squares);
}

static void learn(struct train_state *state, int slot, double value)
{
    state->sums[slot] += value;
    state->counts[slot] += 1;
}

/* A part's gradient is here that of its share in the mean over the batch: times `parts`, it is that of the part's own
 * mean. Signal and noise are |G|^2 and tr(Sigma) of the paper: unbiased, but only the quotient of their means over many
 * steps tells something, so both are kept. */
void noise_scale_learn(struct trainer *t)
{
    const struct noise_scale *noise = &t->noise_scale;
    if (noise->parts == 0) return;
    int parts = noise->parts * t->parallel->size;
    double big = (double)t->config->train.batch_size, small = big / parts; /* images */
    double sq_big = t->grad_norm * t->grad_norm, sq_small = 0;
    for (int i = 0; i < parts; i++) sq_small += noise->all_squares[i];
    sq_small *= parts; /* parts^2, and the mean over them */
    learn(t->state, GRAD_SQ_SMALL_SLOT, sq_small);
    learn(t->state, GRAD_SQ_BIG_SLOT, sq_big);
    learn(t->state, GRAD_SIGNAL_SLOT, (big * sq_big - small * sq_small) / (big - small));
    learn(t->state, GRAD_NOISE_SLOT, (sq_small - sq_big) / (1 / small - 1 / big));
}
