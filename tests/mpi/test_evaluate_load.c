/* A model from a checkpoint, on ranks: which checkpoint, which weights, and what is said when there is none. */
#include "arrays.h"
#include "iddpm/evaluate.h"
#include "iddpm/kernels.h"
#include "ranks.h"
#include "reference.h"
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char run[PATH_SIZE], checkpoints[PATH_SIZE];

static void refused(enum iddpm_status status, enum iddpm_status wanted, const char *text)
{
    if (status != wanted || !strstr(iddpm_error_text(), text))
        fail_msg("status %d, not %d; '%s' should say '%s'", status, wanted, iddpm_error_text(), text);
}

static struct config *configuration(void)
{
    static const char *const keys[] = {"image_size=4",         "in_channels=1",     "num_channels=32",
                                       "channel_mult=1",       "num_res_blocks=1",  "attention_resolutions=4",
                                       "num_heads=1",          "diffusion_steps=8", "train.ema_rate=0.9,0.99",
                                       "noise_schedule=cosine"};
    struct config *config;
    must(config_load(&config, NULL, sizeof keys / sizeof *keys, keys));
    return config;
}

/* Every parameter of a group has one value, by which a test knows it: params 1, ema/0.9 2, ema/0.99 3; plus the step.
 */
static void write_checkpoint(int64_t step)
{
    static const char *const groups[] = {"params", "ema/0.9", "ema/0.99"};
    enum { GROUPS = 3, PARAMS_MAX = 100 };
    static char paths[GROUPS * PARAMS_MAX][160];
    struct store_array arrays[GROUPS * PARAMS_MAX];
    struct config *config = configuration();
    struct model_spec spec;
    struct model *model;
    char path[PATH_SIZE], *text;
    must(model_spec_from_config(config, -1, NULL, &spec));
    must(model_create(&model, &spec, 1, 1));
    must(config_text(config, &text));
    must(checkpoint_path(path, checkpoints, step));
    size_t flat = net_flat_size(model->net);
    float *values = malloc(GROUPS * flat * sizeof *values);
    int n = net_param_count(model->net);
    assert_in_range(n, 1, PARAMS_MAX);
    for (int g = 0; g < GROUPS; g++) {
        for (size_t i = 0; i < flat; i++) values[(size_t)g * flat + i] = (float)(g + 1 + step);
        for (int j = 0; j < n; j++) {
            const struct net_param *param = net_param(model->net, j);
            char *name = paths[g * n + j];
            snprintf(name, sizeof paths[0], "%s/%s", groups[g], param->name);
            arrays[g * n + j] =
                (struct store_array){name, STORE_F32, param->ndim, {0}, values + (size_t)g * flat + param->offset};
            memcpy(arrays[g * n + j].dims, param->dims, sizeof param->dims);
        }
    }
    must(arrays_write(&ranks, path, step, text, GROUPS * n, arrays));
    free(values);
    free(text);
    model_destroy(model);
    config_destroy(config);
}

static struct model_options options_for(const char *weights, int64_t step)
{
    return (struct model_options){.weights = weights, .step = step, .batch = 2, .threads = 1};
}

static void check_loaded(const char *path, const char *weights, int64_t step, const char *name, float value)
{
    struct model *model;
    const struct model_options options = options_for(weights, step);
    must(model_load(&model, &ranks, path, &options));
    assert_string_equal(model->weights, name);
    for (int j = 0; j < net_param_count(model->net); j++) {
        const struct net_param *param = net_param(model->net, j);
        for (size_t i = 0; i < param->size; i++) assert_true(model->params[param->offset + i] == value);
    }
    assert_string_equal(model->folder, run);
    assert_int_equal(model->batch, 2);
    assert_int_equal(model->image, 16);
    assert_int_equal(model->config->diffusion.diffusion_steps, 8);
    model_destroy(model);
}

static void weights_are_chosen(void **state)
{
    (void)state;
    char path[PATH_SIZE];
    must(checkpoint_path(path, checkpoints, 10));
    check_loaded(run, NULL, -1, "ema/0.9", 2 + 20); /* the newest, the first EMA */
    check_loaded(run, "params", -1, "params", 1 + 20);
    check_loaded(run, "ema/0.99", 10, "ema/0.99", 3 + 10);
    check_loaded(path, NULL, -1, "ema/0.9", 2 + 10);
}

static void respacing_replaces_that_of_the_run(void **state)
{
    (void)state;
    struct model *model;
    struct model_options options = options_for(NULL, -1);
    options.respacing = "ddim4";
    must(model_load(&model, &ranks, run, &options));
    assert_int_equal(model->diffusion->num_timesteps, 4);
    assert_int_equal(model->diffusion->original_num_steps, 8);
    model_destroy(model);
    options.respacing = "9";
    refused(model_load(&model, &ranks, run, &options), IDDPM_USAGE, "timestep_respacing");
    assert_null(model);
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    struct model *model;
    char path[PATH_SIZE];
    struct model_options options = options_for("ema/0.5", -1);
    refused(model_load(&model, &ranks, run, &options), IDDPM_USAGE,
            "has no weights \"ema/0.5\"; it has: params, ema/0.9, ema/0.99");
    options = options_for("ema/0.9, ema/0.99", -1);
    refused(model_load(&model, &ranks, run, &options), IDDPM_USAGE, "has no weights");
    options = options_for("", -1);
    refused(model_load(&model, &ranks, run, &options), IDDPM_USAGE, "has no weights");
    options = options_for(NULL, 15);
    refused(model_load(&model, &ranks, run, &options), IDDPM_USAGE, "no checkpoint of step 15; steps there: 10, 20");
    options = options_for(NULL, -1);
    must(path_join(path, run, "elsewhere"));
    refused(model_load(&model, &ranks, path, &options), IDDPM_USAGE, "no such run folder or checkpoint");
    refused(model_load(&model, &ranks, checkpoints, &options), IDDPM_USAGE, "no valid checkpoint");
    must(checkpoint_path(path, checkpoints, 10));
    options = options_for(NULL, 10);
    refused(model_load(&model, &ranks, path, &options), IDDPM_USAGE, "a step can be chosen only of a run");
    assert_null(model);
}

/* Last, because the newest checkpoint is lost. */
static void a_damaged_checkpoint_is_passed_over(void **state)
{
    (void)state;
    struct model *model;
    char path[PATH_SIZE];
    must(checkpoint_path(path, checkpoints, 20));
    if (ranks.rank == 0) assert_int_equal(truncate(path, 1000), 0);
    parallel_barrier(&ranks);
    check_loaded(run, NULL, -1, "ema/0.9", 2 + 10);
    const struct model_options options = options_for(NULL, 20);
    refused(model_load(&model, &ranks, run, &options), IDDPM_FAILED, "step-00000020.h5");
}

static int make_run(void **state)
{
    (void)state;
    if (ranks.rank == 0) scratch_make(run);
    must(parallel_broadcast(&ranks, run, sizeof run));
    must(path_join(checkpoints, run, "checkpoints"));
    if (ranks.rank == 0) must(path_make_folders(checkpoints));
    must(kernels_select(NULL));
    parallel_barrier(&ranks);
    write_checkpoint(10);
    write_checkpoint(20);
    return 0;
}

static int remove_run(void **state)
{
    (void)state;
    parallel_barrier(&ranks);
    if (ranks.rank == 0) scratch_remove(run);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_chosen), cmocka_unit_test(respacing_replaces_that_of_the_run),
        cmocka_unit_test(what_is_missing_is_named), cmocka_unit_test(a_damaged_checkpoint_is_passed_over)};
    if (ranks_start(&argc, &argv, 120) != 0) return 1;
    log_set_quiet(true);
    return ranks_end(cmocka_run_group_tests(tests, make_run, remove_run));
}
