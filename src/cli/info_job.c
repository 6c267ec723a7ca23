/* iddpm info for a configuration: the network that it describes, how ranks share a step, and everything that a job
 * would be refused for. */
#include "info.h"

#include "iddpm/evaluate.h"
#include "iddpm/kernels.h"

#include <inttypes.h>
#include <string.h>

struct job {
    const struct cli *cli;
    struct config *config;
    int ranks;
    bool strict;          /* what is missing is an error */
    struct dataset *data; /* NULL when it is not there, */
    char no_data[1024];   /* and why */
    struct train_plan plan;
};

/* ---- the network ------------------------------------------------------------------------------------------------- */

static enum iddpm_status print_network(const struct job *job)
{
    struct model_spec spec;
    struct net *net = NULL;
    TRY(model_spec_from_config(job->config, job->data ? job->data->classes : -1, NULL, &spec));
    const struct unet_options *unet = &spec.unet;
    int size = unet->image_size;
    char kind[64] = "";
    enum iddpm_status status = unet_plan(&net, unet, 1, NET_TRAINING, kernels_threads());
    if (status == IDDPM_OK) {
        if (unet->super_res) snprintf(kind, sizeof kind, "super-resolution %d -> %d, ", unet->super_res, size);
        info_row("network", "%simage %dx%d, channels %d in, %d out, classes %d", kind, size, size, unet->in_channels,
                 unet->out_channels, unet->num_classes);
        info_row("parameters", "%" PRIu64 " in %d tensors", net_parameters(net), net_param_count(net));
        info_row("multiply-adds", "%" PRIu64 " per image, forward", net_macs(net));
    }
    net_destroy(net);
    return status;
}

/* ---- what must be there ------------------------------------------------------------------------------------------ */

/* In a strict job the key's error; else only a line. */
static enum iddpm_status missing(const struct job *job, const char *key, const char *text)
{
    if (job->strict) return config_error(job->config, key, "%s", text);
    info_row(key, "%s", text);
    return IDDPM_OK;
}

static void open_data(struct job *job)
{
    const char *path = job->config->data.path, *why = "not set: name the folder of a data set";
    if (*path && dataset_open(&job->data, path) != IDDPM_OK) why = iddpm_error_text();
    snprintf(job->no_data, sizeof job->no_data, "%s", why);
}

static enum iddpm_status print_data(const struct job *job)
{
    const struct dataset *data = job->data;
    if (!data) return missing(job, "data.path", job->no_data);
    info_row("data", "%s: %" PRIu64 " images of %dx%d, channels %d, classes %d, shards %d", data->folder, data->images,
             data->height, data->width, data->channels, data->classes, data->shards);
    return IDDPM_OK;
}

/* Without validation held-out data may come later; what is there must fit. */
static enum iddpm_status check_eval_data(const struct job *job)
{
    const char *path = job->config->data.eval_path;
    bool needed = job->strict && job->config->train.eval_interval > 0;
    struct dataset *data;
    if (!*path && !needed) return IDDPM_OK;
    if (!*path)
        return config_error(job->config, "data.eval_path", "not set: train.eval_interval needs held-out images");
    if (dataset_open(&data, path) != IDDPM_OK) {
        if (needed) return config_error(job->config, "data.eval_path", "%s", iddpm_error_text());
        info_row("eval data", "%s", iddpm_error_text());
        return IDDPM_OK;
    }
    enum iddpm_status status = validation_check(job->config, &job->plan.spec.unet, data);
    if (status == IDDPM_OK) info_row("eval data", "%s: %" PRIu64 " images", path, data->images);
    dataset_close(data);
    return status;
}

/* Opens every shard and looks whether each leaf has images. */
static enum iddpm_status check_leaves(const struct job *job)
{
    for (int leaf = 0; leaf < job->plan.leaves.total; leaf++) {
        struct leaf_reader *reader;
        TRY(leaf_reader_create(&reader, job->data, leaf, job->plan.leaves.total, 0, 0));
        leaf_reader_destroy(reader);
    }
    return IDDPM_OK;
}

static enum iddpm_status check_paths(const struct job *job)
{
    const char *resume = job->config->train.resume_checkpoint;
    struct checkpoint *checkpoint;
    if (!*job->config->run.dir) TRY(missing(job, "run.dir", "not set: give the run a folder"));
    bool exists = false;
    if (job->strict) TRY(train_resolve(job->config, &job->plan));
    if (job->strict) TRY(run_check(job->config, &exists));
    if (exists) info_row("run", "%s holds this run already: it would be continued", job->config->run.dir);
    if (!*resume) return IDDPM_OK;
    if (checkpoint_open(&checkpoint, resume) != IDDPM_OK)
        return missing(job, "train.resume_checkpoint", iddpm_error_text());
    checkpoint_close(checkpoint);
    return IDDPM_OK;
}

/* ---- the step and the run ---------------------------------------------------------------------------------------- */

static enum iddpm_status print_memory(const struct job *job)
{
    struct net *net = NULL;
    enum iddpm_status status =
        unet_plan(&net, &job->plan.spec.unet, job->plan.microbatch, NET_TRAINING, kernels_threads());
    struct train_memory m = {0};
    double again = 0; /* forward passes */
    if (status == IDDPM_OK) {
        m = train_memory(job->config, &job->plan, job->data, net, hooks_bytes(job->config, &job->plan, job->ranks));
        again = (double)net_recomputed_macs(net) / (double)net_macs(net);
    }
    net_destroy(net);
    TRY(status);
    double mega = 1e-6;
    info_row("memory", "%.1f MB per rank%s", mega * (double)m.total,
             job->data ? "" : ", and up to data.cache of images");
    info_row("",
             "parameters %.1f, gradients %.1f, moments %.1f, EMAs %.1f, packed %.1f, activations %.1f, images %.1f,",
             mega * (double)m.parameters, mega * (double)m.gradients, mega * (double)m.moments, mega * (double)m.emas,
             mega * (double)m.packed, mega * (double)m.arena, mega * (double)m.images);
    info_row("", "data kept %.1f, reduction %.1f, validation and grids %.1f, program and libraries %.1f",
             mega * (double)m.cache, mega * (double)m.reduction, mega * (double)m.hooks, mega * (double)m.program);
    if (again > 0) info_row("use_checkpoint", "%.2f forward passes are computed again in the backward pass", again);
    return IDDPM_OK;
}

static void print_step(const struct job *job)
{
    const struct leaves *leaves = &job->plan.leaves;
    info_row("step", "%" PRId64 " images in %d leaves of %d, at most %d at once", job->config->train.batch_size,
             leaves->total, leaves->images, job->plan.microbatch);
    info_row("ranks", "%d, each %d leaves, %d images, %d threads, kernels %s", job->ranks, leaves->count,
             leaves->count * leaves->images, kernels_threads(), kernels_isa());
    if (job->data)
        info_row("steps", "%" PRId64 ", %.4g passes over the data", job->plan.total_steps,
                 (double)job->plan.total_steps * (double)job->config->train.batch_size / (double)job->data->images);
    else
        info_row("steps", "%" PRId64, job->plan.total_steps);
}

/* A configuration that does not say how long to train still has a network and a step to look at. */
static enum iddpm_status assume_steps(struct job *job)
{
    if (job->strict || job->config->train.total_steps || job->config->train.lr_anneal_steps) return IDDPM_OK;
    TRY(missing(job, "train.total_steps", "not set; shown is 1"));
    return config_set(job->config, "train.total_steps", "1");
}

static enum iddpm_status report(struct job *job)
{
    TRY(cli_start(job->cli, job->config));
    open_data(job);
    TRY(print_network(job));
    TRY(assume_steps(job));
    TRY(train_plan(job->config, job->data, 0, job->ranks, &job->plan));
    TRY(print_data(job));
    print_step(job);
    TRY(print_memory(job));
    TRY(check_eval_data(job));
    TRY(grids_check(job->config, &job->plan));
    TRY(check_paths(job));
    if (job->data) TRY(check_leaves(job));
    if (job->strict) info_row("checks", "a job on %d ranks may start", job->ranks);
    return IDDPM_OK;
}

enum iddpm_status info_job(const struct cli *cli, struct config *config, int ranks)
{
    struct job job = {.cli = cli, .config = config, .ranks = ranks > 0 ? ranks : 1, .strict = ranks > 0};
    enum iddpm_status status = report(&job);
    dataset_close(job.data);
    return status;
}
