/* What the network is given in a training step: functions of the run's seed, the step, and an image's slot in the
 * global batch, so that they are the same whichever rank the image is on. */
#include "step.h"

#include <math.h>

static struct rng step_rng(const struct trainer *t, uint32_t purpose, uint32_t slot)
{
    return (struct rng){(uint64_t)t->config->run.seed, purpose, (uint32_t)t->state->step, slot};
}

/* A number of [0, 1) for the timestep of the image in `slot`: of its own, or, all B of them together evenly spread, one
 * number and the places of a permutation, u_i = frac(u_0 + p(i) / B) (Kingma et al. 2021). */
static double timestep_uniform(const struct trainer *t, uint32_t slot)
{
    struct rng own = step_rng(t, RNG_TIMESTEP, slot), spread = step_rng(t, RNG_SPREAD, 0);
    if (!t->config->train.low_discrepancy) return rng_one_uniform(&own);
    uint64_t batch = (uint64_t)t->config->train.batch_size;
    double u = rng_one_uniform(&spread) + (double)rng_permute(&spread, batch, slot) / (double)batch;
    return u - floor(u);
}

/* Image i of the microbatch as the configuration wants it varied: mirrored, without its class. */
static void vary_image(struct trainer *t, uint32_t slot, int i)
{
    const struct dataset *data = t->data;
    const struct unet_options *unet = &t->plan.spec.unet;
    struct rng flip = step_rng(t, RNG_FLIP, slot), label = step_rng(t, RNG_LABEL, slot);
    if (t->config->train.horizontal_flip && rng_one_uniform(&flip) < 0.5)
        pixels_mirror(data->height, data->width, data->channels, t->pixels + (size_t)i * image_elements(t));
    if (unet->null_class && rng_one_uniform(&label) < t->config->model.label_dropout) t->labels[i] = unet->num_classes;
}

/* Timestep and noise of image i, its x_t, and the smaller image that a super-resolution network enlarges. */
static void noise_image(struct trainer *t, uint32_t slot, int i, struct image_terms *terms)
{
    const struct unet_options *unet = &t->plan.spec.unet;
    size_t n = image_elements(t), at = (size_t)i * n;
    struct rng noise = step_rng(t, RNG_NOISE, slot);
    sampler_draw(t->state->sampler, timestep_uniform(t, slot), &terms->t, &terms->weight);
    t->slots[i] = slot;
    t->timesteps[i] = diffusion_model_timestep(t->diffusion, terms->t);
    rng_normal(&noise, n, t->noise + at);
    pixels_to_signal(n, t->pixels + at, t->x_start);
    q_sample(t->diffusion, terms->t, n, t->x_start, t->noise + at, t->x_t + at);
    signal_area_average(unet->image_size, unet->in_channels, t->x_start, unet->super_res,
                        t->low_res + (size_t)i * low_res_elements(unet));
}

void prepare_images(struct trainer *t, uint32_t first, int count, struct image_terms *terms)
{
    const struct unet_options *unet = &t->plan.spec.unet;
    for (int i = 0; i < count; i++) {
        vary_image(t, first + (uint32_t)i, i);
        noise_image(t, first + (uint32_t)i, i, &terms[i]);
    }
    unet_set_input(t->net, unet, 0, count, count, t->x_t);
    if (unet->super_res) unet_set_input(t->net, unet, 1, count, count, t->low_res);
}
