/* Shards: plain HDF5 files of one data set's images and labels, written by one process as they come.
 *
 * How many images a shard will get is known only at its end (pictures may turn out to be damaged), so the data sets are
 * chunked and grow. Whole chunks go to the file directly (H5Dwrite_chunk), past HDF5's cache: memory stays bounded, and
 * a full disk is reported by the write that meets it. */
#include "hdf5.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK_BYTES (64 * 1024)
#define CHUNK_LABELS 1024
#define CRC_ATTRIBUTE "crc32"

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* One growing data set and the chunk that is being filled. */
struct column {
    hid_t dataset;
    int ndim;
    hsize_t dims[4]; /* dims[0]: rows in the file */
    size_t row_bytes, chunk_rows, filled;
    uint8_t *chunk;
    uLong crc; /* of all rows appended */
};

struct shard_writer {
    char *path;
    hid_t file;
    struct column images, labels;
};

static hid_t make_dataset(hid_t file, const char *name, hid_t type, const struct column *column)
{
    hsize_t most[4], chunk[4];
    memcpy(most, column->dims, sizeof most);
    memcpy(chunk, column->dims, sizeof chunk);
    most[0] = H5S_UNLIMITED;
    chunk[0] = column->chunk_rows;
    HID space = H5Screate_simple(column->ndim, column->dims, most);
    HID plan = H5Pcreate(H5P_DATASET_CREATE);
    if (H5Pset_chunk(plan, column->ndim, chunk) < 0 || H5Pset_fill_time(plan, H5D_FILL_TIME_NEVER) < 0 ||
        H5Pset_obj_track_times(plan, false) < 0)
        return -1;
    return H5Dcreate2(file, name, type, space, H5P_DEFAULT, plan, H5P_DEFAULT);
}

/* column->ndim, dims, row_bytes and chunk_rows are set. */
static enum iddpm_status column_create(struct column *column, const struct shard_writer *shard, const char *name,
                                       hid_t type)
{
    column->crc = 0;
    column->dataset = make_dataset(shard->file, name, type, column);
    if (column->dataset < 0) return hdf5_error(shard->path, "make %s", name);
    return mem_alloc(&column->chunk, column->chunk_rows, column->row_bytes, "a chunk of a shard");
}

static enum iddpm_status column_flush(struct column *column, const char *path)
{
    hsize_t offset[4] = {column->dims[0]};
    size_t used = column->filled * column->row_bytes, whole = column->chunk_rows * column->row_bytes;
    if (!column->filled) return IDDPM_OK;
    column->dims[0] += column->filled;
    column->filled = 0;
    memset(column->chunk + used, 0, whole - used);
    if (H5Dset_extent(column->dataset, column->dims) < 0 ||
        H5Dwrite_chunk(column->dataset, H5P_DEFAULT, 0, offset, whole, column->chunk) < 0)
        return hdf5_error(path, "write");
    return IDDPM_OK;
}

static enum iddpm_status column_append(struct column *column, const char *path, const void *row)
{
    memcpy(column->chunk + column->filled * column->row_bytes, row, column->row_bytes);
    column->crc = libdeflate_crc32(column->crc, row, column->row_bytes);
    column->filled++;
    return column->filled == column->chunk_rows ? column_flush(column, path) : IDDPM_OK;
}

static void column_close(struct column *column)
{
    if (column->dataset >= 0) H5Dclose(column->dataset);
    column->dataset = H5I_INVALID_HID;
    free(column->chunk);
    column->chunk = NULL;
}

static void writer_free(struct shard_writer *shard)
{
    column_close(&shard->images);
    column_close(&shard->labels);
    if (shard->file >= 0) H5Fclose(shard->file);
    free(shard->path);
    free(shard);
}

void shard_abandon(struct shard_writer *shard)
{
    if (!shard) return;
    /* On a full disk closing fails too, and leaves HDF5 with a file that it tries to close again at exit. Giving our
     * own space back first makes room for what closing still writes. */
    if (truncate(shard->path, 0) == 0) unlink(shard->path);
    writer_free(shard);
}

static enum iddpm_status writer_open(struct shard_writer *shard, const char *path)
{
    shard->path = mem_strdup(path);
    if (!shard->path) return iddpm_error(IDDPM_FAILED, "%s: no memory", path);
    HID access = hdf5_access();
    HID create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_obj_track_times(create, false); /* equal imports make equal files */
    shard->file = H5Fcreate(path, H5F_ACC_EXCL, create, access);
    return shard->file < 0 ? hdf5_error(path, "make this file") : IDDPM_OK;
}

enum iddpm_status shard_create(struct shard_writer **out, const char *path, int h, int w, int c)
{
    struct shard_writer *shard;
    size_t bytes = (size_t)h * (size_t)w * (size_t)c;
    *out = NULL;
    hdf5_start();
    TRY(mem_alloc(&shard, 1, sizeof *shard, path));
    shard->file = H5I_INVALID_HID;
    shard->images = (struct column){.dataset = H5I_INVALID_HID,
                                    .ndim = 4,
                                    .dims = {0, (hsize_t)h, (hsize_t)w, (hsize_t)c},
                                    .row_bytes = bytes,
                                    .chunk_rows = bytes < CHUNK_BYTES ? CHUNK_BYTES / bytes : 1};
    shard->labels = (struct column){
        .dataset = H5I_INVALID_HID, .ndim = 1, .row_bytes = sizeof(int64_t), .chunk_rows = CHUNK_LABELS};
    enum iddpm_status status = writer_open(shard, path);
    if (status != IDDPM_OK) { /* not shard_abandon: a file that stands there is not ours */
        writer_free(shard);
        return status;
    }
    status = column_create(&shard->images, shard, "images", H5T_STD_U8LE);
    if (status == IDDPM_OK) status = column_create(&shard->labels, shard, "labels", H5T_STD_I64LE);
    if (status == IDDPM_OK)
        *out = shard;
    else
        shard_abandon(shard);
    return status;
}

enum iddpm_status shard_append(struct shard_writer *shard, const uint8_t *image, int64_t label)
{
    TRY(column_append(&shard->images, shard->path, image));
    return column_append(&shard->labels, shard->path, &label);
}

static enum iddpm_status write_crc(const struct shard_writer *shard, uint32_t crc)
{
    HID space = H5Screate(H5S_SCALAR);
    HID attribute = H5Acreate2(shard->file, CRC_ATTRIBUTE, H5T_STD_U32LE, space, H5P_DEFAULT, H5P_DEFAULT);
    if (H5Awrite(attribute, H5T_NATIVE_UINT32, &crc) < 0) return hdf5_error(shard->path, "write the checksum");
    return IDDPM_OK;
}

/* HDF5 has no sync of its own; a descriptor of ours on the same file serves. */
static enum iddpm_status close_and_sync(struct shard_writer *shard)
{
    if (H5Fflush(shard->file, H5F_SCOPE_GLOBAL) < 0) return hdf5_error(shard->path, "write");
    hid_t file = shard->file;
    shard->file = H5I_INVALID_HID; /* closing twice what could not be closed crashes inside HDF5 */
    if (H5Fclose(file) < 0) return hdf5_error(shard->path, "close");
    int fd = open(shard->path, O_RDONLY | O_CLOEXEC);
    int error = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) close(fd);
    return error ? iddpm_error(IDDPM_FAILED, "%s: cannot sync to the disk: %s", shard->path, strerror(error))
                 : IDDPM_OK;
}

enum iddpm_status shard_finish(struct shard_writer *shard, uint32_t *crc)
{
    enum iddpm_status status = column_flush(&shard->images, shard->path);
    if (status == IDDPM_OK) status = column_flush(&shard->labels, shard->path);
    *crc = (uint32_t)crc32_combine(shard->images.crc, shard->labels.crc,
                                   (z_off_t)(shard->labels.dims[0] * sizeof(int64_t)));
    if (status == IDDPM_OK) status = write_crc(shard, *crc);
    column_close(&shard->images);
    column_close(&shard->labels);
    if (status == IDDPM_OK) status = close_and_sync(shard);
    if (status == IDDPM_OK)
        writer_free(shard);
    else
        shard_abandon(shard);
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct shard {
    char *path;
    hid_t file, images, labels; /* invalid while it rests */
    int fd;                     /* HDF5's own of the file */
    off_t bytes;                /* of the file */
    hsize_t dims[4];
    uint32_t crc;
    bool unchecked, shorter; /* read since its size was looked at; the size was less than it was */
    unsigned turn;           /* its number among the shards opened so far */
};

/* A data set may have more shards than a process may have files open, so only those opened last are; the others rest
 * and are opened again when they are read. */
enum { OPEN_MAX = 128 };
static struct shard *awake[OPEN_MAX];
static unsigned turns;

/* HDF5 makes zeroes of what is behind the end of a file. It looks at the size only when it opens one. */
static void look_at_size(struct shard *shard)
{
    struct stat info;
    if (!shard->unchecked) return;
    shard->unchecked = false;
    if (fstat(shard->fd, &info) != 0 || info.st_size < shard->bytes) shard->shorter = true;
}

static void rest(struct shard *shard)
{
    look_at_size(shard);
    hid_t *const ids[] = {&shard->images, &shard->labels, &shard->file};
    for (int i = 0; i < 3; i++) {
        hdf5_release(ids[i]);
        *ids[i] = H5I_INVALID_HID;
    }
    if (awake[shard->turn % OPEN_MAX] == shard) awake[shard->turn % OPEN_MAX] = NULL;
}

void shard_close(struct shard *shard)
{
    if (!shard) return;
    rest(shard);
    free(shard->path);
    free(shard);
}

/* Opens without a chunk cache, so that reading one image reads its bytes and not its whole chunk. */
static hid_t open_dataset(hid_t file, const char *name)
{
    HID access = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(access, 1, 0, 1);
    return H5Dopen2(file, name, access);
}

static bool parts_fit(const struct store_array *images, const struct store_array *labels)
{
    return images->type == STORE_U8 && images->ndim == 4 && labels->type == STORE_I64 && labels->ndim == 1 &&
           images->dims[0] == labels->dims[0];
}

static enum iddpm_status note_file(struct shard *shard)
{
    struct stat info;
    int *fd;
    if (H5Fget_vfd_handle(shard->file, H5P_DEFAULT, (void **)&fd) < 0) return hdf5_error(shard->path, "look at");
    if (fstat(*fd, &info) != 0)
        return iddpm_error(IDDPM_FAILED, "%s: cannot look at: %s", shard->path, strerror(errno));
    shard->fd = *fd;
    shard->bytes = info.st_size;
    return IDDPM_OK;
}

static enum iddpm_status open_parts(struct shard *shard)
{
    struct store_array images, labels;
    shard->turn = turns++;
    struct shard **place = &awake[shard->turn % OPEN_MAX];
    if (*place) rest(*place);
    TRY(hdf5_open(&shard->file, shard->path));
    *place = shard;
    TRY(note_file(shard));
    shard->images = open_dataset(shard->file, "images");
    shard->labels = open_dataset(shard->file, "labels");
    if (!hdf5_describe(shard->images, &images) || !hdf5_describe(shard->labels, &labels) ||
        !parts_fit(&images, &labels) || hdf5_read_value(shard->file, CRC_ATTRIBUTE, H5T_NATIVE_UINT32, &shard->crc) < 0)
        return iddpm_error(IDDPM_FAILED,
                           "%s: not a shard of a data set, which holds images uint8 [n][h][w][c], labels int64 [n] "
                           "and their crc32",
                           shard->path);
    for (int i = 0; i < 4; i++) shard->dims[i] = images.dims[i];
    return IDDPM_OK;
}

enum iddpm_status shard_open(struct shard **out, const char *path)
{
    struct shard *shard;
    *out = NULL;
    hdf5_start();
    TRY(mem_alloc(&shard, 1, sizeof *shard, path));
    shard->file = shard->images = shard->labels = H5I_INVALID_HID;
    shard->path = mem_strdup(path);
    enum iddpm_status status = shard->path ? open_parts(shard) : iddpm_error(IDDPM_FAILED, "%s: no memory", path);
    if (status == IDDPM_OK)
        *out = shard;
    else
        shard_close(shard);
    return status;
}

/* Opens a shard that rests; it must be as it was. */
static enum iddpm_status wake(struct shard *shard)
{
    if (shard->file >= 0) return IDDPM_OK;
    struct shard before = *shard;
    enum iddpm_status status = open_parts(shard);
    if (status == IDDPM_OK && (shard->crc != before.crc || memcmp(shard->dims, before.dims, sizeof before.dims) != 0))
        status = iddpm_error(IDDPM_FAILED, "%s: was replaced by another while it was in use", shard->path);
    if (status != IDDPM_OK) rest(shard);
    return status;
}

void shard_shape(const struct shard *shard, uint64_t *n, int *h, int *w, int *c)
{
    *n = shard->dims[0];
    *h = (int)shard->dims[1];
    *w = (int)shard->dims[2];
    *c = (int)shard->dims[3];
}

uint32_t shard_crc32(const struct shard *shard)
{
    return shard->crc;
}

/* Rows [first, first + count) of a data set whose rows have the shape dims[1..ndim). */
static bool read_rows(hid_t dataset, hid_t type, int ndim, const hsize_t *dims, uint64_t first, uint64_t count,
                      void *data)
{
    hsize_t start[4] = {first}, size[4];
    memcpy(size, dims, (size_t)ndim * sizeof *size);
    size[0] = count;
    HID memory = H5Screate_simple(ndim, size, NULL);
    HID file = H5Dget_space(dataset);
    return H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, size, NULL) >= 0 &&
           H5Dread(dataset, type, memory, file, H5P_DEFAULT, data) >= 0;
}

enum iddpm_status shard_read(struct shard *shard, uint64_t first, uint64_t count, uint8_t *images, int64_t *labels)
{
    uint64_t n = shard->dims[0];
    if (count > n || first > n - count)
        return iddpm_error(IDDPM_FAILED, "%s: holds %llu images; %llu from number %llu on were asked for", shard->path,
                           (unsigned long long)n, (unsigned long long)count, (unsigned long long)first);
    if (!count) return IDDPM_OK;
    TRY(wake(shard));
    shard->unchecked = true;
    if (!read_rows(shard->images, H5T_NATIVE_UINT8, 4, shard->dims, first, count, images) ||
        (labels && !read_rows(shard->labels, H5T_NATIVE_INT64, 1, shard->dims, first, count, labels)))
        return hdf5_error(shard->path, "read");
    return IDDPM_OK;
}

enum iddpm_status shard_check(struct shard *shard)
{
    look_at_size(shard);
    if (!shard->shorter) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: has become shorter while it was in use", shard->path);
}

static uint64_t image_bytes(const struct shard *shard)
{
    return shard->dims[1] * shard->dims[2] * shard->dims[3];
}

/* Only a hint: what cannot be found out is left to shard_read. A shard that rests is left alone: others might wake, and
 * make it rest again, before it is read, which would open it twice. */
void shard_expect(struct shard *shard, uint64_t first)
{
    hsize_t at[4] = {first}, chunk[4], bytes;
    haddr_t offset = HADDR_UNDEF;
    unsigned filters;
    if (first >= shard->dims[0] || shard->file < 0) return;
    HID create = H5Dget_create_plist(shard->images);
    if (H5Pget_layout(create) == H5D_CHUNKED && H5Pget_chunk(create, 4, chunk) == 4) {
        at[0] -= first % chunk[0];
        if (H5Dget_chunk_info_by_coord(shard->images, at, &filters, &offset, &bytes) >= 0 && offset != HADDR_UNDEF)
            posix_fadvise(shard->fd, (off_t)(offset + first % chunk[0] * image_bytes(shard)), (off_t)image_bytes(shard),
                          POSIX_FADV_WILLNEED);
    }
    H5Eclear2(H5E_DEFAULT);
}

/* The checksum of what the file holds now, read in blocks of `block` images. */
static enum iddpm_status compute_crc(struct shard *shard, uint64_t block, uint8_t *images, int64_t *labels,
                                     uint32_t *crc)
{
    uint64_t n = shard->dims[0];
    uint32_t crc_images = 0, crc_labels = 0;
    for (uint64_t first = 0; first < n; first += block) {
        uint64_t count = n - first < block ? n - first : block;
        TRY(shard_read(shard, first, count, images, labels));
        crc_images = libdeflate_crc32(crc_images, images, count * image_bytes(shard));
        crc_labels = libdeflate_crc32(crc_labels, labels, count * sizeof *labels);
    }
    *crc = (uint32_t)crc32_combine(crc_images, crc_labels, (z_off_t)(n * sizeof *labels));
    return shard_check(shard);
}

enum iddpm_status shard_verify(struct shard *shard)
{
    uint64_t bytes = image_bytes(shard), block = bytes && bytes < CHUNK_BYTES ? CHUNK_BYTES / bytes : 1;
    uint8_t *images = NULL;
    int64_t *labels = NULL;
    uint32_t crc = 0;
    enum iddpm_status status = mem_alloc(&images, block, bytes, shard->path);
    if (status == IDDPM_OK) status = mem_alloc(&labels, block, sizeof *labels, shard->path);
    if (status == IDDPM_OK) status = compute_crc(shard, block, images, labels, &crc);
    free(images);
    free(labels);
    if (status == IDDPM_OK && crc != shard->crc)
        status = iddpm_error(IDDPM_FAILED, "%s: damaged: written with checksum %08x, its images and labels give %08x",
                             shard->path, shard->crc, crc);
    return status;
}
