/* Which timesteps the bits of an image come from: figure 2 of the paper. */
#include "iddpm/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct curve {
    size_t steps; /* timesteps, or strata of them */
    bool strata;
    double *timesteps, *terms; /* [steps], means over images; a stratum stands at its middle */
    char title[512];
};

static void curve_destroy(struct curve *curve)
{
    free(curve->timesteps);
    free(curve->terms);
}

static enum iddpm_status read_title(struct curve *curve, const char *path)
{
    double mean, error, step;
    char *weights, *data = NULL;
    TRY(store_read_number(path, "/", "bits_per_dim", &mean));
    TRY(store_read_number(path, "/", "standard_error", &error));
    TRY(store_read_number(path, "/", "step", &step));
    TRY(store_read_text(path, "/", "weights", &weights));
    enum iddpm_status status = store_read_text(path, "/", "data", &data);
    if (status == IDDPM_OK) {
        const char *slash = strrchr(data, '/');
        snprintf(curve->title, sizeof curve->title, "step %.0f, %s, %zu %s, %.200s: %.3f ± %.3f bits/dim", step,
                 weights, curve->steps, curve->strata ? "strata" : "timesteps", slash && slash[1] ? slash + 1 : data,
                 mean, error);
    }
    free(weights);
    free(data);
    return status;
}

/* The middles of strata, whose sizes stand in the file, the last one first. */
static enum iddpm_status take_middles(struct curve *curve, const char *path)
{
    double diffusion_steps, num_timesteps, first = 0;
    struct store_array sizes;
    TRY(store_read_number(path, "/", "diffusion_steps", &diffusion_steps));
    TRY(store_read_number(path, "/", "num_timesteps", &num_timesteps));
    TRY(store_read(path, "column_weights", STORE_F64, &sizes));
    bool fits = sizes.ndim == 1 && sizes.dims[0] == curve->steps && num_timesteps > 1;
    for (size_t k = curve->steps; k-- > 0 && fits;) {
        double size = ((const double *)sizes.data)[k], middle = first + (size - 1) / 2;
        curve->timesteps[k] = middle * (diffusion_steps - 1) / (num_timesteps - 1);
        first += size;
    }
    free(sizes.data);
    return fits ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: column_weights does not fit vb", path);
}

/* Means over images of vb [images][steps], and the timestep of each column. */
static enum iddpm_status take_terms(struct curve *curve, const char *path, const struct store_array *vb,
                                    const struct store_array *timesteps)
{
    curve->strata = timesteps->ndim == 2;
    if (vb->ndim != 2 || vb->dims[0] == 0 || timesteps->ndim < 1 || timesteps->ndim > 2 ||
        vb->dims[1] != timesteps->dims[timesteps->ndim - 1])
        return iddpm_error(IDDPM_FAILED, "%s: vb and timesteps have shapes that do not fit each other", path);
    curve->steps = (size_t)vb->dims[1];
    TRY(mem_alloc(&curve->timesteps, curve->steps, sizeof(double), "timesteps"));
    TRY(mem_alloc(&curve->terms, curve->steps, sizeof(double), "mean terms"));
    const double *terms = vb->data;
    for (uint64_t i = 0; i < vb->dims[0]; i++)
        for (size_t k = 0; k < curve->steps; k++) curve->terms[k] += *terms++ / (double)vb->dims[0];
    if (curve->strata) return take_middles(curve, path);
    for (size_t k = 0; k < curve->steps; k++) curve->timesteps[k] = (double)((const int64_t *)timesteps->data)[k];
    return IDDPM_OK;
}

static enum iddpm_status curve_read(struct curve *curve, const char *path)
{
    struct store_array vb, timesteps = {0};
    enum iddpm_status status = store_read(path, "vb", STORE_F64, &vb);
    if (status == IDDPM_OK) status = store_read(path, "timesteps", STORE_I64, &timesteps);
    if (status == IDDPM_OK) status = take_terms(curve, path, &vb, &timesteps);
    free(vb.data);
    free(timesteps.data);
    if (status != IDDPM_OK) return status;
    return read_title(curve, path);
}

static void write_curves(struct gnuplot *plot, int n, const struct curve *curves)
{
    enum { FEW = 100 }; /* timesteps that are shown as points */
    double last = 0;
    for (int i = 0; i < n; i++) {
        char name[32];
        for (size_t k = 0; k < curves[i].steps; k++) last = fmax(last, curves[i].timesteps[k]);
        snprintf(name, sizeof name, "result_%d", i);
        gnuplot_data(plot, name, curves[i].steps, curves[i].timesteps, curves[i].terms);
    }
    fputs("set title 'Terms of the variational bound'\nset xlabel 'diffusion step t'\n"
          "set ylabel 'mean over images, bits/dim'\nset logscale y\nset format y '10^{%L}'\n",
          plot->script);
    fprintf(plot->script, "set xrange [%g:%g]\nplot ", -0.015 * last,
            1.015 * last); /* the first term stays off the axis */
    for (int i = 0; i < n; i++) {
        const char *with = curves[i].steps <= FEW ? "linespoints pointtype 7 pointsize 0.7" : "lines";
        fprintf(plot->script, "$result_%d using 1:2 with %s linetype %d linewidth 1.6 title ", i, with, i % 8 + 1);
        gnuplot_string(plot, curves[i].title);
        fputs(", ", plot->script);
    }
    fputs("\n", plot->script);
}

enum iddpm_status plot_vb_terms(int n, char *const *results, const char *path)
{
    struct curve *curves;
    struct gnuplot plot;
    TRY(mem_alloc(&curves, (size_t)n, sizeof *curves, "curves"));
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < n && status == IDDPM_OK; i++) status = curve_read(&curves[i], results[i]);
    if (status == IDDPM_OK) status = gnuplot_begin(&plot, path);
    if (status == IDDPM_OK) {
        write_curves(&plot, n, curves);
        status = gnuplot_end(&plot, IDDPM_OK);
    }
    for (int i = 0; i < n; i++) curve_destroy(&curves[i]);
    free(curves);
    return status;
}
