/* The formulas of scaling.h. */
#include "scaling.h"

#include "iddpm/kernels.h"

#include <math.h>

/* What a job of this layout is made of. */
struct job {
    const struct machine_costs *machine;
    const struct network_costs *network;
    const struct cluster *cluster;
    const struct layout *layout;
    struct train_plan plan;
    struct train_memory memory;
    size_t flat;       /* padded parameters */
    uint64_t elements; /* without padding, as in a checkpoint */
    int tensors;
};

/* ---- the layout as a job's configuration --------------------------------------------------------------------------
 */

static enum iddpm_status set_integer(struct config *config, const char *key, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return config_set(config, key, text);
}

static enum iddpm_status count(struct job *job, struct config *config)
{
    const struct layout *layout = job->layout;
    struct net *net = NULL;
    TRY(set_integer(config, "train.batch_size", layout->batch));
    TRY(set_integer(config, "parallel.leaves", layout->leaves));
    TRY(set_integer(config, "train.microbatch", job->network->microbatch));
    TRY(train_plan(config, NULL, 0, layout->ranks, &job->plan));
    TRY(net_create(&net, job->plan.microbatch, NET_TRAINING, layout->threads));
    unet_build(net, &job->plan.spec.unet);
    enum iddpm_status status = net_finish(net, false);
    if (status == IDDPM_OK) {
        job->memory = train_memory(config, &job->plan, NULL, net, 0);
        job->flat = net_flat_size(net);
        job->elements = net_parameters(net);
        job->tensors = net_param_count(net);
    }
    net_destroy(net);
    return status;
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

static double compute_seconds(const struct job *job)
{
    const struct layout *layout = job->layout;
    double s = job->network->serial, images = (double)layout->batch / layout->ranks;
    double leaf_sums = (double)(job->plan.leaves.count - 1) * (double)job->flat * sizeof(float) * 2;
    return images * job->network->image * (s + (1 - s) / layout->threads) + leaf_sums / job->machine->copy;
}

static double transfer_seconds(const struct job *job, int level, struct traffic sent)
{
    const struct cluster *cluster = job->cluster;
    double messages = (double)sent.messages, bytes = (double)sent.bytes;
    if (1 << level < job->layout->ranks_per_node)
        return messages * cluster->local_latency + 2 * bytes / job->machine->copy;
    return messages * cluster->latency + job->layout->ranks_per_node * bytes / cluster->bandwidth;
}

static double reduction_seconds(const struct job *job)
{
    int rank = job->layout->ranks - 1; /* the last has the largest parts, so its partner gives it most */
    double seconds = 0;
    for (int level = 0; level < traffic_levels(job->layout->ranks); level++) {
        struct traffic halving = traffic_halving(rank ^ (1 << level), level, job->flat);
        seconds += transfer_seconds(job, level, halving) + 1.5 * (double)halving.bytes / job->machine->copy;
        seconds += transfer_seconds(job, level, traffic_doubling(rank, level, job->flat));
        seconds += transfer_seconds(job, level, traffic_norms(rank, level, job->flat));
    }
    return seconds;
}

static double update_seconds(const struct job *job)
{
    return (double)job->flat / job->layout->ranks * job->network->update / job->layout->threads;
}

static double packing_seconds(const struct job *job)
{
    return (double)job->flat * job->network->pack / job->layout->threads;
}

static double agreement_seconds(const struct job *job)
{
    const struct layout *layout = job->layout;
    const struct leaves *leaves = &job->plan.leaves;
    int levels = traffic_levels(layout->ranks);
    int local = traffic_levels(layout->ranks < layout->ranks_per_node ? layout->ranks : layout->ranks_per_node);
    double once = local * job->cluster->local_latency + (levels - local) * job->cluster->latency;
    double runs = leaves->count * ceil((double)leaves->images / job->plan.microbatch);
    double bytes = (double)layout->batch * SCALING_IMAGE_BYTES + (double)leaves->total * SCALING_LEAF_BYTES;
    return (runs + 2) * once + bytes / job->cluster->bandwidth;
}

/* ---- a checkpoint, memory ---------------------------------------------------------------------------------------- */

static double checkpoint_seconds(const struct job *job, int n_ema)
{
    const struct layout *layout = job->layout;
    double bytes = (double)job->elements * sizeof(float) * (3 + n_ema);
    double links = ceil((double)layout->ranks / layout->ranks_per_node) * job->cluster->bandwidth;
    double disk = fmin(job->cluster->disk, links);
    double arrays = (double)job->tensors * (3 + n_ema) * job->machine->array;
    return arrays + bytes / layout->ranks * job->machine->store + 2 * bytes / disk;
}

/* Seconds that one rank of one thread takes for the same step, without any message. */
static double alone_seconds(const struct job *job)
{
    return (double)job->layout->batch * job->network->image +
           (double)job->flat * (job->network->update + job->network->pack);
}

enum iddpm_status predict(const struct machine_costs *machine, const struct network_costs *network,
                          const struct cluster *cluster, struct config *config, const struct layout *layout,
                          struct prediction *out)
{
    struct job job = {.machine = machine, .network = network, .cluster = cluster, .layout = layout};
    TRY(count(&job, config));
    *out = (struct prediction){.compute = compute_seconds(&job),
                               .reduction = reduction_seconds(&job),
                               .update = update_seconds(&job),
                               .packing = packing_seconds(&job),
                               .agreement = agreement_seconds(&job),
                               .memory = (double)job.memory.total,
                               .checkpoint = checkpoint_seconds(&job, config->train.ema_rate.n),
                               .sent = traffic_step(layout->ranks - 1, layout->ranks, job.flat)};
    out->step = out->compute + out->reduction + out->update + out->packing + out->agreement;
    out->efficiency = alone_seconds(&job) / (out->step * layout->ranks * layout->threads);
    double interval = (double)config->train.save_interval * out->step;
    out->checkpoint_share = out->checkpoint / (interval + out->checkpoint);
    return IDDPM_OK;
}
