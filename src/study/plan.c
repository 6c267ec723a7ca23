/* What the points of a study cost: memory from the plan of the step, hours from floating point operations. */
#include "networks.h"

#include "iddpm/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct planning {
    const struct study *study;
    double flops, node_bytes; /* per second and core */
    int ranks;
    struct networks networks;
    struct { /* data sets by their paths; NULL: cannot be opened */
        const char *path;
        struct dataset *data;
    } data[32];
    int n_data;
};

int study_ranks(const struct study *study)
{
    int64_t ranks = 1, all = study->slurm.nodes * study->slurm.tasks_per_node;
    while (2 * ranks <= all) ranks *= 2;
    return (int)ranks;
}

/* NULL when it is not there, or there are too many. */
static const struct dataset *find_data(struct planning *p, const char *path)
{
    for (int i = 0; i < p->n_data; i++)
        if (strcmp(p->data[i].path, path) == 0) return p->data[i].data;
    if (!*path || p->n_data == (int)(sizeof p->data / sizeof *p->data)) return NULL;
    p->data[p->n_data].path = path;
    if (dataset_open(&p->data[p->n_data].data, path) != IDDPM_OK) p->data[p->n_data].data = NULL;
    return p->data[p->n_data++].data;
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

static enum iddpm_status plan_training(struct planning *p, const struct study_point *point, struct study_cost *cost)
{
    const struct study_slurm *slurm = &p->study->slurm;
    const struct dataset *data = find_data(p, point->config->data.path);
    struct train_plan plan;
    struct net *net;
    TRY(train_plan(point->config, data, 0, p->ranks, &plan));
    TRY(networks_get(&p->networks, point->config, data ? data->classes : -1, plan.microbatch, &net));
    size_t hooks = hooks_bytes(point->config, &plan, p->ranks);
    cost->rank_bytes = train_memory(point->config, &plan, data, net, hooks).total;
    int64_t here = slurm->tasks_per_node < p->ranks ? slurm->tasks_per_node : p->ranks;
    double need = (double)cost->rank_bytes * (double)here;
    if (need > p->node_bytes)
        return iddpm_error(IDDPM_USAGE,
                           "%lld ranks of a node need %.3g GiB, and it has %.3g: fewer tasks_per_node, or a smaller "
                           "train.microbatch",
                           (long long)here, need / 0x1p30, p->node_bytes / 0x1p30);
    return IDDPM_OK;
}

/* ---- evaluations ------------------------------------------------------------------------------------------------- */

static double timesteps_of(const struct study_point *point, const char *respacing)
{
    int steps = (int)point->config->diffusion.diffusion_steps, count = steps;
    uint8_t *kept;
    if (!respacing) respacing = point->config->diffusion.timestep_respacing;
    if (mem_alloc(&kept, (size_t)steps, 1, "timesteps") != IDDPM_OK) return count;
    if (space_timesteps(steps, respacing, kept, &count) != IDDPM_OK) count = steps;
    free(kept);
    return count;
}

/* Runs of the network for one image. */
static double evaluation_images(struct planning *p, const struct study_point *point, const struct study_evaluation *e)
{
    int64_t steps[STUDY_SAVES_MAX];
    double timesteps = timesteps_of(point, e->respacing), images = (double)e->images;
    const struct dataset *data = find_data(p, *e->data ? e->data : point->config->data.eval_path);
    if (e->kind == STUDY_NLL && e->strata > 0 && (double)e->strata < timesteps) timesteps = (double)e->strata;
    if (e->kind == STUDY_NLL && data && (images == 0 || images > (double)data->images)) images = (double)data->images;
    return timesteps * images * study_evaluation_steps(point, e, steps);
}

/* ---- points ------------------------------------------------------------------------------------------------------ */

static void plan_point(struct planning *p, const struct study_point *point, struct study_cost *cost)
{
    const struct study_slurm *slurm = &p->study->slurm;
    double nodes = (double)slurm->nodes, runs = 0;
    double an_hour = 3600 * p->flops * (double)(slurm->cpus_per_task * p->ranks); /* of the whole job */
    *cost = (struct study_cost){.job_hours = point->flops / an_hour};
    for (int i = 0; i < p->study->n_evaluations; i++) {
        const struct study_evaluation *e = &p->study->evaluations[i];
        int64_t steps[STUDY_SAVES_MAX];
        double images = evaluation_images(p, point, e), hours = 2 * (double)point->macs * images / an_hour;
        runs += images;
        if (e->kind == STUDY_NLL)
            cost->nll_hours = fmax(cost->nll_hours, hours);
        else /* a job for each checkpoint */
            cost->sample_hours = fmax(cost->sample_hours, hours / study_evaluation_steps(point, e, steps));
    }
    cost->train_hours = cost->job_hours * nodes;
    cost->eval_hours = 2 * (double)point->macs * runs / an_hour * nodes;
    if (plan_training(p, point, cost) != IDDPM_OK)
        snprintf(cost->refusal, sizeof cost->refusal, "%.500s", iddpm_error_text());
}

enum iddpm_status study_costs(const struct study *study, double flops, double node_bytes, struct study_cost *costs)
{
    struct planning p = {.study = study, .flops = flops, .node_bytes = node_bytes, .ranks = study_ranks(study)};
    for (int i = 0; i < study->n_points; i++) plan_point(&p, &study->points[i], &costs[i]);
    for (int i = 0; i < p.n_data; i++) dataset_close(p.data[i].data);
    networks_free(&p.networks);
    return IDDPM_OK;
}
