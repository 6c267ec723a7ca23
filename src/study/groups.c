/* Which points belong to one curve, and which to one frontier. */
#include "cells.h"
#include "collect.h"
#include "names.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool belongs_to_size(const char *key)
{
    return strcmp(key, "run.seed") != 0 && strncmp(key, "budget.", 7) != 0;
}

static bool differs(const struct study *study, const char *key)
{
    const char *first = point_value(&study->points[0], key);
    for (int p = 1; p < study->n_points; p++)
        if (strcmp(point_value(&study->points[p], key), first) != 0) return true;
    return false;
}

static void name_size(const struct study_point *point, const bool *named, group_name name)
{
    name[0] = 0;
    for (int i = 0; i < point->n_values; i++)
        if (named[i]) label_add(name, STUDY_NAME, key_end(point->values[i].key), point->values[i].text);
    if (!*name) snprintf(name, STUDY_NAME, "all");
}

enum { FAMILY_PARTS = 4 };

static void family_parts(const struct config *config, char parts[FAMILY_PARTS][STUDY_NAME])
{
    snprintf(parts[0], STUDY_NAME, "%s", config_objective(config));
    snprintf(parts[1], STUDY_NAME, "%s", config->diffusion.noise_schedule);
    snprintf(parts[2], STUDY_NAME, "T %" PRId64, config->diffusion.diffusion_steps);
    snprintf(parts[3], STUDY_NAME, "%s", config->data.path);
}

static void find_family_parts(const struct study *study, bool named[FAMILY_PARTS])
{
    char first[FAMILY_PARTS][STUDY_NAME], parts[FAMILY_PARTS][STUDY_NAME];
    memset(named, 0, FAMILY_PARTS * sizeof *named);
    family_parts(study->points[0].config, first);
    for (int p = 1; p < study->n_points; p++) {
        family_parts(study->points[p].config, parts);
        for (int i = 0; i < FAMILY_PARTS; i++) named[i] |= strcmp(parts[i], first[i]) != 0;
    }
}

static void name_family(const struct study_point *point, const bool named[FAMILY_PARTS], group_name name)
{
    char parts[FAMILY_PARTS][STUDY_NAME];
    family_parts(point->config, parts);
    snprintf(name, STUDY_NAME, "frontier");
    for (int i = 0; i < FAMILY_PARTS; i++)
        if (named[i]) label_add(name, STUDY_NAME, "", parts[i]);
}

static int find_name(group_name *names, int *n, const group_name name)
{
    int i = 0;
    while (i < *n && strcmp(names[i], name) != 0) i++;
    if (i == *n) memcpy(names[(*n)++], name, STUDY_NAME);
    return i;
}

/* Values stand in one order in all points. */
static enum iddpm_status find_named(const struct study *study, bool **named)
{
    int n = study->points[0].n_values;
    TRY(mem_alloc(named, (size_t)n, sizeof **named, "groups of points"));
    for (int i = 0; i < n; i++) {
        const char *key = study->points[0].values[i].key;
        (*named)[i] = belongs_to_size(key) && differs(study, key);
    }
    return IDDPM_OK;
}

enum iddpm_status groups_make(const struct study *study, struct groups *groups)
{
    size_t n = (size_t)study->n_points;
    bool *named, family_named[FAMILY_PARTS];
    *groups = (struct groups){0};
    if (n == 0) return iddpm_error(IDDPM_USAGE, "%s: this study has no points", study->file);
    TRY(mem_alloc(&groups->sizes, n, sizeof *groups->sizes, "groups of points"));
    TRY(mem_alloc(&groups->families, n, sizeof *groups->families, "groups of points"));
    TRY(mem_alloc(&groups->size, n, sizeof *groups->size, "groups of points"));
    TRY(mem_alloc(&groups->family, n, sizeof *groups->family, "groups of points"));
    TRY(find_named(study, &named));
    find_family_parts(study, family_named);
    for (size_t p = 0; p < n; p++) {
        group_name name = "";
        name_size(&study->points[p], named, name);
        groups->size[p] = find_name(groups->sizes, &groups->n_sizes, name);
        name_family(&study->points[p], family_named, name);
        groups->family[p] = find_name(groups->families, &groups->n_families, name);
    }
    free(named);
    return IDDPM_OK;
}

void groups_free(struct groups *groups)
{
    free(groups->sizes);
    free(groups->families);
    free(groups->size);
    free(groups->family);
}
