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

enum iddpm_status base_open(struct base **out, const struct parallel *parallel, const char *path)
{
    TRY(parallel_agree(parallel, mem_alloc(out, 1, sizeof **out, "base images")));
    enum iddpm_status status = open_base(*out, parallel, path);
    if (status == IDDPM_OK) return status;
    base_close(*out);
    *out = NULL;
    return status;
}

void base_close(struct base *base)
{
    if (!base) return;
    npz_images_close(base->file);
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
        TRY(npz_images_read(base->file, at, count, pixels + (size_t)done * image));
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
