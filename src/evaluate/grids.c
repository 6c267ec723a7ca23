/* The hook of training that draws samples: RUN/samples/step-N-WEIGHTS.png. */
#include "iddpm/evaluate.h"
#include "iddpm/train.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GROUPS_MAX = 2, NAME_SIZE = 128 };

/* The weights that are drawn: the parameters, and the first EMA. Returns how many. */
static int find_groups(const struct config *config, char groups[GROUPS_MAX][CONFIG_EMA_GROUP])
{
    strcpy(groups[0], "params");
    if (config->train.ema_rate.n == 0) return 1;
    config_ema_group(config->train.ema_rate.v[0], groups[1]);
    return 2;
}

/* step-00001200-ema-0.9999.png */
static void grid_name(int64_t step, const char *group, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "step-%08lld-%s.png", (long long)step, group);
    for (char *c = name; *c; c++)
        if (*c == '/') *c = '-';
}

static enum iddpm_status remove_file(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cannot be removed: %s", path, strerror(errno));
}

/* `iddpm sample` may have left a picture of that name, and beside it a record (samples_write_record), which must not
 * stand beside another picture. */
static enum iddpm_status remove_record(const char *picture)
{
    char path[PATH_SIZE + 8];
    snprintf(path, sizeof path, "%.*s.yaml", (int)(strrchr(picture, '.') - picture), picture);
    return remove_file(path);
}

/* ---- before training --------------------------------------------------------------------------------------------- */

enum iddpm_status grids_check(const struct config *config, const struct train_plan *plan)
{
    int channels = plan->spec.unet.in_channels;
    struct diffusion_options options = plan->spec.diffusion;
    struct diffusion *diffusion;
    if (config->train.sample_interval == 0) return IDDPM_OK;
    if (channels != 1 && channels != 3)
        return config_error(config, "train.sample_interval", "images of %d channels are no picture; set it to 0",
                            channels);
    options.timestep_respacing = config->train.sample_steps;
    enum iddpm_status status = diffusion_create(&diffusion, &options);
    if (status == IDDPM_USAGE) return config_error(config, "train.sample_steps", "%s", iddpm_error_text());
    diffusion_destroy(diffusion);
    return status;
}

/* Whether a file is a grid of a step after `step`. */
static bool is_later(const char *name, int64_t step, int n, char groups[GROUPS_MAX][CONFIG_EMA_GROUP])
{
    char own[NAME_SIZE];
    if (strncmp(name, "step-", 5) != 0) return false;
    int64_t at = strtoll(name + 5, NULL, 10);
    for (int i = 0; i < n && at > step; i++) {
        grid_name(at, groups[i], own);
        if (strcmp(name, own) == 0) return true;
    }
    return false;
}

/* Rank 0. Grids of steps that a killed job has lost go. */
static enum iddpm_status remove_later(const struct train_view *view, const char *folder, int n,
                                      char groups[GROUPS_MAX][CONFIG_EMA_GROUP])
{
    DIR *stream = opendir(folder);
    if (!stream) return errno == ENOENT ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: %s", folder, strerror(errno));
    enum iddpm_status status = train_may_write(view);
    for (const struct dirent *entry; status == IDDPM_OK && (entry = readdir(stream));) {
        char path[PATH_SIZE];
        if (!is_later(entry->d_name, view->step, n, groups)) continue;
        status = path_join(path, folder, entry->d_name);
        if (status == IDDPM_OK) status = remove_record(path);
        if (status == IDDPM_OK) status = remove_file(path);
    }
    closedir(stream);
    return status;
}

/* Rank 0. */
static enum iddpm_status look_at_folder(const struct train_view *view, bool *there)
{
    char folder[PATH_SIZE], groups[GROUPS_MAX][CONFIG_EMA_GROUP];
    int n = find_groups(view->config, groups);
    TRY(path_join(folder, view->config->run.dir, "samples"));
    TRY(remove_later(view, folder, n, groups));
    *there = true;
    for (int i = 0; i < n; i++) {
        char name[NAME_SIZE], path[PATH_SIZE];
        grid_name(view->step, groups[i], name);
        TRY(path_join(path, folder, name));
        *there &= path_exists(path);
    }
    return IDDPM_OK;
}

static enum iddpm_status make_base(const struct train_view *view, const char *key, const struct dataset *data,
                                   struct base **base)
{
    const struct unet_options *unet = &view->plan->spec.unet;
    uint64_t images = (uint64_t)view->config->train.sample_num;
    TRY(parallel_agree(view->parallel, hooks_check_data(view->config, key, unet, data)));
    return base_from_data(base, view->parallel, data, images < data->images ? images : data->images, unet->super_res);
}

/* Collective. What a super-resolution network is to enlarge. */
static enum iddpm_status find_base(const struct train_view *view, struct base **base)
{
    const struct config *config = view->config;
    bool held_out = *config->data.eval_path;
    struct dataset *data;
    if (view->plan->spec.unet.super_res == 0) return IDDPM_OK;
    TRY(train_open_data(view->parallel, &data, held_out ? config->data.eval_path : config->data.path));
    enum iddpm_status status = make_base(view, held_out ? "data.eval_path" : "data.path", data, base);
    dataset_close(data);
    return status;
}

static enum iddpm_status begin(void *context, const struct train_view *view, bool *there)
{
    struct grids *grids = context;
    TRY(parallel_agree(view->parallel, grids_check(view->config, view->plan)));
    TRY(find_base(view, &grids->base));
    TRY(parallel_agree(view->parallel, view->parallel->rank == 0 ? look_at_folder(view, there) : IDDPM_OK));
    return parallel_broadcast(view->parallel, there, sizeof *there);
}

static void end(void *context)
{
    struct grids *grids = context;
    base_close(grids->base);
    grids->base = NULL;
}

/* ---- the pictures ------------------------------------------------------------------------------------------------ */

/* Rank 0. */
static enum iddpm_status write_grid(const struct train_view *view, const struct samples *samples, const char *group)
{
    char folder[PATH_SIZE], name[NAME_SIZE], path[PATH_SIZE];
    watchdog_at("writing samples", view->step);
    TRY(path_join(folder, view->config->run.dir, "samples"));
    grid_name(view->step, group, name);
    TRY(path_join(path, folder, name));
    TRY(train_may_write(view));
    TRY(path_make_folders(folder));
    TRY(remove_record(path));
    return samples_write_png(samples, path);
}

/* Collective. */
static enum iddpm_status draw(const struct train_view *view, struct model *model, const char *group, struct base *base)
{
    const struct config *config = view->config;
    const struct sample_options options = {.clip_denoised = true,
                                           .images = (uint64_t)config->train.sample_num,
                                           .seed = (uint64_t)config->run.seed,
                                           .label = -1,
                                           .base = base};
    struct samples *samples;
    TRY(model_use_weights(model, group));
    TRY(sample_images(view->parallel, model, &options, &samples));
    enum iddpm_status status = view->parallel->rank == 0 ? write_grid(view, samples, group) : IDDPM_OK;
    samples_destroy(samples);
    return parallel_agree(view->parallel, status);
}

static enum iddpm_status run(void *context, const struct train_view *view)
{
    const struct grids *grids = context;
    char groups[GROUPS_MAX][CONFIG_EMA_GROUP];
    int n = find_groups(view->config, groups);
    struct model *model;
    double start = clock_seconds();
    TRY(parallel_agree(view->parallel, model_around(&model, view, view->config->train.sample_steps)));
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < n && status == IDDPM_OK; i++) status = draw(view, model, groups[i], grids->base);
    model_destroy(model);
    if (status == IDDPM_OK)
        log_info("step %lld: %lld samples in %s/samples, %.1f s", (long long)view->step,
                 (long long)view->config->train.sample_num, view->config->run.dir, clock_seconds() - start);
    return status;
}

struct train_hook grids_hook(struct grids *grids, const struct config *config)
{
    return (struct train_hook){"sample grid", config->train.sample_interval, begin, run, end, grids};
}
