/* Which points of a study make one curve, and what it is called. */
#include "collect.h"
#include "figure.h"
#include "names.h"

#include <stdlib.h>
#include <string.h>

const char *variance_name(const struct config *config)
{
    if (config->diffusion.learn_sigma) return "learned variances";
    return config->diffusion.sigma_small ? "fixed variances, β̃" : "fixed variances, β";
}

/* ---- labels ------------------------------------------------------------------------------------------------------ */

static bool is_one_of(const char *key, const char *const *keys)
{
    for (; *keys; keys++)
        if (strcmp(key, *keys) == 0) return true;
    return false;
}

/* Seed and budget make no curve of its own; the keys of an objective are told by its name. */
static void configuration_label(const struct study_point *point, char label[FIGURE_TEXT])
{
    static const char *const passed[] = {
        "run.seed",     "train.total_steps", "train.lr_anneal_steps", "train.save_steps",
        "budget.steps", "budget.images",     "budget.flops",          NULL};
    static const char *const objective[] = {"diffusion.learn_sigma", "diffusion.use_kl", "train.schedule_sampler",
                                            "diffusion.rescale_learned_sigmas", NULL};
    bool named = false;
    for (int i = 0; i < point->n_values; i++) {
        const char *key = point->values[i].key;
        if (is_one_of(key, passed)) continue;
        if (!is_one_of(key, objective)) label_add(label, FIGURE_TEXT, key_end(key), point->values[i].text);
        if (is_one_of(key, objective) && !named) label_add(label, FIGURE_TEXT, "", config_objective(point->config));
        named |= is_one_of(key, objective);
    }
    if (!*label) label_add(label, FIGURE_TEXT, "", config_objective(point->config));
}

void figure_group_label(const struct study_point *point, enum grouping by, char label[FIGURE_TEXT])
{
    const struct config *config = point->config;
    *label = 0;
    switch (by) {
    case BY_CONFIGURATION:
        configuration_label(point, label);
        break;
    case BY_OBJECTIVE:
        label_add(label, FIGURE_TEXT, "", config_objective(config));
        break;
    case BY_SIZE:
        snprintf(label, FIGURE_TEXT, "%lld channels, %.3g M parameters", (long long)config->model.num_channels,
                 (double)point->parameters / 1e6);
        break;
    case BY_VARIANCE:
        label_add(label, FIGURE_TEXT, "", variance_name(config));
        break;
    case BY_DROPOUT:
        snprintf(label, FIGURE_TEXT, "dropout %g, %s", config->model.dropout, config->diffusion.noise_schedule);
        break;
    }
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

/* Their number; only the first FIGURE_SERIES_MAX are kept. */
static int group_by(const struct study *study, enum grouping by, struct group *groups)
{
    int n = 0;
    for (int p = 0; p < study->n_points; p++) {
        char label[FIGURE_TEXT];
        int g = 0, kept = n < FIGURE_SERIES_MAX ? n : FIGURE_SERIES_MAX;
        figure_group_label(&study->points[p], by, label);
        while (g < kept && strcmp(groups[g].label, label) != 0) g++;
        if (g < kept) {
            groups[g].n++;
            if (study->points[p].flops > study->points[groups[g].best].flops) groups[g].best = p;
            continue;
        }
        if (n < FIGURE_SERIES_MAX) {
            groups[n] = (struct group){.best = p, .n = 1};
            strcpy(groups[n].label, label);
        }
        n++;
    }
    return n;
}

int figure_groups(const struct study *study, enum grouping otherwise, struct group groups[FIGURE_SERIES_MAX],
                  char note[FIGURE_TEXT])
{
    int n = group_by(study, BY_CONFIGURATION, groups);
    if (n > FIGURE_SERIES_MAX) {
        n = group_by(study, otherwise, groups);
        snprintf(note, FIGURE_TEXT, "Of %d points, those of the most compute of their kind.", study->n_points);
    }
    if (n <= FIGURE_SERIES_MAX) return n;
    snprintf(note, FIGURE_TEXT, "Of %d points, the first %d kinds.", study->n_points, FIGURE_SERIES_MAX);
    return FIGURE_SERIES_MAX;
}

/* ---- what was measured on them ----------------------------------------------------------------------------------- */

const struct study_evaluation *find_evaluation(const struct study *study, const char *name)
{
    for (int e = 0; e < study->n_evaluations; e++)
        if (strcmp(study->evaluations[e].name, name) == 0) return &study->evaluations[e];
    return NULL;
}

static bool was_measured(const struct figure_input *in, const struct study_evaluation *evaluation)
{
    for (int i = 0; in->results && i < in->results->n; i++)
        if (strcmp(in->results->rows[i].evaluation, evaluation->name) == 0) return true;
    return false;
}

const struct study_evaluation *main_evaluation(const struct figure_input *in)
{
    const struct study_evaluation *respaced = NULL;
    for (int e = 0; e < in->study->n_evaluations; e++) {
        const struct study_evaluation *evaluation = &in->study->evaluations[e];
        if (evaluation->kind != STUDY_NLL || !was_measured(in, evaluation)) continue;
        if (!evaluation->respacing || !*evaluation->respacing) return evaluation;
        if (!respaced) respaced = evaluation;
    }
    return respaced;
}

const struct study_row *last_row(const struct figure_input *in, int point, const struct study_evaluation *evaluation)
{
    const struct study_row *last = NULL;
    for (int i = in->first_row[point]; i >= 0; i = in->next_row[i]) {
        const struct study_row *row = &in->results->rows[i];
        if (strcmp(row->evaluation, evaluation->name) == 0 && (!last || row->step > last->step)) last = row;
    }
    return last;
}
