#include "iddpm/study.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* False at the end of the stream. */
static bool read_more(int fd, char *text, size_t size)
{
    size_t length = strlen(text);
    if (length == size - 1) { /* the first half goes */
        length = size / 2;
        memmove(text, text + size - 1 - length, length + 1);
    }
    ssize_t got = read(fd, text + length, size - 1 - length);
    if (got > 0) text[length += (size_t)got] = 0;
    return got > 0 || (got < 0 && errno == EINTR);
}

/* Up to the end of both streams; false when that does not come in time. */
static bool read_both(const int streams[2], double seconds, struct command *command)
{
    double until = clock_seconds() + seconds;
    struct pollfd ready[2] = {{.fd = streams[0], .events = POLLIN}, {.fd = streams[1], .events = POLLIN}};
    command->out[0] = command->err[0] = 0;
    for (double left; (left = until - clock_seconds()) > 0;) {
        int n = poll(ready, 2, (int)(left * 1000) + 1);
        if (n < 0 && errno != EINTR) return false;
        if (n > 0 && ready[0].revents && !read_more(streams[0], command->out, command->out_size)) ready[0].fd = -1;
        if (n > 0 && ready[1].revents && !read_more(streams[1], command->err, command->err_size)) ready[1].fd = -1;
        if (ready[0].fd < 0 && ready[1].fd < 0) return true;
    }
    return false;
}

/* Not a fork, which copies page tables of all that a rank has in memory. */
static bool spawn(char *const *argv, int out, int err, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    bool runs = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    return runs;
}

static bool wait_for(pid_t pid, int *out)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return false;
    *out = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return true;
}

bool command_run(char *const *argv, double seconds, struct command *command)
{
    int out[2], err[2];
    pid_t pid;
    if (pipe2(out, O_CLOEXEC) != 0) return false;
    if (pipe2(err, O_CLOEXEC) != 0) {
        close(out[0]);
        close(out[1]);
        return false;
    }
    bool runs = spawn(argv, out[1], err[1], &pid);
    close(out[1]);
    close(err[1]);
    if (runs) {
        const int streams[2] = {out[0], err[0]};
        if (!read_both(streams, seconds, command)) kill(pid, SIGKILL);
        runs = wait_for(pid, &command->status);
    }
    close(out[0]);
    close(err[0]);
    return runs;
}
