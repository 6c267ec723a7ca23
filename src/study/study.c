/* A study as a whole: what its file says, crossed and checked. */
#include "points.h"

#include <stdlib.h>
#include <string.h>

/* The texts go over to the study. */
static enum iddpm_status make(struct study_file *file, struct study *study)
{
    snprintf(study->file, PATH_SIZE, "%s", file->source.name);
    if (snprintf(study->folder, PATH_SIZE, "%s", file->folder) >= PATH_SIZE - 2 * STUDY_NAME)
        return iddpm_error(IDDPM_USAGE, "%s: study: the path is too long", study->file);
    for (size_t n = strlen(study->folder); n > 1 && study->folder[n - 1] == '/';) study->folder[--n] = 0;
    TRY(evaluations_read(file, study));
    TRY(points_make(file, study));
    study->title = file->title;
    study->text = file->text;
    study->base_text = file->base_text;
    study->slurm = file->slurm;
    file->title = file->text = file->base_text = NULL;
    file->slurm = (struct study_slurm){0};
    return IDDPM_OK;
}

enum iddpm_status study_read(struct study **out, const char *path)
{
    struct study_file file;
    *out = NULL;
    enum iddpm_status status = study_file_read(&file, path);
    if (status == IDDPM_OK) status = mem_alloc(out, 1, sizeof **out, "study");
    if (status == IDDPM_OK) status = make(&file, *out);
    study_file_free(&file);
    if (status == IDDPM_OK) return IDDPM_OK;
    study_destroy(*out);
    *out = NULL;
    return status;
}

void study_destroy(struct study *study)
{
    if (!study) return;
    points_free(study);
    evaluations_free(study);
    char *texts[] = {study->title,           study->text,         study->base_text, study->slurm.time,
                     study->slurm.partition, study->slurm.options};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
    free(study);
}
