/* The authors' create_model_and_diffusion (script_util.py). */
#include "iddpm/models.h"

enum iddpm_status model_spec_from_config(const struct config *config, int classes, const char *respacing,
                                         struct model_spec *out)
{
    bool rescaled = config->diffusion.rescale_learned_sigmas;
    if (config->diffusion.use_kl && config->diffusion.min_snr_gamma > 0)
        return config_error(config, "diffusion.min_snr_gamma",
                            "weighs squared errors, which the loss with use_kl: true does not have");
    out->diffusion = (struct diffusion_options){
        .steps = (int)config->diffusion.diffusion_steps,
        .noise_schedule = config->diffusion.noise_schedule,
        .timestep_respacing = respacing ? respacing : config->diffusion.timestep_respacing,
        .mean = config->diffusion.predict_xstart ? MEAN_START_X : MEAN_EPSILON,
        .var = config->diffusion.learn_sigma   ? VAR_LEARNED_RANGE
               : config->diffusion.sigma_small ? VAR_FIXED_SMALL
                                               : VAR_FIXED_LARGE,
        .loss = config->diffusion.use_kl ? LOSS_RESCALED_KL
                : rescaled               ? LOSS_RESCALED_MSE
                                         : LOSS_MSE,
        .min_snr_gamma = config->diffusion.min_snr_gamma,
        .rescale_timesteps = config->diffusion.rescale_timesteps,
    };
    return unet_options_from_config(config, classes, &out->unet);
}
