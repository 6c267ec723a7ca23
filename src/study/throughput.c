/* How fast this machine trains: passes of a network, timed. */
#include "iddpm/study.h"

#include "iddpm/train.h"

#include <stdlib.h>

#define SECONDS 2.0     /* of timing, after one pass that warms up */
#define PASS_FLOPS 20e9 /* about as many in a pass */

static const struct study_point *smallest(const struct study *study)
{
    const struct study_point *best = &study->points[0];
    for (int i = 1; i < study->n_points; i++)
        if (study->points[i].macs < best->macs) best = &study->points[i];
    return best;
}

static void pass(struct net *net, const struct net_run *run, float *gradient)
{
    net_forward(net, run);
    net_backward(net, run, gradient);
}

/* Seconds of the fastest pass. */
static double time_passes(struct net *net, const struct net_run *run, float *gradient)
{
    double best = 0, start = clock_seconds();
    pass(net, run, gradient);
    for (start = clock_seconds(); best == 0 || clock_seconds() - start < SECONDS;) {
        double before = clock_seconds();
        pass(net, run, gradient);
        double seconds = clock_seconds() - before;
        if (best == 0 || seconds < best) best = seconds;
    }
    return best;
}

struct arrays {
    float *params, *gradient;
    double *timesteps;
    int64_t *labels;
    uint32_t *slots;
};

static enum iddpm_status fill(const struct net *net, int batch, struct arrays *a)
{
    TRY(mem_alloc(&a->params, net_flat_size(net), sizeof *a->params, "parameters"));
    TRY(mem_alloc(&a->gradient, net_flat_size(net), sizeof *a->gradient, "gradient"));
    TRY(mem_alloc(&a->timesteps, (size_t)batch, sizeof *a->timesteps, "timesteps"));
    TRY(mem_alloc(&a->labels, (size_t)batch, sizeof *a->labels, "labels"));
    TRY(mem_alloc(&a->slots, (size_t)batch, sizeof *a->slots, "slots"));
    net_init_params(net, 0, a->params);
    for (int i = 0; i < batch; i++) a->timesteps[i] = i, a->slots[i] = (uint32_t)i;
    return IDDPM_OK;
}

static enum iddpm_status measure(const struct study_point *point, int batch, double *flops)
{
    struct model_spec spec;
    struct net *net = NULL;
    struct arrays a = {0};
    TRY(model_spec_from_config(point->config, -1, NULL, &spec));
    TRY(unet_create(&net, &spec.unet, batch, NET_TRAINING, 1));
    enum iddpm_status status = fill(net, batch, &a);
    if (status == IDDPM_OK) {
        const struct net_run run = {
            .n = batch, .timesteps = a.timesteps, .labels = a.labels, .slots = a.slots, .set_grads = true};
        net_set_params(net, a.params);
        *flops = 6 * (double)point->macs * batch / time_passes(net, &run, a.gradient);
    }
    net_destroy(net);
    free(a.params);
    free(a.gradient);
    free(a.timesteps);
    free(a.labels);
    free(a.slots);
    return status;
}

enum iddpm_status study_throughput(const struct study *study, double *flops)
{
    const struct study_point *point = smallest(study);
    struct train_plan plan;
    TRY(train_plan(point->config, NULL, 0, 1, &plan));
    double fits = PASS_FLOPS / (6 * (double)point->macs);
    int batch = fits < 1 ? 1 : fits < plan.microbatch ? (int)fits : plan.microbatch;
    return measure(point, batch, flops);
}
