/* Private to src/study: a study file as it is written, before its lists are crossed. */
#ifndef IDDPM_STUDY_FILE_H
#define IDDPM_STUDY_FILE_H

#include "fields.h"

/* A key and the values that it takes. */
struct axis {
    const char *key; /* full name */
    int line, n;
    char **texts; /* written as config_get writes them, but for `set` */
    bool listed;  /* a list in the file, so that it is part of the points' names */
};

enum budget { BUDGET_OF_BASE, BUDGET_STEPS, BUDGET_IMAGES, BUDGET_FLOPS };

struct study_file {
    struct source source;
    char *text, *folder, *title, *base_text;
    char base[PATH_SIZE];
    struct axis *set, *grid, *zip; /* each value of zip's keys belongs to those of the same place */
    int n_set, n_grid, n_zip;
    struct axis seeds, amounts; /* n 0: the base's */
    enum budget budget;
    int64_t checkpoints;
    double first; /* share of the budget at which the first of them is */
    const yaml_node_t *evaluate;
    struct study_slurm slurm;
};

/* `path` as study_read takes it. study_file_free in any case. */
enum iddpm_status study_file_read(struct study_file *file, const char *path);
void study_file_free(struct study_file *file);
/* The base with the keys of `set`; the caller's. */
enum iddpm_status study_file_config(const struct study_file *file, struct config **out);
/* Gives a key a value; an error names the line. */
enum iddpm_status study_file_set(const struct study_file *file, struct config *config, int line, const char *key,
                                 const char *text);

/* ---- evaluations.c ----------------------------------------------------------------------------------------------- */

enum iddpm_status evaluations_read(const struct study_file *file, struct study *study);
void evaluations_free(struct study *study);

#endif
