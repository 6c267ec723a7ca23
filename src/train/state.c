#include "state.h"

#include "iddpm/kernels.h"

#include <stdlib.h>
#include <string.h>

static void start_ema(struct train_state *state, int i)
{
    memcpy(state->emas[i], state->params + state->own.first, state->own.count * sizeof(float));
}

enum iddpm_status state_create(struct train_state **out, const struct config *config, const struct net *net,
                               const struct parallel *parallel, int num_timesteps)
{
    TRY(mem_alloc(out, 1, sizeof **out, "training state"));
    struct train_state *state = *out;
    state->net = net;
    state->flat = net_flat_size(net);
    state->own = parallel_own(parallel->rank, parallel->size, state->flat, NET_BLOCK);
    size_t own = state->own.count;
    state->n_ema = config->train.ema_rate.n;
    state->ema_rates = config->train.ema_rate.v;
    enum iddpm_status status = mem_map(&state->params, state->flat, sizeof(float), "parameters");
    if (status == IDDPM_OK) status = mem_map(&state->exp_avg, own, sizeof(float), "Adam's first moments");
    if (status == IDDPM_OK) status = mem_map(&state->exp_avg_sq, own, sizeof(float), "Adam's second moments");
    for (int i = 0; i < state->n_ema && status == IDDPM_OK; i++)
        status = mem_map(&state->emas[i], own, sizeof(float), "EMA parameters");
    if (status == IDDPM_OK) status = sampler_create(&state->sampler, config->train.schedule_sampler, num_timesteps);
    if (status != IDDPM_OK) {
        state_destroy(state);
        *out = NULL;
        return status;
    }
    snprintf(state->isa, sizeof state->isa, "%s", kernels_isa_of(net_precision(state->net)));
    return IDDPM_OK;
}

void state_begin(struct train_state *state, uint64_t seed)
{
    net_init_params(state->net, seed, state->params);
    for (int i = 0; i < state->n_ema; i++) start_ema(state, i);
}

void state_destroy(struct train_state *state)
{
    if (!state) return;
    mem_unmap(state->params);
    mem_unmap(state->exp_avg);
    mem_unmap(state->exp_avg_sq);
    for (int i = 0; i < state->n_ema; i++) mem_unmap(state->emas[i]);
    sampler_destroy(state->sampler);
    free(state);
}

/* ---- the arrays of a checkpoint ------------------------------------------------------------------------------------
 */

enum { OTHER_ARRAYS = 9 }; /* beside those of the parameters */

struct layout {
    const struct parallel *parallel;
    struct store_slice *slices;
    char (*paths)[160];
    int n, common; /* arrays; those from `common` on are what every rank has */
};

static struct store_slice *layout_add(struct layout *layout, const char *group, const char *name, enum store_type type,
                                      int ndim, const uint64_t *dims, void *data)
{
    char *path = layout->paths[layout->n];
    snprintf(path, sizeof layout->paths[0], "%s/%s", group, name);
    struct store_slice *slice = &layout->slices[layout->n++];
    *slice = (struct store_slice){.array = {.path = path, .type = type, .ndim = ndim, .data = data}};
    for (int i = 0; i < ndim; i++) slice->array.dims[i] = dims[i];
    return slice;
}

/* What every rank has: rank 0 writes and reads it. */
static void layout_common(struct layout *layout, const char *group, const char *name, enum store_type type, int ndim,
                          const uint64_t *dims, void *data)
{
    struct store_slice *slice = layout_add(layout, group, name, type, ndim, dims, data);
    if (layout->parallel->rank == 0) slice->count = store_array_elements(&slice->array);
}

/* One data set per parameter, GROUP/name, of which a rank has what lies in its part. own: element own.first. */
static void layout_flat(struct layout *layout, const struct train_state *state, const char *group, float *own)
{
    size_t begin = state->own.first, end = begin + state->own.count;
    for (int i = 0; i < net_param_count(state->net); i++) {
        const struct net_param *param = net_param(state->net, i);
        struct store_slice *slice = layout_add(layout, group, param->name, STORE_F32, param->ndim, param->dims, NULL);
        size_t first = param->offset > begin ? param->offset : begin, last = param->offset + param->size;
        if (last > end) last = end;
        if (first >= last) continue;
        slice->first = first - param->offset;
        slice->count = last - first;
        slice->array.data = own + (first - begin);
    }
}

/* What a checkpoint may lack: EMA i is bit i, the history of the loss-aware sampler and the sums of the gradient noise
 * scale the last bits. */
#define PART_SAMPLER (1u << 31)
#define PART_NOISE_SCALE (1u << 30)

static enum iddpm_status layout_create(struct layout *layout, struct train_state *state,
                                       const struct parallel *parallel, unsigned parts)
{
    size_t room = (size_t)(3 + state->n_ema) * (size_t)net_param_count(state->net) + OTHER_ARRAYS;
    *layout = (struct layout){.parallel = parallel};
    TRY(mem_alloc(&layout->slices, room, sizeof *layout->slices, "list of checkpoint arrays"));
    TRY(mem_alloc(&layout->paths, room, sizeof *layout->paths, "list of checkpoint arrays"));
    layout_flat(layout, state, "params", state->params + state->own.first);
    for (int i = 0; i < state->n_ema; i++) {
        char group[CONFIG_EMA_GROUP];
        config_ema_group(state->ema_rates[i], group);
        if (parts & 1u << i) layout_flat(layout, state, group, state->emas[i]);
    }
    layout_flat(layout, state, "optimizer/exp_avg", state->exp_avg);
    layout_flat(layout, state, "optimizer/exp_avg_sq", state->exp_avg_sq);
    layout->common = layout->n;
    const uint64_t slots = parts & PART_NOISE_SCALE ? METRIC_SLOTS : FORMER_SLOTS,
                   steps = (uint64_t)state->sampler->num_timesteps;
    layout_common(layout, "train", "step", STORE_I64, 0, NULL, &state->step);
    layout_common(layout, "train", "updates", STORE_I64, 0, NULL, &state->updates);
    layout_common(layout, "train", "skipped", STORE_I64, 0, NULL, &state->skipped);
    layout_common(layout, "train", "skipped_in_row", STORE_I64, 0, NULL, &state->skipped_in_row);
    layout_common(layout, "train", "metric_sums", STORE_F64, 1, &slots, state->sums);
    layout_common(layout, "train", "metric_counts", STORE_F64, 1, &slots, state->counts);
    const uint64_t isa = sizeof state->isa;
    layout_common(layout, "train", "isa", STORE_U8, 1, &isa, state->isa);
    if (parts & PART_SAMPLER) {
        layout_common(layout, "sampler", "history", STORE_F64, 2, (uint64_t[]){steps, SAMPLER_HISTORY},
                      state->sampler->history);
        layout_common(layout, "sampler", "counts", STORE_I64, 1, &steps, state->sampler->counts);
    }
    return IDDPM_OK;
}

static void layout_destroy(struct layout *layout)
{
    free(layout->slices);
    free(layout->paths);
}

enum iddpm_status state_write(const struct train_state *state, const struct parallel *parallel, const char *path,
                              const char *config_text, const struct checkpoint_options *options)
{
    struct layout layout;
    unsigned parts = state->sampler->kind == SAMPLER_LOSS_SECOND_MOMENT ? ~0u : ~PART_SAMPLER;
    enum iddpm_status status =
        layout_create(&layout, (struct train_state *)state, parallel, parts); /* only read from */
    status = parallel_agree(parallel, status);
    if (status == IDDPM_OK)
        status = checkpoint_write(parallel, path, state->step, config_text, layout.n, layout.slices, options);
    layout_destroy(&layout);
    return status;
}

/* Collective: what rank 0 has read of that which every rank has. */
static void share_common(const struct layout *layout)
{
    for (int i = layout->common; i < layout->n; i++) {
        const struct store_array *array = &layout->slices[i].array;
        parallel_broadcast(layout->parallel, array->data, store_array_elements(array) * store_type_bytes(array->type));
    }
}

/* Rank 0: whether the file has the array with so many rows. */
static bool has_rows(const struct checkpoint *checkpoint, const char *path, int rows)
{
    int i = checkpoint_find(checkpoint, path);
    return i >= 0 && checkpoint_array(checkpoint, i).dims[0] == (uint64_t)rows;
}

/* Rank 0: which of the parts that may be missing the file has. */
static unsigned find_parts(const struct train_state *state, const struct checkpoint *checkpoint)
{
    unsigned found = 0;
    for (int i = 0; i < state->n_ema; i++) {
        char group[CONFIG_EMA_GROUP], first[256];
        config_ema_group(state->ema_rates[i], group);
        snprintf(first, sizeof first, "%s/%s", group, net_param(state->net, 0)->name);
        if (checkpoint_find(checkpoint, first) >= 0) found |= 1u << i;
    }
    if (!has_rows(checkpoint, "train/metric_sums", FORMER_SLOTS)) found |= PART_NOISE_SCALE;
    if (state->sampler->kind == SAMPLER_LOSS_SECOND_MOMENT &&
        has_rows(checkpoint, "sampler/history", state->sampler->num_timesteps))
        found |= PART_SAMPLER;
    return found;
}

/* Also what another checkpoint, read in vain, may have left. */
static void start_missing(struct train_state *state, unsigned parts)
{
    struct sampler *sampler = state->sampler;
    size_t timesteps = (size_t)sampler->num_timesteps;
    for (int i = 0; i < state->n_ema; i++)
        if (!(parts & 1u << i)) start_ema(state, i);
    for (int slot = FORMER_SLOTS; slot < METRIC_SLOTS && !(parts & PART_NOISE_SCALE); slot++)
        state->sums[slot] = state->counts[slot] = 0;
    if (parts & PART_SAMPLER) return;
    memset(sampler->history, 0, timesteps * SAMPLER_HISTORY * sizeof *sampler->history);
    memset(sampler->counts, 0, timesteps * sizeof *sampler->counts);
}

static void warn_of_missing(const struct train_state *state, const char *path, unsigned parts)
{
    for (int i = 0; i < state->n_ema; i++)
        if (!(parts & 1u << i))
            log_warn("%s has no EMA of rate %g: it starts from the parameters", path, state->ema_rates[i]);
    if (state->sampler->kind == SAMPLER_LOSS_SECOND_MOMENT && !(parts & PART_SAMPLER))
        log_warn("%s has no losses of these timesteps: the sampler starts without", path);
    const char *isa = kernels_isa_of(net_precision(state->net));
    if (strncmp(state->isa, isa, sizeof state->isa) != 0)
        log_warn("%s was written with instruction set '%.*s', this is '%s': bits will differ", path,
                 (int)sizeof state->isa, state->isa, isa);
}

/* Collective. checkpoint: of rank 0. */
static enum iddpm_status read_parts(struct train_state *state, const struct parallel *parallel, const char *path,
                                    const struct checkpoint *checkpoint, unsigned parts)
{
    struct layout layout;
    enum iddpm_status status = parallel_agree(parallel, layout_create(&layout, state, parallel, parts));
    if (status == IDDPM_OK) status = checkpoint_read_slices(parallel, path, checkpoint, layout.n, layout.slices);
    if (status == IDDPM_OK) share_common(&layout);
    layout_destroy(&layout);
    return status;
}

enum iddpm_status state_read(struct train_state *state, const struct parallel *parallel, const char *path)
{
    unsigned parts = 0;
    struct checkpoint *checkpoint = NULL;
    enum iddpm_status status = parallel->rank == 0 ? checkpoint_open(&checkpoint, path) : IDDPM_OK;
    TRY(parallel_agree(parallel, status));
    if (checkpoint) parts = find_parts(state, checkpoint);
    status = parallel_broadcast(parallel, &parts, sizeof parts);
    if (status == IDDPM_OK) status = read_parts(state, parallel, path, checkpoint, parts);
    checkpoint_close(checkpoint);
    if (status != IDDPM_OK) return status;
    parallel_gather_parts(parallel, state->params, state->flat, NET_BLOCK, sizeof(float));
    warn_of_missing(state, path, parts);
    start_missing(state, parts);
    snprintf(state->isa, sizeof state->isa, "%s", kernels_isa_of(net_precision(state->net)));
    sampler_refresh(state->sampler);
    return IDDPM_OK;
}
