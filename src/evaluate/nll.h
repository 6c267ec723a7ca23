/* Private to src/evaluate: what measuring, keeping and writing a likelihood share. */
#ifndef IDDPM_EVALUATE_NLL_H
#define IDDPM_EVALUATE_NLL_H

#include "iddpm/kernels.h"
#include "part.h"

static inline double nll_column_weight(const struct nll *nll, int column)
{
    int k = nll->steps - 1 - column;
    return nll->first[k + 1] - nll->first[k];
}

static inline int nll_columns(const struct model *model, const struct nll_options *options)
{
    int timesteps = model->diffusion->num_timesteps;
    return options->strata > 0 && options->strata < timesteps ? options->strata : timesteps;
}

/* What was measured on what, and how; those of an ensemble at the end. */
enum { NLL_SETTINGS = 17 + ENDS_SETTINGS };
/* `model` has a configuration. */
void nll_settings(const struct model *model, const struct dataset *data, const struct nll_options *options,
                  struct store_attribute out[NLL_SETTINGS]);

/* The name of a setting that is another one in a file, NULL when all are the same; "form" when they cannot be read.
 * Names of files do not count, and what only the last bits depend on counts with `bits`. */
const char *nll_settings_differ(const char *path, int n, const struct store_attribute *settings, bool bits);

/* ---- what is done, kept beside the result (nll_part.c) ----------------------------------------------------------- */

/* Batches are done by columns. On every rank; the terms are rank 0's. */
struct nll_part {
    const char *path; /* NULL: nothing is kept */
    int batch;
    uint64_t n;               /* batches */
    int64_t *columns, *found; /* [n] done of each, and of these found when the job began */
    struct part_clock clock;
};
enum iddpm_status nll_part_create(struct nll_part *part, const struct nll *nll, const struct nll_options *options,
                                  int batch);
void nll_part_destroy(struct nll_part *part);
/* Collective. What a job with the same settings has left at part->path, into nll on rank 0; else nothing. */
enum iddpm_status nll_part_read(struct nll_part *part, const struct parallel *parallel, struct nll *nll, int n,
                                const struct store_attribute *settings);
/* Rank 0. All that is done. */
enum iddpm_status nll_part_write(struct nll_part *part, const struct nll *nll, int n,
                                 const struct store_attribute *settings);

#endif
