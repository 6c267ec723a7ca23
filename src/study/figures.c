/* The figures of a study: which there are, in the order of the paper. */
#include "figure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAPER "of Nichol & Dhariwal 2021"

const struct figure_kind figure_kinds[] = {
    {"variance-ratio", "Variances of the posterior against those of the noise",
     "Figure 1 " PAPER
     ": β̃_t / β_t by diffusion step, for processes of different lengths. They differ near t = 0 only.",
     fill_variance_ratio},
    {"terms", "Terms of the variational bound",
     "Figure 2 " PAPER ": terms of the bound by diffusion step, means over held-out images.", fill_terms},
    {"noised", "Noised images along the schedules",
     "Figure 3 " PAPER
     ": images of the study's data set at equal distances of t, with the linear and the cosine schedule.",
     fill_noised},
    {"prefix", "Skipping a prefix of the reverse process",
     "Figure 4 " PAPER ": samples of chains that begin at a later step with noise.", fill_prefix},
    {"alpha-bar", "What is left of the picture", "Figure 5 " PAPER ": ᾱ_t of the linear and the cosine schedule.",
     fill_alpha_bar},
    {"learning-curves", "Learning curves",
     "Figure 6 " PAPER ": the bound while training, raw (pale) and smoothed, and of held-out images with standard "
     "errors. L_simple trains no bound.",
     fill_learning_curves},
    {"noise-scale", "Gradient noise scale",
     "Figure 7 " PAPER ": gradient noise scale over training, raw (pale) and smoothed.", fill_noise_scale},
    {"sampling-steps", "Likelihood and quality against sampling steps",
     "Figure 8 " PAPER " (FID), and its appendix on log-likelihood with fewer steps: by number of steps, with learned "
     "and fixed variances.",
     fill_sampling_steps},
    {"samples", "Samples", "As figure 9 " PAPER ": samples of the last checkpoints.", fill_samples},
    {"compute", "Likelihood against training compute",
     "Figure 10 " PAPER ": held-out bits/dim against training compute, with standard errors and fitted power laws.",
     fill_compute},
    {"two-checkpoints", "The bound of two checkpoints by step",
     "As the appendix " PAPER " on combining L_hybrid and L_vlb: terms of two checkpoints, and their ratio.",
     fill_two_checkpoints},
    {"overfitting", "Overfitting, and where to stop",
     "As the appendix " PAPER " on overfitting on CIFAR-10: training loss against held-out bits/dim; rings mark the "
     "lowest, where early stopping would end.",
     fill_overfitting},
};
const int figure_kinds_n = sizeof figure_kinds / sizeof *figure_kinds;

/* ---- rows and curves by point
 * ----------------------------------------------------------------------------------------------- */

/* Rows come in the study's order, so that the next point is most often this one or the one after it. */
static int find_point(const struct study *study, const char *name, int guess)
{
    for (int k = 0; k < study->n_points; k++) {
        int p = (guess + k) % study->n_points;
        if (strcmp(study->points[p].name, name) == 0) return p;
    }
    return -1;
}

static enum iddpm_status index_curves(struct figure_input *in)
{
    TRY(mem_alloc(&in->curve, (size_t)in->study->n_points, sizeof(int), "curves by point"));
    for (int p = 0; p < in->study->n_points; p++) in->curve[p] = -1;
    for (int i = 0, p = 0; in->results && i < in->results->n_curves; i++) {
        int found = find_point(in->study, in->results->curves[i].point, p);
        if (found >= 0) in->curve[p = found] = i;
    }
    return IDDPM_OK;
}

static enum iddpm_status index_rows(struct figure_input *in)
{
    const int n = in->results ? in->results->n : 0, points = in->study->n_points;
    int *last = NULL;
    TRY(mem_alloc(&in->first_row, (size_t)points, sizeof(int), "rows by point"));
    TRY(mem_alloc(&in->next_row, (size_t)n + 1, sizeof(int), "rows by point"));
    TRY(mem_alloc(&last, (size_t)points, sizeof(int), "rows by point"));
    for (int p = 0; p < points; p++) in->first_row[p] = last[p] = -1;
    for (int i = 0, p = 0; i < n; i++) {
        in->next_row[i] = -1;
        int found = find_point(in->study, in->results->rows[i].point, p);
        if (found < 0) continue; /* of a point that is no longer in the study */
        p = found;
        if (last[p] < 0)
            in->first_row[p] = i;
        else
            in->next_row[last[p]] = i;
        last[p] = i;
    }
    free(last);
    return IDDPM_OK;
}

enum iddpm_status figure_input_make(struct figure_input *in, const struct study *study,
                                    const struct study_results *results, const struct study_fits *fits)
{
    *in = (struct figure_input){.study = study, .results = results, .fits = fits};
    enum iddpm_status status = index_rows(in);
    if (status == IDDPM_OK) status = index_curves(in);
    if (status != IDDPM_OK) figure_input_free(in);
    return status;
}

void figure_input_free(struct figure_input *in)
{
    free(in->first_row);
    free(in->next_row);
    free(in->curve);
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

enum iddpm_status figure_file(const struct study *study, const struct figure_kind *kind, const char *ending,
                              char out[PATH_SIZE])
{
    char name[FIGURE_TEXT];
    snprintf(name, sizeof name, "figures/%s%s", kind->name, ending);
    return path_join(out, study->folder, name);
}

/* What was drawn from results that are no more must not be taken for theirs. */
static enum iddpm_status leave_out(const struct study *study, const struct figure_kind *kind, const char *why)
{
    static const char *const endings[] = {".png", ".svg", ".csv"};
    for (int i = 0; i < 3; i++) {
        char path[PATH_SIZE];
        TRY(figure_file(study, kind, endings[i], path));
        if (unlink(path) != 0 && errno != ENOENT)
            return iddpm_error(IDDPM_FAILED, "%s: cannot remove: %s", path, strerror(errno));
    }
    log_info("left out: %s: %s", kind->name, why);
    return IDDPM_OK;
}

static enum iddpm_status make(const struct figure_input *in, const struct figure_kind *kind, struct figure *figure,
                              const char *folder, bool *drawn)
{
    char why[FIGURE_TEXT] = "", caption[3 * FIGURE_TEXT];
    *drawn = false;
    TRY(kind->fill(in, figure, why));
    if (*why) return leave_out(in->study, kind, why);
    snprintf(caption, sizeof caption, "%s%s%s", kind->caption, *figure->note ? " " : "", figure->note);
    *drawn = true;
    return figure_write(figure, folder, kind->name, kind->title, caption);
}

static enum iddpm_status make_all(const struct figure_input *in, const char *folder)
{
    int n = 0;
    for (int k = 0; k < figure_kinds_n; k++) {
        struct figure figure = {0};
        bool drawn;
        enum iddpm_status status = make(in, &figure_kinds[k], &figure, folder, &drawn);
        figure_destroy(&figure);
        TRY(status);
        n += drawn;
    }
    log_info("%d figures in %s: PNG, SVG and their data as CSV", n, folder);
    return IDDPM_OK;
}

enum iddpm_status study_figures(const struct study *study, const struct study_results *results,
                                const struct study_fits *fits)
{
    char folder[PATH_SIZE];
    struct figure_input in;
    if (study->n_points < 1) return iddpm_error(IDDPM_USAGE, "%s: has no points", study->folder);
    TRY(path_join(folder, study->folder, "figures"));
    TRY(path_make_folders(folder));
    TRY(figure_input_make(&in, study, results, fits));
    enum iddpm_status status = make_all(&in, folder);
    figure_input_free(&in);
    return status;
}
