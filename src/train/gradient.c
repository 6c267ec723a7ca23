/* The gradient of this rank's leaves: forward pass, loss and backward pass of their images. */
#include "step.h"

#include "iddpm/kernels.h"

/* Losses, and the gradient of mean(loss weight) over the global batch with respect to the network's output. */
static void losses_of(struct trainer *t, int count, struct image_terms *terms)
{
    size_t n = image_elements(t);
    int channels = t->data->channels, pixels = t->data->height * t->data->width;
    size_t out = (size_t)pixels * (size_t)diffusion_output_channels(t->diffusion, channels);
    for (int i = 0; i < count; i++) {
        struct loss_terms losses;
        pixels_to_signal(n, t->pixels + (size_t)i * n, t->x_start);
        training_losses(t->diffusion, terms[i].t, pixels, channels, t->x_start, t->x_t + (size_t)i * n,
                        t->noise + (size_t)i * n, net_output_data(t->net) + (size_t)i * out,
                        terms[i].weight / (double)t->config->train.batch_size, &losses,
                        net_output_grad(t->net) + (size_t)i * out);
        terms[i].losses[0] = losses.loss;
        terms[i].losses[1] = losses.mse;
        terms[i].losses[2] = losses.vb;
    }
}

/* The index was checked before; this is about a damaged shard, whose label would index the embedding. */
static enum iddpm_status check_labels(const struct trainer *t, int count)
{
    int classes = t->plan.spec.unet.num_classes;
    for (int i = 0; i < count && classes > 0; i++)
        if (t->labels[i] < 0 || t->labels[i] >= classes)
            return iddpm_error(IDDPM_FAILED,
                               "%s: an image has label %lld instead of 0 to %d: iddpm verify %s tells more",
                               t->data->folder, (long long)t->labels[i], classes - 1, t->data->folder);
    return IDDPM_OK;
}

/* Collective: the worst that any rank has met, or that someone was asked to stop, or that the job ends. */
static enum iddpm_status agree_to_go_on(struct trainer *t, enum iddpm_status status)
{
    enum { GO_ON, END, STOP, FAIL };
    bool ends = t->parallel->rank == 0 && ending_is_near(&t->ending, ENDING_STEP, clock_seconds());
    int mine = status != IDDPM_OK ? FAIL : stop_signal() ? STOP : ends ? END : GO_ON;
    int worst = parallel_max_int(t->parallel, mine);
    t->ending.near = worst == END;
    stopwatch_mark(&t->watch, TIME_COMMUNICATION);
    switch (worst) {
    case GO_ON:
        return IDDPM_OK;
    case END:
    case STOP:
        return iddpm_error(IDDPM_STOPPED, "stopped");
    default:
        return parallel_agree(t->parallel, status);
    }
}

/* ---- the tree over this rank's leaves ----------------------------------------------------------------------------
 */

/* The sums of subtrees of leaves form a stack: leaf k is added up in a buffer of its own above those of the subtrees
 * before it, of which there are as many as k has bits. When it is done, subtrees of equal size are added. */
static int stack_depth(int leaf)
{
    return __builtin_popcount((unsigned)leaf);
}

struct leaf_sum {
    struct trainer *trainer;
    int leaf;
};

/* Called by the backward pass of the last images of a leaf, or, with MPI_Allreduce, of the rank, when elements of its
 * gradient are final and in the cache: squared, added, and those of the last leaf sent on to the other ranks. */
static void after_op(void *context, size_t first, size_t count)
{
    const struct leaf_sum *sum = context;
    struct trainer *t = sum->trainer;
    int depth = t->reducer ? stack_depth(sum->leaf) : 0;
    noise_scale_add(&t->noise_scale, t->reducer ? sum->leaf : 0, count, t->grads[depth] + first);
    if (!t->reducer) return;
    bool last = sum->leaf == t->plan.leaves.count - 1;
    for (int done = sum->leaf + 1; done % 2 == 0; done /= 2, depth--)
        add_floats(count, t->grads[depth] + first, t->grads[depth - 1] + first);
    if (!last || !t->config->parallel.overlap) return;
    stopwatch_mark(&t->watch, TIME_COMPUTE);
    reducer_ready(t->reducer, first, count);
    reducer_progress(t->reducer);
    stopwatch_mark(&t->watch, TIME_COMMUNICATION);
}

/* ---- all leaves ---------------------------------------------------------------------------------------------------
 */

/* Adds the gradient of one leaf to the sums, a microbatch at a time. The first of a sum sets it. */
static enum iddpm_status leaf_gradient(struct trainer *t, int leaf)
{
    const int images = t->plan.leaves.images;
    struct leaf_sum sum = {t, leaf};
    bool ends = t->reducer || leaf == t->plan.leaves.count - 1; /* a sum whose elements are final then */
    float *grads = t->grads[t->reducer ? stack_depth(leaf) : 0];
    for (int first = 0; first < images; first += t->plan.microbatch) {
        int count = images - first < t->plan.microbatch ? images - first : t->plan.microbatch;
        struct image_terms *terms = t->terms + leaf * images + first;
        uint64_t place = (uint64_t)t->state->step * (uint64_t)images + (uint64_t)first;
        stopwatch_mark(&t->watch, TIME_COMPUTE);
        watchdog_at("reading images", t->state->step);
        enum iddpm_status status = leaf_reader_get(t->readers[leaf], place, count, t->pixels, t->labels);
        if (status == IDDPM_OK) status = check_labels(t, count);
        stopwatch_mark(&t->watch, TIME_DATA);
        watchdog_at("agreement before a microbatch", t->state->step);
        TRY(agree_to_go_on(t, status));
        watchdog_at("forward pass", t->state->step);
        prepare_images(t, (uint32_t)((t->plan.leaves.first + leaf) * images + first), count, terms);
        struct net_run run = {.n = count,
                              .timesteps = t->timesteps,
                              .labels = t->labels,
                              .seed = (uint64_t)t->config->run.seed,
                              .step = (uint32_t)t->state->step,
                              .slots = t->slots,
                              .set_grads = first == 0 && (t->reducer || leaf == 0),
                              .after_op = ends && first + count == images ? after_op : NULL,
                              .after_op_context = &sum};
        net_forward(t->net, &run);
        losses_of(t, count, terms);
        watchdog_at("backward pass", t->state->step);
        net_backward(t->net, &run, grads);
    }
    return IDDPM_OK;
}

enum iddpm_status compute_gradient(struct trainer *t)
{
    if (t->reducer) reducer_begin(t->reducer, t->grads[0]);
    noise_scale_begin(&t->noise_scale);
    enum iddpm_status status = IDDPM_OK;
    for (int leaf = 0; leaf < t->plan.leaves.count && status == IDDPM_OK; leaf++) status = leaf_gradient(t, leaf);
    stopwatch_mark(&t->watch, TIME_COMPUTE);
    return status;
}
