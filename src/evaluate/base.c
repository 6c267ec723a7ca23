/* Low-resolution images for a super-resolution model: rank 0 reads the file, in order. */
#include "iddpm/evaluate.h"

#include <stdlib.h>
#include <string.h>

/* What rank 0 tells the others. */
struct facts {
    uint64_t images;
    int size, channels, labelled;
    char hash[65];
};

static enum iddpm_status open_file(struct base *base, const char *path, struct facts *facts)
{
    TRY(npz_images_open(&base->file, path));
    const struct npz_images *file = base->file;
    if (file->width != file->height)
        return iddpm_error(IDDPM_USAGE, "%s has images of %dx%d pixels; they must be square", path, file->width,
                           file->height);
    *facts = (struct facts){file->images, file->height, file->channels, file->labels != NULL, ""};
    memcpy(facts->hash, file->hash, sizeof facts->hash);
    return IDDPM_OK;
}

static enum iddpm_status take_facts(struct base *base, const char *path, const struct facts *facts)
{
    base->images = facts->images;
    base->size = facts->size;
    base->channels = facts->channels;
    memcpy(base->hash, facts->hash, sizeof base->hash);
    base->path = mem_strdup(path);
    if (!base->path) return iddpm_error(IDDPM_FAILED, "%s: no memory", path);
    if (!facts->labelled) return IDDPM_OK;
    TRY(mem_alloc(&base->labels, (size_t)base->images, sizeof *base->labels, "classes"));
    if (base->file) memcpy(base->labels, base->file->labels, (size_t)base->images * sizeof *base->labels);
    return IDDPM_OK;
}

static enum iddpm_status open_base(struct base *base, const struct parallel *parallel, const char *path)
{
    struct facts facts = {0};
    watchdog_at("reading the base images", -1);
    TRY(parallel_agree(parallel, parallel->rank == 0 ? open_file(base, path, &facts) : IDDPM_OK));
    TRY(parallel_broadcast(parallel, &facts, sizeof facts));
    TRY(parallel_agree(parallel, take_facts(base, path, &facts)));
    if (!base->labels) return IDDPM_OK;
    return parallel_broadcast(parallel, base->labels, (size_t)base->images * sizeof *base->labels);
}

static enum iddpm_status made(struct base **out, enum iddpm_status status)
{
    if (status == IDDPM_OK) return status;
    base_close(*out);
    *out = NULL;
    return status;
}

enum iddpm_status base_open(struct base **out, const struct parallel *parallel, const char *path)
{
    TRY(parallel_agree(parallel, mem_alloc(out, 1, sizeof **out, "base images")));
    return made(out, open_base(*out, parallel, path));
}

/* Rank 0. */
static enum iddpm_status make_small(struct base *base, const struct dataset *data)
{
    size_t large = (size_t)data->height * (size_t)data->width * (size_t)data->channels;
    size_t small = (size_t)base->size * (size_t)base->size * (size_t)base->channels;
    uint8_t *pixels = NULL;
    double *x = NULL;
    enum iddpm_status status = mem_alloc(&base->pixels, (size_t)base->images, small, "base images");
    if (status == IDDPM_OK) status = mem_alloc(&pixels, large, 1, "an image");
    if (status == IDDPM_OK) status = mem_alloc(&x, large + small, sizeof *x, "an image");
    for (uint64_t i = 0; i < base->images && status == IDDPM_OK; i++) {
        watchdog_at("reading images to enlarge", -1);
        status = dataset_read(data, i, 1, pixels, base->labels ? base->labels + i : NULL);
        if (status != IDDPM_OK) break;
        pixels_to_signal(large, pixels, x);
        signal_area_average(data->height, base->channels, x, base->size, x + large);
        signal_to_pixels(small, x + large, base->pixels + (size_t)i * small);
    }
    free(pixels);
    free(x);
    return status;
}

static enum iddpm_status from_data(struct base *base, const struct parallel *parallel, const struct dataset *data,
                                   uint64_t images, int size)
{
    struct facts facts = {images, size, data->channels, data->classes > 0, ""};
    watchdog_at("reading the base images", -1);
    TRY(parallel_agree(parallel, take_facts(base, data->folder, &facts)));
    TRY(parallel_agree(parallel, parallel->rank == 0 ? make_small(base, data) : IDDPM_OK));
    if (!base->labels) return IDDPM_OK;
    return parallel_broadcast(parallel, base->labels, (size_t)base->images * sizeof *base->labels);
}

enum iddpm_status base_from_data(struct base **out, const struct parallel *parallel, const struct dataset *data,
                                 uint64_t images, int size)
{
    TRY(parallel_agree(parallel, mem_alloc(out, 1, sizeof **out, "base images")));
    return made(out, from_data(*out, parallel, data, images, size));
}

void base_close(struct base *base)
{
    if (!base) return;
    npz_images_close(base->file);
    free(base->pixels);
    free(base->labels);
    free(base->path);
    free(base);
}

/* Rank 0: the file is begun again where it ends. */
static enum iddpm_status read_around(struct base *base, uint64_t first, uint64_t n, uint8_t *pixels)
{
    size_t image = (size_t)base->size * (size_t)base->size * (size_t)base->channels;
    for (uint64_t done = 0, count; done < n; done += count) {
        uint64_t at = (first + done) % base->images;
        count = n - done < base->images - at ? n - done : base->images - at;
        uint8_t *to = pixels + (size_t)done * image;
        if (base->file)
            TRY(npz_images_read(base->file, at, count, to));
        else
            memcpy(to, base->pixels + (size_t)at * image, (size_t)count * image);
    }
    return IDDPM_OK;
}

enum iddpm_status base_read(struct base *base, const struct parallel *parallel, uint64_t first, uint64_t n,
                            uint8_t *pixels)
{
    watchdog_at("reading the base images", -1);
    TRY(parallel_agree(parallel, parallel->rank == 0 ? read_around(base, first, n, pixels) : IDDPM_OK));
    return parallel_broadcast(parallel, pixels,
                              (size_t)n * (size_t)base->size * (size_t)base->size * (size_t)base->channels);
}
