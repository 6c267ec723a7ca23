/* Sampling: chains from noise to images (gaussian_diffusion.py, p_sample_loop and ddim_sample_loop). */
#include "batches.h"
#include "noise.h"

#include <stdlib.h>
#include <string.h>

/* ---- one step ---------------------------------------------------------------------------------------------------- */

/* Draw 0 is x_T, draw j + 1 that of step j. */
static void draw(const struct sample_options *options, uint64_t number, uint64_t sample, size_t image, double *out)
{
    struct rng rng = {options->seed, RNG_SAMPLE, (uint32_t)number, (uint32_t)sample};
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
        if (needs_noise) draw(options, (uint64_t)j + 1, first + i, image, model->draw);
        step_of_one(model, options, t, x + i * image, outputs + i * output,
                    pred_xstart ? pred_xstart + i * image : NULL);
    }
}

/* ---- the whole job ----------------------------------------------------------------------------------------------- */

struct job {
    const struct parallel *parallel;
    struct model *model;
    const struct sample_options *options;
    struct batches batches;
    double *x;
    uint8_t *pixels, *gathered; /* the former of this rank's batch; the latter one image of every rank */
    int64_t *labels;            /* of this rank's batch */
    uint8_t *base;              /* low-resolution images of a round, */
    double *low_res;            /* and those of this rank's batch */
    struct samples *samples;
    struct log_progress progress;
};

static int64_t label_of(const struct job *job, uint64_t sample)
{
    const struct base *base = job->options->base;
    if (job->options->label >= 0) return job->options->label;
    if (base && base->labels) return base->labels[sample % base->images];
    struct rng rng = {job->options->seed, RNG_CLASS, 0, (uint32_t)sample};
    return (int64_t)(rng_one_uniform(&rng) * job->model->unet.num_classes);
}

static void start_batch(struct job *job, struct batch batch)
{
    size_t image = job->model->image;
    for (size_t i = 0; i < (size_t)batch.n; i++) {
        draw(job->options, 0, batch.first + i, image, job->x + i * image);
        job->labels[i] = job->model->unet.num_classes > 0 ? label_of(job, batch.first + i) : 0;
    }
}

/* Collective. */
static enum iddpm_status read_base(struct job *job, uint64_t round)
{
    struct base *base = job->options->base;
    if (!base) return IDDPM_OK;
    struct batch mine = batches_at(&job->batches, round, job->parallel->rank);
    uint64_t first = batches_at(&job->batches, round, 0).first;
    size_t image = (size_t)base->size * (size_t)base->size * (size_t)base->channels;
    TRY(base_read(base, job->parallel, first, batches_images(&job->batches, round), job->base));
    pixels_to_signal((size_t)mine.n * image, job->base + (size_t)(mine.first - first) * image, job->low_res);
    return IDDPM_OK;
}

/* Collective. Image by image, so that no rank needs room for all that a round gives. */
static enum iddpm_status gather_round(struct job *job, uint64_t round)
{
    size_t image = job->model->image;
    for (int i = 0; i < job->batches.batch; i++) {
        TRY(parallel_gather(job->parallel, job->pixels + (size_t)i * image, image, job->gathered));
        for (int rank = 0; rank < job->batches.ranks && job->parallel->rank == 0; rank++) {
            struct batch batch = batches_at(&job->batches, round, rank);
            uint64_t sample = batch.first + (uint64_t)i;
            if (i >= batch.n) continue;
            memcpy(job->samples->pixels + sample * image, job->gathered + (size_t)rank * image, image);
            if (job->samples->labels) job->samples->labels[sample] = label_of(job, sample);
        }
    }
    return IDDPM_OK;
}

static enum iddpm_status sample_round(struct job *job, uint64_t round)
{
    struct batch batch = batches_at(&job->batches, round, job->parallel->rank);
    uint64_t first = batches_at(&job->batches, round, 0).first;
    double here = (double)batches_images(&job->batches, round);
    int skip = job->options->skip, steps = job->model->diffusion->num_timesteps - skip;
    const struct condition given = {.labels = job->labels, .low_res = job->low_res};
    TRY(read_base(job, round));
    start_batch(job, batch);
    for (int j = 0; j < steps; j++) {
        if (batch.n > 0) sample_step(job->model, job->options, skip + j, batch.first, batch.n, job->x, &given, NULL);
        TRY(batches_go_on(job->parallel, IDDPM_OK));
        log_progress_show(&job->progress, (double)first + here * (j + 1) / steps, NULL);
    }
    signal_to_pixels((size_t)batch.n * job->model->image, job->x, job->pixels);
    return gather_round(job, round);
}

static enum iddpm_status check_base(const struct model *model, const struct base *base, int64_t label)
{
    int size = model->unet.super_res, classes = model->unet.num_classes;
    if (!base && size == 0) return IDDPM_OK;
    if (!base)
        return iddpm_error(IDDPM_USAGE, "the model of %s enlarges images of %dx%d pixels: give them (--base FILE.npz)",
                           model->path, size, size);
    if (size == 0)
        return iddpm_error(IDDPM_USAGE, "the model of %s is no super-resolution model: it takes no images such as %s",
                           model->path, base->path);
    if (base->size != size || base->channels != model->channels)
        return iddpm_error(IDDPM_USAGE,
                           "%s has images of %dx%d pixels and %d channels, but the model of %s enlarges those of %dx%d "
                           "and %d",
                           base->path, base->size, base->size, base->channels, model->path, size, size,
                           model->channels);
    if (classes == 0 || label >= 0) return IDDPM_OK;
    if (!base->labels)
        return iddpm_error(IDDPM_USAGE, "%s has no classes (arr_1), which the class-conditional model of %s needs",
                           base->path, model->path);
    for (uint64_t i = 0; i < base->images; i++)
        if (base->labels[i] < 0 || base->labels[i] >= classes)
            return iddpm_error(IDDPM_USAGE,
                               "%s: image %llu has class %lld, but the model of %s has the classes 0 to %d", base->path,
                               (unsigned long long)i, (long long)base->labels[i], model->path, classes - 1);
    return IDDPM_OK;
}

static enum iddpm_status check(const struct job *job)
{
    const struct sample_options *options = job->options;
    int classes = job->model->unet.num_classes;
    if (options->images == 0) return iddpm_error(IDDPM_USAGE, "at least one sample must be asked for");
    if (options->eta < 0 || options->eta > 1)
        return iddpm_error(IDDPM_USAGE, "eta must lie between 0 and 1, not %g", options->eta);
    if (options->skip < 0 || options->skip >= job->model->diffusion->num_timesteps)
        return iddpm_error(IDDPM_USAGE, "of the %d steps of a chain %d cannot be left out",
                           job->model->diffusion->num_timesteps, options->skip);
    if (options->label >= 0 && classes == 0)
        return iddpm_error(IDDPM_USAGE, "the model of %s is not class-conditional: it has no class to be asked for",
                           job->model->path);
    if (options->label >= classes && classes > 0)
        return iddpm_error(IDDPM_USAGE, "the model of %s has the classes 0 to %d, not %lld", job->model->path,
                           classes - 1, (long long)options->label);
    TRY(check_base(job->model, options->base, options->label));
    return noise_check(options->noise, (uint64_t)job->model->diffusion->num_timesteps + 1, options->images,
                       job->model->image);
}

static enum iddpm_status create_base(struct job *job)
{
    const struct base *base = job->options->base;
    if (!base) return IDDPM_OK;
    size_t batch = (size_t)job->model->batch, image = (size_t)base->size * (size_t)base->size * (size_t)base->channels;
    TRY(mem_alloc(&job->base, (size_t)job->batches.ranks * batch * image, 1, "base images"));
    return mem_alloc(&job->low_res, batch * image, sizeof(double), "base images");
}

static enum iddpm_status create_job(struct job *job)
{
    const struct model *model = job->model;
    size_t batch = (size_t)model->batch, all = batch * model->image;
    TRY(check(job));
    TRY(create_base(job));
    TRY(mem_alloc(&job->x, all, sizeof(double), "samples"));
    TRY(mem_alloc(&job->pixels, all, 1, "samples"));
    TRY(mem_alloc(&job->labels, batch, sizeof *job->labels, "classes"));
    TRY(mem_alloc(&job->gathered, (size_t)job->batches.ranks * model->image, 1, "samples"));
    TRY(mem_alloc(&job->samples, 1, sizeof *job->samples, "samples"));
    struct samples *samples = job->samples;
    *samples = (struct samples){.images = job->batches.images,
                                .height = model->unet.image_size,
                                .width = model->unet.image_size,
                                .channels = model->channels};
    if (job->parallel->rank != 0) return IDDPM_OK;
    TRY(mem_alloc(&samples->pixels, (size_t)samples->images, model->image, "samples"));
    if (model->unet.num_classes == 0) return IDDPM_OK;
    return mem_alloc(&samples->labels, (size_t)samples->images, sizeof *samples->labels, "classes");
}

enum iddpm_status sample_images(const struct parallel *parallel, struct model *model,
                                const struct sample_options *options, struct samples **out)
{
    struct job job = {.parallel = parallel,
                      .model = model,
                      .options = options,
                      .batches = {.images = options->images, .batch = model->batch, .ranks = parallel->size}};
    enum iddpm_status status = parallel_agree(parallel, create_job(&job));
    log_progress_start(&job.progress, "sample", "images", 0, (double)options->images);
    for (uint64_t round = 0; round < batches_rounds(&job.batches) && status == IDDPM_OK; round++)
        status = sample_round(&job, round);
    if (status != IDDPM_OK) samples_destroy(job.samples);
    *out = status == IDDPM_OK ? job.samples : NULL;
    free(job.x);
    free(job.pixels);
    free(job.labels);
    free(job.base);
    free(job.low_res);
    free(job.gathered);
    return status;
}

void samples_destroy(struct samples *samples)
{
    if (!samples) return;
    free(samples->pixels);
    free(samples->labels);
    free(samples);
}
