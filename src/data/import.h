/* Private to the importers: what each of them gives to the dealing in import.c. */
#ifndef IDDPM_DATA_IMPORT_H
#define IDDPM_DATA_IMPORT_H

#include "index.h"
#include "sha256.h"

struct import_source {
    uint64_t count;   /* images offered */
    uint64_t skipped; /* already given up while listing */
    bool may_skip;    /* an image that cannot be fetched may be left out (folders) */
    /* Image i as [h][w][c] and its label, -1 for none; on failure the error text says which file and why. */
    enum iddpm_status (*fetch)(void *state, uint64_t i, uint8_t *image, int64_t *label);
    void (*expect)(void *state, uint64_t i); /* image i will be fetched soon; may be NULL */
    void (*close)(void *state);
    void *state;
    struct sha256 identity; /* started; of what tells this source from another when an import goes on */
};

/* Each fills *source, and of *dataset the shape of an image, classes, class_names, source and license. After a failure
 * *source has what must be closed. `scratch`: a folder for files that are unlinked as soon as they are open. */
enum iddpm_status import_digits_open(const struct import_options *options, struct dataset *dataset,
                                     struct import_source *source);
enum iddpm_status import_cifar10_open(const struct import_options *options, struct dataset *dataset,
                                      struct import_source *source);
enum iddpm_status import_folder_open(const struct import_options *options, struct dataset *dataset,
                                     struct import_source *source);
enum iddpm_status import_lsun_open(const struct import_options *options, struct dataset *dataset,
                                   struct import_source *source);
enum iddpm_status import_npz_open(const struct import_options *options, const char *scratch, struct dataset *dataset,
                                  struct import_source *source);

/* Shape, source and licence at once; the class names are the importer's own business. */
enum iddpm_status import_describe(struct dataset *dataset, int height, int width, int channels, const char *source,
                                  const char *license);
/* Appends a copy of `name` to dataset->class_names, which has room for it. */
enum iddpm_status import_add_class(struct dataset *dataset, const char *name);

/* Adds to the identity of the source a file: name, size and time of its last change. */
void import_identify(struct import_source *source, const char *path);
/* IDDPM_STOPPED once a signal has come, for loops that take long. */
enum iddpm_status import_stopped(void);

#define LSUN_SIZE 256 /* pixels, the authors' own default */

/* The folder that is being made (target.c). */
struct target {
    const char *path;
    bool made; /* by us: removed again when the import fails */
    int lock;
};
/* Makes the folder, or takes one that is empty or holds only the rest of an interrupted import. IDDPM_USAGE when it
 * holds a data set (without DRAFT_FILE), anything else, or when another import works there. */
enum iddpm_status target_open(struct target *target, const char *path);
/* Removes what an import has left in it. */
enum iddpm_status target_clear(const char *path);
/* Gives the folder back after a failure: as it is when it holds an import that can go on, or an index already,
 * which is returned; else cleared, and if it was made by us removed. */
bool target_give_up(struct target *target);
void target_close(struct target *target);

#define TARGET_SHARD_NAME "shard-%04d.h5"

#endif
