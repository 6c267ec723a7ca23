/* Import: the images of a source, dealt in a seeded order into shards; the index last. Holds one image in memory, never
 * the set, and goes on where it was after a stop or a crash (draft.h). */
#include "import.h"
#include "draft.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define SHARDS_DEFAULT 16
#define SHARDS_MAX 4096
#define PICTURE_SIDE_MAX 4096
#define SAVE_SECONDS 30
#define AHEAD 16 /* images that are announced to the source before they are fetched */

struct deal {
    const struct import_options *options;
    struct dataset *dataset;
    struct import_source *source;
    struct draft draft;
    int shards;
    uint8_t *image;
    double saved; /* clock_seconds of the last save */
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

void import_identify(struct import_source *source, const char *path)
{
    struct stat info = {0};
    sha256_add(&source->identity, path, strlen(path) + 1);
    if (stat(path, &info) != 0) return; /* opening it says why */
    const int64_t numbers[3] = {info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
    sha256_add(&source->identity, numbers, sizeof numbers);
}

enum iddpm_status import_stopped(void)
{
    if (!stop_signal()) return IDDPM_OK;
    return iddpm_error(IDDPM_STOPPED,
                       "import stopped by signal %d (%s) before the first image; run the same command again",
                       stop_signal(), strsignal(stop_signal()));
}

/* ---- dealing ----------------------------------------------------------------------------------------------------- */

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

/* The source, and all that the bytes of the data set depend on. */
static void identify(const struct deal *deal, char out[SHA256_HEX])
{
    const struct import_options *options = deal->options;
    const struct dataset *dataset = deal->dataset;
    struct sha256 hash = deal->source->identity;
    const char *split = options->split ? options->split : "train";
    const uint64_t numbers[] = {deal->source->count,
                                options->kind,
                                (uint64_t)dataset->height,
                                (uint64_t)dataset->width,
                                (uint64_t)dataset->channels,
                                (uint64_t)dataset->classes,
                                (uint64_t)deal->shards,
                                options->seed,
                                options->strict};
    sha256_add(&hash, numbers, sizeof numbers);
    for (int i = 0; i < dataset->classes; i++)
        sha256_add(&hash, dataset->class_names[i], strlen(dataset->class_names[i]) + 1);
    sha256_add(&hash, dataset->source, strlen(dataset->source) + 1);
    sha256_add(&hash, split, strlen(split) + 1);
    sha256_hex(&hash, out);
}

static enum iddpm_status deal_open(struct deal *deal)
{
    const struct dataset *dataset = deal->dataset;
    char identity[SHA256_HEX];
    uint64_t count = deal->source->count;
    deal->shards = deal->options->shards ? deal->options->shards : SHARDS_DEFAULT;
    if ((uint64_t)deal->shards > count && !deal->options->shards) deal->shards = (int)count;
    TRY(allow_files(deal->shards));
    TRY(mem_alloc(&deal->image, dataset_image_bytes(dataset), 1, "an image"));
    identify(deal, identity);
    TRY(draft_open(&deal->draft, dataset, deal->shards, identity));
    if (deal->draft.complete)
        log_info("%s: complete; what is left of its import is removed", dataset->folder);
    else if (deal->draft.saved)
        log_info("%s: continues after %llu of %llu images", dataset->folder, (unsigned long long)deal->draft.state.next,
                 (unsigned long long)count);
    return IDDPM_OK;
}

static void deal_close(struct deal *deal)
{
    draft_close(&deal->draft);
    free(deal->image);
}

/* Saves what is done, for the next start. */
static enum iddpm_status stopped(struct deal *deal)
{
    TRY(draft_save(&deal->draft));
    return iddpm_error(
        IDDPM_STOPPED,
        "import stopped by signal %d (%s) after %llu of %llu images; run the same command again to continue",
        stop_signal(), strsignal(stop_signal()), (unsigned long long)deal->draft.state.next,
        (unsigned long long)deal->source->count);
}

static enum iddpm_status save_in_time(struct deal *deal)
{
    double every = deal->options->save_seconds > 0 ? deal->options->save_seconds : SAVE_SECONDS;
    if (clock_seconds() - deal->saved < every) return IDDPM_OK;
    TRY(draft_save(&deal->draft));
    deal->saved = clock_seconds();
    return IDDPM_OK;
}

/* The image at position j of the order; those a little further on are announced. */
static enum iddpm_status deal_image(struct deal *deal, const struct rng *rng, uint64_t j)
{
    struct import_source *source = deal->source;
    int64_t label = -1;
    if (source->expect && j + AHEAD < source->count)
        source->expect(source->state, rng_permute(rng, source->count, j + AHEAD));
    enum iddpm_status status = source->fetch(source->state, rng_permute(rng, source->count, j), deal->image, &label);
    if (status == IDDPM_OK) return draft_append(&deal->draft, deal->image, label);
    if (!source->may_skip || deal->options->strict) return status;
    deal->draft.state.skipped++;
    log_warn("skipped: %s", iddpm_error_text());
    return IDDPM_OK;
}

static enum iddpm_status deal_all(struct deal *deal)
{
    struct draft_state *state = &deal->draft.state;
    uint64_t count = deal->source->count;
    struct rng rng = {.seed = deal->options->seed, .purpose = RNG_SHUFFLE};
    struct log_progress progress;
    log_progress_start(&progress, "import", "images", (double)state->next, (double)count);
    deal->saved = clock_seconds();
    while (state->next < count) {
        if (stop_signal()) return stopped(deal);
        TRY(deal_image(deal, &rng, state->next));
        state->next++;
        TRY(save_in_time(deal));
        log_progress_show(&progress, (double)state->next, NULL);
    }
    return deal->draft.saved ? draft_save(&deal->draft) : IDDPM_OK;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status finish_shard(struct deal *deal, int s)
{
    struct dataset *dataset = deal->dataset;
    uint64_t n = (uint64_t)dataset->shards;
    dataset->shard_images[s] = (dataset->images - (uint64_t)s + n - 1) / n;
    TRY(draft_finish_shard(&deal->draft, s, dataset->shard_images[s], &dataset->shard_crcs[s]));
    if (asprintf(&dataset->shard_names[s], TARGET_SHARD_NAME, s) >= 0) return IDDPM_OK;
    dataset->shard_names[s] = NULL;
    return iddpm_error(IDDPM_FAILED, "no memory for the names of shards");
}

/* Shards that got nothing, because there are fewer good images than shards, are left out. */
static int shards_of(const struct deal *deal)
{
    uint64_t images = deal->dataset->images;
    return images < (uint64_t)deal->shards ? (int)images : deal->shards;
}

/* An import that was never saved is a short one, and is brought to its end. */
static enum iddpm_status finish_shards(struct deal *deal)
{
    struct dataset *dataset = deal->dataset;
    struct log_progress progress;
    int n = shards_of(deal);
    if (deal->options->shards > n)
        return iddpm_error(IDDPM_USAGE, "%d shards are more than there are images (%d); ask for fewer",
                           deal->options->shards, n);
    TRY(dataset_reserve_shards(dataset, n));
    log_progress_start(&progress, "import: writing", "shards", 0, n);
    for (int s = 0; s < n; s++) {
        if (deal->draft.saved && stop_signal()) return stopped(deal);
        TRY(finish_shard(deal, s));
        if (deal->draft.saved) log_progress_show(&progress, s + 1, NULL);
    }
    return IDDPM_OK;
}

/* An import that was killed between its index and its end. */
static enum iddpm_status clear_up(struct deal *deal)
{
    struct dataset *dataset = deal->dataset;
    dataset->images = deal->draft.state.images;
    TRY(dataset_reserve_shards(dataset, shards_of(deal)));
    return draft_remove(&deal->draft);
}

static enum iddpm_status finish(struct deal *deal)
{
    struct dataset *dataset = deal->dataset;
    struct sha256 sum = deal->draft.state.hash;
    char hash[SHA256_HEX];
    dataset->images = deal->draft.state.images;
    dataset->unlabelled = deal->draft.state.unlabelled;
    if (!dataset->images) return iddpm_error(IDDPM_FAILED, "%s: no image could be imported", deal->options->source);
    TRY(finish_shards(deal));
    sha256_hex(&sum, hash);
    dataset->hash = mem_strdup(hash);
    if (!dataset->hash) return iddpm_error(IDDPM_FAILED, "no memory");
    for (int i = 0; i < dataset->classes; i++)
        if (!deal->draft.class_images[i]) log_warn("class %d (%s) has no image", i, dataset->class_names[i]);
    TRY(path_sync_folder(dataset->folder)); /* no index may be seen before its shards */
    TRY(index_write(dataset));
    TRY(path_sync_folder(dataset->folder));
    return draft_remove(&deal->draft);
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
    if (options->kind != IMPORT_FOLDER && options->kind != IMPORT_LSUN && options->size)
        return iddpm_error(IDDPM_USAGE,
                           "--size is for `import folder` and `import lsun`; these images have a size of their own");
    if (options->kind == IMPORT_LSUN && (options->size < 0 || options->size > PICTURE_SIDE_MAX))
        return iddpm_error(IDDPM_USAGE, "--size %d: 1 to %d pixels are possible", options->size, PICTURE_SIDE_MAX);
    if (options->shards < 0 || options->shards > SHARDS_MAX)
        return iddpm_error(IDDPM_USAGE, "--shards %d: 1 to %d are possible", options->shards, SHARDS_MAX);
    if (options->split && !splits)
        return iddpm_error(IDDPM_USAGE, "--split is for `import digits` and `import cifar10`, which have two parts");
    if (options->split && strcmp(options->split, "train") != 0 && strcmp(options->split, "test") != 0)
        return iddpm_error(IDDPM_USAGE, "--split %s: train or test", options->split);
    if (options->unlabelled && options->kind != IMPORT_FOLDER)
        return iddpm_error(IDDPM_USAGE, "--unlabelled is for `import folder`");
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
    case IMPORT_LSUN:
        return import_lsun_open(options, dataset, source);
    }
    return iddpm_error(IDDPM_USAGE, "import: unknown kind of source");
}

static enum iddpm_status import_into(const struct import_options *options, struct dataset *dataset,
                                     struct import_result *result)
{
    struct import_source source = {0};
    struct deal deal = {.options = options, .dataset = dataset, .source = &source};
    sha256_start(&source.identity);
    dataset->folder = mem_strdup(options->target);
    enum iddpm_status status =
        dataset->folder ? open_source(options, dataset, &source) : iddpm_error(IDDPM_FAILED, "no memory");
    if (status == IDDPM_OK) status = deal_open(&deal);
    if (status == IDDPM_OK && deal.draft.complete) {
        status = clear_up(&deal);
    } else if (status == IDDPM_OK) {
        status = deal_all(&deal);
        if (status == IDDPM_OK) status = finish(&deal);
    }
    deal_close(&deal);
    if (source.close) source.close(source.state);
    *result = (struct import_result){dataset->images, source.skipped + deal.draft.state.skipped, dataset->classes,
                                     dataset->shards};
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
        else if (target_give_up(&target) && status == IDDPM_FAILED)
            log_info("%s: what is done so far is kept; the same command goes on with it", options->target);
    }
    dataset_close(dataset);
    return status;
}
