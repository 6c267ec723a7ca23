/* A data set as a whole: index, shards, images by global index. */
#include "index.h"

#include <stdlib.h>
#include <string.h>

enum iddpm_status dataset_parse(struct dataset **out, const char *folder, const char *index_text)
{
    struct dataset *dataset;
    *out = NULL;
    TRY(mem_alloc(&dataset, 1, sizeof *dataset, folder));
    dataset->folder = mem_strdup(folder);
    enum iddpm_status status =
        dataset->folder ? index_parse(dataset, index_text) : iddpm_error(IDDPM_FAILED, "%s: no memory", folder);
    if (status == IDDPM_OK)
        *out = dataset;
    else
        dataset_close(dataset);
    return status;
}

enum iddpm_status dataset_open(struct dataset **out, const char *folder)
{
    char *text;
    *out = NULL;
    TRY(dataset_index_text(folder, &text));
    enum iddpm_status status = dataset_parse(out, folder, text);
    free(text);
    return status;
}

void dataset_close(struct dataset *dataset)
{
    if (!dataset) return;
    for (int i = 0; i < dataset->classes; i++) free(dataset->class_names[i]);
    for (int s = 0; s < dataset->shards; s++) {
        shard_close(dataset->opened[s]);
        free(dataset->shard_names[s]);
    }
    free(dataset->class_names);
    free(dataset->shard_images);
    free(dataset->shard_names);
    free(dataset->shard_crcs);
    free(dataset->opened);
    free(dataset->folder);
    free(dataset->copy);
    free(dataset->source);
    free(dataset->license);
    free(dataset->hash);
    free(dataset);
}

/* Equal hashes are not enough: the same images may be dealt into another number of shards. */
static bool same_index(const struct dataset *a, const struct dataset *b)
{
    return strcmp(a->hash, b->hash) == 0 && a->shards == b->shards &&
           memcmp(a->shard_crcs, b->shard_crcs, (size_t)a->shards * sizeof *a->shard_crcs) == 0;
}

enum iddpm_status dataset_use_copy(struct dataset *dataset, const char *folder)
{
    struct dataset *copy;
    TRY(dataset_open(&copy, folder));
    bool same = same_index(dataset, copy);
    dataset_close(copy);
    if (!same)
        return iddpm_error(IDDPM_FAILED,
                           "%s is no copy of %s: their indices say that they hold other images, or in other shards; "
                           "copy it again (jobs/stage.sh)",
                           folder, dataset->folder);
    dataset->copy = mem_strdup(folder);
    return dataset->copy ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: no memory", folder);
}

enum iddpm_status dataset_index_path(const struct dataset *dataset, char *out)
{
    return path_join(out, dataset->folder, INDEX_FILE);
}

enum iddpm_status dataset_shard_path(const struct dataset *dataset, int s, char *out)
{
    return path_join(out, dataset->folder, dataset->shard_names[s]);
}

enum iddpm_status dataset_reserve_shards(struct dataset *dataset, int n)
{
    TRY(mem_alloc(&dataset->shard_images, (size_t)n, sizeof *dataset->shard_images, "shards"));
    TRY(mem_alloc(&dataset->shard_names, (size_t)n, sizeof *dataset->shard_names, "shards"));
    TRY(mem_alloc(&dataset->shard_crcs, (size_t)n, sizeof *dataset->shard_crcs, "shards"));
    TRY(mem_alloc(&dataset->opened, (size_t)n, sizeof *dataset->opened, "shards"));
    dataset->shards = n;
    return IDDPM_OK;
}

size_t dataset_image_bytes(const struct dataset *dataset)
{
    return (size_t)dataset->height * (size_t)dataset->width * (size_t)dataset->channels;
}

static const char *shards_folder(const struct dataset *dataset)
{
    return dataset->copy ? dataset->copy : dataset->folder;
}

static enum iddpm_status compare_with_index(const struct dataset *dataset, int s, const struct shard *shard)
{
    uint64_t n;
    int h, w, c;
    shard_shape(shard, &n, &h, &w, &c);
    if (n != dataset->shard_images[s] || h != dataset->height || w != dataset->width || c != dataset->channels)
        return iddpm_error(
            IDDPM_FAILED,
            "%s/%s: holds [%llu][%d][%d][%d] but the index says [%llu][%d][%d][%d]; import the data again",
            shards_folder(dataset), dataset->shard_names[s], (unsigned long long)n, h, w, c,
            (unsigned long long)dataset->shard_images[s], dataset->height, dataset->width, dataset->channels);
    if (shard_crc32(shard) != dataset->shard_crcs[s])
        return iddpm_error(IDDPM_FAILED,
                           "%s/%s: its checksum is %08x but the index says %08x: it belongs to another import; import "
                           "the data again",
                           shards_folder(dataset), dataset->shard_names[s], shard_crc32(shard), dataset->shard_crcs[s]);
    return IDDPM_OK;
}

enum iddpm_status dataset_open_shard(const struct dataset *dataset, int s, struct shard **out)
{
    char path[PATH_SIZE];
    TRY(path_join(path, shards_folder(dataset), dataset->shard_names[s]));
    enum iddpm_status status = shard_open(out, path);
    if (status == IDDPM_OK && (status = compare_with_index(dataset, s, *out)) != IDDPM_OK) {
        shard_close(*out);
        *out = NULL;
    }
    if (status != IDDPM_OK && dataset->copy)
        return iddpm_error_context(status, "in the copy of %s (jobs/stage.sh copies it again)", dataset->folder);
    return status;
}

enum iddpm_status dataset_verify(const struct dataset *dataset)
{
    for (int s = 0; s < dataset->shards; s++) {
        struct shard *shard;
        TRY(dataset_open_shard(dataset, s, &shard));
        enum iddpm_status status = shard_verify(shard);
        shard_close(shard);
        TRY(status);
    }
    return IDDPM_OK;
}

/* Room for what one shard gives to a call of dataset_read. */
struct block {
    uint8_t *images;
    int64_t *labels;
};

/* Those of the images [first, first + count) that lie in shard s: global index g0 + k S, k < n. */
static enum iddpm_status read_from_shard(const struct dataset *dataset, uint64_t first, uint64_t count, int s,
                                         const struct block *block, uint8_t *images, int64_t *labels)
{
    uint64_t stride = (uint64_t)dataset->shards, g0 = first + ((uint64_t)s + stride - first % stride) % stride;
    if (g0 >= first + count) return IDDPM_OK;
    uint64_t n = (first + count - g0 + stride - 1) / stride;
    if (!dataset->opened[s]) TRY(dataset_open_shard(dataset, s, &dataset->opened[s]));
    TRY(shard_read(dataset->opened[s], g0 / stride, n, block->images, block->labels));
    TRY(shard_check(dataset->opened[s]));
    size_t bytes = dataset_image_bytes(dataset);
    for (uint64_t k = 0; k < n; k++) {
        uint64_t place = g0 + k * stride - first;
        memcpy(images + place * bytes, block->images + k * bytes, bytes);
        if (labels) labels[place] = block->labels[k];
    }
    return IDDPM_OK;
}

enum iddpm_status dataset_read(const struct dataset *dataset, uint64_t first, uint64_t count, uint8_t *images,
                               int64_t *labels)
{
    if (count > dataset->images || first > dataset->images - count)
        return iddpm_error(IDDPM_FAILED, "%s: holds %llu images; %llu from number %llu on were asked for",
                           dataset->folder, (unsigned long long)dataset->images, (unsigned long long)count,
                           (unsigned long long)first);
    struct block block = {0};
    uint64_t most = count / (uint64_t)dataset->shards + 1;
    enum iddpm_status status = mem_alloc(&block.images, most, dataset_image_bytes(dataset), "images");
    if (status == IDDPM_OK) status = mem_alloc(&block.labels, most, sizeof *block.labels, "labels");
    for (int s = 0; s < dataset->shards && status == IDDPM_OK; s++)
        status = read_from_shard(dataset, first, count, s, &block, images, labels);
    free(block.images);
    free(block.labels);
    return status;
}
