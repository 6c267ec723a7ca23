/* What the loss of training is on held-out images, always with the same timesteps and noise. */
#include "images.h"

#include <stdlib.h>

struct job {
    const struct parallel *parallel;
    struct model *model;
    const struct dataset *data;
    uint64_t seed;
    struct batches batches;
    uint8_t *pixels; /* of this rank's batch, like the next seven */
    int64_t *labels;
    int *timesteps;
    double *x_start, *x_t, *noise, *low_res; /* the last of a super-resolution model */
    struct loss_terms *losses, *gathered;    /* the latter [ranks][batch] */
    struct loss_terms sums;
};

static int timestep_of(const struct job *job, uint64_t image)
{
    const struct rng rng = {job->seed, RNG_STRATUM, UINT32_MAX, (uint32_t)image};
    int timesteps = job->model->diffusion->num_timesteps;
    int t = (int)(((double)image + rng_one_uniform(&rng)) * timesteps / (double)job->batches.images);
    return t < timesteps ? t : timesteps - 1;
}

static enum iddpm_status read_images(struct job *job, struct batch batch)
{
    size_t image = job->model->image;
    TRY(images_read(job->model, job->data, batch, job->pixels, job->labels, job->x_start, job->low_res));
    for (size_t i = 0; i < (size_t)batch.n; i++) {
        int t = timestep_of(job, batch.first + i);
        const struct rng rng = {job->seed, RNG_NLL, (uint32_t)t, (uint32_t)(batch.first + i)};
        job->timesteps[i] = t;
        rng_normal(&rng, image, job->noise + i * image);
        q_sample(job->model->diffusion, t, image, job->x_start + i * image, job->noise + i * image,
                 job->x_t + i * image);
    }
    return IDDPM_OK;
}

static void measure_batch(struct job *job, struct batch batch)
{
    const struct model *model = job->model;
    const struct condition given = {.labels = job->labels, .low_res = job->low_res};
    size_t image = model->image;
    size_t output = (size_t)model->pixels * (size_t)diffusion_output_channels(model->diffusion, model->channels);
    const float *outputs = model_outputs_each(job->model, job->timesteps, batch.n, job->x_t, &given);
    for (size_t i = 0; i < (size_t)batch.n; i++)
        training_losses(model->diffusion, job->timesteps[i], model->pixels, model->channels, job->x_start + i * image,
                        job->x_t + i * image, job->noise + i * image, outputs + i * output, 0, &job->losses[i], NULL);
}

/* Collective. Added up image by image in the order of the data set, on every rank. */
static enum iddpm_status measure_round(struct job *job, uint64_t round)
{
    struct batch mine = batches_at(&job->batches, round, job->parallel->rank);
    TRY(batches_go_on(job->parallel, job->model, read_images(job, mine)));
    if (mine.n > 0) measure_batch(job, mine);
    size_t batch = (size_t)job->batches.batch;
    TRY(parallel_gather(job->parallel, job->losses, batch * sizeof *job->losses, job->gathered));
    for (int rank = 0; rank < job->batches.ranks; rank++)
        for (int i = 0; i < batches_at(&job->batches, round, rank).n; i++) {
            const struct loss_terms *of = &job->gathered[(size_t)rank * batch + (size_t)i];
            job->sums.loss += of->loss;
            job->sums.mse += of->mse;
            job->sums.vb += of->vb;
        }
    return IDDPM_OK;
}

static enum iddpm_status create_job(struct job *job)
{
    size_t batch = (size_t)job->batches.batch, all = batch * job->model->image;
    TRY(mem_alloc(&job->pixels, all, 1, "images"));
    TRY(mem_alloc(&job->labels, batch, sizeof *job->labels, "labels"));
    TRY(mem_alloc(&job->timesteps, batch, sizeof *job->timesteps, "timesteps"));
    TRY(mem_alloc(&job->x_start, all, sizeof(double), "images"));
    TRY(mem_alloc(&job->x_t, all, sizeof(double), "noised images"));
    TRY(mem_alloc(&job->noise, all, sizeof(double), "noise"));
    TRY(mem_alloc(&job->low_res, batch * low_res_elements(&job->model->unet), sizeof(double), "low-resolution images"));
    TRY(mem_alloc(&job->losses, batch, sizeof *job->losses, "losses"));
    return mem_alloc(&job->gathered, (size_t)job->batches.ranks * batch, sizeof *job->gathered, "losses");
}

static void destroy_job(struct job *job)
{
    void *buffers[] = {job->pixels, job->labels,  job->timesteps, job->x_start, job->x_t,
                       job->noise,  job->low_res, job->losses,    job->gathered};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) free(buffers[i]);
}

enum iddpm_status validation_losses(const struct parallel *parallel, struct model *model, const struct dataset *data,
                                    uint64_t images, uint64_t seed, struct loss_terms *mean)
{
    struct job job = {.parallel = parallel,
                      .model = model,
                      .data = data,
                      .seed = seed,
                      .batches = {.images = images, .batch = model->batch, .ranks = parallel->size}};
    enum iddpm_status status = parallel_agree(parallel, create_job(&job));
    for (uint64_t round = 0; round < batches_rounds(&job.batches) && status == IDDPM_OK; round++)
        status = measure_round(&job, round);
    destroy_job(&job);
    double n = (double)images;
    *mean = (struct loss_terms){job.sums.loss / n, job.sums.mse / n, job.sums.vb / n};
    return status;
}
