/* CIFAR-10 in its binary version (Krizhevsky 2009): records of a label byte and 3 x 32 x 32 bytes, planes R, G, B. */
#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIDE 32
#define PLANE (SIDE * SIDE)
#define RECORD (1 + 3 * PLANE)
#define RECORDS 10000 /* of a file of the real data set */
#define FILES_MAX 5
#define CLASSES_MAX 256

struct cifar10 {
    int files;
    struct {
        char path[PATH_SIZE];
        int fd;
        uint64_t records;
    } file[FILES_MAX];
    int classes;
    int64_t order[CLASSES_MAX]; /* class of a label byte */
};

static void cifar10_close(void *state)
{
    struct cifar10 *cifar10 = state;
    for (int i = 0; i < cifar10->files; i++)
        if (cifar10->file[i].fd >= 0) close(cifar10->file[i].fd);
    free(cifar10);
}

static enum iddpm_status cifar10_fetch(void *state, uint64_t i, uint8_t *image, int64_t *label)
{
    const struct cifar10 *cifar10 = state;
    uint8_t record[RECORD];
    int f = 0;
    while (i >= cifar10->file[f].records) i -= cifar10->file[f++].records;
    const char *path = cifar10->file[f].path;
    ssize_t n = pread(cifar10->file[f].fd, record, RECORD, (off_t)(i * RECORD));
    if (n != RECORD)
        return iddpm_error(IDDPM_FAILED, "%s: cannot read record %llu: %s", path, (unsigned long long)i,
                           n < 0 ? strerror(errno) : "the file became shorter");
    if (record[0] >= cifar10->classes)
        return iddpm_error(IDDPM_FAILED, "%s: record %llu has label %d, but there are %d classes", path,
                           (unsigned long long)i, record[0], cifar10->classes);
    *label = cifar10->order[record[0]];
    for (int p = 0; p < PLANE; p++)
        for (int c = 0; c < 3; c++) image[p * 3 + c] = record[1 + c * PLANE + p];
    return IDDPM_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* A file cut at the border of a record can only be told by their number: `strict` refuses any but the real one. */
static enum iddpm_status open_file(struct cifar10 *cifar10, const char *path, bool strict)
{
    int f = cifar10->files;
    struct stat info;
    snprintf(cifar10->file[f].path, PATH_SIZE, "%s", path);
    cifar10->file[f].fd = open(path, O_RDONLY | O_CLOEXEC);
    cifar10->files++;
    if (cifar10->file[f].fd < 0 || fstat(cifar10->file[f].fd, &info) != 0)
        return iddpm_error(IDDPM_FAILED,
                           "%s: cannot open: %s; the binary version of CIFAR-10 has data_batch_1.bin to "
                           "data_batch_5.bin and test_batch.bin",
                           path, strerror(errno));
    uint64_t size = (uint64_t)info.st_size, records = size / RECORD;
    if (size == 0 || size % RECORD)
        return iddpm_error(
            IDDPM_FAILED,
            "%s: %llu bytes are %llu records of %d bytes and %llu bytes more: the file is short (cut off) "
            "or not of CIFAR-10's binary version",
            path, (unsigned long long)size, (unsigned long long)records, RECORD, (unsigned long long)(size % RECORD));
    cifar10->file[f].records = records;
    if (strict && records != RECORDS)
        return iddpm_error(IDDPM_FAILED,
                           "%s: %llu records where CIFAR-10 has %d: the file is short (cut off) or of another data "
                           "set; without --strict it is imported",
                           path, (unsigned long long)records, RECORDS);
    if (records == RECORDS)
        log_info("%s: %d records", path, RECORDS);
    else
        log_warn("%s: %llu records where CIFAR-10 has %d", path, (unsigned long long)records, RECORDS);
    return IDDPM_OK;
}

/* The files of a split in the folder of the binary version, or in the one that its archive makes. */
static enum iddpm_status open_split(struct cifar10 *cifar10, char *folder, bool test, bool strict)
{
    char path[PATH_SIZE], name[32];
    TRY(path_join(path, folder, "cifar-10-batches-bin"));
    if (path_is_folder(path)) memcpy(folder, path, PATH_SIZE);
    for (int i = 1; i <= (test ? 1 : FILES_MAX); i++) {
        snprintf(name, sizeof name, test ? "test_batch.bin" : "data_batch_%d.bin", i);
        TRY(path_join(path, folder, name));
        TRY(open_file(cifar10, path, strict));
    }
    return IDDPM_OK;
}

/* `folder`: becomes the one that holds the files. */
static enum iddpm_status open_files(const struct import_options *options, struct cifar10 *cifar10, char *folder)
{
    TRY(path_join(folder, options->source, ""));
    if (path_is_folder(options->source))
        return open_split(cifar10, folder, options->split && strcmp(options->split, "test") == 0, options->strict);
    if (options->split)
        return iddpm_error(IDDPM_USAGE, "%s: a single file has no --split; name the folder", options->source);
    snprintf(folder, PATH_SIZE, "%s", options->source);
    char *slash = strrchr(folder, '/');
    snprintf(slash ? slash + 1 : folder, 2, slash ? "" : ".");
    return open_file(cifar10, options->source, options->strict);
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status read_names(struct dataset *dataset, const char *folder)
{
    static const char standard[] = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n";
    char path[PATH_SIZE], *text, *rest;
    TRY(path_join(path, folder, "batches.meta.txt"));
    if (path_exists(path)) {
        TRY(path_read_text(path, 65536, &text));
    } else {
        log_warn("%s: not there; the classes are taken to be those of CIFAR-10", path);
        text = mem_strdup(standard);
        if (!text) return iddpm_error(IDDPM_FAILED, "no memory for class names");
    }
    enum iddpm_status status = mem_alloc(&dataset->class_names, CLASSES_MAX, sizeof(char *), "classes");
    for (char *name = strtok_r(text, " \t\r\n", &rest); name && status == IDDPM_OK;
         name = strtok_r(NULL, " \t\r\n", &rest))
        status = dataset->classes < CLASSES_MAX
                     ? import_add_class(dataset, name)
                     : iddpm_error(IDDPM_FAILED, "%s: more than %d classes", path, CLASSES_MAX);
    free(text);
    if (status == IDDPM_OK && !dataset->classes) status = iddpm_error(IDDPM_FAILED, "%s: names no class", path);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The authors' scripts (datasets/cifar10.py) call two classes otherwise, and number all by their sorted names. */
static void authors_order(struct dataset *dataset, struct cifar10 *cifar10)
{
    char *names[CLASSES_MAX];
    for (int i = 0; i < dataset->classes; i++) {
        char **name = &dataset->class_names[i];
        const char *theirs = strcmp(*name, "airplane") == 0 ? "plane" : strcmp(*name, "automobile") == 0 ? "car" : NULL;
        if (theirs) strcpy(*name, theirs); /* both are shorter */
        names[i] = *name;
    }
    qsort(dataset->class_names, (size_t)dataset->classes, sizeof(char *), by_name);
    for (int i = 0; i < dataset->classes; i++)
        for (int k = 0; k < dataset->classes; k++)
            if (dataset->class_names[k] == names[i]) cifar10->order[i] = k;
}

enum iddpm_status import_cifar10_open(const struct import_options *options, struct dataset *dataset,
                                      struct import_source *source)
{
    struct cifar10 *cifar10;
    char folder[PATH_SIZE];
    TRY(mem_alloc(&cifar10, 1, sizeof *cifar10, "CIFAR-10"));
    source->state = cifar10;
    source->fetch = cifar10_fetch;
    source->close = cifar10_close;
    TRY(open_files(options, cifar10, folder));
    for (int i = 0; i < cifar10->files; i++) {
        source->count += cifar10->file[i].records;
        import_identify(source, cifar10->file[i].path);
    }
    TRY(read_names(dataset, folder));
    cifar10->classes = dataset->classes;
    for (int i = 0; i < cifar10->classes; i++) cifar10->order[i] = i;
    if (options->authors_classes) authors_order(dataset, cifar10);
    return import_describe(dataset, SIDE, SIDE, 3, "CIFAR-10 (Krizhevsky 2009), binary version", "not stated");
}
