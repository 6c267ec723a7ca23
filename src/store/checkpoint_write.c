/* Writing a checkpoint so that no single fault hangs the job or costs more than this one checkpoint.
 *
 *  1. (parallel_init) MPI-IO by ROMIO: Open MPI's own needs lock files in its open, and its collective writes were seen
 *     to succeed though a write had failed.
 *  2. Rank 0 alone makes a temporary file with everything in it but the numbers, notes where each array begins, and
 *     reserves the whole size on the disk: a full disk shows here, before anyone else has begun.
 *  3. Every rank opens the file plainly, for its own fsync later.
 *  4. All open it together through MPI-IO.
 *  5. Each rank writes its slices independently; nothing of HDF5's own data changes, so ranks need no common moves.
 *     Rank 0 joins the CRC-32 of the slices and writes them.
 *  6. All close it, whatever has happened.
 *  7. Every rank syncs.
 *  8. Every rank reads its slices back and compares checksums.
 *  9. Rank 0 renames the file to its name.
 * 10. At any failure rank 0 removes the temporary file, and all return the error: an older file stands.
 *
 * After each step all ranks agree, so they leave it together; inside, the latch keeps I/O errors away from HDF5, whose
 * collective calls would else stop matching. Only when some ranks could open the file and others not is there no way
 * back: H5Fclose would wait for ever. */
#include "checkpoint.h"
#include "latch.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes of one H5Dwrite: MPI counts them in an int. */
#define PIECE_BYTES ((size_t)1 << 29)

/* Where an array is in the file: its first byte, and the header by which HDF5 opens it. */
struct place {
    uint64_t data, header;
};

struct writer {
    const struct parallel *parallel;
    const char *path;
    char temporary[PATH_SIZE];
    int64_t step;
    const char *config;
    struct checkpoint_options options;
    MPI_Info hints;
    int n;
    const struct store_slice *slices;
    struct ckpt_table table; /* filled on rank 0 */
    struct place *places;    /* [n + 1] of each array, and of the table */
    uint32_t *mine, *joined; /* [n] CRC-32 of this rank's slices, and on rank 0 of the arrays */
};

static enum iddpm_status prepare(struct writer *w)
{
    if (snprintf(w->temporary, sizeof w->temporary, "%s%s%s.tmp", w->path, w->options.guard ? "." : "",
                 w->options.guard ? w->options.guard->token : "") >= (int)sizeof w->temporary)
        return iddpm_error(IDDPM_USAGE, "%s: the path is too long", w->path);
    TRY(ckpt_check_slices(w->path, w->n, w->slices));
    if (w->options.hints) TRY(ckpt_info(w->options.hints, &w->hints));
    size_t n = (size_t)w->n;
    TRY(ckpt_table_create(&w->table, w->n, w->slices));
    TRY(mem_alloc(&w->places, n + 1, sizeof *w->places, "places in a checkpoint"));
    TRY(mem_alloc(&w->mine, n, sizeof *w->mine, "checksums of a checkpoint"));
    return mem_alloc(&w->joined, n, sizeof *w->joined, "checksums of a checkpoint");
}

static void release(struct writer *w)
{
    if (w->hints != MPI_INFO_NULL) MPI_Info_free(&w->hints);
    ckpt_table_destroy(&w->table);
    free(w->places);
    free(w->mine);
    free(w->joined);
}

/* ---- step 2, rank 0 alone ---------------------------------------------------------------------------------------- */

static enum iddpm_status write_attributes(const struct writer *w, hid_t file)
{
    const struct store_attribute attributes[] = {
        {"format_version", STORE_INTEGER, .integer = CKPT_FORMAT_VERSION},
        {"program", STORE_TEXT, .text = "iddpm " IDDPM_VERSION},
        {"step", STORE_INTEGER, .integer = w->step},
        {"config", STORE_TEXT, .text = w->config},
    };
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        if (hdf5_write_attribute(file, &attributes[i]) < 0)
            return hdf5_error(w->temporary, "make the attribute %s", attributes[i].name);
    return IDDPM_OK;
}

static enum iddpm_status note_place(struct writer *w, int i, hid_t dataset, const char *name)
{
    H5O_info_t info;
    if (dataset < 0) return hdf5_error(w->temporary, "make the data set %s", name);
    if (H5Oget_info2(dataset, &info, H5O_INFO_BASIC) < 0) return hdf5_error(w->temporary, "look at %s", name);
    w->places[i] = (struct place){H5Dget_offset(dataset), info.addr};
    return IDDPM_OK;
}

static enum iddpm_status create_table(struct writer *w, hid_t file)
{
    hsize_t rows = (hsize_t)w->n + 1;
    HID type = ckpt_table_type(w->table.length);
    HID space = H5Screate_simple(1, &rows, NULL);
    HID create = hdf5_create_properties();
    HID dataset = H5Dcreate2(file, CKPT_TABLE, type, space, H5P_DEFAULT, create, H5P_DEFAULT);
    return note_place(w, w->n, dataset, CKPT_TABLE);
}

static enum iddpm_status create_contents(struct writer *w, hid_t file)
{
    TRY(write_attributes(w, file));
    for (int i = 0; i < w->n; i++) {
        HID dataset = hdf5_create_dataset(file, &w->slices[i].array);
        TRY(note_place(w, i, dataset, w->slices[i].array.path));
    }
    return create_table(w, file);
}

static enum iddpm_status reserve(const char *path)
{
    int fd;
    TRY(ckpt_open_plain(&fd, path, O_WRONLY));
    enum iddpm_status status = store_reserve(fd, path);
    if (close(fd) == 0 || status != IDDPM_OK) return status;
    return iddpm_error(IDDPM_FAILED, "%s: cannot close: %s", path, strerror(errno));
}

static enum iddpm_status create_file(struct writer *w)
{
    if (unlink(w->temporary) != 0 && errno != ENOENT)
        return iddpm_error(IDDPM_FAILED, "%s: cannot remove this file left by an earlier run: %s", w->temporary,
                           strerror(errno));
    latch_clear();
    HID access = hdf5_access();
    HID create = hdf5_file_properties();
    H5Pset_fapl_mpio(access, MPI_COMM_SELF, w->hints);
    if (w->options.alignment > 1) H5Pset_alignment(access, w->options.alignment, w->options.alignment);
    hid_t file = H5Fcreate(w->temporary, H5F_ACC_EXCL, create, access);
    if (file < 0) return hdf5_error(w->temporary, "create");
    enum iddpm_status status = create_contents(w, file);
    if (H5Fclose(file) < 0 && status == IDDPM_OK) status = hdf5_error(w->temporary, "close");
    if (status == IDDPM_OK) status = latch_check(w->temporary);
    return status == IDDPM_OK ? reserve(w->temporary) : status;
}

/* ---- step 5 ------------------------------------------------------------------------------------------------------ */

/* The largest box of indices whose elements are `begin`, begin + 1, ... in C order, up to `end` and to PIECE_BYTES.
 * Returns their number. A range of elements is at most 2 ndim - 1 such boxes. */
static size_t next_box(const struct store_array *array, size_t begin, size_t end, hsize_t *start, hsize_t *count)
{
    size_t left = end - begin, most = PIECE_BYTES / store_type_bytes(array->type), inner = 1;
    if (left > most) left = most;
    for (int d = array->ndim - 1; d >= 0; d--) {
        start[d] = begin % array->dims[d];
        begin /= array->dims[d];
        count[d] = 1;
    }
    int d = array->ndim - 1;
    for (; d > 0 && start[d] == 0 && inner * array->dims[d] <= left; d--) {
        count[d] = array->dims[d];
        inner *= array->dims[d];
    }
    count[d] = array->dims[d] - start[d];
    if (count[d] > left / inner) count[d] = left / inner;
    return inner * count[d];
}

static int write_slice(hid_t dataset, const struct store_slice *slice)
{
    const struct store_array *array = &slice->array;
    hid_t type = hdf5_type(array->type);
    if (array->ndim == 0) return H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, array->data);
    HID there = H5Dget_space(dataset);
    const char *data = array->data;
    for (size_t done = 0, n; done < slice->count; done += n) {
        hsize_t start[STORE_DIMS], count[STORE_DIMS];
        n = next_box(array, slice->first + done, slice->first + slice->count, start, count);
        HID here = H5Screate_simple(1, &(hsize_t){n}, NULL);
        if (H5Sselect_hyperslab(there, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
            H5Dwrite(dataset, type, here, there, H5P_DEFAULT, data) < 0)
            return -1;
        data += n * store_type_bytes(array->type);
    }
    return 0;
}

/* By its header and not by its path: no rank but 0 then reads more of the file's own data than the headers of what it
 * writes, whatever else there is. Looking for paths would send every rank through the groups. */
static hid_t open_array(const struct writer *w, hid_t file, int i)
{
    return H5Oopen_by_addr(file, w->places[i].header);
}

static enum iddpm_status write_slices(struct writer *w, hid_t file)
{
    for (int i = 0; i < w->n; i++) {
        const struct store_slice *slice = &w->slices[i];
        if (slice->count == 0) continue;
        watchdog_at("writing the checkpoint", w->step);
        w->mine[i] = libdeflate_crc32(0, slice->array.data, ckpt_slice_bytes(slice));
        HID dataset = open_array(w, file, i);
        if (dataset < 0 || write_slice(dataset, slice) < 0)
            return hdf5_error(w->temporary, "write %s", slice->array.path);
    }
    return IDDPM_OK;
}

static enum iddpm_status write_table(struct writer *w, hid_t file)
{
    for (int i = 0; i < w->n; i++) ckpt_table_set_crc(&w->table, i, w->joined[i]);
    ckpt_table_seal(&w->table);
    HID type = ckpt_table_type(w->table.length);
    HID dataset = open_array(w, file, w->n);
    if (dataset < 0 || H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, w->table.rows) < 0)
        return hdf5_error(w->temporary, "write " CKPT_TABLE);
    return IDDPM_OK;
}

/* Collective */
static enum iddpm_status write_contents(struct writer *w, hid_t file)
{
    TRY(parallel_agree(w->parallel, write_slices(w, file)));
    watchdog_at("joining the checksums of the checkpoint", w->step);
    enum iddpm_status status = ckpt_join_crcs(w->parallel, w->temporary, w->n, w->slices, w->mine, w->joined);
    if (status == IDDPM_OK && w->parallel->rank == 0) status = write_table(w, file);
    if (status == IDDPM_OK) status = latch_check(w->temporary);
    return parallel_agree(w->parallel, status);
}

/* ---- steps 4 to 6, collective ------------------------------------------------------------------------------------ */

static enum iddpm_status open_together(struct writer *w, hid_t *file)
{
    HID access = hdf5_access();
    H5Pset_fapl_mpio(access, w->parallel->comm, w->hints);
    watchdog_at("opening the checkpoint together", w->step);
    latch_clear();
    latch_opening(w->parallel);
    *file = H5Fopen(w->temporary, H5F_ACC_RDWR, access);
    latch_opening(NULL);
    enum iddpm_status status = *file < 0 ? hdf5_error(w->temporary, "open") : IDDPM_OK;
    status = parallel_agree(w->parallel, status);
    if (status == IDDPM_OK || !parallel_max_int(w->parallel, *file >= 0)) return status;
    if (*file < 0) parallel_abort(w->parallel, status, "%s (other ranks could)", iddpm_error_text());
    parallel_barrier(w->parallel); /* until the abort arrives */
    return status;
}

static enum iddpm_status write_together(struct writer *w)
{
    hid_t file;
    TRY(open_together(w, &file));
    enum iddpm_status status = write_contents(w, file);
    watchdog_at("closing the checkpoint", w->step);
    bool closed = H5Fclose(file) >= 0;
    if (status != IDDPM_OK) return status; /* on all ranks */
    return parallel_agree(w->parallel, closed ? latch_check(w->temporary) : hdf5_error(w->temporary, "close"));
}

/* ---- steps 7 and 8, each rank ------------------------------------------------------------------------------------ */

static enum iddpm_status sync_and_close(const struct writer *w, int fd)
{
    int error = fsync(fd) != 0 ? errno : 0;
    if (close(fd) != 0 && !error) error = errno;
    if (!error) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cannot sync: %s", w->temporary, strerror(error));
}

static enum iddpm_status compare_slices(const struct writer *w, int fd)
{
    uint32_t crc;
    for (int i = 0; i < w->n; i++) {
        struct store_slice there = w->slices[i];
        if (there.count == 0) continue;
        there.array.data = NULL;
        watchdog_at("reading the checkpoint back", w->step);
        TRY(ckpt_read_slice(fd, w->temporary, &there, w->places[i].data, &crc));
        if (crc != w->mine[i])
            return iddpm_error(IDDPM_FAILED, "%s: %s is not what was written", w->temporary, there.array.path);
    }
    if (w->parallel->rank != 0) return IDDPM_OK;
    size_t bytes = ckpt_table_bytes(&w->table, w->n + 1);
    TRY(ckpt_read_bytes(fd, w->temporary, w->places[w->n].data, bytes, NULL, &crc));
    if (crc != libdeflate_crc32(0, w->table.rows, bytes))
        return iddpm_error(IDDPM_FAILED, "%s: " CKPT_TABLE " is not what was written", w->temporary);
    return IDDPM_OK;
}

static enum iddpm_status read_back(const struct writer *w)
{
    int fd;
    TRY(ckpt_open_plain(&fd, w->temporary, O_RDONLY));
    enum iddpm_status status = compare_slices(w, fd);
    close(fd);
    return status;
}

/* ---- all steps --------------------------------------------------------------------------------------------------- */

/* Collective: steps 2 to 8. */
static enum iddpm_status write_temporary(struct writer *w)
{
    const struct parallel *parallel = w->parallel;
    watchdog_at("making the file of the checkpoint", w->step);
    TRY(parallel_agree(parallel, parallel->rank == 0 ? create_file(w) : IDDPM_OK));
    TRY(parallel_broadcast(parallel, w->places, ((size_t)w->n + 1) * sizeof *w->places));
    int fd;
    enum iddpm_status status = parallel_agree(parallel, ckpt_open_plain(&fd, w->temporary, O_WRONLY));
    if (status == IDDPM_OK) status = write_together(w);
    if (status != IDDPM_OK) {
        if (fd >= 0) close(fd);
        return status;
    }
    watchdog_at("bringing the checkpoint to disk", w->step);
    TRY(parallel_agree(parallel, sync_and_close(w, fd)));
    watchdog_at("reading the checkpoint back", w->step);
    return parallel_agree(parallel, read_back(w));
}

/* Step 9, rank 0 alone. */
static enum iddpm_status publish(const struct writer *w)
{
    if (w->options.guard) TRY(w->options.guard->check(w->options.guard->context));
    if (rename(w->temporary, w->path) != 0)
        return iddpm_error(IDDPM_FAILED, "%s: cannot rename to %s: %s", w->temporary, w->path, strerror(errno));
    if (store_sync_folder_of(w->path) != IDDPM_OK) log_warn("%s", iddpm_error_text());
    return IDDPM_OK;
}

enum iddpm_status checkpoint_write(const struct parallel *parallel, const char *path, int64_t step, const char *text,
                                   int n, const struct store_slice *slices, const struct checkpoint_options *options)
{
    hdf5_start();
    struct writer w = {.parallel = parallel,
                       .path = path,
                       .step = step,
                       .config = text,
                       .hints = MPI_INFO_NULL,
                       .n = n,
                       .slices = slices};
    if (options) w.options = *options;
    enum iddpm_status status = parallel_agree(parallel, prepare(&w));
    if (status == IDDPM_OK) {
        status = write_temporary(&w);
        watchdog_at("giving the checkpoint its name", step);
        if (status == IDDPM_OK) status = parallel_agree(parallel, parallel->rank == 0 ? publish(&w) : IDDPM_OK);
        if (status != IDDPM_OK && parallel->rank == 0 && unlink(w.temporary) != 0 && errno != ENOENT)
            log_warn("%s: cannot remove: %s", w.temporary, strerror(errno));
    }
    release(&w);
    return status;
}
