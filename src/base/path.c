#include "iddpm/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum iddpm_status path_join(char *out, const char *folder, const char *name)
{
    size_t length = strlen(folder);
    const char *slash = length && folder[length - 1] == '/' ? "" : "/";
    if (snprintf(out, PATH_SIZE, "%s%s%s", folder, slash, name) >= PATH_SIZE)
        return iddpm_error(IDDPM_USAGE, "%s/%s: the path is longer than %d characters", folder, name, PATH_SIZE - 1);
    return IDDPM_OK;
}

bool path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

bool path_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum iddpm_status path_make_folders(const char *path)
{
    char part[PATH_SIZE];
    if (!*path) return iddpm_error(IDDPM_USAGE, "an empty path is given where a folder is to be made");
    TRY(path_join(part, path, ""));
    for (char *p = part + 1; *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        int error = mkdir(part, 0777) == 0 ? 0 : errno;
        if (error && !path_is_folder(part)) /* not every file system says EEXIST first */
            return iddpm_error(IDDPM_FAILED, "%s: cannot make this folder: %s", part,
                               error == EEXIST ? "a file of that name is there" : strerror(error));
        *p = '/';
    }
    return IDDPM_OK;
}

/* Returns an errno, 0 when all is on the disk. */
static int write_all(const char *temporary, const char *data, size_t bytes)
{
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return errno;
    int error = 0;
    while (bytes && !error) {
        ssize_t n = write(fd, data, bytes);
        if (n < 0 && errno != EINTR) error = errno;
        if (n > 0) data += n, bytes -= (size_t)n;
    }
    if (!error && fsync(fd) != 0) error = errno;
    if (close(fd) != 0 && !error) error = errno;
    return error;
}

enum iddpm_status path_write(const char *path, const void *data, size_t bytes)
{
    char temporary[PATH_SIZE];
    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= PATH_SIZE)
        return iddpm_error(IDDPM_USAGE, "%s: the path is longer than %d characters", path, PATH_SIZE - 5);
    int error = write_all(temporary, data, bytes);
    if (!error && rename(temporary, path) != 0) error = errno;
    if (!error) return IDDPM_OK;
    unlink(temporary);
    return iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", path, strerror(error));
}

enum iddpm_status path_write_text(const char *path, const char *text)
{
    return path_write(path, text, strlen(text));
}

static enum iddpm_status open_to_read(const char *path, int *fd)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd >= 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(errno));
}

/* Fewer than `size` bytes only at the end of the file. */
static enum iddpm_status read_on(const char *path, int fd, size_t size, char *out, size_t *length)
{
    ssize_t n = 1;
    for (*length = 0; n && *length < size;) {
        n = read(fd, out + *length, size - *length);
        if (n < 0 && errno != EINTR) return iddpm_error(IDDPM_FAILED, "%s: cannot read: %s", path, strerror(errno));
        if (n > 0) *length += (size_t)n;
    }
    return IDDPM_OK;
}

static enum iddpm_status too_long(const char *path, size_t limit)
{
    return iddpm_error(IDDPM_FAILED, "%s: longer than %zu bytes, which is the most allowed here", path, limit);
}

enum iddpm_status path_read_text(const char *path, size_t limit, char **out)
{
    enum { PIECE = 4095 };
    size_t capacity = 0, length = 0, n = 1;
    char *text = NULL;
    int fd;
    *out = NULL;
    TRY(open_to_read(path, &fd));
    enum iddpm_status status = IDDPM_OK;
    while (n && status == IDDPM_OK) {
        status = mem_grow(&text, &capacity, length + PIECE + 1, 1, path);
        if (status == IDDPM_OK) status = read_on(path, fd, PIECE, text + length, &n);
        if (status == IDDPM_OK && (length += n) > limit) status = too_long(path, limit);
    }
    close(fd);
    if (status == IDDPM_OK) {
        text[length] = 0;
        *out = text;
    } else
        free(text);
    return status;
}

enum iddpm_status path_read_small(const char *path, size_t size, char *out)
{
    size_t length;
    int fd;
    out[0] = 0;
    TRY(open_to_read(path, &fd));
    enum iddpm_status status = read_on(path, fd, size, out, &length);
    close(fd);
    if (status == IDDPM_OK && length == size) status = too_long(path, size - 1);
    out[status == IDDPM_OK ? length : 0] = 0;
    return status;
}

enum iddpm_status path_sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        int error = errno;
        if (fd >= 0) close(fd);
        return iddpm_error(IDDPM_FAILED, "%s: cannot sync this folder: %s", path, strerror(error));
    }
    close(fd);
    return IDDPM_OK;
}
