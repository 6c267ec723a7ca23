/* Outputs of a network's blocks for noised images (unet.py, get_feature_vectors). */
#include "images.h"
#include "model.h"
#include "noise.h"
#include "part.h"

#include "iddpm/kernels.h"

#include <stdlib.h>
#include <string.h>

struct job {
    const struct parallel *parallel;
    struct model *model;
    const struct dataset *data;
    const struct feature_options *options;
    struct batches batches;
    int n; /* blocks */
    struct net_kept *blocks;
    uint8_t *pixels; /* of this rank's batch, like the next five */
    int64_t *labels;
    double *x_start, *x_t, *low_res;
    double *sums;            /* [channels of a block] */
    float *mine, *gathered;  /* what an image has of one block; and that of every rank */
    struct rows_writer *out; /* rank 0 */
    struct log_progress progress;
};

/* ---- which blocks ------------------------------------------------------------------------------------------------ */

static enum iddpm_status check_patterns(const struct model *model)
{
    const struct unet_options *unet = &model->unet;
    char pattern[128];
    for (const char *at = unet->features; *at; at += *at == ',') {
        size_t length = strcspn(at, ",");
        struct net_kept kept;
        bool found = false;
        snprintf(pattern, sizeof pattern, "%.*s", (int)length, at);
        for (int i = 0; net_kept(model->net, i, &kept) && !found; i++) found = unet_block_is_in(pattern, kept.name);
        int last = unet->n_mult * (unet->num_res_blocks + 1) - 1;
        if (!found)
            return iddpm_error(IDDPM_USAGE,
                               "no block is \"%s\": there are input_blocks.0 to input_blocks.%d, middle_block, and "
                               "output_blocks.0 to output_blocks.%d",
                               pattern, last, last);
        at += length;
    }
    return IDDPM_OK;
}

static enum iddpm_status list_blocks(struct job *job)
{
    struct net_kept kept;
    if (!job->model->unet.features || !*job->model->unet.features)
        return iddpm_error(IDDPM_USAGE, "no block is named whose features are wanted");
    TRY(check_patterns(job->model));
    while (net_kept(job->model->net, job->n, &kept)) job->n++;
    return mem_alloc(&job->blocks, (size_t)job->n, sizeof *job->blocks, "blocks");
}

/* Where they are now: behind every run. */
static void find_blocks(struct job *job)
{
    for (int i = 0; i < job->n; i++) net_kept(job->model->net, i, &job->blocks[i]);
}

static size_t floats_of(const struct job *job, const struct net_kept *block)
{
    return (size_t)block->c * (job->options->pool ? 1 : (size_t)block->h * (size_t)block->w);
}

/* ---- one batch --------------------------------------------------------------------------------------------------- */

static void run_batch(struct job *job, struct batch batch)
{
    struct model *model = job->model;
    const struct feature_options *options = job->options;
    const struct condition given = {.labels = job->labels, .low_res = job->low_res};
    for (size_t i = 0; i < (size_t)batch.n; i++) {
        struct rng rng = {options->seed, RNG_NLL, (uint32_t)options->timestep, (uint32_t)(batch.first + i)};
        noise_draw(options->noise, 0, &rng, model->image, model->draw);
        q_sample(model->diffusion, options->timestep, model->image, job->x_start + i * model->image, model->draw,
                 job->x_t + i * model->image);
    }
    model_outputs(model, options->timestep, batch.n, job->x_t, &given);
    find_blocks(job);
}

/* What image i of the batch has of a block, into job->mine. */
static void take(struct job *job, const struct net_kept *block, int i)
{
    const int positions = block->h * block->w;
    const size_t pitch = (size_t)block->pitch * element_size(block->element), c = (size_t)block->c;
    const char *from = (const char *)block->data + (size_t)i * (size_t)positions * pitch;
    if (!job->options->pool) {
        rows_to_float(block->element, positions, block->c, from, block->pitch, job->mine, block->c, false);
        return;
    }
    memset(job->sums, 0, c * sizeof *job->sums);
    for (int p = 0; p < positions; p++, from += pitch) {
        rows_to_float(block->element, 1, block->c, from, block->pitch, job->mine, block->c, false);
        for (size_t k = 0; k < c; k++) job->sums[k] += job->mine[k];
    }
    for (size_t k = 0; k < c; k++) job->mine[k] = (float)(job->sums[k] / positions);
}

/* Collective. `mine` of image i of every rank's batch, as rows of array number `array`. */
static enum iddpm_status gather(struct job *job, uint64_t round, int i, int array, size_t bytes, const void *mine)
{
    enum iddpm_status status = IDDPM_OK;
    char *all = (char *)job->gathered;
    TRY(parallel_gather(job->parallel, mine, bytes, all));
    for (int rank = 0; rank < job->parallel->size && job->parallel->rank == 0 && status == IDDPM_OK; rank++) {
        struct batch batch = batches_at(&job->batches, round, rank);
        if (i < batch.n) status = rows_write(job->out, array, batch.first + (uint64_t)i, 1, all + (size_t)rank * bytes);
    }
    return status;
}

/* Collective. */
static enum iddpm_status write_round(struct job *job, uint64_t round)
{
    struct batch mine = batches_at(&job->batches, round, job->parallel->rank);
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < job->batches.batch; i++) {
        watchdog_at("writing features", -1);
        for (int k = 0; k < job->n; k++) {
            if (i < mine.n) take(job, &job->blocks[k], i);
            size_t bytes = floats_of(job, &job->blocks[k]) * sizeof *job->mine;
            enum iddpm_status written = gather(job, round, i, k, bytes, job->mine);
            if (status == IDDPM_OK) status = written;
        }
        if (job->data->classes == 0) continue;
        enum iddpm_status written = gather(job, round, i, job->n, sizeof *job->labels, &job->labels[i]);
        if (status == IDDPM_OK) status = written;
    }
    return batches_go_on(job->parallel, job->model, status);
}

/* Collective. */
static enum iddpm_status do_round(struct job *job, uint64_t round)
{
    struct batch mine = batches_at(&job->batches, round, job->parallel->rank);
    double done = (double)batches_at(&job->batches, round, 0).first + (double)batches_images(&job->batches, round);
    TRY(batches_go_on(job->parallel, job->model,
                      images_read(job->model, job->data, mine, job->pixels, job->labels, job->x_start, job->low_res)));
    if (mine.n > 0) run_batch(job, mine);
    TRY(write_round(job, round));
    log_progress_show(&job->progress, done, NULL);
    return IDDPM_OK;
}

/* ---- the whole job ----------------------------------------------------------------------------------------------- */

static enum iddpm_status check(const struct job *job)
{
    const struct diffusion *diffusion = job->model->diffusion;
    TRY(images_check(job->model, job->data, job->batches.images));
    if (job->options->timestep < 0 || job->options->timestep >= diffusion->num_timesteps)
        return iddpm_error(IDDPM_USAGE, "timestep %d: those of this model are 0 to %d", job->options->timestep,
                           diffusion->num_timesteps - 1);
    return noise_check(job->options->noise, 1, job->batches.images, job->model->image);
}

enum { SETTINGS = 18 };

static void settings(const struct job *job, struct store_attribute out[SETTINGS])
{
    const struct model *model = job->model;
    const struct feature_options *options = job->options;
    const struct store_attribute all[SETTINGS] = {
        setting_text("layout",
                     options->pool ? "[images][channels], means over positions" : "[images][height][width][channels]"),
        setting_integer("images", (int64_t)job->batches.images),
        setting_text("checkpoint", model->path),
        setting_integer("step", model->step),
        setting_text("weights", model->weights),
        setting_integer("weights_crc32", model->weights_crc32),
        setting_text("data", job->data->folder),
        setting_text("data_hash", job->data->hash),
        setting_integer("timestep", options->timestep),
        setting_integer("original_timestep", model->diffusion->timestep_map[options->timestep]),
        setting_text("noise_schedule", model->config->diffusion.noise_schedule),
        setting_integer("diffusion_steps", model->diffusion->original_num_steps),
        setting_integer("num_timesteps", model->diffusion->num_timesteps),
        setting_text("respacing", model->respacing),
        setting_text("noise", noise_label(options->noise)),
        setting_integer("seed", (int64_t)options->seed),
        setting_integer("batch", model->batch),
        setting_text("instruction_set", kernels_isa()),
    };
    memcpy(out, all, sizeof all);
}

/* Rank 0. */
static enum iddpm_status create_file(struct job *job, const char *path)
{
    const uint64_t images = job->batches.images;
    struct store_attribute attributes[SETTINGS];
    struct store_array *arrays;
    TRY(mem_alloc(&arrays, (size_t)job->n + 1, sizeof *arrays, "features"));
    for (int i = 0; i < job->n; i++) {
        const struct net_kept *b = &job->blocks[i];
        const uint64_t h = (uint64_t)b->h, w = (uint64_t)b->w, c = (uint64_t)b->c;
        arrays[i] = job->options->pool ? (struct store_array){b->name, STORE_F32, 2, {images, c}, NULL}
                                       : (struct store_array){b->name, STORE_F32, 4, {images, h, w, c}, NULL};
    }
    arrays[job->n] = (struct store_array){"labels", STORE_I64, 1, {images}, NULL};
    settings(job, attributes);
    enum iddpm_status status =
        rows_create(&job->out, path, job->n + (job->data->classes > 0), arrays, SETTINGS, attributes);
    free(arrays);
    return status;
}

static enum iddpm_status create_job(struct job *job, const char *path)
{
    size_t batch = (size_t)job->model->batch, all = batch * job->model->image, largest = 1, widest = 1;
    TRY(check(job));
    TRY(list_blocks(job));
    find_blocks(job);
    for (int i = 0; i < job->n; i++) {
        const size_t c = (size_t)job->blocks[i].c, floats = floats_of(job, &job->blocks[i]);
        if (c > widest) widest = c;
        if (floats > largest) largest = floats;
    }
    size_t bytes = largest * sizeof(float) > sizeof(int64_t) ? largest * sizeof(float) : sizeof(int64_t);
    TRY(mem_alloc(&job->pixels, all, 1, "images"));
    TRY(mem_alloc(&job->labels, batch, sizeof *job->labels, "labels"));
    TRY(mem_alloc(&job->x_start, all, sizeof(double), "images"));
    TRY(mem_alloc(&job->x_t, all, sizeof(double), "noised images"));
    TRY(mem_alloc(&job->low_res, batch * low_res_elements(&job->model->unet), sizeof(double), "low-resolution images"));
    TRY(mem_alloc(&job->sums, widest, sizeof(double), "features"));
    TRY(mem_alloc(&job->mine, bytes, 1, "features"));
    TRY(mem_alloc(&job->gathered, (size_t)job->batches.ranks * bytes, 1, "features"));
    return job->parallel->rank == 0 ? create_file(job, path) : IDDPM_OK;
}

/* Collective. */
static enum iddpm_status work(struct job *job, const char *path)
{
    TRY(parallel_agree(job->parallel, create_job(job, path)));
    log_progress_start(&job->progress, "features", "images", 0, (double)job->batches.images);
    for (uint64_t round = 0; round < batches_rounds(&job->batches); round++) TRY(do_round(job, round));
    enum iddpm_status status = IDDPM_OK;
    watchdog_at("writing features", -1);
    if (job->out) status = rows_finish(job->out);
    job->out = NULL;
    return parallel_agree(job->parallel, status);
}

enum iddpm_status features_write(const struct parallel *parallel, struct model *model, const struct dataset *data,
                                 const struct feature_options *options, const char *path)
{
    uint64_t images = options->images ? options->images : data->images;
    struct job job = {.parallel = parallel,
                      .model = model,
                      .data = data,
                      .options = options,
                      .batches = {.images = images, .batch = model->batch, .ranks = parallel->size}};
    enum iddpm_status status = work(&job, path);
    rows_abandon(job.out);
    void *buffers[] = {job.blocks,  job.pixels, job.labels, job.x_start, job.x_t,
                       job.low_res, job.sums,   job.mine,   job.gathered};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) free(buffers[i]);
    return status;
}
