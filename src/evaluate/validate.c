/* The hook of training that measures held-out images: RUN/eval.csv. */
#include "iddpm/evaluate.h"
#include "iddpm/train.h"

#include <math.h>
#include <string.h>

static const char table[] = "eval.csv";
static const char heading[] = "step,weights,images,loss,mse,vb,bits_per_dim,standard_error,seconds\n";

enum { VALUES = 6, ROW_SIZE = 64 + 32 * (VALUES + 2), ROWS_MAX = 1 + CONFIG_LIST_MAX };

struct rows {
    size_t used;
    char text[ROWS_MAX * ROW_SIZE];
    size_t said; /* of `line`: what goes into the log */
    char line[ROWS_MAX * 64];
};

/* ---- checks ------------------------------------------------------------------------------------------------------ */

enum iddpm_status hooks_check_data(const struct config *config, const char *key, const struct unet_options *unet,
                                   const struct dataset *data)
{
    int size = unet->image_size, channels = unet->in_channels, classes = unet->num_classes;
    if (data->height != size || data->width != size || data->channels != channels)
        return config_error(config, key, "the images of %s are %dx%d with %d channels; training needs %dx%d and %d",
                            data->folder, data->width, data->height, data->channels, size, size, channels);
    if (classes > 0 && (data->classes == 0 || data->unlabelled > 0))
        return config_error(config, key, "%s has images without a label, which the class-conditional model needs",
                            data->folder);
    if (data->classes > classes && classes > 0)
        return config_error(config, key, "%s has %d classes, the model only %d", data->folder, data->classes, classes);
    return IDDPM_OK;
}

enum iddpm_status validation_check(const struct config *config, const struct unet_options *unet,
                                   const struct dataset *data)
{
    TRY(hooks_check_data(config, "data.eval_path", unet, data));
    if ((uint64_t)config->train.eval_num <= data->images || config->train.eval_interval == 0) return IDDPM_OK;
    return config_error(config, "train.eval_num", "is %lld, but %s has only %llu images",
                        (long long)config->train.eval_num, data->folder, (unsigned long long)data->images);
}

static enum iddpm_status begin(void *context, const struct train_view *view, bool *there)
{
    struct validation *validation = context;
    const struct config *config = view->config;
    if (!*config->data.eval_path)
        return config_error(config, "data.eval_path", "not set: train.eval_interval needs a folder of held-out images");
    TRY(train_open_data(view->parallel, &validation->data, config->data.eval_path));
    TRY(parallel_agree(view->parallel, validation_check(config, &view->plan->spec.unet, validation->data)));
    enum iddpm_status status = IDDPM_OK;
    if (view->parallel->rank == 0) status = train_table_begin(view, table, heading, there);
    TRY(parallel_agree(view->parallel, status));
    return parallel_broadcast(view->parallel, there, sizeof *there);
}

static void end(void *context)
{
    struct validation *validation = context;
    dataset_close(validation->data);
    validation->data = NULL;
}

/* ---- the measurement --------------------------------------------------------------------------------------------- */

/* values: loss, mse, vb, bits/dim, its standard error, seconds; empty where there is none. */
static void add_row(struct rows *rows, const struct model *model, uint64_t images, const double values[VALUES])
{
    size_t used = rows->used;
    used += (size_t)snprintf(rows->text + used, sizeof rows->text - used, "%lld,%s,%llu", (long long)model->step,
                             model->weights, (unsigned long long)images);
    for (int i = 0; i < VALUES; i++) {
        char number[32] = "";
        if (isfinite(values[i])) snprintf(number, sizeof number, "%.10g", values[i]);
        used += (size_t)snprintf(rows->text + used, sizeof rows->text - used, ",%s", number);
    }
    rows->used = used + (size_t)snprintf(rows->text + used, sizeof rows->text - used, "\n");
    rows->said += (size_t)snprintf(rows->line + rows->said, sizeof rows->line - rows->said, "%s%s %.3f",
                                   rows->said ? ", " : "", model->weights, values[3]);
}

/* Collective. */
static enum iddpm_status measure(const struct train_view *view, struct model *model, const struct dataset *data,
                                 const char *weights, struct rows *rows)
{
    const struct config *config = view->config;
    uint64_t images = (uint64_t)config->train.eval_num, seed = (uint64_t)config->run.seed;
    const struct nll_options options = {
        .images = images, .clip_denoised = true, .seed = seed, .strata = (int)config->train.eval_strata};
    double start = clock_seconds();
    struct loss_terms losses;
    struct nll *nll;
    TRY(model_use_weights(model, weights));
    TRY(validation_losses(view->parallel, model, data, images, seed, &losses));
    TRY(nll_measure(view->parallel, model, data, &options, &nll));
    const double values[VALUES] = {losses.loss, losses.mse,          losses.vb,
                                   nll->mean,   nll->standard_error, clock_seconds() - start};
    add_row(rows, model, images, values);
    nll_destroy(nll);
    return IDDPM_OK;
}

static enum iddpm_status measure_all(const struct train_view *view, struct model *model, const struct dataset *data,
                                     struct rows *rows)
{
    const struct float_list *rates = &view->config->train.ema_rate;
    TRY(measure(view, model, data, "params", rows));
    for (int i = 0; i < rates->n; i++) {
        char group[CONFIG_EMA_GROUP];
        config_ema_group(rates->v[i], group);
        TRY(measure(view, model, data, group, rows));
    }
    return IDDPM_OK;
}

static enum iddpm_status run(void *context, const struct train_view *view)
{
    const struct validation *validation = context;
    struct model *model;
    struct rows rows = {0};
    double start = clock_seconds();
    TRY(parallel_agree(view->parallel, model_around(&model, view, NULL)));
    enum iddpm_status status = measure_all(view, model, validation->data, &rows);
    model_destroy(model);
    TRY(status);
    watchdog_at("writing eval.csv", view->step);
    if (view->parallel->rank == 0) status = train_table_add(view, table, heading, rows.text);
    TRY(parallel_agree(view->parallel, status));
    log_info("step %lld, held-out images: %s bits/dim, %.1f s", (long long)view->step, rows.line,
             clock_seconds() - start);
    return IDDPM_OK;
}

struct train_hook validation_hook(struct validation *validation, const struct config *config)
{
    return (struct train_hook){"validation", config->train.eval_interval, begin, run, end, validation};
}
