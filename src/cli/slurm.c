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

/* What a command said, the end of it where it is long: what counts is the last line. */
struct answer {
    char out[1024], err[1024];
    int status; /* of waitpid */
};

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
static bool read_answer(const int streams[2], struct answer *answer)
{
    double until = clock_seconds() + answer_seconds;
    struct pollfd ready[2] = {{.fd = streams[0], .events = POLLIN}, {.fd = streams[1], .events = POLLIN}};
    answer->out[0] = answer->err[0] = 0;
    for (double left; (left = until - clock_seconds()) > 0;) {
        int n = poll(ready, 2, (int)(left * 1000) + 1);
        if (n < 0 && errno != EINTR) return false;
        if (n > 0 && ready[0].revents && !read_more(streams[0], answer->out, sizeof answer->out)) ready[0].fd = -1;
        if (n > 0 && ready[1].revents && !read_more(streams[1], answer->err, sizeof answer->err)) ready[1].fd = -1;
        if (ready[0].fd < 0 && ready[1].fd < 0) return true;
    }
    return false;
}

static bool spawn(const char *id, const char *format, int out, int err, pid_t *pid)
{
    char *const argv[] = {"squeue", "-h", "-j", (char *)id, "-o", (char *)format, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    bool runs = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    return runs;
}

/* Runs squeue -h -j ID -o FORMAT. False when it cannot be run. Spawned, not forked: a fork copies page tables of all
 * that a rank has in memory. */
static bool ask(const char *id, const char *format, struct answer *answer)
{
    int out[2], err[2];
    pid_t pid;
    if (pipe2(out, O_CLOEXEC) != 0) return false;
    if (pipe2(err, O_CLOEXEC) != 0) {
        close(out[0]);
        close(out[1]);
        return false;
    }
    bool runs = spawn(id, format, out[1], err[1], &pid);
    close(out[1]);
    close(err[1]);
    if (runs) {
        const int streams[2] = {out[0], err[0]};
        if (!read_answer(streams, answer)) kill(pid, SIGKILL);
        while (waitpid(pid, &answer->status, 0) < 0)
            if (errno != EINTR) runs = false;
    }
    close(out[0]);
    close(err[0]);
    return runs;
}

/* The last line of standard output without the space around it; NULL when squeue has failed. Warnings, or what a
 * site's wrapper has to say, come on the other stream or before it. */
static const char *last_line(struct answer *answer)
{
    if (!WIFEXITED(answer->status) || WEXITSTATUS(answer->status) != 0) return NULL;
    size_t length = strlen(answer->out);
    while (length > 0 && strchr(" \n", answer->out[length - 1])) answer->out[--length] = 0;
    const char *line = strrchr(answer->out, '\n');
    line = line ? line + 1 : answer->out;
    return line + strspn(line, " ");
}

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(word, *words) != 0) words++;
    return *words != NULL;
}

/* Of a job in another state nothing is known of its processes: it waits, or is COMPLETING, while some of them may live
 * on; so may those of a node that Slurm thinks failed. */
enum job_state slurm_job_state(const char *id)
{
    static const char *const running[] = {"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", NULL},
                             *const ended[] = {"",          "BOOT_FAIL", "CANCELLED", "COMPLETED",
                                               "DEADLINE",  "FAILED",    "TIMEOUT",   "OUT_OF_MEMORY",
                                               "PREEMPTED", "REVOKED",   NULL};
    struct answer answer;
    if (!ask(id, "%T", &answer)) return JOB_UNKNOWN;
    const char *state = last_line(&answer);
    if (!state) return strstr(answer.err, "Invalid job id") ? JOB_ENDED : JOB_UNKNOWN; /* forgotten by now */
    return is_one_of(state, running) ? JOB_RUNNING : is_one_of(state, ended) ? JOB_ENDED : JOB_UNKNOWN;
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
    struct answer answer;
    double seconds;
    const char *left = ask(id, "%L", &answer) ? last_line(&answer) : NULL;
    return left && slurm_duration(left, &seconds) ? seconds : 0; /* UNLIMITED, NOT_SET */
}
