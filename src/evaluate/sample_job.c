/* Jobs of samples: batches of chains in rounds over ranks; what is finished goes to rank 0 in order. */
#include "sample_job.h"
#include "images.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a round: a batch of every rank ------------------------------------------------------------------------------ */

/* Collective. */
static enum iddpm_status read_base(struct sample_job *job, uint64_t round)
{
    struct base *base = job->options->base;
    if (!base) return IDDPM_OK;
    struct batch mine = batches_at(&job->batches, round, job->parallel->rank);
    uint64_t first = batches_at(&job->batches, round, 0).first;
    size_t image = (size_t)base->size * (size_t)base->size * (size_t)base->channels;
    TRY(base_read(base, job->parallel, first, batches_images(&job->batches, round), job->base));
    if (mine.n > 0)
        pixels_to_signal((size_t)mine.n * image, job->base + (size_t)(mine.first - first) * image, job->low_res);
    return IDDPM_OK;
}

static enum iddpm_status start_batch(struct sample_job *job, struct batch batch)
{
    const struct model *model = job->model;
    size_t image = model->image;
    if (job->latents)
        return images_read(model, job->options->data, batch, job->pixels, job->labels, job->x,
                           job->options->base ? NULL : job->low_res);
    for (size_t i = 0; i < (size_t)batch.n; i++) {
        sample_draw(job->options, 0, batch.first + i, image, job->x + i * image);
        job->labels[i] = model->unet.num_classes > 0 ? sample_label(model, job->options, batch.first + i) : 0;
    }
    return IDDPM_OK;
}

/* Collective. */
static enum iddpm_status start_round(struct sample_job *job, uint64_t round)
{
    struct batch batch = batches_at(&job->batches, round, job->parallel->rank);
    TRY(read_base(job, round));
    TRY(parallel_agree(job->parallel, start_batch(job, batch))); /* to stop before the first step would gain nothing */
    return sample_take_chains(job, round);
}

/* Keeps what a column shows of a batch after so many steps, if one does. */
static void keep_column(struct sample_job *job, struct batch batch, int steps)
{
    size_t image = job->model->image;
    int columns = sample_columns(job->options), column = 0;
    while (column < columns && ((column + 1) * (int64_t)job->steps + columns - 1) / columns != steps) column++;
    if (column == columns) return;
    const double *shown = job->xstart ? job->xstart : job->x;
    for (size_t i = 0; i < (size_t)batch.n; i++) {
        uint8_t *record = job->records + i * job->record;
        if (job->latents)
            memcpy(record, job->x + i * image, image * sizeof *job->x);
        else
            signal_to_pixels(image, shown + i * image, record + (size_t)column * image);
    }
}

static void run_step(struct sample_job *job, struct batch batch, int j)
{
    const struct condition given = {.labels = job->labels, .low_res = job->low_res};
    sample_step(job->model, job->options, job->options->skip + j, batch.first, batch.n, job->x, &given, job->xstart);
    keep_column(job, batch, j + 1);
}

/* Collective. That chains on their way cannot be written ends no job: images are what counts. */
static void try_to_keep(struct sample_job *job, uint64_t round)
{
    if (sample_keep_chains(job, round) != IDDPM_OK)
        log_warn("%s; chains on their way are not kept this time", iddpm_error_text());
}

/* Collective. The steps of a round's batches, of each those that it has not got already. */
static enum iddpm_status run_steps(struct sample_job *job, uint64_t round)
{
    struct batch mine = batches_at(&job->batches, round, job->parallel->rank);
    double first = (double)batches_at(&job->batches, round, 0).first;
    double here = (double)batches_images(&job->batches, round);
    uint32_t *done = job->done, begin = (uint32_t)job->steps;
    for (int rank = 0; rank < job->batches.ranks; rank++)
        if (done[rank] < begin && batches_at(&job->batches, round, rank).n > 0) begin = done[rank];
    for (uint32_t j = begin; j < (uint32_t)job->steps; j++) {
        if (mine.n > 0 && done[job->parallel->rank] <= j) run_step(job, mine, (int)j);
        for (int rank = 0; rank < job->batches.ranks; rank++)
            if (done[rank] == j) done[rank]++;
        TRY(batches_go_on(job->parallel, job->model, IDDPM_OK));
        if (!job->model->training) log_progress_show(&job->progress, first + here * (j + 1) / job->steps, NULL);
        if (j + 1 == (uint32_t)job->steps || !job->options->part) continue;
        if (part_clock_is_due(&job->clock, job->parallel)) try_to_keep(job, round);
    }
    return IDDPM_OK;
}

/* Rank 0. */
static enum iddpm_status take_image(struct sample_job *job, const uint8_t *record)
{
    struct samples *samples = job->samples;
    uint64_t i = job->images++;
    if (samples->part) return sample_part_append(samples->part, record);
    memcpy(samples->pixels + i * job->record, record, job->record);
    return IDDPM_OK;
}

/* Collective. Image by image, so that no rank needs room for all that a round gives. */
static enum iddpm_status gather_round(struct sample_job *job, uint64_t round)
{
    enum iddpm_status status = IDDPM_OK;
    bool root = job->parallel->rank == 0;
    for (int rank = 0; rank < job->batches.ranks; rank++) {
        struct batch batch = batches_at(&job->batches, round, rank);
        bool mine = job->parallel->rank == rank;
        for (int i = 0; i < batch.n; i++) {
            uint8_t *record;
            size_t bytes;
            TRY(parallel_collect(job->parallel, job->records + (size_t)i * job->record, mine ? job->record : 0, &record,
                                 &bytes));
            if (root && status == IDDPM_OK) status = take_image(job, record);
            free(record);
        }
    }
    return parallel_agree(job->parallel, status);
}

/* Collective. A signal has come: chains that are through are images, the others are kept on their way. */
static enum iddpm_status stop_round(struct sample_job *job, uint64_t round)
{
    if (job->done[0] < (uint32_t)job->steps) { /* the batches of a round end together */
        try_to_keep(job, round);
    } else {
        enum iddpm_status status = gather_round(job, round);
        if (status == IDDPM_OK && job->parallel->rank == 0) status = sample_part_sync(job->samples->part);
        TRY(parallel_agree(job->parallel, status));
    }
    return iddpm_error(IDDPM_STOPPED, "stopped by a signal");
}

static enum iddpm_status run_round(struct sample_job *job, uint64_t round)
{
    enum iddpm_status status = start_round(job, round);
    if (status == IDDPM_OK) status = run_steps(job, round);
    if (status == IDDPM_STOPPED && job->options->part) return stop_round(job, round);
    TRY(status);
    return gather_round(job, round);
}

/* ---- the whole job ----------------------------------------------------------------------------------------------- */

static enum iddpm_status create_buffers(struct sample_job *job)
{
    const struct model *model = job->model;
    size_t batch = (size_t)model->batch, all = batch * model->image;
    size_t low_res = low_res_elements(&model->unet);
    TRY(mem_alloc(&job->low_res, batch * low_res, sizeof(double), "low-resolution images"));
    if (job->options->base) TRY(mem_alloc(&job->base, (size_t)job->batches.ranks * batch * low_res, 1, "base images"));
    TRY(mem_alloc(&job->x, all, sizeof(double), "samples"));
    if (job->options->xstart) TRY(mem_alloc(&job->xstart, all, sizeof(double), "predictions"));
    if (job->latents) TRY(mem_alloc(&job->pixels, all, 1, "images"));
    TRY(mem_alloc(&job->records, batch, job->record, "samples"));
    TRY(mem_alloc(&job->labels, batch, sizeof *job->labels, "classes"));
    TRY(mem_alloc(&job->done, (size_t)job->batches.ranks, sizeof *job->done, "steps of all ranks"));
    return mem_alloc(&job->flight, sample_flight_bytes(job), 1, "an image");
}

/* Of images to encode, into labels[images]. */
static enum iddpm_status read_labels(struct sample_job *job, int64_t *labels)
{
    const uint64_t images = job->batches.images;
    for (uint64_t i = 0, n = (uint64_t)job->batches.batch; i < images; i += n) {
        if (n > images - i) n = images - i;
        TRY(dataset_read(job->options->data, i, n, job->pixels, labels + i));
    }
    return IDDPM_OK;
}

/* Rank 0. The classes of all images. */
static enum iddpm_status create_labels(struct sample_job *job)
{
    struct samples *samples = job->samples;
    if (job->model->unet.num_classes == 0) return IDDPM_OK;
    TRY(mem_alloc(&samples->labels, (size_t)samples->images, sizeof *samples->labels, "classes"));
    if (job->latents) return read_labels(job, samples->labels);
    for (uint64_t i = 0; i < samples->images; i++) samples->labels[i] = sample_label(job->model, job->options, i);
    return IDDPM_OK;
}

/* Rank 0. Where images go: to the part, behind what it has already, or to memory. */
static enum iddpm_status create_samples(struct sample_job *job)
{
    const struct sample_options *options = job->options;
    struct samples *samples = job->samples;
    if (job->parallel->rank != 0) return IDDPM_OK;
    TRY(create_labels(job));
    if (!options->part) return mem_alloc(&samples->pixels, (size_t)samples->images, job->record, "samples");
    sample_settings(job->model, options, job->settings);
    TRY(sample_part_open(&samples->part, options->part, job->record, job->batches.batch, samples->images,
                         SAMPLE_SETTINGS, job->settings));
    job->images = samples->part->images;
    return sample_chains_open(&job->chains, options->part, sample_flight_bytes(job), SAMPLE_SETTINGS, job->settings);
}

static enum iddpm_status create_job(struct sample_job *job)
{
    const struct model *model = job->model;
    TRY(sample_check(model, job->options));
    TRY(create_buffers(job));
    TRY(mem_alloc(&job->samples, 1, sizeof *job->samples, "samples"));
    *job->samples = (struct samples){.images = job->batches.images,
                                     .height = model->unet.image_size,
                                     .width = model->unet.image_size,
                                     .channels = model->channels,
                                     .columns = sample_columns(job->options),
                                     .latents = job->latents};
    part_clock_start(&job->clock, job->options->part_seconds);
    return create_samples(job);
}

static void destroy_job(struct sample_job *job)
{
    void *buffers[] = {job->x,      job->xstart, job->records, job->labels, job->low_res,
                       job->pixels, job->done,   job->base,    job->flight};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) free(buffers[i]);
    sample_chains_close(job->chains);
}

/* Collective. Goes on behind what is found. */
static enum iddpm_status continue_job(struct sample_job *job)
{
    uint64_t batch = (uint64_t)job->batches.batch, found[2] = {job->images, job->chains ? job->chains->n : 0};
    TRY(parallel_broadcast(job->parallel, found, sizeof found));
    job->batches.start = (found[0] + batch - 1) / batch;
    if (found[0] + found[1] > 0)
        log_info("continues %s: %llu of %llu images are done, and chains of %llu batches begun", job->options->part,
                 (unsigned long long)found[0], (unsigned long long)job->batches.images, (unsigned long long)found[1]);
    log_progress_start(&job->progress, "sample", "images", (double)found[0], (double)job->batches.images);
    return IDDPM_OK;
}

static enum iddpm_status run_job(struct sample_job *job)
{
    TRY(parallel_agree(job->parallel, create_job(job)));
    TRY(continue_job(job));
    uint64_t rounds = batches_rounds(&job->batches);
    for (uint64_t round = 0; round < rounds; round++) TRY(run_round(job, round));
    return IDDPM_OK;
}

enum iddpm_status sample_images(const struct parallel *parallel, struct model *model,
                                const struct sample_options *options, struct samples **out)
{
    bool latents = options->kind == SAMPLING_DDIM_REVERSE;
    struct sample_job job = {.parallel = parallel,
                             .model = model,
                             .options = options,
                             .batches = {.images = options->images, .batch = model->batch, .ranks = parallel->size},
                             .steps = model->diffusion->num_timesteps - options->skip,
                             .latents = latents,
                             .record = sample_record(model->image, sample_columns(options), latents)};
    enum iddpm_status status = run_job(&job);
    if (status != IDDPM_OK) samples_destroy(job.samples);
    *out = status == IDDPM_OK ? job.samples : NULL;
    destroy_job(&job);
    return status;
}

void samples_destroy(struct samples *samples)
{
    if (!samples) return;
    sample_part_close(samples->part);
    free(samples->pixels);
    free(samples->labels);
    free(samples);
}

void samples_part_remove(const char *part)
{
    static const char *const ends[] = {"", ".chains", ".chains.tmp"};
    char path[PATH_SIZE + 16];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (snprintf(path, sizeof path, "%s%s", part, ends[i]) < (int)sizeof path) unlink(path);
}
