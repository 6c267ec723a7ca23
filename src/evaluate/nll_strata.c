/* Strata of timesteps, from each of which an image takes one. */
#include "iddpm/evaluate.h"

#include <math.h>

/* Terms of the bound fall about as 1 / t, so that strata as long as they are far from 0 vary about equally. */
void nll_strata(int timesteps, int strata, int *first)
{
    double ratio = log(timesteps) / strata;
    first[0] = 0;
    for (int k = 1; k < strata; k++) {
        int most = timesteps - (strata - k), at = (int)rint(exp(ratio * k));
        if (at <= first[k - 1]) at = first[k - 1] + 1;
        first[k] = at < most ? at : most;
    }
    first[strata] = timesteps;
}

int nll_stratum_draw(const int *first, int k, uint64_t seed, uint64_t image)
{
    int n = first[k + 1] - first[k];
    if (n == 1) return first[k];
    const struct rng rng = {seed, RNG_STRATUM, (uint32_t)k, (uint32_t)image};
    return first[k] + (int)(rng_one_uniform(&rng) * n);
}
