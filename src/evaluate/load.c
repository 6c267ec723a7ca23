/* A model from a run folder or a checkpoint. */
#include "iddpm/evaluate.h"
#include "iddpm/train.h"

#include <stdlib.h>
#include <string.h>

/* What rank 0 finds and tells the others. */
struct source {
    char path[PATH_SIZE], folder[PATH_SIZE];
    char weights[1024]; /* all that the checkpoint has: "params, ema/0.999" */
    int64_t step;
};

/* ---- where the checkpoint is (rank 0) ---------------------------------------------------------------------------- */

/* "FOLDER has checkpoints of the steps ..." behind what was asked for. */
static enum iddpm_status no_such_step(const char *folder, int64_t step)
{
    char text[512] = "none";
    size_t used = 0;
    int64_t *steps = NULL;
    int n;
    TRY(checkpoint_list(folder, &steps, &n));
    for (int i = 0; i < n && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld", i ? ", " : "", (long long)steps[i]);
    free(steps);
    return iddpm_error(IDDPM_USAGE, "%s has no checkpoint of step %lld; steps there: %s", folder, (long long)step,
                       text);
}

static enum iddpm_status find_in_run(const char *run, int64_t step, struct source *out)
{
    char folder[PATH_SIZE];
    TRY(path_join(folder, run, "checkpoints"));
    if (step < 0) {
        TRY(run_newest_checkpoint(run, out->path, &step));
        return step >= 0 ? IDDPM_OK
                         : iddpm_error(IDDPM_USAGE,
                                       "%s: no valid checkpoint in this folder's checkpoints/; is it the "
                                       "folder of a run, and has the run saved one?",
                                       run);
    }
    if (!path_is_folder(folder)) return iddpm_error(IDDPM_USAGE, "%s: no folder of checkpoints here", folder);
    TRY(checkpoint_path(out->path, folder, step));
    return path_exists(out->path) ? IDDPM_OK : no_such_step(folder, step);
}

/* RUN of RUN/checkpoints/NAME, else the folder of the file. */
static void folder_of_checkpoint(const char *path, char *out)
{
    static const char *const ends[] = {"", "checkpoints"};
    snprintf(out, PATH_SIZE, "%s", path);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char *slash = strrchr(out, '/'), *last = slash ? slash + 1 : out;
        if (i > 0 && strcmp(last, ends[i]) != 0) return;
        if (slash == out) slash++; /* of "/NAME" the root stays */
        if (slash)
            *slash = 0;
        else
            strcpy(out, ".");
    }
}

enum iddpm_status model_folder(const char *path, char folder[PATH_SIZE])
{
    if (strlen(path) >= PATH_SIZE) return iddpm_error(IDDPM_USAGE, "the path of the run is too long");
    if (path_is_folder(path))
        strcpy(folder, path);
    else
        folder_of_checkpoint(path, folder);
    return IDDPM_OK;
}

static enum iddpm_status find_checkpoint(const char *path, int64_t step, struct source *out)
{
    TRY(model_folder(path, out->folder));
    if (!path_exists(path)) return iddpm_error(IDDPM_USAGE, "%s: no such run folder or checkpoint", path);
    if (path_is_folder(path)) return find_in_run(path, step, out);
    if (step >= 0)
        return iddpm_error(IDDPM_USAGE, "%s is a checkpoint; a step can be chosen only of a run folder", path);
    strcpy(out->path, path);
    return IDDPM_OK;
}

/* ---- what it holds (rank 0) -------------------------------------------------------------------------------------- */

/* "params" of "params/out.2.bias", "ema/0.999" of "ema/0.999/out.2.bias"; false for anything else. */
static bool weights_of(const char *array, char *out, size_t size)
{
    const char *end = NULL;
    if (strncmp(array, "params/", 7) == 0) end = array + 6;
    if (strncmp(array, "ema/", 4) == 0) end = strchr(array + 4, '/');
    return end && snprintf(out, size, "%.*s", (int)(end - array), array) < (int)size;
}

static void list_weights(const struct checkpoint *checkpoint, struct source *out)
{
    char last[64] = "";
    size_t used = 0;
    for (int i = 0; i < checkpoint_count(checkpoint); i++) {
        char name[64];
        if (!weights_of(checkpoint_array(checkpoint, i).path, name, sizeof name) || strcmp(name, last) == 0) continue;
        strcpy(last, name);
        if (used < sizeof out->weights)
            used += (size_t)snprintf(out->weights + used, sizeof out->weights - used, "%s%s", used ? ", " : "", name);
    }
}

static enum iddpm_status inspect(const char *path, int64_t step, struct source *out, char **config)
{
    struct checkpoint *checkpoint;
    TRY(find_checkpoint(path, step, out));
    TRY(checkpoint_open(&checkpoint, out->path));
    out->step = checkpoint_step(checkpoint);
    list_weights(checkpoint, out);
    *config = mem_strdup(checkpoint_config(checkpoint));
    checkpoint_close(checkpoint);
    return *config ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: no memory for its configuration", path);
}

/* ---- every rank -------------------------------------------------------------------------------------------------- */

static bool has_weights(const struct source *source, const char *weights)
{
    for (const char *name = source->weights; *name; name += strspn(name, ", ")) {
        size_t length = strcspn(name, ",");
        if (strlen(weights) == length && strncmp(name, weights, length) == 0) return true;
        name += length;
    }
    return false;
}

static enum iddpm_status check_weights(const struct source *source, const char *weights)
{
    if (has_weights(source, weights)) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s has no weights \"%s\"; it has: %s", source->path, weights, source->weights);
}

static enum iddpm_status choose_weights(struct model *model, const struct source *source, const char *wanted)
{
    const struct float_list *rates = &model->config->train.ema_rate;
    if (wanted)
        snprintf(model->weights, sizeof model->weights, "%s", wanted);
    else if (rates->n > 0)
        config_ema_group(rates->v[0], model->weights);
    else
        strcpy(model->weights, "params");
    return check_weights(source, wanted ? wanted : model->weights);
}

/* Not collective: everything but the values of the parameters. */
static enum iddpm_status build(struct model **out, const struct source *source, const char *text,
                               const struct model_options *options)
{
    struct config *config;
    struct model_spec spec;
    TRY(config_parse(&config, source->path, text, 0, NULL));
    enum iddpm_status status = model_spec_from_config(config, -1, options->respacing, &spec);
    spec.unet.features = options->features;
    if (status == IDDPM_OK) status = model_create(out, &spec, options->batch, options->threads);
    if (status != IDDPM_OK) {
        config_destroy(config);
        return status;
    }
    (*out)->config = config;
    (*out)->step = source->step;
    strcpy((*out)->path, source->path);
    strcpy((*out)->folder, source->folder);
    return choose_weights(*out, source, options->weights);
}

/* Collective. */
static enum iddpm_status note_crc(struct model *model, const struct parallel *parallel)
{
    struct checkpoint *checkpoint = NULL;
    TRY(parallel_agree(parallel, parallel->rank == 0 ? checkpoint_open(&checkpoint, model->path) : IDDPM_OK));
    if (checkpoint) model->weights_crc32 = checkpoint_group_crc(checkpoint, model->weights);
    checkpoint_close(checkpoint);
    return parallel_broadcast(parallel, &model->weights_crc32, sizeof model->weights_crc32);
}

enum iddpm_status model_read_weights(struct model *model, const struct parallel *parallel)
{
    watchdog_at("reading the checkpoint", -1);
    int n = net_param_count(model->net);
    struct store_array *arrays = NULL;
    char(*paths)[192] = NULL;
    enum iddpm_status status = mem_alloc(&arrays, (size_t)n, sizeof *arrays, "list of parameters");
    if (status == IDDPM_OK) status = mem_alloc(&paths, (size_t)n, sizeof *paths, "list of parameters");
    status = parallel_agree(parallel, status);
    for (int i = 0; i < n && status == IDDPM_OK; i++) {
        const struct net_param *param = net_param(model->net, i);
        snprintf(paths[i], sizeof paths[i], "%s/%s", model->weights, param->name);
        arrays[i] = (struct store_array){
            .path = paths[i], .type = STORE_F32, .ndim = param->ndim, .data = model->params + param->offset};
        memcpy(arrays[i].dims, param->dims, (size_t)param->ndim * sizeof *param->dims);
    }
    if (status == IDDPM_OK) status = checkpoint_read_all(parallel, model->path, n, arrays);
    if (status == IDDPM_OK) net_set_params(model->net, model->params);
    free(arrays);
    free(paths);
    return status;
}

enum iddpm_status model_load(struct model **out, const struct parallel *parallel, const char *path,
                             const struct model_options *options)
{
    struct source source = {0};
    char *config = NULL;
    *out = NULL;
    watchdog_at("looking for the checkpoint", -1);
    TRY(parallel_agree(parallel, parallel->rank == 0 ? inspect(path, options->step, &source, &config) : IDDPM_OK));
    enum iddpm_status status = parallel_broadcast(parallel, &source, sizeof source);
    if (status == IDDPM_OK) status = parallel_broadcast_text(parallel, &config);
    watchdog_at("building the network", -1);
    if (status == IDDPM_OK) status = parallel_agree(parallel, build(out, &source, config, options));
    free(config);
    if (status == IDDPM_OK) status = note_crc(*out, parallel);
    if (status == IDDPM_OK) status = model_read_weights(*out, parallel);
    if (status == IDDPM_OK) return status;
    model_destroy(*out);
    *out = NULL;
    return status;
}

enum iddpm_status model_turn_to(struct model *model, const struct parallel *parallel, int64_t step)
{
    struct source source = {0};
    char *config = NULL;
    watchdog_at("looking for the checkpoint", -1);
    bool finder = parallel->rank == 0;
    TRY(parallel_agree(parallel, finder ? inspect(model->folder, step, &source, &config) : IDDPM_OK));
    free(config);
    TRY(parallel_broadcast(parallel, &source, sizeof source));
    if (source.step != step)
        return iddpm_error(IDDPM_FAILED, "%s is a checkpoint of step %lld", source.path, (long long)source.step);
    TRY(parallel_agree(parallel, check_weights(&source, model->weights)));
    strcpy(model->path, source.path);
    model->step = source.step;
    return note_crc(model, parallel);
}
