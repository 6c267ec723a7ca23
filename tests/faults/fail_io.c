#include "fail_io.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
    bool armed;
    char folder[PATH_MAX];
    enum fail_io_kind kind;
    long call, seen;
    int error;
} plan;

fail_io_arm_fn fail_io_arm;
fail_io_disarm_fn fail_io_disarm;

void fail_io_arm(const char *folder, enum fail_io_kind kind, long call, int error)
{
    snprintf(plan.folder, sizeof plan.folder, "%s", folder);
    plan.kind = kind;
    plan.call = call;
    plan.error = error;
    plan.seen = 0;
    plan.armed = true;
}

long fail_io_disarm(void)
{
    plan.armed = false;
    return plan.seen;
}

__attribute__((constructor)) static void arm_by_environment(void)
{
    const char *folder = getenv("FAIL_IO_FOLDER"), *call = getenv("FAIL_IO_CALL"), *kind = getenv("FAIL_IO_KIND");
    const char *wanted = getenv("FAIL_IO_RANK"), *rank = getenv("OMPI_COMM_WORLD_RANK"), *error;
    static const char *const kinds[] = {"once", "forever", "short", "read", "hang"};
    if (!folder || !call || (wanted && rank && strcmp(wanted, rank) != 0)) return;
    enum fail_io_kind chosen = FAIL_IO_ONCE;
    for (int i = 0; i < 5; i++)
        if (kind && strcmp(kind, kinds[i]) == 0) chosen = (enum fail_io_kind)i;
    error = getenv("FAIL_IO_ERRNO");
    fail_io_arm(folder, chosen, atol(call), error ? atoi(error) : EIO);
}

__attribute__((destructor)) static void report_count(void)
{
    const char *path = getenv("FAIL_IO_COUNT");
    FILE *stream = path && plan.armed ? fopen(path, "w") : NULL;
    if (!stream) return;
    plan.armed = false;
    fprintf(stream, "%ld\n", plan.seen);
    fclose(stream);
}

/* ---- what happens to a call -------------------------------------------------------------------------------------- */

enum fate { GO_ON, FAIL, HALVE };

static enum fate decide(bool reads)
{
    if (reads != (plan.kind >= FAIL_IO_READ)) return GO_ON;
    plan.seen++;
    if (plan.seen != plan.call && !(plan.kind == FAIL_IO_FOREVER && plan.seen > plan.call)) return GO_ON;
    while (plan.kind == FAIL_IO_HANG) pause();
    errno = plan.error;
    return plan.kind == FAIL_IO_SHORT ? HALVE : FAIL;
}

static enum fate fate_of_path(const char *path)
{
    if (!plan.armed || strncmp(path, plan.folder, strlen(plan.folder)) != 0) return GO_ON;
    return decide(false);
}

static enum fate fate_of_file(int fd, bool reads)
{
    if (!plan.armed) return GO_ON;
    char link[64], path[PATH_MAX];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    errno = before;
    if (n < 0) return GO_ON;
    path[n] = 0;
    return strncmp(path, plan.folder, strlen(plan.folder)) == 0 ? decide(reads) : GO_ON;
}

/* The function that this library stands before. */
#define REAL(name) ((__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name))

/* ---- transfers --------------------------------------------------------------------------------------------------- */

#define HALF(fate, n) ((fate) == HALVE && (n) > 1 ? (n) / 2 : (n))

#define TRANSFER(name, pointer, reads)                                                                                 \
    ssize_t name(int fd, pointer data, size_t n)                                                                       \
    {                                                                                                                  \
        enum fate fate = fate_of_file(fd, reads);                                                                      \
        return fate == FAIL ? -1 : REAL(name)(fd, data, HALF(fate, n));                                                \
    }
#define TRANSFER_AT(name, pointer, offset_type, reads)                                                                 \
    ssize_t name(int fd, pointer data, size_t n, offset_type offset)                                                   \
    {                                                                                                                  \
        enum fate fate = fate_of_file(fd, reads);                                                                      \
        return fate == FAIL ? -1 : REAL(name)(fd, data, HALF(fate, n), offset);                                        \
    }

TRANSFER(write, const void *, false)
TRANSFER_AT(pwrite, const void *, off_t, false)
TRANSFER_AT(pwrite64, const void *, off64_t, false)
TRANSFER(read, void *, true)
TRANSFER_AT(pread, void *, off_t, true)
TRANSFER_AT(pread64, void *, off64_t, true)

ssize_t writev(int fd, const struct iovec *pieces, int n)
{
    enum fate fate = fate_of_file(fd, false);
    return fate == FAIL ? -1 : REAL(writev)(fd, pieces, HALF(fate, n));
}

ssize_t pwritev(int fd, const struct iovec *pieces, int n, off_t offset)
{
    enum fate fate = fate_of_file(fd, false);
    return fate == FAIL ? -1 : REAL(pwritev)(fd, pieces, HALF(fate, n), offset);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int n, off64_t offset)
{
    enum fate fate = fate_of_file(fd, false);
    return fate == FAIL ? -1 : REAL(pwritev64)(fd, pieces, HALF(fate, n), offset);
}

/* ---- the rest ---------------------------------------------------------------------------------------------------- */

int ftruncate(int fd, off_t size)
{
    return fate_of_file(fd, false) == FAIL ? -1 : REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return fate_of_file(fd, false) == FAIL ? -1 : REAL(ftruncate64)(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return fate_of_file(fd, false) == FAIL ? -1 : REAL(fallocate)(fd, mode, offset, size);
}

int posix_fallocate(int fd, off_t offset, off_t size)
{
    return fate_of_file(fd, false) == FAIL ? plan.error : REAL(posix_fallocate)(fd, offset, size);
}

int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
    return fate_of_file(fd, false) == FAIL ? plan.error : REAL(posix_fallocate64)(fd, offset, size);
}

int fsync(int fd)
{
    return fate_of_file(fd, false) == FAIL ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    return fate_of_file(fd, false) == FAIL ? -1 : REAL(fdatasync)(fd);
}

int rename(const char *from, const char *to)
{
    return fate_of_path(from) == FAIL ? -1 : REAL(rename)(from, to);
}

/* As on Linux: the descriptor is gone even when close reports an error. */
int close(int fd)
{
    enum fate fate = fate_of_file(fd, false);
    int error = errno, result = REAL(close)(fd);
    if (fate != FAIL) return result;
    errno = error;
    return -1;
}
