/* Samples as files. */
#include "iddpm/evaluate.h"

enum { SHOWN_SIZE = 64 }; /* pixels that an image has at least in a grid */

static enum iddpm_status write_enlarged(const struct picture *grid, int factor, const char *path)
{
    if (factor <= 1) return picture_write_png(grid, path);
    struct picture large;
    TRY(picture_resize(grid, grid->width * factor, grid->height * factor, FILTER_BOX, &large)); /* pixels repeated */
    enum iddpm_status status = picture_write_png(&large, path);
    picture_destroy(&large);
    return status;
}

enum iddpm_status samples_write_png(const struct samples *samples, const char *path)
{
    struct picture grid;
    int n = samples->images < SAMPLE_GRID_MAX ? (int)samples->images : SAMPLE_GRID_MAX;
    if (samples->channels != 1 && samples->channels != 3)
        return iddpm_error(IDDPM_USAGE, "%s: images of %d channels are no picture; only 1 or 3 can be drawn", path,
                           samples->channels);
    TRY(picture_grid(n, samples->height, samples->width, samples->channels, samples->pixels, &grid));
    enum iddpm_status status = write_enlarged(&grid, SHOWN_SIZE / samples->height, path);
    picture_destroy(&grid);
    return status;
}

enum iddpm_status samples_write_npz(const struct samples *samples, const char *path)
{
    const uint64_t n = samples->images;
    const struct npz_array arrays[] = {
        {"arr_0",
         STORE_U8,
         4,
         {n, (uint64_t)samples->height, (uint64_t)samples->width, (uint64_t)samples->channels},
         samples->pixels},
        {"arr_1", STORE_I64, 1, {n}, samples->labels},
    };
    return npz_write(path, samples->labels ? 2 : 1, arrays);
}
