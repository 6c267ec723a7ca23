/* Strata of timesteps, from each of which an image takes one. */
#include "iddpm/evaluate.h"

#include <math.h>

/* How many strata of one there are: m + m log(T / m) strata cut T timesteps when m are of one and those behind them, of
 * t / m at t, continue them. */
static double strata_of_one(double timesteps, double strata)
{
    double low = 0, high = strata;
    for (int i = 0; i < 60; i++) {
        double m = (low + high) / 2;
        if (m + m * log(timesteps / m) > strata)
            high = m;
        else
            low = m;
    }
    return high;
}

/* Terms of the bound fall about as 1 / t. So strata in proportion to t vary about equally, and no power of t does
 * better on trained models by more than a few percent. */
void nll_strata(int timesteps, int strata, int *first)
{
    double m = fmax(1, strata_of_one(timesteps, strata)); /* t = 0 is unlike all others */
    double growth = log(timesteps / m) / (strata - m);
    first[0] = 0;
    for (int k = 1; k < strata; k++) {
        int most = timesteps - (strata - k), at = (int)rint(k < m ? k : m * exp((k - m) * growth));
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
