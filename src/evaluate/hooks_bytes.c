/* What the hooks of training allocate: the arrays of model.c, nll.c, validation_losses.c, sample_job.c and their
 * pictures.
 */
#include "iddpm/evaluate.h"
#include "iddpm/train.h"

static size_t image_elements(const struct train_plan *plan)
{
    const struct unet_options *unet = &plan->spec.unet;
    return (size_t)unet->image_size * (size_t)unet->image_size * (size_t)unet->in_channels;
}

static size_t validation_bytes(const struct config *config, const struct train_plan *plan, int ranks)
{
    size_t batch = (size_t)plan->microbatch, image = image_elements(plan), images = (size_t)config->train.eval_num;
    int64_t strata = config->train.eval_strata, timesteps = plan->spec.diffusion.steps;
    size_t columns = (size_t)(strata < timesteps ? strata : timesteps);
    size_t terms = (batch + (size_t)ranks) * (columns + 1) * sizeof(struct bpd_terms);
    size_t result = images * (3 * columns + 2) * sizeof(double);
    size_t low_res = low_res_elements(&plan->spec.unet) * sizeof(double);
    return batch * (image * (1 + 3 * sizeof(double)) + low_res + 3 * sizeof(double)) + terms + result;
}

static size_t grids_bytes(const struct config *config, const struct train_plan *plan, int ranks)
{
    size_t batch = (size_t)plan->microbatch, image = image_elements(plan), images = (size_t)config->train.sample_num;
    size_t picture = images * image; /* is enlarged to a height of 64 pixels */
    int factor = plan->spec.unet.image_size < 64 ? 64 / plan->spec.unet.image_size : 1;
    if (factor > 1) picture += picture * (size_t)(factor * factor);
    size_t base = low_res_elements(&plan->spec.unet);
    base = images * base + batch * base * ((size_t)ranks + sizeof(double));
    size_t travelling = image * (1 + sizeof(double));
    return batch * image * (1 + sizeof(double)) + images * image + travelling + picture + base;
}

size_t hooks_bytes(const struct config *config, const struct train_plan *plan, int ranks)
{
    size_t validation = config->train.eval_interval > 0 ? validation_bytes(config, plan, ranks) : 0;
    size_t grids = config->train.sample_interval > 0 ? grids_bytes(config, plan, ranks) : 0;
    return validation > grids ? validation : grids; /* one after the other */
}
