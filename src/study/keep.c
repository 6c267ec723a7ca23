/* What the folder of a study keeps of its file, and what may no longer be changed in it. */
#include "tasks.h"

#include "iddpm/train.h"

#include <stdlib.h>
#include <string.h>

#define CONFIG_FILE_MAX ((size_t)1 << 16)

/* What may become another in a point that has begun: nothing that its results depend on. */
static const char *const free_keys[] = {"run.dir",
                                        "data.local",
                                        "data.cache",
                                        "data.eval_path",
                                        "train.log_interval",
                                        "train.save_interval",
                                        "parallel.threads",
                                        "parallel.overlap",
                                        "parallel.watchdog",
                                        "store.",
                                        NULL};

enum iddpm_status point_config_path(const struct study *study, const struct study_point *point, char *out)
{
    if (snprintf(out, PATH_SIZE, "%s/tasks/%s.yaml", study->folder, point->name) < PATH_SIZE) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s: the path of the study is too long", study->folder);
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static enum iddpm_status compare(const struct study *study, const struct study_point *point, const char *path)
{
    struct config *there;
    char *difference = NULL;
    TRY(config_load(&there, path, 0, NULL));
    enum iddpm_status status = config_difference(point->config, there, free_keys, &difference);
    config_destroy(there);
    if (status == IDDPM_OK && difference)
        status = iddpm_error(IDDPM_USAGE,
                             "%s: point %s has begun with another configuration:\n%sput back what it had, add a point "
                             "instead (a value in a list), or give the study another folder",
                             study->file, point->name, difference);
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
    return IDDPM_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static enum iddpm_status write_if_new(const char *path, const char *text)
{
    char *there = NULL;
    bool same =
        path_exists(path) && path_read_text(path, CONFIG_FILE_MAX, &there) == IDDPM_OK && strcmp(there, text) == 0;
    free(there);
    return same ? IDDPM_OK : path_write_text(path, text);
}

static enum iddpm_status keep_text(const struct study *study, const char *name, const char *text)
{
    char path[PATH_SIZE];
    TRY(path_join(path, study->folder, name));
    return write_if_new(path, text);
}

static enum iddpm_status keep_point(const struct study *study, const struct study_point *point)
{
    char path[PATH_SIZE], *text;
    TRY(point_config_path(study, point, path));
    TRY(config_text(point->config, &text));
    enum iddpm_status status = write_if_new(path, text);
    free(text);
    return status;
}

enum iddpm_status study_keep(const struct study *study)
{
    static const char *const folders[] = {"points", "tasks", "logs"};
    char path[PATH_SIZE];
    for (int i = 0; i < 3; i++) {
        TRY(path_join(path, study->folder, folders[i]));
        TRY(path_make_folders(path));
    }
    for (int i = 0; i < study->n_points; i++) TRY(keep_point(study, &study->points[i]));
    TRY(keep_text(study, "base.yaml", study->base_text));
    return keep_text(study, "study.yaml", study->text);
}
