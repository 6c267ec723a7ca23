/* Finished samples of a job that may be stopped, in order: a head, then records of a fixed size with a checksum. */
#include "sample.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static const char *const kinds[] = {"iddpm images 1\n", "iddpm chains 1\n"}; /* 16 bytes with their end */
enum { KIND = 16, LENGTH = 8, CRC = 4, SETTINGS_MAX = 1 << 20 };

/* ---- heads: kind, bytes of a record, bytes of the settings, settings, checksum ----------------------------------- */

enum iddpm_status sample_head_make(enum sample_file kind, uint64_t record, int n,
                                   const struct store_attribute *settings, void *out, size_t *bytes)
{
    char *text, *head = NULL, **to = out;
    TRY(settings_write(n, settings, &text));
    const uint64_t length = strlen(text) + 1;
    *bytes = KIND + 2 * LENGTH + length + CRC;
    enum iddpm_status status = mem_alloc(&head, *bytes, 1, "settings");
    if (status == IDDPM_OK) {
        memcpy(head, kinds[kind], KIND);
        memcpy(head + KIND, &record, LENGTH);
        memcpy(head + KIND + LENGTH, &length, LENGTH);
        memcpy(head + KIND + 2 * LENGTH, text, length);
        uint32_t crc = (uint32_t)crc32_z(0, (const Bytef *)head, *bytes - CRC);
        memcpy(head + *bytes - CRC, &crc, CRC);
    }
    free(text);
    *to = head;
    return status;
}

enum iddpm_status sample_read_at(int fd, const char *path, void *out, size_t bytes, uint64_t at)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(fd, (char *)out + done, bytes - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return iddpm_error(IDDPM_FAILED, "%s: cannot read: %s", path, strerror(errno));
        if (n == 0) return iddpm_error(IDDPM_USAGE, "%s is cut short", path);
        done += (size_t)n;
    }
    return IDDPM_OK;
}

static enum iddpm_status check_text(int fd, const char *path, const char *head, uint64_t length, int n,
                                    const struct store_attribute *settings)
{
    char *text;
    uint32_t crc;
    const size_t begin = KIND + 2 * LENGTH;
    TRY(mem_alloc(&text, length + CRC, 1, path));
    enum iddpm_status status = sample_read_at(fd, path, text, length + CRC, begin);
    if (status == IDDPM_OK) {
        memcpy(&crc, text + length, CRC);
        uLong got = crc32_z(0, (const Bytef *)head, begin);
        const char *differs = NULL;
        if (crc32_z(got, (const Bytef *)text, length) != crc || text[length - 1])
            status = iddpm_error(IDDPM_USAGE, "%s: its head is damaged", path);
        else if ((differs = settings_differ(text, n, settings, true)))
            status = iddpm_error(IDDPM_USAGE, "%s is of a job with another %s", path, differs);
    }
    free(text);
    return status;
}

enum iddpm_status sample_head_check(int fd, const char *path, enum sample_file kind, uint64_t record, int n,
                                    const struct store_attribute *settings, size_t *bytes)
{
    char head[KIND + 2 * LENGTH];
    uint64_t found, length;
    TRY(sample_read_at(fd, path, head, sizeof head, 0));
    memcpy(&found, head + KIND, LENGTH);
    memcpy(&length, head + KIND + LENGTH, LENGTH);
    if (memcmp(head, kinds[kind], KIND) != 0 || length == 0 || length > SETTINGS_MAX)
        return iddpm_error(IDDPM_USAGE, "%s: its head is damaged, or it is no file of a job that was stopped", path);
    TRY(check_text(fd, path, head, length, n, settings));
    *bytes = sizeof head + length + CRC;
    return found == record ? IDDPM_OK : iddpm_error(IDDPM_USAGE, "%s is of a job with images of another size", path);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static uint32_t record_crc(const struct sample_part *part, uint64_t image, const void *record)
{
    uLong crc = crc32_z(0, (const Bytef *)&image, sizeof image); /* zeroes are no record */
    return (uint32_t)crc32_z(crc, record, part->record);
}

static uint64_t place(const struct sample_part *part, uint64_t image)
{
    return part->head + image * (part->record + CRC);
}

static enum iddpm_status cannot_write(const char *path)
{
    return iddpm_error(IDDPM_FAILED,
                       "%s: cannot write: %s; what is done is kept: once this is mended, the same command continues",
                       path, strerror(errno));
}

static enum iddpm_status write_at(const struct sample_part *part, const void *data, size_t bytes, uint64_t at)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pwrite(part->fd, (const char *)data + done, bytes - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cannot_write(part->path);
        done += (size_t)n;
    }
    return IDDPM_OK;
}

static enum iddpm_status cut(const struct sample_part *part, uint64_t bytes)
{
    return ftruncate(part->fd, (off_t)bytes) == 0 ? IDDPM_OK : cannot_write(part->path);
}

enum iddpm_status sample_part_append(struct sample_part *part, const void *record)
{
    uint64_t at = place(part, part->images);
    uint32_t crc = record_crc(part, part->images, record);
    enum iddpm_status status = write_at(part, record, part->record, at);
    if (status == IDDPM_OK) status = write_at(part, &crc, CRC, at + part->record);
    if (status == IDDPM_OK)
        part->images++;
    else if (ftruncate(part->fd, (off_t)at) != 0)
        log_warn("%s: cannot be cut: %s", part->path, strerror(errno)); /* the next job passes over what is not whole */
    return status;
}

enum iddpm_status sample_part_sync(struct sample_part *part)
{
    return fdatasync(part->fd) == 0 ? IDDPM_OK : cannot_write(part->path);
}

/* IDDPM_USAGE when it is not whole. */
static enum iddpm_status read_record(const struct sample_part *part, uint64_t image, void *out)
{
    uint32_t crc;
    TRY(sample_read_at(part->fd, part->path, out, part->record, place(part, image)));
    TRY(sample_read_at(part->fd, part->path, &crc, CRC, place(part, image) + part->record));
    if (crc == record_crc(part, image, out)) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s: image %llu is damaged", part->path, (unsigned long long)image);
}

enum iddpm_status sample_part_read(const struct sample_part *part, uint64_t image, void *out)
{
    return read_record(part, image, out) == IDDPM_OK ? IDDPM_OK : IDDPM_FAILED;
}

/* ---- what is there ----------------------------------------------------------------------------------------------- */

static enum iddpm_status begin_file(struct sample_part *part, int n, const struct store_attribute *settings)
{
    void *head;
    size_t bytes;
    TRY(sample_head_make(SAMPLE_FILE_IMAGES, part->record, n, settings, &head, &bytes));
    enum iddpm_status status = cut(part, 0);
    if (status == IDDPM_OK) status = write_at(part, head, bytes, 0);
    part->head = bytes;
    part->images = 0;
    free(head);
    return status;
}

/* Counts the records up to the first one that is not whole. */
static enum iddpm_status count_records(struct sample_part *part, uint64_t images)
{
    void *record;
    off_t end = lseek(part->fd, 0, SEEK_END);
    TRY(mem_alloc(&record, part->record, 1, "an image"));
    enum iddpm_status status = IDDPM_OK;
    for (part->images = 0; part->images < images; part->images++) {
        watchdog_at("reading what is done", -1);
        if (end < 0 || (uint64_t)end < place(part, part->images + 1)) break; /* what a killed job was writing */
        status = read_record(part, part->images, record);
        if (status != IDDPM_OK) break;
    }
    if (status == IDDPM_USAGE) log_warn("%s; images from there on are drawn again", iddpm_error_text());
    free(record);
    return status == IDDPM_USAGE ? IDDPM_OK : status;
}

/* Opens the file, and no other job does until it is closed: a lock of the open file, which network file systems have
 * too. The one who had it may have removed it since. */
static enum iddpm_status open_alone(struct sample_part *part)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat opened, named;
    for (;;) {
        part->fd = open(part->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (part->fd < 0) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", part->path, strerror(errno));
        if (fcntl(part->fd, F_OFD_SETLK, &lock) != 0) {
            if (errno == EAGAIN || errno == EACCES)
                return iddpm_error(IDDPM_USAGE,
                                   "%s: another job is drawing these images; wait for its end, or give "
                                   "--out another name",
                                   part->path);
            log_warn("%s: cannot be locked: %s; see that no other job draws the same", part->path, strerror(errno));
            return IDDPM_OK;
        }
        if (fstat(part->fd, &opened) == 0 && stat(part->path, &named) == 0 && opened.st_ino == named.st_ino)
            return IDDPM_OK;
        close(part->fd);
    }
}

/* What a job of other settings has finished may be worth hours. */
static enum iddpm_status set_aside(struct sample_part *part)
{
    char old[PATH_SIZE + 32];
    int written = snprintf(old, sizeof old - 16, "%s.old", part->path);
    for (int i = 2; access(old, F_OK) == 0; i++) sprintf(old + written, "-%d", i);
    log_warn("%s; it is kept as %s", iddpm_error_text(), old);
    if (rename(part->path, old) != 0) return cannot_write(old);
    close(part->fd);
    return open_alone(part);
}

static enum iddpm_status take_file(struct sample_part *part, int batch, uint64_t images, int n,
                                   const struct store_attribute *settings)
{
    size_t head;
    struct sample_part *p = part;
    if (lseek(p->fd, 0, SEEK_END) == 0) return begin_file(p, n, settings);
    enum iddpm_status status = sample_head_check(p->fd, p->path, SAMPLE_FILE_IMAGES, p->record, n, settings, &head);
    if (status == IDDPM_USAGE) {
        TRY(set_aside(part));
        return begin_file(p, n, settings);
    }
    TRY(status);
    p->head = head;
    TRY(count_records(p, images));
    if (p->images < images) p->images -= p->images % (uint64_t)batch;
    return cut(p, place(p, p->images));
}

enum iddpm_status sample_part_open(struct sample_part **out, const char *path, size_t record, int batch,
                                   uint64_t images, int n, const struct store_attribute *settings)
{
    TRY(mem_alloc(out, 1, sizeof **out, path));
    struct sample_part *part = *out;
    part->record = record;
    part->path = mem_strdup(path);
    part->fd = -1;
    enum iddpm_status status = part->path ? open_alone(part) : iddpm_error(IDDPM_FAILED, "no memory");
    if (status == IDDPM_OK) status = take_file(part, batch, images, n, settings);
    if (status == IDDPM_OK) return status;
    sample_part_close(part);
    *out = NULL;
    return status;
}

void sample_part_close(struct sample_part *part)
{
    if (!part) return;
    if (part->fd >= 0) close(part->fd);
    free(part->path);
    free(part);
}
