/* Outputs of a model that other outputs have a part in: guidance by classes, and another model at both ends. */
#include "model.h"

#include <string.h>

/* ---- guidance ---------------------------------------------------------------------------------------------------- */

enum iddpm_status model_guide(struct model *model, double guidance)
{
    if (guidance == 1) return IDDPM_OK;
    if (!model->unet.null_class)
        return iddpm_error(IDDPM_USAGE,
                           "the model of %s cannot be guided: it was never trained without classes (class_cond: true "
                           "and label_dropout in its configuration)",
                           model->path);
    size_t all = (size_t)model->batch * model_output_floats(model);
    if (!model->guided) TRY(mem_alloc(&model->guided, all, sizeof(float), "guided outputs"));
    model->guidance = guidance;
    return model->ends ? model_guide(model->ends, guidance) : IDDPM_OK;
}

/* With model->timesteps. */
static const float *guided_run(struct model *model, int n, const double *x_t, const struct condition *given)
{
    if (!model->guided) return model_run(model, n, x_t, given, true);
    float *out = model->guided;
    const size_t floats = model_output_floats(model), channels = (size_t)model->channels;
    const size_t width = floats / (size_t)model->pixels, pixels = (size_t)n * (size_t)model->pixels;
    memcpy(out, model_run(model, n, x_t, given, true), (size_t)n * floats * sizeof *out);
    const float *free = model_run(model, n, x_t, given, false);
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < channels; c++) {
            size_t at = i * width + c;
            out[at] = (float)(free[at] + model->guidance * ((double)out[at] - free[at]));
        }
    return out;
}

/* ---- another model at both ends ---------------------------------------------------------------------------------- */

/* The first key in which the two differ, and the values there; NULL: none. */
static const char *differing_key(const struct model *a, const struct model *b, int values[2])
{
    const struct diffusion *da = a->diffusion, *db = b->diffusion;
    const struct {
        const char *key;
        int a, b;
    } keys[] = {
        {"model.image_size", a->unet.image_size, b->unet.image_size},
        {"model.in_channels", a->channels, b->channels},
        {"model.small_size", a->unet.super_res, b->unet.super_res},
        {"model.num_classes", a->unet.num_classes, b->unet.num_classes},
        {"diffusion.diffusion_steps", da->original_num_steps, db->original_num_steps},
        {"diffusion.predict_xstart", da->mean == MEAN_START_X, db->mean == MEAN_START_X},
        {"diffusion.learn_sigma", da->fixed_log_variance == NULL, db->fixed_log_variance == NULL},
        {"diffusion.sigma_small", da->var == VAR_FIXED_SMALL, db->var == VAR_FIXED_SMALL},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        values[0] = keys[i].a;
        values[1] = keys[i].b;
        if (values[0] != values[1]) return keys[i].key;
    }
    return NULL;
}

/* The betas tell the schedule, the map the respacing. */
static bool same_process(const struct diffusion *a, const struct diffusion *b)
{
    size_t n = (size_t)a->num_timesteps;
    return a->mean == b->mean && a->var == b->var && a->num_timesteps == b->num_timesteps &&
           memcmp(a->timestep_map, b->timestep_map, n * sizeof *a->timestep_map) == 0 &&
           memcmp(a->betas, b->betas, n * sizeof *a->betas) == 0;
}

static enum iddpm_status check_ends(const struct model *model, const struct model *ends, int below, int from)
{
    int values[2], steps = model->diffusion->original_num_steps;
    const char *key = differing_key(model, ends, values);
    if (key)
        return iddpm_error(IDDPM_USAGE, "%s and %s are no models of one process: %s is %d in one and %d in the other",
                           model->path, ends->path, key, values[0], values[1]);
    if (!same_process(model->diffusion, ends->diffusion))
        return iddpm_error(IDDPM_USAGE, "%s and %s are no models of one process: diffusion.noise_schedule differs",
                           model->path, ends->path);
    if (below >= 0 && below <= from && from <= steps) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE,
                       "timesteps under %d and from %d on are no ends of %d timesteps: needed are A,B with 0 <= A <= B "
                       "<= %d (--ends-steps A,B)",
                       below, from, steps, steps);
}

enum iddpm_status model_add_ends(struct model *model, struct model *ends, int below, int from)
{
    model->ends = ends;
    model->ends_below = below;
    model->ends_from = from;
    TRY(check_ends(model, ends, below, from));
    return mem_alloc(&model->mixed, (size_t)model->batch * model_output_floats(model), sizeof(float), "outputs");
}

static bool at_ends(const struct model *model, int t)
{
    int original = model->diffusion->timestep_map[t];
    return model->ends && (original < model->ends_below || original >= model->ends_from);
}

/* ---- outputs ----------------------------------------------------------------------------------------------------- */

const float *model_outputs(struct model *model, int t, int n, const double *x_t, const struct condition *given)
{
    struct model *one = at_ends(model, t) ? model->ends : model;
    for (int i = 0; i < one->batch; i++) one->timesteps[i] = diffusion_model_timestep(one->diffusion, t);
    return guided_run(one, n, x_t, given);
}

/* Of one of the two models. */
static const float *outputs_each(struct model *one, const int *t, int n, const double *x_t,
                                 const struct condition *given)
{
    for (int i = 0; i < one->batch; i++) one->timesteps[i] = diffusion_model_timestep(one->diffusion, t[i < n ? i : 0]);
    return guided_run(one, n, x_t, given);
}

/* Where timesteps are of both models, each runs the whole batch: the bits of an image do not depend on the others. */
const float *model_outputs_each(struct model *model, const int *t, int n, const double *x_t,
                                const struct condition *given)
{
    int ends = 0;
    for (int i = 0; i < n; i++) ends += at_ends(model, t[i]);
    if (ends == 0) return outputs_each(model, t, n, x_t, given);
    if (ends == n) return outputs_each(model->ends, t, n, x_t, given);
    size_t floats = model_output_floats(model);
    memcpy(model->mixed, outputs_each(model, t, n, x_t, given), (size_t)n * floats * sizeof *model->mixed);
    const float *other = outputs_each(model->ends, t, n, x_t, given);
    for (size_t i = 0; i < (size_t)n; i++)
        if (at_ends(model, t[i])) memcpy(model->mixed + i * floats, other + i * floats, floats * sizeof *other);
    return model->mixed;
}
