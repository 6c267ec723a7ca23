/* iddpm study fit: power laws of what was collected. */
#include "study.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void print_fit(const struct study_fit *fit, int width)
{
    if (!fit->fitted) {
        printf("%-*s %3d  no fit: %s\n", width, fit->what, fit->n, fit->why);
        return;
    }
    printf("%-*s %3d  %7.4f [%.4f, %.4f]  %6.4f [%.4f, %.4f]  %8.2e  %.4f", width, fit->what, fit->n, fit->law.l_inf,
           fit->low.l_inf, fit->high.l_inf, fit->law.alpha, fit->low.alpha, fit->high.alpha, fit->law.c_0,
           fit->law.residual);
    if (isfinite(fit->held_predicted))
        printf("  %.4f [%.4f, %.4f], measured %.4f", fit->held_predicted, fit->held_low, fit->held_high,
               fit->held_loss);
    printf("\n");
}

static void print_fits(const struct study_fits *fits)
{
    int width = 5;
    for (int i = 0; i < fits->n; i++)
        if ((int)strlen(fits->fits[i].what) > width) width = (int)strlen(fits->fits[i].what);
    for (int i = 0; i < fits->n; i++) {
        const struct study_fit *fit = &fits->fits[i];
        if (i == 0 || strcmp(fit->evaluation, fit[-1].evaluation) != 0 || strcmp(fit->measure, fit[-1].measure) != 0)
            printf("%s%s of %s: L(C) = L_inf + (C_0 / C)^alpha, 95 %% intervals\n%-*s   n  L_inf%*salpha%*sC_0       "
                   "rms     largest budget predicted from the rest\n",
                   i ? "\n" : "", fit->measure, fit->evaluation, width, "curve", 21, "", 20, "");
        print_fit(fit, width);
    }
}

static void print_sizes(const struct study_sizes *sizes)
{
    for (int i = 0; i < sizes->n; i++) {
        const struct study_size *s = &sizes->sizes[i];
        if (i == 0 || s->compute != s[-1].compute || strcmp(s->family, s[-1].family) != 0 ||
            strcmp(s->evaluation, s[-1].evaluation) != 0 || strcmp(s->measure, s[-1].measure) != 0)
            printf("\n%s of %s by size, each trained with %.4g FLOPs (%s)\n  parameters      images     loss  95 %% "
                   "interval      best in\n",
                   s->measure, s->evaluation, s->compute, s->family);
        printf("%12" PRId64 " %11.4g %8.4f  [%.4f, %.4f]  %5.1f %%  %s\n", s->parameters, s->images, s->loss, s->low,
               s->high, 100 * s->best, s->what);
    }
}

static enum iddpm_status fit(const struct study *study, double l_inf, double compute, uint64_t seed)
{
    struct study_results *results;
    struct study_fits *fits = NULL;
    struct study_sizes *sizes = NULL;
    TRY(study_results_read(&results, study));
    enum iddpm_status status = study_fit(&fits, study, results, l_inf, seed);
    if (status == IDDPM_OK) status = study_sizes_at(&sizes, study, results, compute, seed);
    if (status == IDDPM_OK && fits->n == 0)
        status = iddpm_error(IDDPM_USAGE, "%s: no likelihoods were collected yet, so there is nothing to fit",
                             study->folder);
    if (status == IDDPM_OK) {
        print_fits(fits);
        print_sizes(sizes);
        if (sizes->n == 0 && isfinite(compute)) log_warn("no curve covers %g FLOPs", compute);
        log_info("\nwrote %s/fits.csv and sizes.csv", study->folder);
    }
    study_sizes_destroy(sizes);
    study_fits_destroy(fits);
    study_results_destroy(results);
    return status;
}

enum iddpm_status study_cmd_fit(struct cli *cli)
{
    double l_inf = NAN, compute = NAN;
    int64_t seed = 0;
    bool done;
    const struct option options[] = {
        {"l-inf", "X", "the loss that more compute does not lower; else it is fitted", .number = &l_inf},
        {"budget", "FLOPS", "compare sizes at this compute; else at the largest that two of them reach",
         .number = &compute},
        {"seed", "N", "of the resampling", .integer = &seed, .min = 0}};
    const struct usage usage = {
        "FILE|STUDY",
        "Fits L(C) = L_inf + (C_0 / C)^alpha to what was collected (iddpm study collect): how bits/dim fall with "
        "training compute C, for each model size and for the best ones at each compute. Intervals come from 500 "
        "resamplings of images and seeds; with one seed they do not tell how much runs differ. The largest budget is "
        "also predicted from the rest and set against what was measured. Writes STUDY/fits.csv and STUDY/sizes.csv. "
        "Where the data do not support a fit, it says why.",
        1, 1, OPTIONS(options)};
    struct study *study;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    TRY(study_read(&study, cli->argv[0]));
    enum iddpm_status status = fit(study, l_inf, compute, (uint64_t)seed);
    study_destroy(study);
    return status;
}
