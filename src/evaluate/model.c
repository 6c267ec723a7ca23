/* A network with its diffusion, run in batches of one size. */
#include "model.h"

#include "iddpm/train.h"

#include <stdlib.h>
#include <string.h>

/* Everything but the network. */
static enum iddpm_status create_parts(struct model *model, const struct model_spec *spec, int batch)
{
    const char *respacing = spec->diffusion.timestep_respacing;
    model->unet = spec->unet;
    snprintf(model->respacing, sizeof model->respacing, "%s", respacing ? respacing : "");
    model->guidance = 1;
    model->batch = batch;
    model->pixels = spec->unet.image_size * spec->unet.image_size;
    model->channels = spec->unet.in_channels;
    model->image = (size_t)model->pixels * (size_t)model->channels;
    TRY(diffusion_create(&model->diffusion, &spec->diffusion));
    TRY(mem_alloc(&model->timesteps, (size_t)model->batch, sizeof(double), "timesteps"));
    TRY(mem_alloc(&model->labels, (size_t)model->batch, sizeof *model->labels, "labels"));
    return mem_alloc(&model->draw, model->image, sizeof(double), "noise");
}

static enum iddpm_status created(struct model **out, enum iddpm_status status)
{
    if (status == IDDPM_OK) return status;
    model_destroy(*out);
    *out = NULL;
    return status;
}

enum iddpm_status model_create(struct model **out, const struct model_spec *spec, int batch, int threads)
{
    TRY(mem_alloc(out, 1, sizeof **out, "a model"));
    struct model *model = *out;
    enum iddpm_status status = create_parts(model, spec, batch);
    if (status == IDDPM_OK) status = unet_create(&model->net, &spec->unet, batch, NET_INFERENCE, threads);
    if (status == IDDPM_OK) status = mem_map(&model->params, net_flat_size(model->net), sizeof(float), "parameters");
    return created(out, status);
}

enum iddpm_status model_around(struct model **out, const struct train_view *view, const char *respacing)
{
    struct model_spec spec = view->plan->spec;
    if (respacing) spec.diffusion.timestep_respacing = respacing;
    TRY(mem_alloc(out, 1, sizeof **out, "a model"));
    struct model *model = *out;
    model->training = view;
    model->net = view->net;
    model->step = view->step;
    snprintf(model->path, sizeof model->path, "%s", view->config->run.dir);
    strcpy(model->folder, model->path);
    strcpy(model->weights, "params");
    return created(out, create_parts(model, &spec, view->plan->microbatch));
}

enum iddpm_status model_use_weights(struct model *model, const char *weights)
{
    TRY(train_use_weights(model->training, weights));
    snprintf(model->weights, sizeof model->weights, "%s", weights);
    return IDDPM_OK;
}

void model_destroy(struct model *model)
{
    if (!model) return;
    diffusion_destroy(model->diffusion);
    if (!model->training) net_destroy(model->net);
    config_destroy(model->config);
    mem_unmap(model->params);
    free(model->timesteps);
    free(model->labels);
    free(model->draw);
    free(model->guided);
    free(model->mixed);
    model_destroy(model->ends);
    free(model);
}

const float *model_run(struct model *model, int n, const double *x_t, const struct condition *given, bool classes)
{
    const int64_t none = classes ? 0 : model->unet.num_classes, *labels = classes ? given->labels : NULL;
    unet_set_input(model->net, &model->unet, 0, n, model->batch, x_t);
    if (model->unet.super_res) unet_set_input(model->net, &model->unet, 1, n, model->batch, given->low_res);
    for (int i = 0; i < model->batch; i++) model->labels[i] = labels && i < n ? labels[i] : none;
    const struct net_run run = {.n = model->batch, .timesteps = model->timesteps, .labels = model->labels};
    watchdog_at("running the network", -1);
    net_forward(model->net, &run);
    return net_output_data(model->net);
}
