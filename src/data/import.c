/* Import: the images of a source, dealt in a seeded order into shards; the index last. Holds one image and a chunk per
 * shard in memory, never the set. */
#include "import.h"
#include "sha256.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define SHARDS_DEFAULT 16
#define SHARDS_MAX 4096
#define PICTURE_SIDE_MAX 4096

struct deal {
    const struct import_options *options;
    struct dataset *dataset;
    struct import_source *source;
    struct shard_writer **writers; /* [shards]; NULL once finished */
    int shards;
    struct sha256 hash;
    uint64_t *class_images; /* [classes] */
    uint8_t *image;
    size_t image_bytes;
};

enum iddpm_status import_describe(struct dataset *dataset, int height, int width, int channels, const char *source,
                                  const char *license)
{
    dataset->height = height;
    dataset->width = width;
    dataset->channels = channels;
    dataset->source = mem_strdup(source);
    dataset->license = mem_strdup(license);
    return dataset->source && dataset->license ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "no memory");
}

enum iddpm_status import_add_class(struct dataset *dataset, const char *name)
{
    dataset->class_names[dataset->classes] = mem_strdup(name);
    if (!dataset->class_names[dataset->classes]) return iddpm_error(IDDPM_FAILED, "no memory for class names");
    dataset->classes++;
    return IDDPM_OK;
}

/* ---- dealing ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status shard_path(char *out, const struct dataset *dataset, int s)
{
    char name[32];
    snprintf(name, sizeof name, TARGET_SHARD_NAME, s);
    return path_join(out, dataset->folder, name);
}

/* All shards are open at once, and the usual limit is 1,024 files; a process may raise its own. */
static enum iddpm_status allow_files(int shards)
{
    enum { OTHERS = 64 };
    struct rlimit limit;
    rlim_t need = (rlim_t)shards + OTHERS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= need) return IDDPM_OK;
    limit.rlim_cur = need;
    if (limit.rlim_max >= need && setrlimit(RLIMIT_NOFILE, &limit) == 0) return IDDPM_OK;
    return iddpm_error(
        IDDPM_USAGE,
        "--shards %d: needs %llu open files, but only %llu are allowed here (ulimit -Hn): use fewer shards", shards,
        (unsigned long long)need, (unsigned long long)limit.rlim_max);
}

static enum iddpm_status deal_open(struct deal *deal)
{
    const struct dataset *dataset = deal->dataset;
    uint64_t count = deal->source->count;
    char path[PATH_SIZE];
    deal->shards = deal->options->shards ? deal->options->shards : SHARDS_DEFAULT;
    if ((uint64_t)deal->shards > count && !deal->options->shards) deal->shards = (int)count;
    TRY(allow_files(deal->shards));
    deal->image_bytes = dataset_image_bytes(dataset);
    sha256_start(&deal->hash);
    TRY(mem_alloc(&deal->image, deal->image_bytes, 1, "an image"));
    TRY(mem_alloc(&deal->class_images, (size_t)dataset->classes, sizeof *deal->class_images, "classes"));
    TRY(mem_alloc(&deal->writers, (size_t)deal->shards, sizeof *deal->writers, "shards"));
    for (int s = 0; s < deal->shards; s++) {
        TRY(shard_path(path, dataset, s));
        TRY(shard_create(&deal->writers[s], path, dataset->height, dataset->width, dataset->channels));
    }
    return IDDPM_OK;
}

static void deal_close(struct deal *deal)
{
    for (int s = 0; deal->writers && s < deal->shards; s++) shard_abandon(deal->writers[s]);
    free(deal->writers);
    free(deal->class_images);
    free(deal->image);
}

static enum iddpm_status deal_image(struct deal *deal, int64_t label)
{
    struct dataset *dataset = deal->dataset;
    TRY(shard_append(deal->writers[dataset->images % (uint64_t)deal->shards], deal->image, label));
    sha256_add(&deal->hash, deal->image, deal->image_bytes);
    sha256_add(&deal->hash, &label, sizeof label);
    dataset->images++;
    if (label < 0)
        dataset->unlabelled++;
    else
        deal->class_images[label]++;
    return IDDPM_OK;
}

static enum iddpm_status deal_all(struct deal *deal)
{
    struct import_source *source = deal->source;
    struct rng rng = {.seed = deal->options->seed, .purpose = RNG_SHUFFLE};
    struct log_progress progress;
    log_progress_start(&progress, "import", "images", 0, (double)source->count);
    for (uint64_t j = 0; j < source->count; j++) {
        int64_t label = -1;
        if (stop_signal())
            return iddpm_error(IDDPM_FAILED, "import stopped by signal %d (%s); nothing is kept, start it again",
                               stop_signal(), strsignal(stop_signal()));
        enum iddpm_status status =
            source->fetch(source->state, rng_permute(&rng, source->count, j), deal->image, &label);
        if (status == IDDPM_OK) {
            TRY(deal_image(deal, label));
        } else if (source->may_skip && !deal->options->strict) {
            source->skipped++;
            log_warn("skipped: %s", iddpm_error_text());
        } else {
            return status;
        }
        log_progress_show(&progress, (double)(j + 1), NULL);
    }
    return IDDPM_OK;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* Shards that got nothing, because there are fewer good images than shards, are left out. */
static enum iddpm_status finish_shards(struct deal *deal)
{
    struct dataset *dataset = deal->dataset;
    int n = dataset->images < (uint64_t)deal->shards ? (int)dataset->images : deal->shards;
    if (deal->options->shards > n)
        return iddpm_error(IDDPM_USAGE, "%d shards are more than there are images (%d); ask for fewer",
                           deal->options->shards, n);
    TRY(dataset_reserve_shards(dataset, n));
    for (int s = n; s < deal->shards; s++) {
        shard_abandon(deal->writers[s]);
        deal->writers[s] = NULL;
    }
    for (int s = 0; s < n; s++) {
        struct shard_writer *writer = deal->writers[s];
        deal->writers[s] = NULL; /* shard_finish destroys it in any case */
        TRY(shard_finish(writer, &dataset->shard_crcs[s]));
        dataset->shard_images[s] = (dataset->images - (uint64_t)s + (uint64_t)n - 1) / (uint64_t)n;
        if (asprintf(&dataset->shard_names[s], TARGET_SHARD_NAME, s) < 0) {
            dataset->shard_names[s] = NULL;
            return iddpm_error(IDDPM_FAILED, "no memory for the names of shards");
        }
    }
    return IDDPM_OK;
}

static enum iddpm_status finish(struct deal *deal)
{
    struct dataset *dataset = deal->dataset;
    char hash[SHA256_HEX];
    if (!dataset->images) return iddpm_error(IDDPM_FAILED, "%s: no image could be imported", deal->options->source);
    TRY(finish_shards(deal));
    sha256_hex(&deal->hash, hash);
    dataset->hash = mem_strdup(hash);
    if (!dataset->hash) return iddpm_error(IDDPM_FAILED, "no memory");
    for (int i = 0; i < dataset->classes; i++)
        if (!deal->class_images[i]) log_warn("class %d (%s) has no image", i, dataset->class_names[i]);
    TRY(path_sync_folder(dataset->folder)); /* no index may be seen before its shards */
    TRY(index_write(dataset));
    return path_sync_folder(dataset->folder);
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static enum iddpm_status check_options(const struct import_options *options)
{
    bool splits = options->kind == IMPORT_DIGITS || options->kind == IMPORT_CIFAR10;
    if (!options->source && options->kind != IMPORT_DIGITS)
        return iddpm_error(IDDPM_USAGE, "import: the source is missing");
    if (!options->target) return iddpm_error(IDDPM_USAGE, "import: the folder to make is missing");
    if (options->kind == IMPORT_FOLDER && (options->size < 1 || options->size > PICTURE_SIDE_MAX))
        return iddpm_error(IDDPM_USAGE,
                           "import folder: --size N is needed: the pixels to which pictures are brought, 1 to %d",
                           PICTURE_SIDE_MAX);
    if (options->kind != IMPORT_FOLDER && options->size)
        return iddpm_error(IDDPM_USAGE, "--size is for `import folder`; these images have a size of their own");
    if (options->shards < 0 || options->shards > SHARDS_MAX)
        return iddpm_error(IDDPM_USAGE, "--shards %d: 1 to %d are possible", options->shards, SHARDS_MAX);
    if (options->split && !splits)
        return iddpm_error(IDDPM_USAGE, "--split is for `import digits` and `import cifar10`, which have two parts");
    if (options->split && strcmp(options->split, "train") != 0 && strcmp(options->split, "test") != 0)
        return iddpm_error(IDDPM_USAGE, "--split %s: train or test", options->split);
    if (options->authors_classes && options->kind != IMPORT_CIFAR10)
        return iddpm_error(IDDPM_USAGE, "--authors-classes is for `import cifar10`");
    return IDDPM_OK;
}

static enum iddpm_status open_source(const struct import_options *options, struct dataset *dataset,
                                     struct import_source *source)
{
    switch (options->kind) {
    case IMPORT_DIGITS:
        return import_digits_open(options, dataset, source);
    case IMPORT_CIFAR10:
        return import_cifar10_open(options, dataset, source);
    case IMPORT_FOLDER:
        return import_folder_open(options, dataset, source);
    case IMPORT_NPZ:
        return import_npz_open(options, dataset->folder, dataset, source);
    }
    return iddpm_error(IDDPM_USAGE, "import: unknown kind of source");
}

static enum iddpm_status import_into(const struct import_options *options, struct dataset *dataset,
                                     struct import_result *result)
{
    struct import_source source = {0};
    struct deal deal = {.options = options, .dataset = dataset, .source = &source};
    dataset->folder = mem_strdup(options->target);
    enum iddpm_status status =
        dataset->folder ? open_source(options, dataset, &source) : iddpm_error(IDDPM_FAILED, "no memory");
    if (status == IDDPM_OK) status = deal_open(&deal);
    if (status == IDDPM_OK) status = deal_all(&deal);
    if (status == IDDPM_OK) status = finish(&deal);
    deal_close(&deal);
    if (source.close) source.close(source.state);
    *result = (struct import_result){dataset->images, source.skipped, dataset->classes, dataset->shards};
    return status;
}

enum iddpm_status data_import(const struct import_options *options, struct import_result *result)
{
    struct target target;
    struct dataset *dataset;
    *result = (struct import_result){0};
    TRY(check_options(options));
    TRY(mem_alloc(&dataset, 1, sizeof *dataset, "a data set"));
    enum iddpm_status status = target_open(&target, options->target);
    if (status == IDDPM_OK) {
        status = import_into(options, dataset, result);
        if (status == IDDPM_OK)
            target_close(&target);
        else
            target_discard(&target);
    }
    dataset_close(dataset);
    return status;
}
