/* What a training step works with: made once, nothing is allocated while training. */
#include "choice.h"

#include "iddpm/kernels.h"

#include <stdlib.h>
#include <string.h>

static enum iddpm_status create_readers(struct trainer *t)
{
    const struct leaves *leaves = &t->plan.leaves;
    double cache = t->config->data.cache * 0x1p30 / leaves->count;
    TRY(mem_alloc(&t->readers, (size_t)leaves->count, sizeof *t->readers, "readers"));
    for (int i = 0; i < leaves->count; i++) {
        int leaf = leaves->first + i;
        bool keeps = leaf_cache_bytes(t->data, leaf, leaves->total, (uint64_t)cache) > 0;
        watchdog_at(keeps ? "filling data.cache" : "opening the shards", -1);
        TRY(leaf_reader_create(&t->readers[i], t->data, leaf, leaves->total, (uint64_t)t->config->run.seed,
                               (uint64_t)cache));
    }
    return IDDPM_OK;
}

static enum iddpm_status create_gradients(struct trainer *t)
{
    size_t flat = t->state->flat;
    for (int i = 0; i < t->plan.gradients; i++) TRY(mem_map(&t->grads[i], flat, sizeof(float), "gradient"));
    TRY(mem_alloc(&t->squares, flat / NET_BLOCK, sizeof *t->squares, "norms of the gradient"));
    if (t->plan.reduction == REDUCTION_MPI_ALLREDUCE) return IDDPM_OK;
    return reducer_create(&t->reducer, t->parallel, flat, NET_BLOCK, add_floats);
}

static enum iddpm_status create_buffers(struct trainer *t)
{
    size_t images = (size_t)t->plan.microbatch, batch = (size_t)t->config->train.batch_size;
    size_t mine = (size_t)t->plan.leaves.count * (size_t)t->plan.leaves.images;
    size_t n = (size_t)t->data->height * (size_t)t->data->width * (size_t)t->data->channels;
    TRY(mem_alloc(&t->pixels, images * n, 1, "images"));
    TRY(mem_alloc(&t->labels, images, sizeof *t->labels, "labels"));
    TRY(mem_alloc(&t->x_start, n, sizeof(double), "an image"));
    TRY(mem_alloc(&t->x_t, images * n, sizeof(double), "noised images"));
    TRY(mem_alloc(&t->noise, images * n, sizeof(double), "noise"));
    TRY(mem_alloc(&t->timesteps, images, sizeof(double), "timesteps"));
    TRY(mem_alloc(&t->low_res, images * low_res_elements(&t->plan.spec.unet), sizeof(double), "low-resolution images"));
    TRY(mem_alloc(&t->slots, images, sizeof *t->slots, "slots"));
    TRY(mem_alloc(&t->terms, mine, sizeof *t->terms, "losses"));
    TRY(mem_alloc(&t->all_terms, batch, sizeof *t->all_terms, "losses of the batch"));
    TRY(mem_alloc(&t->all_t, batch, sizeof *t->all_t, "timesteps of the batch"));
    return mem_alloc(&t->all_losses, batch, sizeof(double), "losses of the batch");
}

static enum iddpm_status plan_job(struct trainer *t)
{
    const struct config *config = t->config;
    if (*config->data.local && dataset_use_copy(t->data, config->data.local) != IDDPM_OK)
        return config_error(config, "data.local", "%s", iddpm_error_text());
    return train_plan(config, t->data, t->parallel->rank, t->parallel->size, &t->plan);
}

enum iddpm_status trainer_create(struct trainer *t)
{
    const struct config *config = t->config;
    if (!*config->data.path) return config_error(config, "data.path", "not set: name the folder of a data set");
    watchdog_at("opening the data set", -1);
    TRY(train_open_data(t->parallel, &t->data, config->data.path));
    TRY(parallel_agree(t->parallel, plan_job(t)));
    TRY(choose_kernels(t));
    TRY(diffusion_create(&t->diffusion, &t->plan.spec.diffusion));
    watchdog_at("building the network", -1);
    TRY(unet_create(&t->net, &t->plan.spec.unet, t->plan.microbatch, NET_TRAINING, kernels_threads()));
    TRY(state_create(&t->state, config, t->net, t->parallel, t->diffusion->num_timesteps));
    TRY(create_readers(t));
    TRY(create_gradients(t));
    TRY(noise_scale_create(t));
    return create_buffers(t);
}

void trainer_destroy(struct trainer *t)
{
    for (int i = 0; t->readers && i < t->plan.leaves.count; i++)
        if (t->readers[i]) leaf_reader_destroy(t->readers[i]);
    free(t->readers);
    for (int i = 0; i < TREE_MAX; i++) mem_unmap(t->grads[i]);
    void *buffers[] = {t->squares, t->pixels, t->labels, t->x_start,   t->x_t,   t->noise,     t->timesteps,
                       t->low_res, t->slots,  t->terms,  t->all_terms, t->all_t, t->all_losses};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) free(buffers[i]);
    noise_scale_destroy(&t->noise_scale);
    reducer_destroy(t->reducer);
    state_destroy(t->state);
    net_destroy(t->net);
    if (t->diffusion) diffusion_destroy(t->diffusion);
    if (t->data) dataset_close(t->data);
}
