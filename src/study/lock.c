#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 10.0 /* seconds */

void time_text(char out[TIME_TEXT])
{
    time_t now = time(NULL);
    struct tm parts;
    strftime(out, TIME_TEXT, "%Y-%m-%dT%H:%M:%S%z", localtime_r(&now, &parts));
}

static void read_holder(const char *path, struct holder *holder)
{
    char text[512];
    long long pid = 0;
    *holder = (struct holder){0};
    if (path_read_small(path, sizeof text, text) != IDDPM_OK) return;
    if (sscanf(text, "%lld %255s %31s %15s", &pid, holder->host, holder->since, holder->what) >= 1) holder->pid = pid;
}

static void write_holder(int fd, const char *what)
{
    char text[512], host[256] = "", since[TIME_TEXT];
    gethostname(host, sizeof host - 1);
    time_text(since);
    int n = snprintf(text, sizeof text, "%lld %s %s %s\n", (long long)getpid(), *host ? host : "-", since, what);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) log_warn("the lock does not say who holds it");
}

enum iddpm_status lock_take(const char *folder, const char *what, int *fd)
{
    char path[PATH_SIZE];
    struct holder holder;
    double until = clock_seconds() + PATIENCE;
    TRY(path_join(path, folder, "lock"));
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(errno));
    while (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK && clock_seconds() < until && !stop_signal()) {
            clock_sleep(0.1);
            continue;
        }
        int error = errno;
        close(*fd);
        *fd = -1;
        if (error != EWOULDBLOCK) return iddpm_error(IDDPM_FAILED, "%s: cannot lock: %s", path, strerror(error));
        read_holder(path, &holder);
        return iddpm_error(IDDPM_FAILED,
                           "%s is held by process %lld on %s since %s (%s): wait until it has ended, or end it", path,
                           (long long)holder.pid, holder.host, holder.since, holder.what);
    }
    write_holder(*fd, what);
    return IDDPM_OK;
}

/* The next holder has the lock before its name is in it. */
void lock_release(int fd)
{
    if (ftruncate(fd, 0) != 0) log_warn("the lock still names this process");
    close(fd);
}

bool lock_held(const char *folder, struct holder *holder)
{
    char path[PATH_SIZE];
    if (path_join(path, folder, "lock") != IDDPM_OK) return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    if (held) read_holder(path, holder);
    return held;
}
