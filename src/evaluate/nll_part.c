/* What a likelihood job has done, kept beside its result. */
#include "nll.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum iddpm_status nll_part_create(struct nll_part *part, const struct nll *nll, const struct nll_options *options,
                                  int batch)
{
    uint64_t size = (uint64_t)batch;
    *part = (struct nll_part){.path = options->part, .batch = batch, .n = (nll->images + size - 1) / size};
    part_clock_start(&part->clock, options->part_seconds);
    TRY(mem_alloc(&part->columns, part->n, sizeof *part->columns, "list of batches"));
    return mem_alloc(&part->found, part->n, sizeof *part->found, "list of batches");
}

void nll_part_destroy(struct nll_part *part)
{
    free(part->columns);
    free(part->found);
}

void nll_part_remove(const char *part)
{
    char temporary[PATH_SIZE];
    unlink(part);
    if (snprintf(temporary, sizeof temporary, "%s.tmp", part) < (int)sizeof temporary) unlink(temporary);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Images of batches that have been begun. */
static uint64_t images_begun(const struct nll_part *part, uint64_t images)
{
    uint64_t n = part->n;
    while (n > 0 && part->columns[n - 1] == 0) n--;
    n *= (uint64_t)part->batch;
    return n < images ? n : images;
}

enum iddpm_status nll_part_write(struct nll_part *part, const struct nll *nll, int n,
                                 const struct store_attribute *settings)
{
    const uint64_t images = images_begun(part, nll->images), steps = (uint64_t)nll->steps;
    if (images == 0) return IDDPM_OK;
    const struct store_array arrays[] = {
        {"vb", STORE_F64, 2, {images, steps}, nll->vb},
        {"mse", STORE_F64, 2, {images, steps}, nll->mse},
        {"xstart_mse", STORE_F64, 2, {images, steps}, nll->xstart_mse},
        {"prior", STORE_F64, 1, {images}, nll->prior},
        {"columns", STORE_I64, 1, {part->n}, part->columns},
    };
    double began = clock_seconds();
    TRY(store_write(part->path, sizeof arrays / sizeof *arrays, arrays, n, settings));
    part_clock_wrote(&part->clock, began);
    return IDDPM_OK;
}

/* ---- reading (rank 0) -------------------------------------------------------------------------------------------- */

static enum iddpm_status check_settings(const char *path, int n, const struct store_attribute *settings)
{
    const char *differs = nll_settings_differ(path, n, settings, true);
    if (!differs) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s is of a job with another %s", path, differs);
}

static enum iddpm_status read_columns(struct nll_part *part, int steps)
{
    struct store_array columns;
    TRY(store_read(part->path, "columns", STORE_I64, &columns));
    bool fits = columns.ndim == 1 && columns.dims[0] == part->n;
    const int64_t *found = columns.data;
    for (uint64_t i = 0; i < part->n && fits; i++) fits = found[i] >= 0 && found[i] <= steps;
    if (fits) memcpy(part->columns, found, part->n * sizeof *found);
    free(columns.data);
    return fits ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: columns has not what this job needs", part->path);
}

/* Rows of `width` numbers, one for each image that has been begun. */
static enum iddpm_status read_rows(const struct nll_part *part, const char *name, uint64_t images, size_t width,
                                   double *out)
{
    struct store_array array;
    TRY(store_read(part->path, name, STORE_F64, &array));
    bool fits = store_array_elements(&array) == images * width;
    if (fits) memcpy(out, array.data, images * width * sizeof *out);
    free(array.data);
    return fits ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: %s has not what this job needs", part->path, name);
}

static enum iddpm_status read_part(struct nll_part *part, struct nll *nll, int n,
                                   const struct store_attribute *settings)
{
    size_t steps = (size_t)nll->steps;
    TRY(check_settings(part->path, n, settings));
    TRY(read_columns(part, nll->steps));
    uint64_t images = images_begun(part, nll->images);
    TRY(read_rows(part, "vb", images, steps, nll->vb));
    TRY(read_rows(part, "mse", images, steps, nll->mse));
    TRY(read_rows(part, "xstart_mse", images, steps, nll->xstart_mse));
    return read_rows(part, "prior", images, 1, nll->prior);
}

enum iddpm_status nll_part_read(struct nll_part *part, const struct parallel *parallel, struct nll *nll, int n,
                                const struct store_attribute *settings)
{
    watchdog_at("reading what is done", -1);
    if (parallel->rank == 0 && path_exists(part->path) && read_part(part, nll, n, settings) != IDDPM_OK) {
        log_warn("%s; it is not used", iddpm_error_text());
        memset(part->columns, 0, part->n * sizeof *part->columns);
    }
    TRY(parallel_broadcast(parallel, part->columns, part->n * sizeof *part->columns));
    memcpy(part->found, part->columns, part->n * sizeof *part->found);
    int64_t done = 0;
    for (uint64_t i = 0; i < part->n; i++) done += part->columns[i];
    if (done > 0)
        log_info("continues %s: %.0f %% is done", part->path, 100. * (double)done / (double)part->n / nll->steps);
    return IDDPM_OK;
}
