/* A network with its diffusion, run in batches of one size. */
#include "iddpm/evaluate.h"

#include <stdlib.h>

static enum iddpm_status create_parts(struct model *model, const struct model_spec *spec, int threads)
{
    TRY(diffusion_create(&model->diffusion, &spec->diffusion));
    TRY(unet_create(&model->net, &spec->unet, model->batch, NET_INFERENCE, threads));
    TRY(mem_map(&model->params, net_flat_size(model->net), sizeof(float), "parameters"));
    TRY(mem_alloc(&model->timesteps, (size_t)model->batch, sizeof(double), "timesteps"));
    TRY(mem_alloc(&model->labels, (size_t)model->batch, sizeof *model->labels, "labels"));
    return mem_alloc(&model->draw, model->image, sizeof(double), "noise");
}

enum iddpm_status model_create(struct model **out, const struct model_spec *spec, int batch, int threads)
{
    TRY(mem_alloc(out, 1, sizeof **out, "a model"));
    struct model *model = *out;
    const char *respacing = spec->diffusion.timestep_respacing;
    model->unet = spec->unet;
    snprintf(model->respacing, sizeof model->respacing, "%s", respacing ? respacing : "");
    model->batch = batch;
    model->pixels = spec->unet.image_size * spec->unet.image_size;
    model->channels = spec->unet.in_channels;
    model->image = (size_t)model->pixels * (size_t)model->channels;
    enum iddpm_status status = create_parts(model, spec, threads);
    if (status == IDDPM_OK) return status;
    model_destroy(model);
    *out = NULL;
    return status;
}

void model_destroy(struct model *model)
{
    if (!model) return;
    diffusion_destroy(model->diffusion);
    net_destroy(model->net);
    config_destroy(model->config);
    mem_unmap(model->params);
    free(model->timesteps);
    free(model->labels);
    free(model->draw);
    free(model);
}

/* With model->timesteps. */
static const float *run(struct model *model, int n, const double *x_t, const struct condition *given)
{
    unet_set_input(model->net, &model->unet, 0, n, model->batch, x_t);
    if (model->unet.super_res) unet_set_input(model->net, &model->unet, 1, n, model->batch, given->low_res);
    for (int i = 0; i < model->batch; i++) model->labels[i] = given->labels && i < n ? given->labels[i] : 0;
    const struct net_run run = {.n = model->batch, .timesteps = model->timesteps, .labels = model->labels};
    watchdog_at("running the network", -1);
    net_forward(model->net, &run);
    return net_output_data(model->net);
}

const float *model_outputs(struct model *model, int t, int n, const double *x_t, const struct condition *given)
{
    for (int i = 0; i < model->batch; i++) model->timesteps[i] = diffusion_model_timestep(model->diffusion, t);
    return run(model, n, x_t, given);
}

const float *model_outputs_each(struct model *model, const int *t, int n, const double *x_t,
                                const struct condition *given)
{
    for (int i = 0; i < model->batch; i++)
        model->timesteps[i] = diffusion_model_timestep(model->diffusion, t[i < n ? i : 0]);
    return run(model, n, x_t, given);
}
