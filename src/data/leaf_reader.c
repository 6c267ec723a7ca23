/* The endless stream of one leaf's images: see data.h for the formulas. */
#include "index.h"

#include <stdlib.h>
#include <string.h>

/* The images of one shard that a leaf owns: numbers first, first + stride, ... */
struct owned {
    struct shard *shard;
    uint64_t first, stride, count;
    uint64_t before; /* images of the leaf in the shards before */
};

struct leaf_reader {
    const struct dataset *dataset;
    uint64_t seed, images;
    int leaf, parts;
    struct owned *owned; /* [parts] */
    size_t bytes;        /* of an image */
    uint8_t *pixels;     /* all images of the leaf, NULL when they are read one by one */
    int64_t *labels;
};

void leaf_reader_destroy(struct leaf_reader *reader)
{
    if (!reader) return;
    for (int i = 0; i < reader->parts; i++) shard_close(reader->owned[i].shard);
    free(reader->owned);
    free(reader->pixels);
    free(reader->labels);
    free(reader);
}

static enum iddpm_status own(struct leaf_reader *reader, int shard, uint64_t first, uint64_t stride)
{
    uint64_t n = reader->dataset->shard_images[shard];
    struct owned *owned = &reader->owned[reader->parts];
    owned->first = first;
    owned->stride = stride;
    owned->count = n > first ? (n - first + stride - 1) / stride : 0;
    owned->before = reader->images;
    TRY(dataset_open_shard(reader->dataset, shard, &owned->shard));
    reader->parts++;
    reader->images += owned->count;
    return IDDPM_OK;
}

bool leaf_reads_shard(int leaf, int leaves, int s, int shards)
{
    return leaves > shards ? leaf % shards == s : s % leaves == leaf;
}

static enum iddpm_status own_all(struct leaf_reader *reader, int leaves)
{
    int shards = reader->dataset->shards, leaf = reader->leaf;
    /* with L > S the leaves m mod S, m mod S + S, ... share a shard; else a leaf has its own for itself: 0, 1 */
    uint64_t first = (uint64_t)(leaf / shards), sharing = (uint64_t)((leaves - 1 - leaf % shards) / shards + 1);
    TRY(mem_alloc(&reader->owned, (size_t)(shards / leaves + 1), sizeof *reader->owned, "a leaf's shards"));
    for (int s = 0; s < shards; s++)
        if (leaf_reads_shard(leaf, leaves, s, shards)) TRY(own(reader, s, first, sharing));
    if (!reader->images)
        return iddpm_error(IDDPM_USAGE,
                           "%s: %llu images in %d shards are too few for %d leaves: leaf %d would have none; use fewer "
                           "leaves or more data",
                           reader->dataset->folder, (unsigned long long)reader->dataset->images, shards, leaves, leaf);
    return IDDPM_OK;
}

/* The leaf's image number `place` from its file. */
static enum iddpm_status read_place(struct leaf_reader *reader, uint64_t place, uint8_t *image, int64_t *label)
{
    int part = reader->parts - 1;
    while (reader->owned[part].before > place) part--;
    const struct owned *owned = &reader->owned[part];
    return shard_read(owned->shard, owned->first + (place - owned->before) * owned->stride, 1, image, label);
}

static enum iddpm_status fill_cache(struct leaf_reader *reader, uint64_t cache_bytes)
{
    uint64_t each = reader->bytes + sizeof *reader->labels;
    if (reader->images > cache_bytes / each) return IDDPM_OK;
    TRY(mem_alloc(&reader->pixels, reader->images, reader->bytes, "images kept in memory (data.cache)"));
    TRY(mem_alloc(&reader->labels, reader->images, sizeof *reader->labels, "images kept in memory (data.cache)"));
    for (uint64_t i = 0; i < reader->images; i++)
        TRY(read_place(reader, i, reader->pixels + i * reader->bytes, reader->labels + i));
    return IDDPM_OK;
}

enum iddpm_status leaf_reader_create(struct leaf_reader **out, const struct dataset *dataset, int leaf, int leaves,
                                     uint64_t seed, uint64_t cache_bytes)
{
    struct leaf_reader *reader;
    *out = NULL;
    TRY(mem_alloc(&reader, 1, sizeof *reader, "a leaf reader"));
    *reader =
        (struct leaf_reader){.dataset = dataset, .seed = seed, .leaf = leaf, .bytes = dataset_image_bytes(dataset)};
    enum iddpm_status status = own_all(reader, leaves);
    if (status == IDDPM_OK) status = fill_cache(reader, cache_bytes);
    if (status == IDDPM_OK)
        *out = reader;
    else
        leaf_reader_destroy(reader);
    return status;
}

uint64_t leaf_reader_images(const struct leaf_reader *reader)
{
    return reader->images;
}

enum iddpm_status leaf_reader_get(struct leaf_reader *reader, uint64_t k, int count, uint8_t *images, int64_t *labels)
{
    for (int i = 0; i < count; i++, k++) {
        struct rng rng = {reader->seed, RNG_SHUFFLE, (uint32_t)(k / reader->images), (uint32_t)reader->leaf};
        uint64_t place = rng_permute(&rng, reader->images, k % reader->images);
        uint8_t *image = images + (size_t)i * reader->bytes;
        if (reader->pixels) {
            memcpy(image, reader->pixels + place * reader->bytes, reader->bytes);
            if (labels) labels[i] = reader->labels[place];
        } else {
            TRY(read_place(reader, place, image, labels ? &labels[i] : NULL));
        }
    }
    return IDDPM_OK;
}
