#include "tiny_model.h"

#include "check.h"
#include "iddpm/kernels.h"
#include "network.h"
#include "ranks.h"
#include "scratch.h"

static struct model *create(int batch, int classes, const char *features)
{
    struct model_spec spec = {.unet = {.image_size = TINY_SIZE,
                                       .in_channels = 1,
                                       .model_channels = 32,
                                       .out_channels = 2,
                                       .num_res_blocks = 1,
                                       .n_attention = 1,
                                       .attention_ds = {2},
                                       .n_mult = 2,
                                       .channel_mult = {1, 1},
                                       .num_classes = classes,
                                       .null_class = classes > 0,
                                       .features = features,
                                       .num_heads = 2,
                                       .num_heads_upsample = -1,
                                       .use_scale_shift_norm = true},
                              .diffusion = {.steps = 12,
                                            .noise_schedule = "cosine",
                                            .timestep_respacing = "5",
                                            .mean = MEAN_EPSILON,
                                            .var = VAR_LEARNED_RANGE,
                                            .rescale_timesteps = true}};
    struct model *model;
    must(model_create(&model, &spec, batch, 1));
    network_fill(model->net, model->params);
    return model;
}

struct model *tiny_model(int batch, int classes)
{
    return create(batch, classes, NULL);
}

struct model *tiny_model_of_blocks(int batch, int classes, const char *features)
{
    struct model *model = create(batch, classes, features);
    must(config_parse(&model->config, "tiny", "{}", 0, NULL));
    return model;
}

void tiny_digits(char folder[PATH_SIZE], struct dataset **data)
{
    char path[PATH_SIZE];
    enum iddpm_status status = IDDPM_OK;
    if (ranks.rank == 0) scratch_make(folder);
    must(parallel_broadcast(&ranks, folder, PATH_SIZE));
    must(path_join(path, folder, "digits"));
    const struct import_options options = {.kind = IMPORT_DIGITS, .target = path, .split = "test"};
    struct import_result result;
    if (ranks.rank == 0) status = data_import(&options, &result);
    must(parallel_agree(&ranks, status));
    must(dataset_open(data, path));
    must(kernels_select(NULL));
}

void tiny_digits_end(const char *folder, struct dataset *data)
{
    dataset_close(data);
    parallel_barrier(&ranks);
    if (ranks.rank == 0) scratch_remove(folder);
}
