/* What a rank will need: every array of trainer.c, state.c and reduce.c, and what libraries were seen to use. */
#include "step.h"

/* Largest resident set of a rank before its own arrays: program, Open MPI (shared memory), HDF5, OpenBLAS, 29 to 38 MB
 * on Debian 12. Other transports of MPI may take more. */
#define PROGRAM_BYTES ((size_t)32 << 20)
/* HDF5's description of an array while a checkpoint is written. */
#define ARRAY_BYTES ((size_t)6 << 10)

static size_t buffer_bytes(const struct config *config, const struct train_plan *plan)
{
    const struct unet_options *unet = &plan->spec.unet;
    size_t pixels = (size_t)unet->image_size * (size_t)unet->image_size * (size_t)unet->in_channels;
    size_t batch = (size_t)config->train.batch_size, mine = (size_t)plan->leaves.count * (size_t)plan->leaves.images;
    size_t image = pixels * (1 + 2 * sizeof(double)) + sizeof(int64_t) + sizeof(double) + sizeof(uint32_t) +
                   low_res_elements(unet) * sizeof(double);
    size_t terms = sizeof(struct image_terms), squares = (size_t)(plan->leaves.count + plan->leaves.total);
    return (size_t)plan->microbatch * image + pixels * sizeof(double) + mine * terms +
           batch * (terms + sizeof(int) + sizeof(double)) + squares * sizeof(double);
}

/* Of the rank whose leaves have most images. */
static size_t cache_bytes(const struct config *config, const struct train_plan *plan, const struct dataset *data)
{
    uint64_t most = 0, allowed = (uint64_t)(config->data.cache * 0x1p30 / plan->leaves.count);
    for (int first = 0; data && first < plan->leaves.total; first += plan->leaves.count) {
        uint64_t rank = 0;
        for (int leaf = first; leaf < first + plan->leaves.count; leaf++)
            rank += leaf_cache_bytes(data, leaf, plan->leaves.total, allowed);
        if (rank > most) most = rank;
    }
    return most;
}

static size_t reduction_bytes(const struct train_plan *plan, int ranks, size_t flat)
{
    const struct parallel parallel = {MPI_COMM_NULL, 0, ranks};
    size_t squares = flat / NET_BLOCK * sizeof(double);
    return squares + (plan->reduction == REDUCTION_REPRODUCIBLE ? reducer_bytes(&parallel) : 0);
}

struct train_memory train_memory(const struct config *config, const struct train_plan *plan, const struct dataset *data,
                                 const struct net *net, size_t hooks)
{
    size_t elements = net_flat_size(net), flat = elements * sizeof(float), n_ema = (size_t)config->train.ema_rate.n;
    int ranks = plan->leaves.total / plan->leaves.count;
    size_t own = parallel_own(ranks - 1, ranks, elements, NET_BLOCK).count * sizeof(float); /* the largest */
    struct train_memory m = {.parameters = flat,
                             .gradients = (size_t)plan->gradients * flat,
                             .moments = 2 * own,
                             .emas = n_ema * own,
                             .packed = net_packed_bytes(net),
                             .arena = net_arena_bytes(net),
                             .images = buffer_bytes(config, plan),
                             .cache = cache_bytes(config, plan, data),
                             .reduction = reduction_bytes(plan, ranks, elements),
                             .hooks = hooks,
                             .program = PROGRAM_BYTES + (3 + n_ema) * (size_t)net_param_count(net) * ARRAY_BYTES};
    m.total = m.parameters + m.gradients + m.moments + m.emas + m.packed + m.arena + m.images + m.cache + m.reduction +
              m.hooks + m.program;
    return m;
}
