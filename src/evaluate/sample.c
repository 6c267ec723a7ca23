/* One step of sampling chains (gaussian_diffusion.py, p_sample_loop and ddim_sample_loop). */
#include "sample.h"
#include "noise.h"

void sample_draw(const struct sample_options *options, uint64_t number, uint64_t sample, size_t image, double *out)
{
    uint32_t purpose = options->base ? RNG_SAMPLE_BASE : RNG_SAMPLE;
    struct rng rng = {options->seed, purpose, (uint32_t)number, (uint32_t)sample};
    noise_draw(options->noise, number, &rng, image, out);
}

static void step_of_one(struct model *model, const struct sample_options *options, int t, double *x,
                        const float *output, double *pred_xstart)
{
    const struct diffusion *d = model->diffusion;
    int pixels = model->pixels, channels = model->channels;
    bool clip = options->clip_denoised;
    switch (options->kind) {
    case SAMPLING_ANCESTRAL:
        p_sample(d, t, pixels, channels, x, output, clip, model->draw, x, pred_xstart);
        break;
    case SAMPLING_DDIM:
        ddim_sample(d, t, pixels, channels, x, output, clip, options->eta, model->draw, x, pred_xstart);
        break;
    case SAMPLING_DDIM_REVERSE:
        ddim_reverse_sample(d, t, pixels, channels, x, output, clip, x, pred_xstart);
        break;
    }
}

void sample_step(struct model *model, const struct sample_options *options, int j, uint64_t first, int n, double *x,
                 const struct condition *given, double *pred_xstart)
{
    bool reverse = options->kind == SAMPLING_DDIM_REVERSE;
    int t = reverse ? j : model->diffusion->num_timesteps - 1 - j;
    bool needs_noise = t > 0 && !reverse && !(options->kind == SAMPLING_DDIM && options->eta == 0);
    size_t image = model->image;
    size_t output = (size_t)model->pixels * (size_t)diffusion_output_channels(model->diffusion, model->channels);
    const float *outputs = model_outputs(model, t, n, x, given);
    for (size_t i = 0; i < (size_t)n; i++) {
        if (needs_noise) sample_draw(options, (uint64_t)j + 1, first + i, image, model->draw);
        step_of_one(model, options, t, x + i * image, outputs + i * output,
                    pred_xstart ? pred_xstart + i * image : NULL);
    }
}

int64_t sample_label(const struct model *model, const struct sample_options *options, uint64_t sample)
{
    const struct base *base = options->base;
    const struct noise *noise = options->noise;
    if (options->label >= 0) return options->label;
    if (base && base->labels) return base->labels[sample % base->images];
    if (noise && noise->labels) return noise->labels[sample];
    struct rng rng = {options->seed, RNG_CLASS, 0, (uint32_t)sample};
    return (int64_t)(rng_one_uniform(&rng) * model->unet.num_classes);
}
