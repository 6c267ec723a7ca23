/* Samples as files. */
#include "sample.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHOWN_SIZE = 64 }; /* pixels that an image has at least in a grid */

static int columns_of(const struct samples *samples)
{
    return samples->columns > 1 ? samples->columns : 1;
}

static size_t record_of(const struct samples *samples)
{
    size_t image = (size_t)samples->height * (size_t)samples->width * (size_t)samples->channels;
    return sample_record(image, columns_of(samples), samples->latents);
}

/* What is kept of an image; `room` is where it comes to when it is in a file. */
static enum iddpm_status record_at(const struct samples *samples, uint64_t i, void *room, const void **out)
{
    *out = room;
    if (!samples->pixels) return sample_part_read(samples->part, i, room);
    *out = samples->pixels + i * record_of(samples);
    return IDDPM_OK;
}

/* The first n, malloc'ed. */
static enum iddpm_status read_records(const struct samples *samples, uint64_t n, void *out)
{
    char *all, **to = out;
    size_t record = record_of(samples);
    TRY(mem_alloc(&all, (size_t)n, record, "samples"));
    *to = all;
    enum iddpm_status status = IDDPM_OK;
    for (uint64_t i = 0; i < n && status == IDDPM_OK; i++) {
        const void *found;
        watchdog_at("reading samples", -1);
        status = record_at(samples, i, all + i * record, &found);
        if (status == IDDPM_OK && found != all + i * record) memcpy(all + i * record, found, record);
    }
    if (status == IDDPM_OK) return status;
    free(all);
    *to = NULL;
    return status;
}

/* ---- pictures ---------------------------------------------------------------------------------------------------- */

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
    uint8_t *pixels;
    const int columns = columns_of(samples), most = columns < SAMPLE_GRID_MAX ? SAMPLE_GRID_MAX / columns : 1;
    int n = samples->images < (uint64_t)most ? (int)samples->images : most;
    if (samples->channels != 1 && samples->channels != 3)
        return iddpm_error(IDDPM_USAGE, "%s: images of %d channels are no picture; only 1 or 3 can be drawn", path,
                           samples->channels);
    pixels = samples->pixels;
    if (!pixels) TRY(read_records(samples, (uint64_t)n, &pixels));
    enum iddpm_status status = picture_grid(n * columns, columns > 1 ? columns : 0, samples->height, samples->width,
                                            samples->channels, pixels, &grid);
    if (!samples->pixels) free(pixels);
    if (status == IDDPM_OK) status = write_enlarged(&grid, SHOWN_SIZE / samples->height, path);
    picture_destroy(&grid);
    return status;
}

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

/* Name and data apart. */
static struct npz_array describe(const struct samples *samples)
{
    const uint64_t h = (uint64_t)samples->height, w = (uint64_t)samples->width, c = (uint64_t)samples->channels;
    const uint64_t columns = (uint64_t)columns_of(samples);
    if (samples->latents) return (struct npz_array){"arr_0", STORE_F64, 5, {1, samples->images, h, w, c}, NULL};
    if (columns > 1) return (struct npz_array){"arr_0", STORE_U8, 5, {samples->images, columns, h, w, c}, NULL};
    return (struct npz_array){"arr_0", STORE_U8, 4, {samples->images, h, w, c}, NULL};
}

static enum iddpm_status write_arrays(const struct samples *samples, struct npz_writer *writer, void *room)
{
    const struct npz_array images = describe(samples);
    TRY(npz_writer_begin(writer, &images));
    for (uint64_t i = 0; i < samples->images; i++) {
        const void *record;
        watchdog_at("writing samples", -1);
        TRY(record_at(samples, i, room, &record));
        TRY(npz_writer_add(writer, record, record_of(samples)));
    }
    if (!samples->labels) return IDDPM_OK;
    const struct npz_array labels = {"arr_1", STORE_I64, 1, {samples->images}, NULL};
    TRY(npz_writer_begin(writer, &labels));
    return npz_writer_add(writer, samples->labels, (size_t)samples->images * sizeof *samples->labels);
}

enum iddpm_status samples_write_npz(const struct samples *samples, const char *path)
{
    struct npz_writer *writer;
    void *room;
    TRY(mem_alloc(&room, record_of(samples), 1, "an image"));
    enum iddpm_status status = npz_writer_open(&writer, path);
    if (status == IDDPM_OK) status = npz_writer_close(writer, write_arrays(samples, writer, room));
    free(room);
    return status;
}

static enum iddpm_status write_latents(const struct samples *samples, struct rows_writer *writer, void *room)
{
    const size_t image = record_of(samples) / sizeof(double);
    for (uint64_t i = 0; i < samples->images; i++) {
        const void *record;
        watchdog_at("writing latents", -1);
        TRY(record_at(samples, i, room, &record));
        TRY(rows_write_elements(writer, 0, i * image, image, record));
    }
    return samples->labels ? rows_write(writer, 1, 0, samples->images, samples->labels) : IDDPM_OK;
}

enum iddpm_status samples_write_latents(const struct samples *samples, const char *path)
{
    const struct npz_array images = describe(samples);
    struct store_array arrays[] = {{"noise", STORE_F64, images.ndim, {0}, NULL},
                                   {"labels", STORE_I64, 1, {samples->images}, NULL}};
    struct rows_writer *writer;
    void *room;
    if (!samples->latents) return iddpm_error(IDDPM_USAGE, "%s: these samples are no latents", path);
    memcpy(arrays[0].dims, images.dims, sizeof images.dims);
    TRY(mem_alloc(&room, record_of(samples), 1, "an image"));
    enum iddpm_status status = rows_create(&writer, path, samples->labels ? 2 : 1, arrays, 0, NULL);
    if (status == IDDPM_OK) status = write_latents(samples, writer, room);
    if (status == IDDPM_OK)
        status = rows_finish(writer);
    else
        rows_abandon(writer);
    free(room);
    return status;
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

enum { RECORD = SAMPLE_SETTINGS + 1 };

/* With whether there is an archive, last. */
static void record_settings(const struct model *model, const struct sample_options *options, bool npz,
                            struct store_attribute out[RECORD])
{
    sample_settings(model, options, out);
    out[SAMPLE_SETTINGS] = setting_integer("npz", npz);
}

enum iddpm_status samples_write_record(const struct model *model, const struct sample_options *options, bool npz,
                                       const char *path)
{
    struct store_attribute settings[RECORD];
    char *text;
    record_settings(model, options, npz, settings);
    TRY(settings_write(RECORD, settings, &text));
    enum iddpm_status status = path_write_text(path, text);
    free(text);
    return status;
}

bool samples_are_made(const struct model *model, const struct sample_options *options, bool npz, const char *path)
{
    struct store_attribute settings[RECORD];
    char *text;
    if (!path_exists(path) || path_read_text(path, 1 << 20, &text) != IDDPM_OK) return false;
    record_settings(model, options, npz, settings);
    bool same = !settings_differ(text, npz ? RECORD : SAMPLE_SETTINGS, settings, false);
    free(text);
    return same;
}
