#include "slurm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* squeue waits long for a controller that does not answer. No constant for the tests' sake. */
static double answer_seconds = 20;

extern char **environ;

/* Up to the end of the stream; false when that does not come in time. */
static bool read_answer(int fd, char *out, size_t size)
{
    double until = clock_seconds() + answer_seconds;
    size_t length = 0;
    out[0] = 0;
    for (double left; (left = until - clock_seconds()) > 0;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int n = poll(&ready, 1, (int)(left * 1000) + 1);
        char rest[512];
        bool room = length < size - 1;
        ssize_t got = n > 0 ? read(fd, room ? out + length : rest, room ? size - 1 - length : sizeof rest) : 0;
        if (n > 0 && got == 0) return true;
        if (got > 0 && room) out[length += (size_t)got] = 0;
        if ((n < 0 || got < 0) && errno != EINTR) break;
    }
    return false;
}

/* Runs squeue -h -j ID -o FORMAT; `out` gets what it says, errors too. False when it cannot be run or does not end.
 * Spawned, not forked: a fork copies page tables of all that a rank has in memory. */
static bool ask(const char *id, const char *format, char *out, size_t size, int *status)
{
    int ends[2];
    pid_t pid;
    char *const argv[] = {"squeue", "-h", "-j", (char *)id, "-o", (char *)format, NULL};
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    bool runs = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (runs) {
        if (!read_answer(ends[0], out, size)) kill(pid, SIGKILL);
        while (waitpid(pid, status, 0) < 0)
            if (errno != EINTR) runs = false;
    }
    close(ends[0]);
    return runs;
}

enum job_state slurm_job_state(const char *id)
{
    static const char *const running[] = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"};
    char answer[1024];
    int status;
    if (!ask(id, "%T", answer, sizeof answer, &status)) return JOB_UNKNOWN;
    if (strstr(answer, "Invalid job id")) return JOB_ENDED; /* forgotten by now */
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return JOB_UNKNOWN;
    for (size_t i = 0; i < sizeof running / sizeof *running; i++)
        if (strncmp(answer, running[i], strlen(running[i])) == 0) return JOB_RUNNING;
    return JOB_ENDED;
}

/* ---- time limits ------------------------------------------------------------------------------------------------- */

/* Digits, and no more of them than a sensible duration has; moves *text behind them. */
static bool read_number(const char **text, double *out)
{
    size_t n = strspn(*text, "0123456789");
    if (n == 0 || n > 9) return false;
    *out = atof(*text); /* ends at ":" and "-" as well */
    *text += n;
    return true;
}

bool slurm_duration(const char *text, double *seconds)
{
    double days = 0, part[3];
    int n = 0;
    if (!read_number(&text, &part[n++])) return false;
    bool with_days = *text == '-';
    if (with_days) {
        days = part[0];
        n = 0;
        text++;
        if (!read_number(&text, &part[n++])) return false;
    }
    while (*text == ':' && n < 3) {
        text++;
        if (!read_number(&text, &part[n++])) return false;
    }
    /* the first is hours behind days or before two others, else minutes */
    double unit = with_days || n == 3 ? 3600 : 60;
    *seconds = days * 86400;
    for (int i = 0; i < n; i++, unit /= 60) *seconds += part[i] * unit;
    return !*text;
}

double slurm_time_left(const char *id)
{
    char answer[1024];
    int status;
    double seconds;
    if (!ask(id, "%L", answer, sizeof answer, &status) || !WIFEXITED(status) || WEXITSTATUS(status) != 0) return 0;
    answer[strcspn(answer, " \n")] = 0;
    return slurm_duration(answer, &seconds) ? seconds : 0; /* UNLIMITED, NOT_SET */
}
