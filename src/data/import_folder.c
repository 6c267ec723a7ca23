/* A folder of pictures as the authors' loader sees it (image_datasets.py): recursive, sorted, files with the endings
 * jpg, jpeg, png and gif in any case; the class is the file's name up to the first "_". */
#include "import.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define NOTES_MAX 10 /* that are printed */

struct folder {
    int size;
    bool strict;
    char **paths;
    int64_t *labels;
    size_t count, capacity, skipped;
    size_t notes; /* of files left out by their names, and of hidden ones */
};

static void folder_close(void *state)
{
    struct folder *folder = state;
    for (size_t i = 0; i < folder->count; i++) free(folder->paths[i]);
    free(folder->paths);
    free(folder->labels);
    free(folder);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static const char *ending(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : "";
}

static enum iddpm_status folder_fetch(void *state, uint64_t i, uint8_t *image, int64_t *label)
{
    const struct folder *folder = state;
    const char *path = folder->paths[i];
    struct picture picture, sized;
    if (strcasecmp(ending(path), "gif") == 0)
        return iddpm_error(IDDPM_FAILED, "%s: GIF pictures are not read; convert it to PNG", path);
    TRY(picture_read(&picture, path));
    enum iddpm_status status = picture_to_size(&picture, folder->size, &sized);
    picture_destroy(&picture);
    if (status != IDDPM_OK) return iddpm_error_context(status, "%s", path);
    memcpy(image, sized.pixels, (size_t)folder->size * (size_t)folder->size * 3);
    *label = folder->labels[i];
    picture_destroy(&sized);
    return IDDPM_OK;
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */

/* The folders on the way down, so that a link to one of them is not followed for ever. */
struct ancestor {
    const struct ancestor *up;
    dev_t device;
    ino_t inode;
};

static enum iddpm_status list(struct folder *folder, const char *path, const struct ancestor *up);

/* By the authors' endings; but "._x.png" is never a picture: macOS keeps attributes of x.png in it. */
static bool is_picture_name(const char *name)
{
    static const char *const endings[] = {"jpg", "jpeg", "png", "gif"};
    if (strncmp(name, "._", 2) == 0) return false;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (strcasecmp(ending(name), endings[i]) == 0) return true;
    return false;
}

/* Something that cannot be listed is skipped like a picture that cannot be read. */
static enum iddpm_status unlistable(struct folder *folder, const char *path, const char *reason)
{
    if (folder->strict) return iddpm_error(IDDPM_FAILED, "%s: %s", path, reason);
    log_warn("skipped: %s: %s", path, reason);
    folder->skipped++;
    return IDDPM_OK;
}

static void note(struct folder *folder, const char *path, const char *what)
{
    if (folder->notes++ < NOTES_MAX) log_info("%s: %s", path, what);
}

static enum iddpm_status add_file(struct folder *folder, const char *path)
{
    TRY(mem_grow(&folder->paths, &folder->capacity, folder->count + 1, sizeof *folder->paths, "the list of pictures"));
    char *copy = mem_strdup(path);
    if (!copy) return iddpm_error(IDDPM_FAILED, "no memory for the list of pictures");
    folder->paths[folder->count++] = copy;
    return IDDPM_OK;
}

static enum iddpm_status add_entry(struct folder *folder, const char *path, const struct ancestor *up)
{
    struct stat info;
    bool is_folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    if (!is_folder && !is_picture_name(base_name(path))) {
        note(folder, path, "left out: its name has no ending of a picture (jpg, jpeg, png)");
        return IDDPM_OK;
    }
    if (*base_name(path) == '.') note(folder, path, "hidden, but taken as by the authors' loader");
    if (!is_folder) return add_file(folder, path);
    struct ancestor here = {up, info.st_dev, info.st_ino};
    for (; up; up = up->up)
        if (up->device == here.device && up->inode == here.inode)
            return unlistable(folder, path, "a link to a folder that holds it");
    return list(folder, path, &here);
}

static int not_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum iddpm_status list(struct folder *folder, const char *path, const struct ancestor *up)
{
    struct dirent **entries;
    int n = scandir(path, &entries, not_dots, by_bytes);
    if (n < 0) return unlistable(folder, path, strerror(errno));
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < n; i++) {
        char child[PATH_SIZE];
        if (status == IDDPM_OK) status = path_join(child, path, entries[i]->d_name);
        if (status == IDDPM_OK) status = add_entry(folder, child, up);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

/* Length of the class in front of a file's name; 0: no class. */
static size_t class_length(const char *path)
{
    const char *name = base_name(path), *end = strchr(name, '_');
    return end ? (size_t)(end - name) : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Class names: those of all files listed, read or not, so that one damaged file does not renumber the classes. */
static enum iddpm_status collect_names(const struct folder *folder, struct dataset *dataset)
{
    char **names = NULL;
    size_t capacity = 0;
    for (size_t i = 0; i < folder->count; i++) {
        size_t length = class_length(folder->paths[i]), n = (size_t)dataset->classes;
        const char *base = base_name(folder->paths[i]);
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

static int64_t find_class(const struct dataset *dataset, const char *path)
{
    char name[PATH_SIZE], *key = name;
    size_t length = class_length(path);
    if (!length) return -1;
    snprintf(name, sizeof name, "%.*s", (int)length, base_name(path));
    char **found = bsearch(&key, dataset->class_names, (size_t)dataset->classes, sizeof *dataset->class_names, by_name);
    return found - dataset->class_names;
}

enum iddpm_status import_folder_open(const struct import_options *options, struct dataset *dataset,
                                     struct import_source *source)
{
    struct folder *folder;
    struct stat info;
    TRY(mem_alloc(&folder, 1, sizeof *folder, options->source));
    *source = (struct import_source){.may_skip = true, .fetch = folder_fetch, .close = folder_close, .state = folder};
    folder->size = options->size;
    folder->strict = options->strict;
    if (stat(options->source, &info) != 0 || !S_ISDIR(info.st_mode))
        return iddpm_error(IDDPM_FAILED, "%s: not a folder that can be opened", options->source);
    struct ancestor root = {NULL, info.st_dev, info.st_ino};
    TRY(list(folder, options->source, &root));
    if (folder->notes > NOTES_MAX)
        log_info("%s: %zu more files left out by their names, or hidden", options->source, folder->notes - NOTES_MAX);
    if (!folder->count) return iddpm_error(IDDPM_FAILED, "%s: holds no pictures (jpg, jpeg, png)", options->source);
    TRY(collect_names(folder, dataset));
    sort_names(dataset);
    TRY(mem_alloc(&folder->labels, folder->count, sizeof *folder->labels, "labels"));
    for (size_t i = 0; i < folder->count; i++) folder->labels[i] = find_class(dataset, folder->paths[i]);
    source->count = folder->count;
    source->skipped = folder->skipped;
    return import_describe(dataset, options->size, options->size, 3, options->source, "not stated");
}
