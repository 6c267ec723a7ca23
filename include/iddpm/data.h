/* Floor 3: data sets. Importers write a folder of HDF5 shards with an index (written last: without it nothing is a data
 * set); readers give batches. Free of MPI. */
#ifndef IDDPM_DATA_H
#define IDDPM_DATA_H

#include "iddpm/base.h"
#include "iddpm/store.h"

/* ---- pictures (picture*.c, resize.c) ----------------------------------------------------------------------------- */

/* 8-bit RGB (or grey, channels 1; CMYK, 4), rows top to bottom, no padding. pixels: malloc'ed, free with
 * picture_destroy. */
struct picture {
    int width, height, channels;
    uint8_t *pixels;
};
void picture_destroy(struct picture *picture);
/* Reads PNG, JPEG or WebP by content into RGB as Pillow's convert("RGB") does: palette and 1 bit expanded, alpha
 * dropped, 16-bit grey by >> 8, CMYK by Pillow's formula. Errors name the file and the reason. */
enum iddpm_status picture_read(struct picture *out, const char *path);
/* The same from n bytes in memory; errors give the reason alone. */
enum iddpm_status picture_read_bytes(struct picture *out, const void *bytes, size_t n);
/* The same for picture_to_size: a JPEG with CMYK stays so, 4 channels with Pillow's values. */
enum iddpm_status picture_read_stored(struct picture *out, const char *path);
enum iddpm_status picture_read_stored_bytes(struct picture *out, const void *bytes, size_t n);
enum iddpm_status picture_write_png(const struct picture *picture, const char *path);
/* Pillow's Image.resize with BOX or BICUBIC on 8-bit pixels (two passes, fixed-point coefficients, round half up). */
enum picture_filter { FILTER_BOX, FILTER_BICUBIC };
enum iddpm_status picture_resize(const struct picture *in, int width, int height, enum picture_filter filter,
                                 struct picture *out);
/* The authors' loader (image_datasets.py): BOX halving while at least twice too large, BICUBIC, centre crop to size,
 * and only then CMYK to RGB. (What else picture_read makes RGB, alpha for one, their loader resizes before.) */
enum iddpm_status picture_to_size(const struct picture *in, int size, struct picture *out);
/* The authors' script for LSUN (lsun_bedroom.py): one BOX resize of the shorter side to size, centre crop. */
enum iddpm_status picture_to_size_lsun(const struct picture *in, int size, struct picture *out);
/* Several pictures [n][h][w][c] (c 1 or 3) in a grid, one pixel apart on white. columns 0: about square. */
enum iddpm_status picture_grid(int n, int columns, int h, int w, int c, const uint8_t *images, struct picture *out);

/* ---- import (import*.c) ------------------------------------------------------------------------------------------ */

enum import_kind { IMPORT_DIGITS, IMPORT_CIFAR10, IMPORT_FOLDER, IMPORT_NPZ, IMPORT_LSUN };
struct import_options {
    enum import_kind kind;
    const char *source; /* digits: NULL for the built-in file */
    const char *target; /* folder to make; must not hold a data set yet */
    int size;           /* folder, lsun (0: 256): pixels; 0 elsewhere */
    int shards;         /* 0: 16, or fewer when there are fewer images */
    const char *split;  /* "train" (default) or "test" */
    bool strict; /* a picture that cannot be read, or a CIFAR-10 file of other than 10,000 records, fails the import */
    bool authors_classes; /* cifar10: classes by sorted names */
    bool unlabelled;      /* folder: no classes from the names of files */
    uint64_t seed;        /* of the order in which images are dealt */
    double save_seconds;  /* between saves of what is done; 0: 30 */
};
struct import_result {
    uint64_t images, skipped;
    int classes, shards;
};
/* A stop signal gives IDDPM_STOPPED with everything saved; then, and when it was killed or failed after a save, the
 * same options continue it, to the same bytes as without an interruption. */
enum iddpm_status data_import(const struct import_options *options, struct import_result *result);

/* ---- reading (dataset.c) ----------------------------------------------------------------------------------------- */

struct dataset {
    char *folder, *source, *license;
    char *copy; /* folder that shards are read from in place of `folder`, or NULL: dataset_use_copy */
    char *hash; /* SHA-256 of all pixels and labels (int64, little endian), image by image in global order */
    uint64_t images, unlabelled; /* labels of the latter are -1 */
    int height, width, channels;
    int classes; /* 0: unlabelled */
    char **class_names;
    int shards;
    uint64_t *shard_images;
    char **shard_names;    /* private: files inside the folder, */
    uint32_t *shard_crcs;  /* their checksums, */
    struct shard **opened; /* and those that dataset_read has open */
};
/* Reads the index only: dataset_index_text, then dataset_parse. */
enum iddpm_status dataset_open(struct dataset **out, const char *folder);
/* The two halves, for ranks of which one reads. The text is free()d by the caller. */
enum iddpm_status dataset_index_text(const char *folder, char **out);
enum iddpm_status dataset_parse(struct dataset **out, const char *folder, const char *index_text);
void dataset_close(struct dataset *dataset);
/* From now on shards are read from `folder`, which has the index of the same data set (else IDDPM_FAILED naming both)
 * and copies of at least the shards that will be asked for. Before anything is read. */
enum iddpm_status dataset_use_copy(struct dataset *dataset, const char *folder);
/* Of the original, into out[PATH_SIZE]: its index, and its shard s. */
enum iddpm_status dataset_index_path(const struct dataset *dataset, char *out);
enum iddpm_status dataset_shard_path(const struct dataset *dataset, int s, char *out);
/* Every shard against its checksum and the index. */
enum iddpm_status dataset_verify(const struct dataset *dataset);

/* Images by global index: index g is image g / shards of shard g % shards (dealt round-robin). labels may be NULL.
 * Opens shards on first use and keeps them open. */
enum iddpm_status dataset_read(const struct dataset *dataset, uint64_t first, uint64_t count, uint8_t *images,
                               int64_t *labels);

/* The images of one leaf m of L, a stream without end: the k-th image is a closed formula of (seed, k). Leaf m owns the
 * shards s with s mod L = m; when L > shards, shard m mod S, of whose images those with i mod (leaves of that shard)
 * equal to m / S. Every epoch is a new permutation of what the leaf owns: image k is the one at place
 * rng_permute({seed, RNG_SHUFFLE, step = k / n, slot = m}, n, k mod n) of the leaf's n images. Kept in memory when the
 * bytes fit `cache_bytes`; else each image is read when it is asked for, and the system is told to read those that come
 * next in the meantime. The images are the same. The data set must live as long. */
struct leaf_reader;
/* Whether leaf m of L reads shard s of S. */
bool leaf_reads_shard(int leaf, int leaves, int s, int shards);
enum iddpm_status leaf_reader_create(struct leaf_reader **out, const struct dataset *dataset, int leaf, int leaves,
                                     uint64_t seed, uint64_t cache_bytes);
void leaf_reader_destroy(struct leaf_reader *reader);
/* Bytes that this reader keeps in memory: 0 when they do not fit. */
uint64_t leaf_cache_bytes(const struct dataset *dataset, int leaf, int leaves, uint64_t cache_bytes);
uint64_t leaf_reader_images(const struct leaf_reader *reader);
/* Images number k, k + 1, ... of the stream. labels may be NULL. */
enum iddpm_status leaf_reader_get(struct leaf_reader *reader, uint64_t k, int count, uint8_t *images, int64_t *labels);

/* (pixels.c) x / 127.5 - 1 in double, n bytes */
void pixels_to_signal(size_t n, const uint8_t *pixels, double *x);
/* uint8 by truncation of clamp((x + 1) 127.5, 0, 255), as the authors' image_sample.py */
void signal_to_pixels(size_t n, const double *x, uint8_t *pixels);
/* A square image [size][size][channels] as a smaller one [small][small][channels] of means over areas that may overlap:
 * output row i is of the input rows from floor(i size / small) to before ceil((i + 1) size / small), as PyTorch's
 * F.interpolate(mode="area") in the authors' super_res_train.py. */
void signal_area_average(int size, int channels, const double *x, int small, double *out);
/* Mirrors an image [height][width][channels] left to right, in place. */
void pixels_mirror(int height, int width, int channels, uint8_t *pixels);

/* ---- NPZ (npz.c, npz_write.c)
 * ------------------------------------------------------------------------------------------------- */

struct npz_array {
    char name[64]; /* "arr_0" */
    enum store_type type;
    int ndim;
    uint64_t dims[STORE_DIMS];
    void *data;
};
/* Uncompressed (np.savez), atomically. */
enum iddpm_status npz_write(const char *path, int n, const struct npz_array *arrays);
/* The same array by array and piece by piece, for arrays larger than memory: at most eight. `data` of the array is not
 * looked at; npz_writer_add gives its bytes, all of them before the next one begins. */
struct npz_writer;
enum iddpm_status npz_writer_open(struct npz_writer **out, const char *path);
enum iddpm_status npz_writer_begin(struct npz_writer *writer, const struct npz_array *array);
enum iddpm_status npz_writer_add(struct npz_writer *writer, const void *data, size_t bytes);
/* Destroys the writer. With an error as `status`, which is passed through with the file's name, and after one here the
 * file is as it was before. */
enum iddpm_status npz_writer_close(struct npz_writer *writer, enum iddpm_status status);
/* Stored or deflated members; data malloc'ed, npz_free. */
enum iddpm_status npz_read(const char *path, int *n, struct npz_array **arrays);
void npz_free(int n, struct npz_array *arrays);

/* Images as the authors' image_sample.py writes them, read in bounded memory (npz_images.c): arr_0 uint8 [n][h][w][c]
 * or grey [n][h][w], and maybe arr_1, a label for each. */
struct npz_images {
    char *path;
    uint64_t images;
    int height, width, channels;
    int64_t *labels;                  /* [images]; NULL: none */
    char hash[65];                    /* SHA-256 of all pixels, then of the labels as int64, little endian */
    struct npz_images_reader *reader; /* private */
};
/* Reads the whole file once, for checksum and hash. */
enum iddpm_status npz_images_open(struct npz_images **out, const char *path);
/* Images [first, first + count). Quick in ascending order; going back begins the file again. */
enum iddpm_status npz_images_read(struct npz_images *images, uint64_t first, uint64_t count, uint8_t *out);
void npz_images_close(struct npz_images *images); /* NULL is fine */

#endif
