/* Pictures of the study's data set on their way to noise, by either schedule. */
#include "figure.h"
#include "iddpm/diffusion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 4, COLUMNS = 9, SHOWN = 48 /* pixels of the smallest image shown */ };

/* Image `row` at COLUMNS equal distances of t, from the image itself to t = T; the same noise everywhere in a row. */
static void noise_row(const struct diffusion *diffusion, const struct dataset *data, int row, const uint8_t *image,
                      uint8_t *out, double *work)
{
    const size_t n = (size_t)(data->height * data->width * data->channels);
    double *x = work, *noise = work + n, *noised = work + 2 * n;
    pixels_to_signal(n, image, x);
    rng_normal(&(struct rng){.purpose = RNG_NOISE, .slot = (uint32_t)row}, n, noise);
    memcpy(out, image, n);
    for (int k = 1; k < COLUMNS; k++) {
        q_sample(diffusion, k * diffusion->num_timesteps / (COLUMNS - 1) - 1, n, x, noise, noised);
        signal_to_pixels(n, noised, out + (size_t)k * n);
    }
}

/* ROWS x COLUMNS images, one pixel apart on white; each enlarged by a whole factor. */
static enum iddpm_status lay_out(const struct dataset *data, const uint8_t *images, struct picture *out)
{
    const int h = data->height, w = data->width, c = data->channels, factor = h < SHOWN ? (SHOWN + h - 1) / h : 1;
    struct picture grid = {COLUMNS * (w + 1) - 1, ROWS * (h + 1) - 1, 3, NULL};
    TRY(mem_alloc(&grid.pixels, (size_t)grid.width * (size_t)grid.height, 3, "a grid of images"));
    memset(grid.pixels, 255, (size_t)grid.width * (size_t)grid.height * 3);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        for (int p = 0; p < h * w; p++) {
            size_t at =
                (size_t)(i / COLUMNS * (h + 1) + p / w) * (size_t)grid.width + (size_t)(i % COLUMNS * (w + 1) + p % w);
            for (int k = 0; k < 3; k++) grid.pixels[3 * at + (size_t)k] = images[(i * h * w + p) * c + (c > 1 ? k : 0)];
        }
    enum iddpm_status status = picture_resize(&grid, grid.width * factor, grid.height * factor, FILTER_BOX, out);
    picture_destroy(&grid);
    return status;
}

static enum iddpm_status add_schedule(struct figure *figure, const struct dataset *data, const char *name, int steps,
                                      const uint8_t *images)
{
    const size_t n = (size_t)(data->height * data->width * data->channels);
    const struct diffusion_options options = {
        .steps = steps, .noise_schedule = name, .mean = MEAN_EPSILON, .var = VAR_FIXED_SMALL, .loss = LOSS_MSE};
    struct diffusion *diffusion;
    uint8_t *noised = NULL;
    double *work = NULL;
    struct picture picture;
    TRY(diffusion_create(&diffusion, &options));
    enum iddpm_status status = mem_alloc(&noised, ROWS * COLUMNS, n, "noised images");
    if (status == IDDPM_OK) status = mem_alloc(&work, 3 * n, sizeof *work, "noised images");
    for (int r = 0; r < ROWS && status == IDDPM_OK; r++)
        noise_row(diffusion, data, r, images + (size_t)r * n, noised + (size_t)(r * COLUMNS) * n, work);
    if (status == IDDPM_OK) status = lay_out(data, noised, &picture);
    if (status == IDDPM_OK)
        status = figure_tile(figure, &picture, "%s schedule: t = 0, T/8, 2T/8, ..., T = %d", name, steps);
    free(noised);
    free(work);
    diffusion_destroy(diffusion);
    return status;
}

static enum iddpm_status add_both(struct figure *figure, const struct dataset *data, int steps)
{
    uint8_t *images;
    TRY(mem_alloc(&images, ROWS, (size_t)(data->height * data->width * data->channels), "images"));
    enum iddpm_status status = dataset_read(data, 0, ROWS, images, NULL);
    if (status == IDDPM_OK) status = add_schedule(figure, data, "linear", steps, images);
    if (status == IDDPM_OK) status = add_schedule(figure, data, "cosine", steps, images);
    free(images);
    return status;
}

enum iddpm_status fill_noised(const struct figure_input *in, struct figure *figure, char *why)
{
    const struct config *config = in->study->points[0].config;
    struct dataset *data;
    figure->tile_columns = 1;
    if (dataset_open(&data, config->data.path) != IDDPM_OK) {
        snprintf(why, FIGURE_TEXT, "%s", iddpm_error_text());
        return IDDPM_OK;
    }
    enum iddpm_status status = IDDPM_OK;
    if (data->images < ROWS || (data->channels != 1 && data->channels != 3) ||
        config->diffusion.diffusion_steps < COLUMNS)
        snprintf(why, FIGURE_TEXT, "%s: has too few images, or none of 1 or 3 channels", config->data.path);
    else if (add_both(figure, data, (int)config->diffusion.diffusion_steps) != IDDPM_OK)
        snprintf(why, FIGURE_TEXT, "%s", iddpm_error_text());
    dataset_close(data);
    return status;
}
