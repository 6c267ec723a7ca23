#include "iddpm/train.h"

#include <string.h>

static enum iddpm_status check_data(const struct config *config, const struct dataset *data)
{
    int size = image_size_from_config(config);
    if (data->height != data->width || data->width != size)
        return config_error(config, image_size_key(config), "is %d, but the images of %s are %dx%d", size, data->folder,
                            data->height, data->width);
    if (data->channels != config->model.in_channels)
        return config_error(config, "model.in_channels", "is %lld, but the images of %s have %d",
                            (long long)config->model.in_channels, data->folder, data->channels);
    if (config->model.class_cond && data->unlabelled > 0)
        return config_error(
            config, "model.class_cond",
            "needs a class for every image, but %llu of %s have no label: import it without them, or set "
            "class_cond: false",
            (unsigned long long)data->unlabelled, data->folder);
    return IDDPM_OK;
}

static enum iddpm_status check_steps(const struct config *config, struct train_plan *out)
{
    int64_t total = config->train.total_steps, anneal = config->train.lr_anneal_steps;
    out->total_steps = total ? total : anneal;
    if (out->total_steps == 0)
        return config_error(config, "train.total_steps",
                            "how long to train is not said: set train.total_steps, or "
                            "train.lr_anneal_steps for linear annealing");
    if (anneal && total > anneal)
        return config_error(config, "train.total_steps",
                            "%lld is past train.lr_anneal_steps (%lld), where the learning rate reaches 0",
                            (long long)total, (long long)anneal);
    return IDDPM_OK;
}

static enum iddpm_status check_diffusion(const struct config *config, const struct train_plan *plan)
{
    struct diffusion *diffusion;
    enum iddpm_status status = diffusion_create(&diffusion, &plan->spec.diffusion);
    if (status == IDDPM_USAGE) return config_error(config, "diffusion.timestep_respacing", "%s", iddpm_error_text());
    diffusion_destroy(diffusion);
    return status;
}

enum iddpm_status train_plan(const struct config *config, const struct dataset *data, int rank, int size,
                             struct train_plan *out)
{
    if (data) TRY(check_data(config, data));
    TRY(model_spec_from_config(config, data ? data->classes : -1, NULL, &out->spec));
    TRY(check_diffusion(config, out));
    TRY(check_steps(config, out));
    if (store_check_hints(config->store.hints) != IDDPM_OK)
        return config_error(config, "store.hints", "%s", iddpm_error_text());
    if (leaves_plan(&out->leaves, config->train.batch_size, config->parallel.leaves, rank, size) != IDDPM_OK)
        return config_error(config, config_is_set(config, "parallel.leaves") ? "parallel.leaves" : "train.batch_size",
                            "%s", iddpm_error_text());
    bool tree = strcmp(config->parallel.reduction, "reproducible") == 0;
    out->reduction = tree ? REDUCTION_REPRODUCIBLE : REDUCTION_MPI_ALLREDUCE;
    out->gradients = 1;
    for (int leaves = out->leaves.count; tree && leaves > 1; leaves /= 2) out->gradients++;
    int64_t microbatch = config->train.microbatch;
    out->microbatch = microbatch > 0 && microbatch < out->leaves.images ? (int)microbatch : out->leaves.images;
    return IDDPM_OK;
}

enum iddpm_status train_resolve(struct config *config, const struct train_plan *plan)
{
    char text[256];
    int used = 0;
    snprintf(text, sizeof text, "%d", plan->spec.unet.image_size);
    TRY(config_set(config, "model.image_size", text));
    if (plan->spec.unet.super_res) TRY(config_set(config, "model.large_size", text));
    text[0] = 0;
    for (int i = 0; i < plan->spec.unet.n_mult; i++)
        used +=
            snprintf(text + used, sizeof text - (size_t)used, "%s%d", i ? "," : "", plan->spec.unet.channel_mult[i]);
    TRY(config_set(config, "model.channel_mult", text));
    snprintf(text, sizeof text, "%d", plan->spec.unet.num_classes);
    TRY(config_set(config, "model.num_classes", text));
    snprintf(text, sizeof text, "%d", plan->leaves.total);
    TRY(config_set(config, "parallel.leaves", text));
    snprintf(text, sizeof text, "%lld", (long long)plan->total_steps);
    TRY(config_set(config, "train.total_steps", text));
    return config_set(config, "data.local", ""); /* of this job's nodes; the run may go on elsewhere */
}
