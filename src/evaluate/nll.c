/* The variational bound of images, term by term (gaussian_diffusion.py, calc_bpd_loop). */
#include "nll.h"
#include "images.h"
#include "noise.h"

#include <math.h>
#include <stdlib.h>

struct job {
    const struct parallel *parallel;
    struct model *model;
    const struct dataset *data;
    const struct nll_options *options;
    struct batches batches;
    int steps;       /* columns */
    uint8_t *pixels; /* of this rank's batch, like the next six */
    int64_t *labels;
    int *timesteps;
    double *x_start, *x_t, *noise, *low_res; /* the last of a super-resolution model */
    /* [batch][steps + 1]: the terms of an image, column 0 the last timestep, then its prior as a `vb`: what travels to
     * rank 0 */
    struct bpd_terms *terms, *gathered; /* the latter [ranks][steps + 1]: one image of every rank */
    struct nll *nll;
    struct nll_part part;
    struct store_attribute settings[NLL_SETTINGS]; /* of a part */
    struct log_progress progress;
    double sum; /* of the totals so far, on rank 0 */
};

/* ---- one batch --------------------------------------------------------------------------------------------------- */

static enum iddpm_status read_images(struct job *job, struct batch batch)
{
    size_t image = job->model->image, row = (size_t)job->steps + 1;
    TRY(images_read(job->model, job->data, batch, job->pixels, job->labels, job->x_start, job->low_res));
    for (size_t i = 0; i < (size_t)batch.n; i++)
        job->terms[i * row + (size_t)job->steps].vb = prior_bpd(job->model->diffusion, image, job->x_start + i * image);
    return IDDPM_OK;
}

static void measure_column(struct job *job, struct batch batch, int column)
{
    struct model *model = job->model;
    const struct diffusion *diffusion = model->diffusion;
    size_t image = model->image, row = (size_t)job->steps + 1;
    size_t output = (size_t)model->pixels * (size_t)diffusion_output_channels(diffusion, model->channels);
    const struct condition given = {.labels = job->labels, .low_res = job->low_res};
    int *timesteps = job->timesteps;
    for (size_t i = 0; i < (size_t)batch.n; i++) {
        int t = nll_stratum_draw(job->nll->first, job->steps - 1 - column, job->options->seed, batch.first + i);
        struct rng rng = {job->options->seed, RNG_NLL, (uint32_t)t, (uint32_t)(batch.first + i)};
        timesteps[i] = t;
        noise_draw(job->options->noise, (uint64_t)column, &rng, image, job->noise + i * image);
        q_sample(diffusion, t, image, job->x_start + i * image, job->noise + i * image, job->x_t + i * image);
    }
    const float *outputs = model_outputs_each(model, timesteps, batch.n, job->x_t, &given);
    for (size_t i = 0; i < (size_t)batch.n; i++)
        bpd_terms(diffusion, timesteps[i], model->pixels, model->channels, job->x_start + i * image,
                  job->x_t + i * image, job->noise + i * image, outputs + i * output, job->options->clip_denoised,
                  &job->terms[i * row + (size_t)column]);
}

/* ---- one round: a batch of every rank ---------------------------------------------------------------------------- */

/* Of what a rank has measured of an image, the columns from `from` up to `to`. */
static void keep_image(struct job *job, uint64_t image, int64_t from, int64_t to, const struct bpd_terms *terms)
{
    struct nll *nll = job->nll;
    size_t first = image * (size_t)job->steps;
    if (to > from) nll->prior[image] = terms[job->steps].vb;
    for (size_t k = (size_t)from; k < (size_t)to; k++) {
        nll->vb[first + k] = terms[k].vb;
        nll->mse[first + k] = terms[k].mse;
        nll->xstart_mse[first + k] = terms[k].xstart_mse;
    }
    if (to < job->steps) return;
    double total = 0;
    for (size_t k = 0; k < (size_t)job->steps; k++) total += nll_column_weight(nll, (int)k) * nll->vb[first + k];
    nll->total[image] = total + nll->prior[image];
    job->sum += nll->total[image];
}

/* Collective. Image by image, so that no rank needs room for all that a round gives. */
static enum iddpm_status gather_round(struct job *job, uint64_t round)
{
    size_t row = (size_t)job->steps + 1;
    for (int i = 0; i < job->batches.batch; i++) {
        TRY(parallel_gather(job->parallel, job->terms + (size_t)i * row, row * sizeof *job->terms, job->gathered));
        for (int rank = 0; rank < job->batches.ranks && job->parallel->rank == 0; rank++) {
            struct batch batch = batches_at(&job->batches, round, rank);
            if (i >= batch.n) continue;
            uint64_t index = batch.first / (uint64_t)job->batches.batch;
            keep_image(job, batch.first + (uint64_t)i, job->part.found[index], job->part.columns[index],
                       job->gathered + (size_t)rank * row);
        }
    }
    return IDDPM_OK;
}

/* Collective. In the middle of a round. */
static enum iddpm_status keep_part(struct job *job, uint64_t round)
{
    enum iddpm_status status = IDDPM_OK;
    double sum = job->sum; /* is for whole rounds */
    TRY(gather_round(job, round));
    job->sum = sum;
    watchdog_at("writing what is done", -1);
    if (job->parallel->rank == 0) status = nll_part_write(&job->part, job->nll, NLL_SETTINGS, job->settings);
    return parallel_agree(job->parallel, status);
}

/* `part` of the round that begins with image `first` is done. */
static void show(struct job *job, uint64_t first, double part)
{
    uint64_t images = job->batches.images, round = (uint64_t)job->batches.batch * (uint64_t)job->batches.ranks;
    uint64_t here = images - first < round ? images - first : round;
    char extra[64] = "";
    if (part == 1) first += here, part = 0;
    if (first > 0) snprintf(extra, sizeof extra, "%.3f bits/dim", job->sum / (double)first);
    if (!job->model->training) log_progress_show(&job->progress, (double)first + part * (double)here, extra);
}

/* The batches of a round, a column for those that have not got it already. */
static enum iddpm_status measure_columns(struct job *job, uint64_t round)
{
    struct batch mine = batches_at(&job->batches, round, job->parallel->rank);
    uint64_t first = batches_at(&job->batches, round, 0).first, index = first / (uint64_t)job->batches.batch;
    int64_t *columns = job->part.columns + index, begin = job->steps;
    int n = 0; /* batches of this round */
    while (n < job->batches.ranks && index + (uint64_t)n < job->part.n) {
        if (columns[n] < begin) begin = columns[n];
        n++;
    }
    for (int column = (int)begin; column < job->steps; column++) {
        if (mine.n > 0 && columns[job->parallel->rank] <= column) measure_column(job, mine, column);
        TRY(batches_go_on(job->parallel, job->model, IDDPM_OK));
        for (int i = 0; i < n; i++)
            if (columns[i] == column) columns[i]++;
        if (column == job->steps - 1) break;
        show(job, first, (column + 1.) / job->steps);
        if (job->part.path && part_clock_is_due(&job->part.clock, job->parallel)) TRY(keep_part(job, round));
    }
    return IDDPM_OK;
}

static enum iddpm_status measure_round(struct job *job, uint64_t round)
{
    struct batch batch = batches_at(&job->batches, round, job->parallel->rank);
    enum iddpm_status status = batches_go_on(job->parallel, job->model, read_images(job, batch));
    if (status == IDDPM_OK) status = measure_columns(job, round);
    if (status == IDDPM_STOPPED && job->part.path) TRY(keep_part(job, round));
    TRY(status);
    TRY(gather_round(job, round));
    show(job, batches_at(&job->batches, round, 0).first, 1);
    return IDDPM_OK;
}

/* ---- the whole job ----------------------------------------------------------------------------------------------- */

static enum iddpm_status check_data(const struct job *job)
{
    TRY(images_check(job->model, job->data, job->options->images));
    if (job->options->strata > 0 && job->options->noise)
        return iddpm_error(IDDPM_USAGE, "%s has noise for every timestep: strata draw their own",
                           job->options->noise->name);
    return noise_check(job->options->noise, (uint64_t)job->steps, job->batches.images, job->model->image);
}

static enum iddpm_status create_arrays(struct nll *nll)
{
    size_t images = (size_t)nll->images, all = images * (size_t)nll->steps;
    TRY(mem_alloc(&nll->vb, all, sizeof(double), "terms of the bound"));
    TRY(mem_alloc(&nll->mse, all, sizeof(double), "squared errors of the noise"));
    TRY(mem_alloc(&nll->xstart_mse, all, sizeof(double), "squared errors of the image"));
    TRY(mem_alloc(&nll->prior, images, sizeof(double), "priors"));
    return mem_alloc(&nll->total, images, sizeof(double), "totals");
}

static enum iddpm_status create_job(struct job *job)
{
    size_t batch = (size_t)job->batches.batch, all = batch * job->model->image, row = (size_t)job->steps + 1;
    TRY(check_data(job));
    TRY(mem_alloc(&job->pixels, all, 1, "images"));
    TRY(mem_alloc(&job->labels, batch, sizeof *job->labels, "labels"));
    TRY(mem_alloc(&job->timesteps, batch, sizeof *job->timesteps, "timesteps"));
    TRY(mem_alloc(&job->x_start, all, sizeof(double), "images"));
    TRY(mem_alloc(&job->x_t, all, sizeof(double), "noised images"));
    TRY(mem_alloc(&job->noise, all, sizeof(double), "noise"));
    TRY(mem_alloc(&job->low_res, batch * low_res_elements(&job->model->unet), sizeof(double), "low-resolution images"));
    TRY(mem_alloc(&job->terms, batch * row, sizeof *job->terms, "terms of the bound"));
    TRY(mem_alloc(&job->gathered, (size_t)job->batches.ranks * row, sizeof *job->terms, "terms of the bound"));
    TRY(mem_alloc(&job->nll, 1, sizeof *job->nll, "a likelihood"));
    job->nll->images = job->batches.images;
    job->nll->steps = job->steps;
    TRY(mem_alloc(&job->nll->first, (size_t)job->steps + 1, sizeof(int), "strata"));
    nll_strata(job->model->diffusion->num_timesteps, job->steps, job->nll->first);
    TRY(nll_part_create(&job->part, job->nll, job->options, job->batches.batch));
    return job->parallel->rank == 0 ? create_arrays(job->nll) : IDDPM_OK;
}

static void destroy_job(struct job *job)
{
    void *buffers[] = {job->pixels, job->labels,  job->timesteps, job->x_start, job->x_t,
                       job->noise,  job->low_res, job->terms,     job->gathered};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) free(buffers[i]);
    nll_part_destroy(&job->part);
}

void nll_mean(size_t n, const double *a, const double *b, double *mean, double *standard_error)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += (a[i] - (b ? b[i] : 0)) / (double)n;
    for (size_t i = 0; i < n; i++) squares += pow(a[i] - (b ? b[i] : 0) - sum, 2);
    *mean = sum;
    *standard_error = n > 1 ? sqrt(squares / ((double)n - 1) / (double)n) : NAN;
}

/* Collective. */
static enum iddpm_status summarise(const struct parallel *parallel, struct nll *nll)
{
    double summary[2] = {0};
    if (parallel->rank == 0) nll_mean(nll->images, nll->total, NULL, &summary[0], &summary[1]);
    TRY(parallel_broadcast(parallel, summary, sizeof summary));
    nll->mean = summary[0];
    nll->standard_error = summary[1];
    return IDDPM_OK;
}

/* Collective. Goes on behind what is found. */
static enum iddpm_status take_part(struct job *job)
{
    struct nll_part *part = &job->part;
    struct batches *batches = &job->batches;
    uint64_t done = 0;
    if (!part->path) return IDDPM_OK;
    nll_settings(job->model, job->data, job->options, job->settings);
    TRY(nll_part_read(part, job->parallel, job->nll, NLL_SETTINGS, job->settings));
    while (batches->start < part->n && part->columns[batches->start] == job->steps) batches->start++;
    done = batches->start * (uint64_t)batches->batch;
    if (done > batches->images) done = batches->images;
    for (uint64_t i = 0; i < done && job->parallel->rank == 0; i++) keep_image(job, i, job->steps, job->steps, NULL);
    return IDDPM_OK;
}

static enum iddpm_status measure(struct job *job)
{
    TRY(parallel_agree(job->parallel, create_job(job)));
    TRY(take_part(job));
    double done = (double)(job->batches.start * (uint64_t)job->batches.batch), all = (double)job->batches.images;
    log_progress_start(&job->progress, "nll", "images", done < all ? done : all, all);
    uint64_t rounds = batches_rounds(&job->batches);
    for (uint64_t round = 0; round < rounds; round++) TRY(measure_round(job, round));
    return summarise(job->parallel, job->nll);
}

enum iddpm_status nll_measure(const struct parallel *parallel, struct model *model, const struct dataset *data,
                              const struct nll_options *options, struct nll **out)
{
    uint64_t images = options->images ? options->images : data->images;
    struct job job = {.parallel = parallel,
                      .model = model,
                      .data = data,
                      .options = options,
                      .batches = {.images = images, .batch = model->batch, .ranks = parallel->size},
                      .steps = nll_columns(model, options)};
    enum iddpm_status status = measure(&job);
    if (status != IDDPM_OK) nll_destroy(job.nll);
    *out = status == IDDPM_OK ? job.nll : NULL;
    destroy_job(&job);
    return status;
}

void nll_destroy(struct nll *nll)
{
    if (!nll) return;
    free(nll->first);
    double *arrays[] = {nll->vb, nll->mse, nll->xstart_mse, nll->prior, nll->total};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
    free(nll);
}
