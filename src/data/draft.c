#include "draft.h"

#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FORMAT "iddpm import 1"

static enum iddpm_status numbered(char *out, const struct draft *draft, const char *format, int s)
{
    char name[32];
    snprintf(name, sizeof name, format, s);
    return path_join(out, draft->dataset->folder, name);
}

static size_t record_bytes(const struct draft *draft)
{
    return draft->image_bytes + sizeof(int64_t);
}

static uint64_t images_of(const struct draft *draft, int s)
{
    uint64_t shards = (uint64_t)draft->shards;
    return (draft->state.images + shards - 1 - (uint64_t)s) / shards;
}

/* ---- import.part ------------------------------------------------------------------------------------------------- */

static size_t state_bytes(const struct draft *draft)
{
    return sizeof draft->state + (size_t)draft->dataset->classes * sizeof *draft->class_images;
}

static enum iddpm_status state_write(const struct draft *draft)
{
    char path[PATH_SIZE];
    uint8_t *bytes;
    size_t n = state_bytes(draft);
    TRY(path_join(path, draft->dataset->folder, DRAFT_FILE));
    TRY(mem_alloc(&bytes, n + sizeof(uint32_t), 1, path));
    memcpy(bytes, &draft->state, sizeof draft->state);
    if (n > sizeof draft->state) memcpy(bytes + sizeof draft->state, draft->class_images, n - sizeof draft->state);
    uint32_t crc = libdeflate_crc32(0, bytes, n);
    memcpy(bytes + n, &crc, sizeof crc);
    enum iddpm_status status = path_write(path, bytes, n + sizeof crc);
    free(bytes);
    return status == IDDPM_OK ? path_sync_folder(draft->dataset->folder) : status;
}

/* `bytes`: of the file, `n` read of them, at most `want` + 1. Another number of classes gives another length, and is
 * another import. */
static enum iddpm_status state_take(struct draft *draft, const char *path, const uint8_t *bytes, size_t n, size_t want)
{
    uint32_t crc;
    const char *identity = draft->state.identity;
    const struct draft_state *read = (const void *)bytes;
    if (n < sizeof *read + sizeof crc || memcmp(read->format, draft->state.format, sizeof read->format) != 0)
        return iddpm_error(IDDPM_FAILED, "%s: damaged; remove the folder and import again", path);
    if (n != want || strcmp(read->identity, identity) != 0)
        return iddpm_error(
            IDDPM_USAGE,
            "%s: holds the beginning of another import, of another source or with other options; the same "
            "command as then continues it; to begin anew remove the folder",
            draft->dataset->folder);
    memcpy(&crc, bytes + n - sizeof crc, sizeof crc);
    if (crc != libdeflate_crc32(0, bytes, n - sizeof crc))
        return iddpm_error(IDDPM_FAILED, "%s: damaged; remove the folder and import again", path);
    memcpy(&draft->state, bytes, sizeof draft->state);
    if (draft->dataset->classes)
        memcpy(draft->class_images, bytes + sizeof draft->state,
               (size_t)draft->dataset->classes * sizeof *draft->class_images);
    return IDDPM_OK;
}

/* draft->saved tells whether there was any. */
static enum iddpm_status state_read(struct draft *draft)
{
    char path[PATH_SIZE];
    uint8_t *bytes;
    size_t want = state_bytes(draft) + sizeof(uint32_t);
    TRY(path_join(path, draft->dataset->folder, DRAFT_FILE));
    draft->saved = path_exists(path);
    if (!draft->saved) return IDDPM_OK;
    FILE *stream = fopen(path, "rb");
    if (!stream) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(errno));
    enum iddpm_status status = mem_alloc(&bytes, want + 1, 1, path);
    if (status == IDDPM_OK) status = state_take(draft, path, bytes, fread(bytes, 1, want + 1, stream), want);
    free(bytes);
    fclose(stream);
    return status;
}

/* ---- the files of shards ----------------------------------------------------------------------------------------- */

static enum iddpm_status damaged(const char *path, uint64_t bytes, uint64_t written)
{
    return iddpm_error(IDDPM_FAILED,
                       "%s: damaged: %llu bytes where %llu were written; remove the folder and import again", path,
                       (unsigned long long)bytes, (unsigned long long)written);
}

/* What is behind the images that count goes. A file that is missing was made into its shard already. */
static enum iddpm_status open_file(struct draft *draft, int s)
{
    char path[PATH_SIZE], shard[PATH_SIZE];
    struct stat info;
    off_t bytes = (off_t)(images_of(draft, s) * record_bytes(draft));
    TRY(numbered(path, draft, DRAFT_SHARD_NAME, s));
    TRY(numbered(shard, draft, TARGET_SHARD_NAME, s));
    if (draft->saved && path_exists(shard)) return IDDPM_OK;
    draft->files[s] = open(path, O_RDWR | O_APPEND | O_CLOEXEC | (draft->saved ? 0 : O_CREAT | O_TRUNC), 0666);
    if (draft->files[s] < 0 || fstat(draft->files[s], &info) != 0)
        return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(errno));
    if (info.st_size < bytes) return damaged(path, (uint64_t)info.st_size, (uint64_t)bytes);
    if (ftruncate(draft->files[s], bytes) != 0)
        return iddpm_error(IDDPM_FAILED, "%s: cannot cut off: %s", path, strerror(errno));
    return IDDPM_OK;
}

enum iddpm_status draft_open(struct draft *draft, const struct dataset *dataset, int shards, const char *identity)
{
    char index[PATH_SIZE];
    *draft = (struct draft){.dataset = dataset, .shards = shards, .image_bytes = dataset_image_bytes(dataset)};
    memset(&draft->state, 0, sizeof draft->state); /* padding goes into the file */
    snprintf(draft->state.format, sizeof draft->state.format, FORMAT);
    snprintf(draft->state.identity, sizeof draft->state.identity, "%s", identity);
    sha256_start(&draft->state.hash);
    TRY(mem_alloc(&draft->class_images, (size_t)dataset->classes, sizeof *draft->class_images, "classes"));
    TRY(mem_alloc(&draft->files, (size_t)shards, sizeof *draft->files, "shards"));
    for (int s = 0; s < shards; s++) draft->files[s] = -1;
    TRY(state_read(draft));
    TRY(path_join(index, dataset->folder, INDEX_FILE));
    draft->complete = draft->saved && path_exists(index);
    if (draft->complete) return IDDPM_OK;
    if (!draft->saved) TRY(target_clear(dataset->folder));
    for (int s = 0; s < shards; s++) TRY(open_file(draft, s));
    return IDDPM_OK;
}

static void close_file(struct draft *draft, int s)
{
    if (draft->files[s] >= 0) close(draft->files[s]);
    draft->files[s] = -1;
}

void draft_close(struct draft *draft)
{
    for (int s = 0; draft->files && s < draft->shards; s++) close_file(draft, s);
    free(draft->files);
    free(draft->class_images);
}

static enum iddpm_status write_error(const struct draft *draft, int s)
{
    char path[PATH_SIZE];
    int error = errno;
    TRY(numbered(path, draft, DRAFT_SHARD_NAME, s));
    return iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", path, strerror(error));
}

/* A signal, or a limit that is reached, cuts a write; the next one then tells why. On failure errno says so. */
static bool write_all(int fd, struct iovec *parts, int n)
{
    while (n) {
        ssize_t written = writev(fd, parts, n);
        if (written < 0 && errno == EINTR) continue;
        if (written == 0) errno = ENOSPC;
        if (written <= 0) return false;
        for (; n && (size_t)written >= parts->iov_len; n--) written -= (ssize_t)parts++->iov_len;
        if (n) parts->iov_base = (char *)parts->iov_base + written, parts->iov_len -= (size_t)written;
    }
    return true;
}

enum iddpm_status draft_append(struct draft *draft, const uint8_t *image, int64_t label)
{
    struct draft_state *state = &draft->state;
    int s = (int)(state->images % (uint64_t)draft->shards);
    struct iovec record[2] = {{(void *)(uintptr_t)image, draft->image_bytes}, {&label, sizeof label}};
    if (!write_all(draft->files[s], record, 2)) return write_error(draft, s);
    sha256_add(&state->hash, image, draft->image_bytes);
    sha256_add(&state->hash, &label, sizeof label);
    state->images++;
    if (label < 0)
        state->unlabelled++;
    else
        draft->class_images[label]++;
    return IDDPM_OK;
}

enum iddpm_status draft_save(struct draft *draft)
{
    for (int s = 0; s < draft->shards; s++)
        if (draft->files[s] >= 0 && fdatasync(draft->files[s]) != 0) return write_error(draft, s);
    TRY(state_write(draft));
    draft->saved = true;
    return IDDPM_OK;
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* More or fewer bytes than were written are those of somebody else. */
static enum iddpm_status check_size(const struct draft *draft, int s, uint64_t count)
{
    char path[PATH_SIZE];
    struct stat info;
    uint64_t bytes = count * record_bytes(draft);
    TRY(numbered(path, draft, DRAFT_SHARD_NAME, s));
    if (fstat(draft->files[s], &info) != 0)
        return iddpm_error(IDDPM_FAILED, "%s: cannot look at: %s", path, strerror(errno));
    if ((uint64_t)info.st_size == bytes) return IDDPM_OK;
    return damaged(path, (uint64_t)info.st_size, bytes);
}

static enum iddpm_status copy_images(const struct draft *draft, int s, uint64_t count, struct shard_writer *writer)
{
    char path[PATH_SIZE];
    uint8_t *record;
    int64_t label;
    size_t bytes = record_bytes(draft);
    TRY(numbered(path, draft, DRAFT_SHARD_NAME, s));
    TRY(mem_alloc(&record, bytes, 1, "an image"));
    enum iddpm_status status = IDDPM_OK;
    for (uint64_t i = 0; status == IDDPM_OK && i < count; i++) {
        ssize_t n = pread(draft->files[s], record, bytes, (off_t)(i * bytes));
        memcpy(&label, record + draft->image_bytes, sizeof label);
        status = n == (ssize_t)bytes
                     ? shard_append(writer, record, label)
                     : iddpm_error(IDDPM_FAILED, "%s: cannot read: %s", path, n < 0 ? strerror(errno) : "end of file");
    }
    free(record);
    return status;
}

/* Under another name until it is whole. That it has its own is to be on the disk before what it was made from goes;
 * what was never saved would be begun anew anyhow. */
static enum iddpm_status make_shard(const struct draft *draft, int s, uint64_t count, const char *path, uint32_t *crc)
{
    const struct dataset *dataset = draft->dataset;
    char temporary[PATH_SIZE];
    struct shard_writer *writer;
    TRY(check_size(draft, s, count));
    TRY(numbered(temporary, draft, DRAFT_SHARD_TMP, s));
    unlink(temporary);
    TRY(shard_create(&writer, temporary, dataset->height, dataset->width, dataset->channels));
    enum iddpm_status status = copy_images(draft, s, count, writer);
    if (status == IDDPM_OK)
        status = shard_finish(writer, crc);
    else
        shard_abandon(writer);
    if (status == IDDPM_OK && rename(temporary, path) != 0)
        status = iddpm_error(IDDPM_FAILED, "%s: cannot take its name: %s", path, strerror(errno));
    return status == IDDPM_OK && draft->saved ? path_sync_folder(dataset->folder) : status;
}

/* One that was made before an interruption. */
static enum iddpm_status look_at_shard(const struct dataset *dataset, const char *path, uint64_t count, uint32_t *crc)
{
    struct shard *shard;
    uint64_t n;
    int h, w, c;
    TRY(shard_open(&shard, path));
    shard_shape(shard, &n, &h, &w, &c);
    *crc = shard_crc32(shard);
    bool fits = n == count && h == dataset->height && w == dataset->width && c == dataset->channels;
    enum iddpm_status status =
        fits ? shard_verify(shard) : iddpm_error(IDDPM_FAILED, "%s: damaged: other images than were dealt", path);
    shard_close(shard);
    return status == IDDPM_OK
               ? status
               : iddpm_error_context(status, "this import cannot go on; remove the folder and import again");
}

static enum iddpm_status remove_path(const char *path)
{
    if (unlink(path) == 0 || errno == ENOENT) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cannot be removed: %s", path, strerror(errno));
}

static enum iddpm_status remove_file(const struct draft *draft, int s)
{
    char path[PATH_SIZE];
    TRY(numbered(path, draft, DRAFT_SHARD_NAME, s));
    return remove_path(path);
}

enum iddpm_status draft_finish_shard(struct draft *draft, int s, uint64_t count, uint32_t *crc)
{
    char path[PATH_SIZE];
    TRY(numbered(path, draft, TARGET_SHARD_NAME, s));
    if (draft->files[s] >= 0)
        TRY(make_shard(draft, s, count, path, crc));
    else
        TRY(look_at_shard(draft->dataset, path, count, crc));
    close_file(draft, s);
    return remove_file(draft, s);
}

enum iddpm_status draft_remove(struct draft *draft)
{
    char path[PATH_SIZE];
    for (int s = 0; s < draft->shards; s++) TRY(remove_file(draft, s));
    TRY(path_join(path, draft->dataset->folder, DRAFT_FILE));
    return remove_path(path);
}
