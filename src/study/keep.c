/* What the folder of a study keeps of its file, and what may no longer be changed in it. */
#include "results.h"
#include "tasks.h"

#include "iddpm/store.h"
#include "iddpm/train.h"

#include <stdlib.h>
#include <string.h>

enum iddpm_status point_config_path(const struct study *study, const struct study_point *point, char *out)
{
    if (snprintf(out, PATH_SIZE, "%s/tasks/%s.yaml", study->folder, point->name) < PATH_SIZE) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s: the path of the study is too long", study->folder);
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static enum iddpm_status refuse(const struct study *study, const struct study_point *point, const char *difference)
{
    return iddpm_error(IDDPM_USAGE,
                       "%s: point %s has begun with another configuration:\n%sput back what it had, add a point "
                       "instead (a value in a list), or give the study another folder",
                       study->file, point->name, difference);
}

static bool is_running(const struct study_point *point)
{
    char path[PATH_SIZE];
    return path_join(path, point->run, "owner") == IDDPM_OK && path_exists(path);
}

/* A checkpoint more can be had only while it lies ahead. */
static enum iddpm_status check_saves(const struct study *study, const struct study_point *point)
{
    char folder[PATH_SIZE], path[PATH_SIZE], text[256];
    int64_t *steps = NULL, newest = -1;
    int n = 0;
    if (is_running(point))
        return refuse(study, point, "train.save_steps: its training runs; cancel it first (iddpm study cancel)\n");
    TRY(path_join(folder, point->run, "checkpoints"));
    if (path_is_folder(folder)) TRY(checkpoint_list(folder, &steps, &n));
    if (n > 0) newest = steps[n - 1];
    free(steps);
    for (int i = 0; i < point->n_saves; i++) {
        TRY(checkpoint_path(path, folder, point->saves[i]));
        if (point->saves[i] > newest || path_exists(path)) continue;
        snprintf(text, sizeof text, "train.save_steps: %lld, which is not there, and the training is at %lld\n",
                 (long long)point->saves[i], (long long)newest);
        return refuse(study, point, text);
    }
    return IDDPM_OK;
}

static bool same_saves(const struct config *a, const struct config *b)
{
    const struct int_list *x = &a->train.save_steps, *y = &b->train.save_steps;
    return x->n == y->n && memcmp(x->v, y->v, (size_t)x->n * sizeof *x->v) == 0;
}

/* As a run may be continued, but not for longer. */
static enum iddpm_status compare(const struct study *study, const struct study_point *point, const char *path)
{
    struct config *there;
    char *difference = NULL, steps[128];
    TRY(config_load(&there, path, 0, NULL));
    const long long here_steps = (long long)point->config->train.total_steps,
                    there_steps = (long long)there->train.total_steps;
    bool saves = same_saves(point->config, there);
    enum iddpm_status status = config_difference(point->config, there, train_free_keys, &difference);
    config_destroy(there);
    snprintf(steps, sizeof steps, "train.total_steps: %lld here, %lld there\n", here_steps, there_steps);
    if (status == IDDPM_OK && difference) status = refuse(study, point, difference);
    if (status == IDDPM_OK && here_steps != there_steps) status = refuse(study, point, steps);
    if (status == IDDPM_OK && !saves) status = check_saves(study, point);
    free(difference);
    return status;
}

static enum iddpm_status check_begun(const struct study *study, const struct study_point *point)
{
    char path[PATH_SIZE], run[PATH_SIZE];
    TRY(point_config_path(study, point, path));
    TRY(path_join(run, point->run, "config.yaml"));
    return path_exists(run) && path_exists(path) ? compare(study, point, path) : IDDPM_OK;
}

enum iddpm_status study_check(const struct study *study, int ranks)
{
    struct train_plan plan;
    for (int i = 0; i < study->n_points; i++) {
        const struct study_point *point = &study->points[i];
        if (train_plan(point->config, NULL, 0, ranks, &plan) != IDDPM_OK)
            return iddpm_error_context(IDDPM_USAGE, "%s: point %s", study->file, point->name);
        TRY(check_begun(study, point));
    }
    for (int e = 0; e < study->n_evaluations; e++) TRY(settings_check(study, &study->evaluations[e]));
    return IDDPM_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static enum iddpm_status keep_text(const struct study *study, const char *name, const char *text)
{
    char path[PATH_SIZE];
    TRY(path_join(path, study->folder, name));
    return text_write_if_new(path, text);
}

static enum iddpm_status keep_point(const struct study *study, const struct study_point *point)
{
    char path[PATH_SIZE], *text;
    TRY(point_config_path(study, point, path));
    TRY(config_text(point->config, &text));
    enum iddpm_status status = text_write_if_new(path, text);
    free(text);
    return status;
}

enum iddpm_status study_keep(const struct study *study)
{
    static const char *const folders[] = {"points", "tasks", "logs", "evaluations"};
    char path[PATH_SIZE];
    for (int i = 0; i < 4; i++) {
        TRY(path_join(path, study->folder, folders[i]));
        TRY(path_make_folders(path));
    }
    for (int i = 0; i < study->n_points; i++) TRY(keep_point(study, &study->points[i]));
    for (int e = 0; e < study->n_evaluations; e++) TRY(settings_keep(study, &study->evaluations[e]));
    TRY(keep_text(study, "base.yaml", study->base_text));
    return keep_text(study, "study.yaml", study->text);
}
