/* Which timesteps are trained (resample.py): all alike, or those whose losses have the larger second moment
 * (section 3.3 of the paper). */
#include "iddpm/diffusion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum iddpm_status sampler_create(struct sampler **out, const char *name, int num_timesteps)
{
    *out = NULL;
    enum sampler_kind kind;
    if (strcmp(name, "uniform") == 0)
        kind = SAMPLER_UNIFORM;
    else if (strcmp(name, "loss-second-moment") == 0)
        kind = SAMPLER_LOSS_SECOND_MOMENT;
    else
        return iddpm_error(IDDPM_USAGE,
                           "train.schedule_sampler: there is no sampler \"%s\"; give uniform or loss-second-moment",
                           name);
    struct sampler *s;
    size_t n = (size_t)num_timesteps;
    TRY(mem_alloc(&s, 1, sizeof *s, "timestep sampler"));
    s->kind = kind;
    s->num_timesteps = num_timesteps;
    enum iddpm_status status = mem_alloc(&s->history, n * SAMPLER_HISTORY, sizeof *s->history, "timestep sampler");
    if (status == IDDPM_OK) status = mem_alloc(&s->counts, n, sizeof *s->counts, "timestep sampler");
    if (status == IDDPM_OK) status = mem_alloc(&s->weights, n, sizeof *s->weights, "timestep sampler");
    if (status == IDDPM_OK) status = mem_alloc(&s->cumulative, n, sizeof *s->cumulative, "timestep sampler");
    if (status != IDDPM_OK) {
        sampler_destroy(s);
        return status;
    }
    sampler_refresh(s);
    *out = s;
    return IDDPM_OK;
}

void sampler_destroy(struct sampler *s)
{
    if (!s) return;
    free(s->history);
    free(s->counts);
    free(s->weights);
    free(s->cumulative);
    free(s);
}

static bool warmed_up(const struct sampler *s)
{
    for (int t = 0; t < s->num_timesteps; t++)
        if (s->counts[t] < SAMPLER_HISTORY) return false;
    return s->kind == SAMPLER_LOSS_SECOND_MOMENT;
}

/* Root mean square of each timestep's losses; returns their sum. */
static double second_moments(const struct sampler *s, double *w)
{
    double sum = 0;
    for (int t = 0; t < s->num_timesteps; t++) {
        const double *losses = s->history + (size_t)t * SAMPLER_HISTORY;
        double squares = 0;
        for (int k = 0; k < SAMPLER_HISTORY; k++) squares += losses[k] * losses[k];
        sum += w[t] = sqrt(squares / SAMPLER_HISTORY);
    }
    return sum;
}

void sampler_weights(const struct sampler *s, double *w)
{
    int n = s->num_timesteps;
    double sum = warmed_up(s) ? second_moments(s, w) : 0;
    /* losses that are all zero, or not finite, prefer no timestep */
    bool uniform = !(sum > 0 && isfinite(sum));
    for (int t = 0; t < n; t++) w[t] = uniform ? 1 : w[t] / sum * (1 - SAMPLER_UNIFORM_PROB) + SAMPLER_UNIFORM_PROB / n;
}

void sampler_refresh(struct sampler *s)
{
    sampler_weights(s, s->weights);
    double sum = 0;
    for (int t = 0; t < s->num_timesteps; t++) s->cumulative[t] = sum += s->weights[t];
}

void sampler_draw(const struct sampler *s, double u, int *t, double *weight)
{
    int last = s->num_timesteps - 1, low = 0, high = last;
    double sum = s->cumulative[last], target = u * sum;
    while (low < high) { /* the first timestep whose cumulative weight exceeds the target */
        int middle = low + (high - low) / 2;
        if (s->cumulative[middle] > target)
            high = middle;
        else
            low = middle + 1;
    }
    *t = low;
    *weight = sum / (s->num_timesteps * s->weights[low]); /* exactly 1 when all are alike */
}

void sampler_update(struct sampler *s, int n, const int *t, const double *loss)
{
    for (int i = 0; i < n; i++) {
        double *losses = s->history + (size_t)t[i] * SAMPLER_HISTORY;
        if (s->counts[t[i]] == SAMPLER_HISTORY) /* drop the oldest */
            memmove(losses, losses + 1, (SAMPLER_HISTORY - 1) * sizeof *losses);
        else
            s->counts[t[i]]++;
        losses[s->counts[t[i]] - 1] = loss[i];
    }
    sampler_refresh(s);
}
