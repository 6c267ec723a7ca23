/* Private to src/evaluate: what measuring, keeping and writing a likelihood share. */
#ifndef IDDPM_EVALUATE_NLL_H
#define IDDPM_EVALUATE_NLL_H

#include "iddpm/evaluate.h"
#include "iddpm/kernels.h"

static inline double nll_column_weight(const struct nll *nll, int column)
{
    int k = nll->steps - 1 - column;
    return nll->first[k + 1] - nll->first[k];
}

/* What was measured on what, and how. */
enum { NLL_SETTINGS = 17 };
void nll_settings(const struct nll *nll, const struct model *model, const struct dataset *data,
                  const struct nll_options *options, struct store_attribute out[NLL_SETTINGS]);

#endif
