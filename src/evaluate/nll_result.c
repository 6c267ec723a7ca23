/* A measured likelihood as files. */
#include "iddpm/evaluate.h"
#include "iddpm/kernels.h"

#include <stdlib.h>

static struct store_attribute text(const char *name, const char *value)
{
    return (struct store_attribute){.name = name, .kind = STORE_TEXT, .text = value};
}

static struct store_attribute number(const char *name, double value)
{
    return (struct store_attribute){.name = name, .kind = STORE_NUMBER, .number = value};
}

static struct store_attribute integer(const char *name, int64_t value)
{
    return (struct store_attribute){.name = name, .kind = STORE_INTEGER, .integer = value};
}

static enum iddpm_status write_arrays(const struct nll *nll, const struct model *model, int64_t *timesteps,
                                      int n_attributes, const struct store_attribute *attributes, const char *path)
{
    const uint64_t images = nll->images, steps = (uint64_t)nll->steps;
    for (int k = 0; k < nll->steps; k++) timesteps[k] = model->diffusion->timestep_map[nll->steps - 1 - k];
    const struct store_array arrays[] = {
        {"vb", STORE_F64, 2, {images, steps}, nll->vb},
        {"mse", STORE_F64, 2, {images, steps}, nll->mse},
        {"xstart_mse", STORE_F64, 2, {images, steps}, nll->xstart_mse},
        {"prior", STORE_F64, 1, {images}, nll->prior},
        {"total", STORE_F64, 1, {images}, nll->total},
        {"timesteps", STORE_I64, 1, {steps}, timesteps},
    };
    return store_write(path, sizeof arrays / sizeof *arrays, arrays, n_attributes, attributes);
}

enum iddpm_status nll_write(const struct nll *nll, const struct model *model, const struct dataset *data,
                            const struct nll_options *options, const char *path)
{
    const struct store_attribute attributes[] = {
        number("bits_per_dim", nll->mean),
        number("standard_error", nll->standard_error),
        integer("images", (int64_t)nll->images),
        text("checkpoint", model->path),
        integer("step", model->step),
        text("weights", model->weights),
        text("data", data->folder),
        text("data_hash", data->hash),
        text("noise_schedule", model->config->diffusion.noise_schedule),
        integer("diffusion_steps", model->diffusion->original_num_steps),
        integer("num_timesteps", model->diffusion->num_timesteps),
        integer("clip_denoised", options->clip_denoised),
        text("noise", options->noise ? options->noise->name : "philox"),
        integer("seed", (int64_t)options->seed),
        integer("batch", model->batch),
        text("instruction_set", kernels_isa()),
    };
    int64_t *timesteps;
    TRY(mem_alloc(&timesteps, (size_t)nll->steps, sizeof *timesteps, "timesteps"));
    enum iddpm_status status =
        write_arrays(nll, model, timesteps, sizeof attributes / sizeof *attributes, attributes, path);
    free(timesteps);
    return status;
}

static enum iddpm_status write_means(const struct nll *nll, const double *terms, const char *folder, const char *name)
{
    char path[PATH_SIZE];
    size_t steps = (size_t)nll->steps;
    double *means;
    TRY(path_join(path, folder, name));
    TRY(mem_alloc(&means, steps, sizeof *means, "mean terms"));
    for (uint64_t i = 0; i < nll->images; i++)
        for (size_t k = 0; k < steps; k++) means[k] += terms[i * steps + k] / (double)nll->images;
    const struct npz_array array = {.name = "arr_0", .type = STORE_F64, .ndim = 1, .dims = {steps}, .data = means};
    enum iddpm_status status = npz_write(path, 1, &array);
    free(means);
    return status;
}

enum iddpm_status nll_write_npz(const struct nll *nll, const char *folder)
{
    TRY(write_means(nll, nll->vb, folder, "vb_terms.npz"));
    TRY(write_means(nll, nll->mse, folder, "mse_terms.npz"));
    return write_means(nll, nll->xstart_mse, folder, "xstart_mse_terms.npz");
}
