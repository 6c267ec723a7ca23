/* Private to src/evaluate: what drawing, keeping and writing samples share. */
#ifndef IDDPM_EVALUATE_SAMPLE_H
#define IDDPM_EVALUATE_SAMPLE_H

#include "part.h"

/* ---- one chain (sample.c) ---------------------------------------------------------------------------------------- */

/* Draw 0 is x_T, draw j + 1 that of step j. */
void sample_draw(const struct sample_options *options, uint64_t number, uint64_t sample, size_t image, double *out);
/* The class of a sample of a class-conditional model (without options->data). */
int64_t sample_label(const struct model *model, const struct sample_options *options, uint64_t sample);

/* Bytes of what is kept of an image: [columns] times its pixels, or its elements as float64. */
static inline size_t sample_record(size_t image, int columns, bool latents)
{
    return latents ? image * sizeof(double) : image * (size_t)columns;
}
static inline int sample_columns(const struct sample_options *options)
{
    return options->columns > 1 ? options->columns : 1;
}

/* What is drawn from what, and how (sample_settings.c). `model` has a configuration. */
enum { SAMPLE_SETTINGS = 26 + ENDS_SETTINGS };
void sample_settings(const struct model *model, const struct sample_options *options,
                     struct store_attribute out[SAMPLE_SETTINGS]);

/* ---- files of a job on its way: a head with its settings, then records ------------------------------------------- */

enum sample_file { SAMPLE_FILE_IMAGES, SAMPLE_FILE_CHAINS };
/* The head as it is written; free(). */
enum iddpm_status sample_head_make(enum sample_file kind, uint64_t record, int n,
                                   const struct store_attribute *settings, void *out, size_t *bytes);
/* What a file begins with must be the head of a job with the same settings; *bytes: its length. IDDPM_USAGE says what
 * is otherwise, IDDPM_FAILED why it cannot be read. */
enum iddpm_status sample_head_check(int fd, const char *path, enum sample_file kind, uint64_t record, int n,
                                    const struct store_attribute *settings, size_t *bytes);
/* Exactly so many bytes at that place; IDDPM_USAGE when the file is too short, IDDPM_FAILED when it cannot be read. */
enum iddpm_status sample_read_at(int fd, const char *path, void *out, size_t bytes, uint64_t at);

/* ---- finished images (sample_part.c), on rank 0 ------------------------------------------------------------------ */

/* In order, each with its checksum; only whole ones count. */
struct sample_part {
    char *path;
    int fd;
    size_t record; /* bytes of an image */
    uint64_t head; /* bytes before the first one */
    uint64_t images;
};
/* Opens or begins the file, and locks it: IDDPM_USAGE when another job has it. Of what is there only whole records up
 * to the first damaged one stay, as far as they make up whole batches, or all `images`; a file of other settings is
 * kept as PATH.old. */
enum iddpm_status sample_part_open(struct sample_part **out, const char *path, size_t record, int batch,
                                   uint64_t images, int n, const struct store_attribute *settings);
void sample_part_close(struct sample_part *part); /* NULL is fine; the file stays */
/* After a failure the file ends where it ended before. */
enum iddpm_status sample_part_append(struct sample_part *part, const void *record);
enum iddpm_status sample_part_sync(struct sample_part *part);
enum iddpm_status sample_part_read(const struct sample_part *part, uint64_t image, void *out);

/* ---- chains on their way (sample_chains.c), on rank 0 ------------------------------------------------------------ */

/* A batch of them after some steps: PATH.chains has x, float64, and what is kept already of each image. */
struct sample_chain {
    uint64_t index; /* of the batch */
    uint32_t images, steps;
    uint64_t at; /* of the first image in the file */
};
struct sample_chains {
    char *path;
    int fd;       /* -1: there are none */
    size_t bytes; /* of an image */
    size_t n, capacity;
    struct sample_chain *list;
    int n_settings;
    const struct store_attribute *settings; /* the caller's */
};
/* What a job of the same settings has left; else nothing. */
enum iddpm_status sample_chains_open(struct sample_chains **out, const char *part, size_t bytes, int n,
                                     const struct store_attribute *settings);
void sample_chains_close(struct sample_chains *chains); /* NULL is fine */
/* NULL when that batch is not among them. */
const struct sample_chain *sample_chains_find(const struct sample_chains *chains, uint64_t index);
enum iddpm_status sample_chains_read(const struct sample_chains *chains, const struct sample_chain *chain,
                                     uint32_t image, void *out);

/* A new file, which takes the place of the old one when it is whole. */
struct sample_chains_writer;
enum iddpm_status sample_chains_begin(struct sample_chains_writer **out, const struct sample_chains *chains);
enum iddpm_status sample_chains_batch(struct sample_chains_writer *writer, uint64_t index, uint32_t images,
                                      uint32_t steps);
enum iddpm_status sample_chains_image(struct sample_chains_writer *writer, const void *bytes);
/* The batches of the old file from `index` on. */
enum iddpm_status sample_chains_copy(struct sample_chains_writer *writer, const struct sample_chains *chains,
                                     uint64_t index);
/* Ends it in any case; with an error as `status` the old file stays. */
enum iddpm_status sample_chains_end(struct sample_chains_writer *writer, struct sample_chains *chains,
                                    enum iddpm_status status);

#endif
