/* iddpm study plan: the points of a study and what they cost. */
#include "slurm.h"
#include "study.h"

#include "iddpm/kernels.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct plan {
    const struct study *study;
    double flops, limit; /* per second and core; hours of a job, 0: not given */
    bool measured;
    struct study_cost *costs;
};

/* "12.3 M" */
static void short_number(double value, char out[16])
{
    static const char *const units[] = {"", " k", " M", " G", " T", " P", " E"};
    int unit = 0;
    while (value >= 999.5 && unit < 6) value /= 1000, unit++;
    snprintf(out, 16, "%.3g%s", value, units[unit]);
}

void study_hours_text(double hours, char out[16])
{
    if (hours < 1.0 / 60)
        snprintf(out, 16, "%.2g s", 3600 * hours);
    else if (hours < 1)
        snprintf(out, 16, "%.0f min", 60 * hours);
    else
        snprintf(out, 16, hours < 99.5 ? "%.3g h" : "%.0f h", hours);
}

static void print_rows(const struct plan *plan)
{
    int width = 5;
    for (int i = 0; i < plan->study->n_points; i++)
        if ((int)strlen(plan->study->points[i].name) > width) width = (int)strlen(plan->study->points[i].name);
    printf("%-*s %10s %10s %10s %9s %11s %11s %11s\n", width, "point", "parameters", "MACs/image", "steps", "FLOPs",
           "MB per rank", "node-hours", "evaluation");
    for (int i = 0; i < plan->study->n_points; i++) {
        const struct study_point *p = &plan->study->points[i];
        const struct study_cost *cost = &plan->costs[i];
        char parameters[16], macs[16], train[16], evaluate[16];
        short_number((double)p->parameters, parameters);
        short_number((double)p->macs, macs);
        study_hours_text(cost->train_hours, train);
        study_hours_text(cost->eval_hours, evaluate);
        printf("%-*s %10s %10s %10lld %9.3g %11.0f %11s %11s\n", width, p->name, parameters, macs, (long long)p->steps,
               p->flops, (double)cost->rank_bytes * 1e-6, train, evaluate);
    }
}

static void print_total(const struct plan *plan)
{
    double flops = 0, train = 0, evaluate = 0;
    char train_text[16], evaluate_text[16];
    const struct study_slurm *slurm = &plan->study->slurm;
    for (int i = 0; i < plan->study->n_points; i++) {
        flops += plan->study->points[i].flops;
        train += plan->costs[i].train_hours;
        evaluate += plan->costs[i].eval_hours;
    }
    study_hours_text(train, train_text);
    study_hours_text(evaluate, evaluate_text);
    printf("\ntotal: %d points, %.3g FLOPs of training, %s of a node for training, %s for evaluations\n",
           plan->study->n_points, flops, train_text, evaluate_text);
    printf("at %.3g GFLOP/s per core%s; a job has %lld nodes, %d ranks, %lld cores each\n", plan->flops * 1e-9,
           plan->measured ? ", measured now on the smallest network with one thread of this machine" : "",
           (long long)slurm->nodes, study_ranks(plan->study), (long long)slurm->cpus_per_task);
}

/* Each reason once, with how many points it stands for. */
static int print_refusals(const struct plan *plan)
{
    int refused = 0;
    for (int i = 0; i < plan->study->n_points; i++) {
        const char *why = plan->costs[i].refusal;
        int first = 0, same = 0;
        while (first < i && strcmp(plan->costs[first].refusal, why) != 0) first++;
        if (!*why) continue;
        refused++;
        if (first < i) continue;
        for (int k = i; k < plan->study->n_points; k++) same += strcmp(plan->costs[k].refusal, why) == 0;
        printf("does not fit: %s", plan->study->points[i].name);
        if (same > 1) printf(" and %d more", same - 1);
        printf(": %s\n", why);
    }
    return refused;
}

static void print_long_jobs(const struct plan *plan, size_t hours, const char *what, const char *outcome)
{
    int n = 0;
    double most = 0;
    for (int i = 0; i < plan->study->n_points && plan->limit > 0; i++) {
        double h = *(const double *)((const char *)&plan->costs[i] + hours);
        n += h > plan->limit;
        most = fmax(most, h);
    }
    if (n > 0)
        printf("%d point%s %s for longer than slurm.time, the longest %.3g h: %s\n", n, n > 1 ? "s" : "", what, most,
               outcome);
}

static enum iddpm_status find_limit(struct plan *plan)
{
    const char *time = plan->study->slurm.time;
    double seconds = 0;
    if (*time && !slurm_duration(time, &seconds))
        return iddpm_error(IDDPM_USAGE,
                           "%s: slurm.time: found '%.80s'; allowed are minutes, MM:SS, HH:MM:SS, D-HH:MM:SS",
                           plan->study->file, time);
    plan->limit = seconds / 3600;
    return IDDPM_OK;
}

static enum iddpm_status report(const struct cli *cli, struct plan *plan)
{
    static const char returns[] = "such a job saves and goes back into the queue, as often as it takes";
    double memory = plan->study->slurm.memory * 0x1p30;
    if (memory == 0) memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    TRY(find_limit(plan));
    TRY(cli_start(cli, NULL));
    kernels_set_threads(1);
    plan->measured = plan->flops == 0;
    if (plan->measured) TRY(study_throughput(plan->study, &plan->flops));
    TRY(mem_alloc(&plan->costs, (size_t)plan->study->n_points, sizeof *plan->costs, "costs of points"));
    TRY(study_costs(plan->study, plan->flops, memory, plan->costs));
    print_rows(plan);
    print_total(plan);
    print_long_jobs(plan, offsetof(struct study_cost, job_hours), "train", returns);
    print_long_jobs(plan, offsetof(struct study_cost, nll_hours), "measure bits/dim", returns);
    print_long_jobs(plan, offsetof(struct study_cost, sample_hours), "draw pictures", returns);
    int refused = print_refusals(plan);
    if (refused == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "study plan: %d of %d points do not fit", refused, plan->study->n_points);
}

enum iddpm_status study_cmd_plan(struct cli *cli)
{
    double throughput = 0;
    const struct option options[] = {
        {"throughput", "GFLOPS", "GFLOP/s of a core in training; 0: measured on the smallest network, some seconds",
         .number = &throughput, .min = 0}};
    const struct usage usage = {
        "FILE|STUDY",
        "The points of a study and what each costs: parameters, multiply-adds of an image, steps, floating point\n"
        "operations of the training (6 for each multiply-add), memory of a rank, hours of a node; the total, and what\n"
        "does not fit. Nothing is submitted or written. Hours are counted as if ranks and cores cost nothing to share.",
        1, 1, OPTIONS(options)};
    bool done;
    struct study *study;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    TRY(study_read(&study, cli->argv[0]));
    struct plan plan = {.study = study, .flops = throughput * 1e9};
    enum iddpm_status status = report(cli, &plan);
    free(plan.costs);
    study_destroy(study);
    return status;
}
