/* Private to src/evaluate: one run of a model's network. */
#ifndef IDDPM_EVALUATE_MODEL_H
#define IDDPM_EVALUATE_MODEL_H

#include "iddpm/evaluate.h"

/* With model->timesteps; as model_outputs, of this network alone. !classes: whatever `given` has, that of no class. */
const float *model_run(struct model *model, int n, const double *x_t, const struct condition *given, bool classes);

/* Floats of one image's output. */
static inline size_t model_output_floats(const struct model *model)
{
    return (size_t)model->pixels * (size_t)diffusion_output_channels(model->diffusion, model->channels);
}

#endif
