/* A measured likelihood as files. */
#include "nll.h"
#include "noise.h"
#include "part.h"

#include <stdlib.h>
#include <string.h>

/* ---- what it was measured on, and how ---------------------------------------------------------------------------- */

void nll_settings(const struct model *model, const struct dataset *data, const struct nll_options *options,
                  struct store_attribute out[NLL_SETTINGS])
{
    const struct diffusion *diffusion = model->diffusion;
    int columns = nll_columns(model, options);
    const struct store_attribute settings[NLL_SETTINGS - ENDS_SETTINGS] = {
        setting_integer("images", (int64_t)(options->images ? options->images : data->images)),
        setting_text("checkpoint", model->path),
        setting_integer("step", model->step),
        setting_text("weights", model->weights),
        setting_integer("weights_crc32", model->weights_crc32),
        setting_text("data", data->folder),
        setting_text("data_hash", data->hash),
        setting_text("noise_schedule", model->config->diffusion.noise_schedule),
        setting_integer("diffusion_steps", diffusion->original_num_steps),
        setting_integer("num_timesteps", diffusion->num_timesteps),
        setting_text("respacing", model->respacing),
        setting_integer("strata", columns < diffusion->num_timesteps ? columns : 0),
        setting_integer("clip_denoised", options->clip_denoised),
        setting_text("noise", noise_label(options->noise)),
        setting_integer("seed", (int64_t)options->seed),
        setting_integer("batch", model->batch),
        setting_text("instruction_set", kernels_isa()),
    };
    memcpy(out, settings, sizeof settings);
    ends_settings(model, out + NLL_SETTINGS - ENDS_SETTINGS);
}

/* Reads settings whose names and kinds are given into `found`, and returns how many: results older than ensembles have
 * no settings of one, and stand for themselves where none is asked for. 0: they cannot be read. */
static int read_settings(const char *path, int n, const struct store_attribute *settings, struct store_attribute *found)
{
    const int plain = n - ENDS_SETTINGS;
    memcpy(found, settings, (size_t)n * sizeof *found);
    if (store_read_attributes(path, n, found) == IDDPM_OK) return n;
    bool ensemble = *settings[plain].text != 0; /* ends_checkpoint */
    return !ensemble && store_read_attributes(path, plain, found) == IDDPM_OK ? plain : 0;
}

const char *nll_settings_differ(const char *path, int n, const struct store_attribute *settings, bool bits)
{
    struct store_attribute found[NLL_SETTINGS];
    const char *differs = NULL;
    n = read_settings(path, n, settings, found);
    if (n == 0) return "form";
    for (int i = 0; i < n; i++) {
        const char *name = settings[i].name;
        bool same = settings[i].kind == STORE_TEXT ? strcmp(settings[i].text, found[i].text) == 0
                                                   : settings[i].integer == found[i].integer;
        if (!same && !setting_is_a_name(name) && (bits || !setting_is_for_bits(name))) differs = name;
    }
    store_free_texts(n, found);
    return differs;
}

bool nll_is_measured(const struct model *model, const struct dataset *data, const struct nll_options *options,
                     const char *path)
{
    struct store_attribute settings[NLL_SETTINGS];
    nll_settings(model, data, options, settings);
    return path_exists(path) && !nll_settings_differ(path, NLL_SETTINGS, settings, false);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Of terms [images][steps], the mean over images of the sum over timesteps. */
static double mean_sum(const struct nll *nll, const double *terms)
{
    double sum = 0;
    for (uint64_t i = 0; i < nll->images; i++)
        for (int column = 0; column < nll->steps; column++) sum += *terms++ * nll_column_weight(nll, column);
    return sum / (double)nll->images;
}

static double mean_prior(const struct nll *nll)
{
    double sum = 0;
    for (uint64_t i = 0; i < nll->images; i++) sum += nll->prior[i];
    return sum / (double)nll->images;
}

/* Original timesteps, of each column or of each image and column. */
static void fill_timesteps(const struct nll *nll, const struct model *model, uint64_t seed, uint64_t rows,
                           int64_t *timesteps)
{
    for (uint64_t i = 0; i < rows; i++)
        for (int column = 0; column < nll->steps; column++)
            *timesteps++ =
                model->diffusion->timestep_map[nll_stratum_draw(nll->first, nll->steps - 1 - column, seed, i)];
}

static enum iddpm_status write_arrays(const struct nll *nll, bool strata, int64_t *timesteps, double *weights,
                                      int n_attributes, const struct store_attribute *attributes, const char *path)
{
    const uint64_t images = nll->images, steps = (uint64_t)nll->steps;
    struct store_array arrays[] = {
        {"vb", STORE_F64, 2, {images, steps}, nll->vb},
        {"mse", STORE_F64, 2, {images, steps}, nll->mse},
        {"xstart_mse", STORE_F64, 2, {images, steps}, nll->xstart_mse},
        {"prior", STORE_F64, 1, {images}, nll->prior},
        {"total", STORE_F64, 1, {images}, nll->total},
        {"timesteps", STORE_I64, 1, {steps}, timesteps},
        {"column_weights", STORE_F64, 1, {steps}, weights},
    };
    if (strata) arrays[5] = (struct store_array){"timesteps", STORE_I64, 2, {images, steps}, timesteps};
    return store_write(path, sizeof arrays / sizeof *arrays, arrays, n_attributes, attributes);
}

enum iddpm_status nll_write(const struct nll *nll, const struct model *model, const struct dataset *data,
                            const struct nll_options *options, const char *path)
{
    enum { OWN = 6 };
    const double timesteps = model->diffusion->num_timesteps;
    struct store_attribute attributes[OWN + NLL_SETTINGS] = {
        setting_number("bits_per_dim", nll->mean),
        setting_number("standard_error", nll->standard_error),
        setting_number("mean_vb", mean_sum(nll, nll->vb)),
        setting_number("mean_prior", mean_prior(nll)),
        setting_number("mean_mse", mean_sum(nll, nll->mse) / timesteps),
        setting_number("mean_xstart_mse", mean_sum(nll, nll->xstart_mse) / timesteps),
    };
    nll_settings(model, data, options, attributes + OWN);
    bool strata = nll->steps < model->diffusion->num_timesteps;
    uint64_t rows = strata ? nll->images : 1;
    int64_t *drawn = NULL;
    double *weights = NULL;
    enum iddpm_status status = mem_alloc(&drawn, rows * (size_t)nll->steps, sizeof *drawn, "timesteps");
    if (status == IDDPM_OK) status = mem_alloc(&weights, (size_t)nll->steps, sizeof *weights, "weights of columns");
    if (status == IDDPM_OK) {
        fill_timesteps(nll, model, options->seed, rows, drawn);
        for (int column = 0; column < nll->steps; column++) weights[column] = nll_column_weight(nll, column);
        status = write_arrays(nll, strata, drawn, weights, OWN + NLL_SETTINGS, attributes, path);
    }
    free(drawn);
    free(weights);
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
