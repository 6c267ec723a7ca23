/* What the noise schedules are: nothing need have been measured. */
#include "figure.h"
#include "iddpm/diffusion.h"

#include <string.h>

static enum iddpm_status schedule(struct diffusion **out, const char *name, int steps)
{
    const struct diffusion_options options = {
        .steps = steps, .noise_schedule = name, .mean = MEAN_EPSILON, .var = VAR_FIXED_SMALL, .loss = LOSS_MSE};
    return diffusion_create(out, &options);
}

static void axes(struct figure *figure, const char *y)
{
    strcpy(figure->x_label, "t / T");
    figure->n_panels = 1;
    snprintf(figure->panels[0].label, FIGURE_TEXT, "%s", y);
}

static enum iddpm_status add_ratio(struct figure *figure, const char *name, int steps, int colour)
{
    struct diffusion *diffusion;
    struct series *series;
    const bool cosine = strcmp(name, "cosine") == 0;
    TRY(figure_series(figure, 0, cosine ? SERIES_DASHED : SERIES_LINE, colour, &series, "%s, T = %d", name, steps));
    TRY(schedule(&diffusion, name, steps));
    enum iddpm_status status = IDDPM_OK;
    for (int t = 1; t < steps && status == IDDPM_OK; t++) /* of t = 0 the variance is 0 */
        if (t <= 100 || t % (steps / 100) == 0)           /* t = 1, 2, ... are far apart on this axis */
            status =
                series_add(series, (double)(t + 1) / steps, diffusion->posterior_variance[t] / diffusion->betas[t]);
    diffusion_destroy(diffusion);
    return status;
}

enum iddpm_status fill_variance_ratio(const struct figure_input *in, struct figure *figure, char *why)
{
    static const int lengths[] = {100, 1000, 4000};
    (void)in, (void)why;
    axes(figure, "β̃_t / β_t");
    figure->log_x = true;
    for (int i = 0; i < 3; i++) {
        TRY(add_ratio(figure, "linear", lengths[i], i));
        TRY(add_ratio(figure, "cosine", lengths[i], i));
    }
    return IDDPM_OK;
}

enum iddpm_status fill_alpha_bar(const struct figure_input *in, struct figure *figure, char *why)
{
    static const char *const names[] = {"linear", "cosine"};
    const int steps = (int)in->study->points[0].config->diffusion.diffusion_steps;
    axes(figure, "ᾱ_t");
    for (int i = 0; i < 2; i++) {
        struct diffusion *diffusion;
        struct series *series;
        TRY(figure_series(figure, 0, SERIES_LINE, i, &series, "%s, T = %d", names[i], steps));
        if (schedule(&diffusion, names[i], steps) != IDDPM_OK) { /* so few steps that there is no linear one */
            snprintf(why, FIGURE_TEXT, "%s", iddpm_error_text());
            return IDDPM_OK;
        }
        const int stride = (steps + FIGURE_POINTS - 1) / FIGURE_POINTS;
        enum iddpm_status status = series_add(series, 0, 1);
        for (int t = stride - 1; t < steps && status == IDDPM_OK; t += stride)
            status = series_add(series, (double)(t + 1) / steps, diffusion->alphas_cumprod[t]);
        diffusion_destroy(diffusion);
        TRY(status);
    }
    return IDDPM_OK;
}
