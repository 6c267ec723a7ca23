#include "example.h"

#include "check.h"

#include <math.h>

struct example example_at(const struct diffusion *diffusion, int t)
{
    struct example e;
    double u[EXAMPLE_SIZE];
    rng_uniform(&(struct rng){.seed = 1, .purpose = RNG_TEST}, EXAMPLE_SIZE, u);
    for (int i = 0; i < EXAMPLE_SIZE; i++) e.x_start[i] = floor(256 * u[i]) / 127.5 - 1;
    for (int c = 0; c < EXAMPLE_CHANNELS; c++) e.x_start[c] = -1, e.x_start[EXAMPLE_CHANNELS + c] = 1;
    rng_normal(&(struct rng){.seed = 1, .purpose = RNG_TEST, .step = 1}, EXAMPLE_SIZE, e.noise);
    q_sample(diffusion, t, EXAMPLE_SIZE, e.x_start, e.noise, e.x_t);
    return e;
}

struct diffusion *example_diffusion(const char *schedule, int steps, enum mean_type mean, enum var_type var,
                                    enum loss_type loss)
{
    struct diffusion_options options = {
        .steps = steps, .noise_schedule = schedule, .mean = mean, .var = var, .loss = loss};
    struct diffusion *diffusion;
    if (diffusion_create(&diffusion, &options) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return diffusion;
}

double example_output(const struct diffusion *d, int t, double x_t, double xstart)
{
    switch (d->mean) {
    case MEAN_PREVIOUS_X:
        return d->posterior_mean_coef1[t] * xstart + d->posterior_mean_coef2[t] * x_t;
    case MEAN_START_X:
        return xstart;
    case MEAN_EPSILON:
        break;
    }
    return (x_t - d->sqrt_alphas_cumprod[t] * xstart) / d->sqrt_one_minus_alphas_cumprod[t];
}
