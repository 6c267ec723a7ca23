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
    uint8_t *pixels;     /* all images of the leaf, NULL when they are read as they are asked for */
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

static uint64_t count_owned(uint64_t n, uint64_t first, uint64_t stride)
{
    return n > first ? (n - first + stride - 1) / stride : 0;
}

static enum iddpm_status own(struct leaf_reader *reader, int shard, uint64_t first, uint64_t stride)
{
    struct owned *owned = &reader->owned[reader->parts];
    owned->first = first;
    owned->stride = stride;
    owned->count = count_owned(reader->dataset->shard_images[shard], first, stride);
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

/* With L > S the leaves m mod S, m mod S + S, ... share a shard; else a leaf has its own for itself: 0, 1 */
static void share_of(int leaf, int leaves, int shards, uint64_t *first, uint64_t *sharing)
{
    *first = (uint64_t)(leaf / shards);
    *sharing = (uint64_t)((leaves - 1 - leaf % shards) / shards + 1);
}

static enum iddpm_status own_all(struct leaf_reader *reader, int leaves)
{
    int shards = reader->dataset->shards, leaf = reader->leaf;
    uint64_t first, sharing;
    share_of(leaf, leaves, shards, &first, &sharing);
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

/* Where the leaf's image number `place` is: the shard, and *index in it. */
static struct shard *find_place(const struct leaf_reader *reader, uint64_t place, uint64_t *index)
{
    int part = reader->parts - 1;
    while (reader->owned[part].before > place) part--;
    const struct owned *owned = &reader->owned[part];
    *index = owned->first + (place - owned->before) * owned->stride;
    return owned->shard;
}

/* All images of one shard that are the leaf's. */
static enum iddpm_status fill_part(struct leaf_reader *reader, const struct owned *owned)
{
    uint8_t *pixels = reader->pixels + owned->before * reader->bytes;
    int64_t *labels = reader->labels + owned->before;
    if (owned->stride == 1)
        TRY(shard_read(owned->shard, owned->first, owned->count, pixels, labels));
    else
        for (uint64_t i = 0; i < owned->count; i++)
            TRY(shard_read(owned->shard, owned->first + i * owned->stride, 1, pixels + i * reader->bytes, labels + i));
    return shard_check(owned->shard);
}

static uint64_t kept_bytes(const struct dataset *dataset, uint64_t images, uint64_t cache_bytes)
{
    uint64_t each = dataset_image_bytes(dataset) + sizeof(int64_t);
    return images > cache_bytes / each ? 0 : images * each;
}

uint64_t leaf_cache_bytes(const struct dataset *dataset, int leaf, int leaves, uint64_t cache_bytes)
{
    uint64_t first, sharing, images = 0;
    share_of(leaf, leaves, dataset->shards, &first, &sharing);
    for (int s = 0; s < dataset->shards; s++)
        if (leaf_reads_shard(leaf, leaves, s, dataset->shards))
            images += count_owned(dataset->shard_images[s], first, sharing);
    return kept_bytes(dataset, images, cache_bytes);
}

static enum iddpm_status fill_cache(struct leaf_reader *reader, uint64_t cache_bytes)
{
    if (!kept_bytes(reader->dataset, reader->images, cache_bytes)) return IDDPM_OK;
    TRY(mem_alloc(&reader->pixels, reader->images, reader->bytes, "images kept in memory (data.cache)"));
    TRY(mem_alloc(&reader->labels, reader->images, sizeof *reader->labels, "images kept in memory (data.cache)"));
    for (int i = 0; i < reader->parts; i++) TRY(fill_part(reader, &reader->owned[i]));
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

/* The leaf's image that is number k of the stream. */
static uint64_t place_in_stream(const struct leaf_reader *reader, uint64_t k)
{
    struct rng rng = {reader->seed, RNG_SHUFFLE, (uint32_t)(k / reader->images), (uint32_t)reader->leaf};
    return rng_permute(&rng, reader->images, k % reader->images);
}

static enum iddpm_status read_images(struct leaf_reader *reader, uint64_t k, int count, uint8_t *images,
                                     int64_t *labels)
{
    uint64_t index;
    for (int i = 0; i < count; i++) {
        struct shard *shard = find_place(reader, place_in_stream(reader, k + (uint64_t)i), &index);
        TRY(shard_read(shard, index, 1, images + (size_t)i * reader->bytes, labels ? &labels[i] : NULL));
    }
    for (int i = 0; i < count; i++) /* once for each of the shards, however many images of it were read */
        TRY(shard_check(find_place(reader, place_in_stream(reader, k + (uint64_t)i), &index)));
    for (int i = 0; i < count; i++) { /* the next ones, read while these are worked on */
        struct shard *shard = find_place(reader, place_in_stream(reader, k + (uint64_t)count + (uint64_t)i), &index);
        shard_expect(shard, index);
    }
    return IDDPM_OK;
}

enum iddpm_status leaf_reader_get(struct leaf_reader *reader, uint64_t k, int count, uint8_t *images, int64_t *labels)
{
    if (!reader->pixels) return read_images(reader, k, count, images, labels);
    for (int i = 0; i < count; i++) {
        uint64_t place = place_in_stream(reader, k + (uint64_t)i);
        memcpy(images + (size_t)i * reader->bytes, reader->pixels + place * reader->bytes, reader->bytes);
        if (labels) labels[i] = reader->labels[place];
    }
    return IDDPM_OK;
}
