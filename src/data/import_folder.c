/* A folder of pictures, or an archive of one, as the authors' loader sees it (image_datasets.py; listing.h): the class
 * is the file's name up to the first "_". A name without "_" has no class (with the authors it is a class of its own).
 */
#include "import.h"
#include "listing.h"

#include <stdlib.h>
#include <string.h>

struct folder {
    int size;
    struct listing listing;
    int32_t *labels; /* [listing.count]; NULL: unlabelled */
};

static void folder_close(void *state)
{
    struct folder *folder = state;
    listing_close(&folder->listing);
    free(folder->labels);
    free(folder);
}

static enum iddpm_status read_picture(struct folder *folder, size_t i, const char *name, struct picture *out)
{
    char path[PATH_SIZE];
    const uint8_t *bytes;
    size_t n;
    TRY(path_join(path, folder->listing.source, name));
    if (listing_ends(name, "gif"))
        return iddpm_error(IDDPM_FAILED, "%s: GIF pictures are not read; convert it to PNG", path);
    if (folder->listing.form == LISTING_FOLDER) return picture_read_stored(out, path);
    enum iddpm_status status = listing_bytes(&folder->listing, i, &bytes, &n);
    if (status == IDDPM_OK) status = picture_read_stored_bytes(out, bytes, n);
    return status == IDDPM_OK ? status : iddpm_error_context(status, "%s", path);
}

static enum iddpm_status folder_fetch(void *state, uint64_t i, uint8_t *image, int64_t *label)
{
    struct folder *folder = state;
    const char *name = listing_name(&folder->listing, i);
    struct picture picture, sized;
    TRY(read_picture(folder, i, name, &picture));
    enum iddpm_status status = picture_to_size(&picture, folder->size, &sized);
    picture_destroy(&picture);
    if (status != IDDPM_OK) return iddpm_error_context(status, "%s/%s", folder->listing.source, name);
    memcpy(image, sized.pixels, (size_t)folder->size * (size_t)folder->size * 3);
    *label = folder->labels ? folder->labels[i] : -1;
    picture_destroy(&sized);
    return IDDPM_OK;
}

static void folder_expect(void *state, uint64_t i)
{
    listing_expect(&((const struct folder *)state)->listing, i);
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

/* Length of the class in front of a file's name; 0: no class. */
static size_t class_length(const char *name)
{
    const char *end = strchr(name, '_');
    return end ? (size_t)(end - name) : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Class names: those of all files listed, read or not, so that one damaged file does not renumber the classes. */
static enum iddpm_status collect_names(const struct listing *listing, struct dataset *dataset)
{
    char **names = NULL;
    size_t capacity = 0;
    for (size_t i = 0; i < listing->count; i++) {
        const char *base = listing_base_name(listing_name(listing, i));
        size_t length = class_length(base), n = (size_t)dataset->classes;
        if (!length) continue;
        if (n && strncmp(names[n - 1], base, length) == 0 && !names[n - 1][length]) continue; /* as the file before */
        char name[PATH_SIZE];
        snprintf(name, sizeof name, "%.*s", (int)length, base);
        TRY(mem_grow(&names, &capacity, n + 1, sizeof *names, "class names"));
        dataset->class_names = names;
        TRY(import_add_class(dataset, name));
    }
    return IDDPM_OK;
}

static void sort_names(struct dataset *dataset)
{
    int n = dataset->classes;
    char **names = dataset->class_names;
    dataset->classes = 0;
    if (n) qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 0; i < n; i++) {
        if (dataset->classes && strcmp(names[dataset->classes - 1], names[i]) == 0)
            free(names[i]);
        else
            names[dataset->classes++] = names[i];
    }
}

static int32_t find_class(const struct dataset *dataset, const char *base)
{
    char name[PATH_SIZE], *key = name;
    size_t length = class_length(base);
    if (!length) return -1;
    snprintf(name, sizeof name, "%.*s", (int)length, base);
    char **found = bsearch(&key, dataset->class_names, (size_t)dataset->classes, sizeof *dataset->class_names, by_name);
    return (int32_t)(found - dataset->class_names);
}

/* Classes by hundreds with an image or two each are no classes, but numbers in front of a "_". */
static void doubt_classes(const struct listing *listing, const struct dataset *dataset)
{
    if (dataset->classes > 100 && (size_t)dataset->classes > listing->count / 2)
        log_warn("%s: %d classes for %zu pictures; --unlabelled takes none from their names", listing->source,
                 dataset->classes, listing->count);
}

static enum iddpm_status find_classes(struct folder *folder, struct dataset *dataset)
{
    const struct listing *listing = &folder->listing;
    TRY(collect_names(listing, dataset));
    sort_names(dataset);
    if (!dataset->classes) return IDDPM_OK;
    doubt_classes(listing, dataset);
    TRY(mem_alloc(&folder->labels, listing->count, sizeof *folder->labels, "labels"));
    for (size_t i = 0; i < listing->count; i++)
        folder->labels[i] = find_class(dataset, listing_base_name(listing_name(listing, i)));
    return IDDPM_OK;
}

static void identify(const struct listing *listing, const char *path, struct import_source *source)
{
    struct sha256 files = listing->identity;
    char hash[SHA256_HEX];
    sha256_hex(&files, hash);
    if (listing->form != LISTING_FOLDER) import_identify(source, path);
    sha256_add(&source->identity, hash, sizeof hash);
    sha256_add(&source->identity, listing->names, listing->names_size);
}

enum iddpm_status import_folder_open(const struct import_options *options, struct dataset *dataset,
                                     struct import_source *source)
{
    struct folder *folder;
    TRY(mem_alloc(&folder, 1, sizeof *folder, options->source));
    source->state = folder;
    source->may_skip = true;
    source->fetch = folder_fetch;
    source->expect = folder_expect;
    source->close = folder_close;
    folder->size = options->size;
    TRY(listing_open(&folder->listing, options->source, options->strict));
    if (!options->unlabelled) TRY(find_classes(folder, dataset));
    identify(&folder->listing, options->source, source);
    source->count = folder->listing.count;
    source->skipped = folder->listing.skipped;
    return import_describe(dataset, options->size, options->size, 3, options->source, "not stated");
}
