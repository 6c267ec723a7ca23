/* Floor 2: every HDF5 call. Shards of a data set, checkpoints, results. What the numbers mean is others' business. */
#ifndef IDDPM_STORE_H
#define IDDPM_STORE_H

#include "iddpm/base.h"
#include "iddpm/parallel.h"

/* ---- typed arrays in a file ----------------------------------------------------------------------------------------
 */

enum store_type { STORE_F32, STORE_F64, STORE_I64, STORE_I32, STORE_U8 };

#define STORE_DIMS 5 /* [draws][images][height][width][channels] */
struct store_array {
    const char *path; /* inside the file, "params/out.2.bias"; groups are made */
    enum store_type type;
    int ndim; /* 0: a scalar */
    uint64_t dims[STORE_DIMS];
    void *data; /* the whole array, C order, on every rank */
};
size_t store_type_bytes(enum store_type type);
size_t store_array_elements(const struct store_array *array); /* 1 for a scalar */

/* What one rank holds of an array of the file: elements [first, first + count) in C order, array.data the first of
 * them. The slices of all ranks make up the array. */
struct store_slice {
    struct store_array array;
    size_t first, count;
};
/* Of an array that every rank has whole: about as much for each rank. */
struct store_slice store_equal_slice(const struct store_array *array, int rank, int size);

/* ---- checkpoints (checkpoint*.c, latch.c) ------------------------------------------------------------------------ */

/* Whether the file may still take its name: two jobs may think for a while that a run is theirs. */
struct checkpoint_guard {
    const char *token; /* hexadecimal digits, the same on all ranks: part of the temporary name */
    enum iddpm_status (*check)(void *context); /* on rank 0, directly before the renaming; an error prevents it */
    void *context;
};

/* How a checkpoint is laid out and written, for the file system it goes to. */
struct checkpoint_options {
    const char *hints;  /* for MPI-IO: "name=value,name=value"; NULL or "": none */
    uint64_t alignment; /* arrays of at least so many bytes begin at a multiple of it; 0 or 1: anywhere */
    const struct checkpoint_guard *guard; /* may be NULL */
};
/* IDDPM_USAGE when the hints are not of that form. MPI itself passes over those that it does not know. */
enum iddpm_status store_check_hints(const char *hints);

/* Collective. Writes `path` in parallel: each rank writes its slices of the n arrays, which are the same on all ranks
 * but for what of them a rank has. Every array has a CRC-32 in the file, and equal contents make an equal file, byte
 * for byte, whatever the slices and the number of ranks; only options->alignment changes it. `options` may be NULL.
 * `step` and `text` (the configuration) become attributes "step"
 * and "config" of the root. The order of the steps is described in checkpoint_write.c: no single fault hangs, and on
 * any failure the temporary file PATH[.TOKEN].tmp is removed, an older file of that name stands, and all ranks return
 * the same error. */
enum iddpm_status checkpoint_write(const struct parallel *parallel, const char *path, int64_t step, const char *text,
                                   int n, const struct store_slice *slices, const struct checkpoint_options *options);

/* An open checkpoint. Not collective: each rank may open and read alone. Nothing stays open inside HDF5. Opening fails,
 * naming what is wrong, when the file is cut off, no HDF5 file, no checkpoint, or its description is damaged. */
struct checkpoint;
enum iddpm_status checkpoint_open(struct checkpoint **out, const char *path);
void checkpoint_close(struct checkpoint *checkpoint);
int64_t checkpoint_step(const struct checkpoint *checkpoint);
const char *checkpoint_config(const struct checkpoint *checkpoint); /* YAML text; owned by the checkpoint */
int checkpoint_count(const struct checkpoint *checkpoint);
/* The i-th array's path, type and shape (data NULL); the path is owned by the checkpoint. */
struct store_array checkpoint_array(const struct checkpoint *checkpoint, int i);
int checkpoint_find(const struct checkpoint *checkpoint, const char *path); /* index or -1 */
/* One number for the contents of a group ("ema/0.999"): the CRC-32 of the noted checksums of its arrays, in order. */
uint32_t checkpoint_group_crc(const struct checkpoint *checkpoint, const char *group);
/* Reads the whole array into `data` and compares its checksum. Names file and array when it is damaged. */
enum iddpm_status checkpoint_read(const struct checkpoint *checkpoint, int i, void *data);
/* Reads and compares every array. */
enum iddpm_status checkpoint_verify(const struct checkpoint *checkpoint);
/* Collective. Each rank reads its slices, which make up the arrays, into their data; checksums are compared, so that
 * one copy is read from the disk whatever the number of ranks. An array that is missing or has another type or shape is
 * an error that names it with both shapes. After a failure what stands in `data` is of no use. `opened`: on rank 0
 * the checkpoint of that path, when it has it open already, else NULL. */
enum iddpm_status checkpoint_read_slices(const struct parallel *parallel, const char *path,
                                         const struct checkpoint *opened, int n, const struct store_slice *slices);
/* The same for whole arrays on every rank: read in equal slices, then shared (Allgather). */
enum iddpm_status checkpoint_read_all(const struct parallel *parallel, const char *path, int n,
                                      const struct store_array *arrays);

/* Steps of the files FOLDER/step-*.h5, ascending, into *steps (free()). Temporary files are not listed. */
enum iddpm_status checkpoint_list(const char *folder, int64_t **steps, int *n);
/* FOLDER/step-NNNNNNNN.h5 into out[PATH_SIZE] */
enum iddpm_status checkpoint_path(char *out, const char *folder, int64_t step);
/* Which checkpoints stay. */
struct checkpoint_kept {
    int newest;     /* so many of the last ones, at least 1 */
    int64_t period; /* those whose step is a multiple of it; 0: none */
    int n_steps;
    const int64_t *steps; /* [n_steps] and those of these steps */
};
/* Rank 0 only, never while a checkpoint is being written: removes the checkpoints up to step `newest`, the one known to
 * be valid, that are not kept; later ones, damaged or passed over, neither count nor go. Temporary files that a killed
 * run left go. Files whose name is not exactly that of a checkpoint stay. */
enum iddpm_status checkpoint_prune(const char *folder, int64_t newest, const struct checkpoint_kept *kept);

/* ---- plain HDF5 files of one writer: results and shards (result.c) -------------------------------------------------
 */

struct store_attribute {
    const char *name;
    enum { STORE_TEXT, STORE_NUMBER, STORE_INTEGER } kind;
    const char *text;
    double number;
    int64_t integer;
};
/* Not collective. Writes all arrays and root attributes to a temporary file beside `path`, syncs, renames. */
enum iddpm_status store_write(const char *path, int n_arrays, const struct store_array *arrays, int n_attributes,
                              const struct store_attribute *attributes);
/* The same with arrays that come piece by piece, for what is larger than memory (rows.c). Every array has at least one
 * dimension, the first one counts its rows, and no data; what is never written is zero. The disk is asked for the whole
 * size first. The temporary file is PATH.tmp; one that a killed job has left is replaced. */
struct rows_writer;
enum iddpm_status rows_create(struct rows_writer **out, const char *path, int n_arrays,
                              const struct store_array *arrays, int n_attributes,
                              const struct store_attribute *attributes);
/* Rows [first, first + count) of array number i. */
enum iddpm_status rows_write(struct rows_writer *writer, int i, uint64_t first, uint64_t count, const void *data);
/* Elements [first, first + count) of it, in the order of the file. */
enum iddpm_status rows_write_elements(struct rows_writer *writer, int i, uint64_t first, uint64_t count,
                                      const void *data);
/* Syncs and renames. Destroys the writer in any case; after a failure there is no temporary file. */
enum iddpm_status rows_finish(struct rows_writer *writer);
void rows_abandon(struct rows_writer *writer); /* NULL is fine; the temporary file goes */
/* Reads one array into malloc'ed *data and its shape into *array (path as asked). */
enum iddpm_status store_read(const char *path, const char *array_path, enum store_type type, struct store_array *array);
enum iddpm_status store_read_text(const char *path, const char *object, const char *attribute, char **out); /* free() */
enum iddpm_status store_read_number(const char *path, const char *object, const char *attribute, double *out);
/* Reads n root attributes, whose names and kinds are given, in one opening of the file. After success their texts are
 * to be freed by store_free_texts. */
enum iddpm_status store_read_attributes(const char *path, int n, struct store_attribute *attributes);
void store_free_texts(int n, struct store_attribute *attributes);

/* ---- shards (shard.c) ----------------------------------------------------------------------------------------------
 */

/* One shard file: images uint8 [n][h][w][c], labels int64 [n] (-1: unlabelled), in bounded memory. The number of images
 * need not be known before. The file must not exist. */
struct shard_writer;
enum iddpm_status shard_create(struct shard_writer **out, const char *path, int h, int w, int c);
enum iddpm_status shard_append(struct shard_writer *shard, const uint8_t *image, int64_t label);
/* Writes what is buffered and the attribute "crc32" (of the images followed by the labels; also into *crc), fsyncs and
 * closes. Destroys the writer in any case; after a failure the file is gone. */
enum iddpm_status shard_finish(struct shard_writer *shard, uint32_t *crc);
void shard_abandon(struct shard_writer *shard); /* closes and removes the file; NULL is fine */

/* However many shards there are, at most 128 files are open at a time. */
struct shard;
enum iddpm_status shard_open(struct shard **out, const char *path);
void shard_close(struct shard *shard); /* NULL is fine */
void shard_shape(const struct shard *shard, uint64_t *n, int *h, int *w, int *c);
uint32_t shard_crc32(const struct shard *shard); /* as written in the file */
/* `count` images and labels from `first` on; labels may be NULL. They are good once shard_check has found them so. */
enum iddpm_status shard_read(struct shard *shard, uint64_t first, uint64_t count, uint8_t *images, int64_t *labels);
/* After one or more reads: fails when the file has become shorter, so that they may have given zeroes. It asks the file
 * system, and only when there was a read since the last time. */
enum iddpm_status shard_check(struct shard *shard);
/* Asks the system to read image `first` ahead (posix_fadvise), so that shard_read finds it in memory; returns at once.
 * Does nothing for a shard that is not among those open. */
void shard_expect(struct shard *shard, uint64_t first);
enum iddpm_status shard_verify(struct shard *shard); /* reads all and compares the checksum */

#endif
