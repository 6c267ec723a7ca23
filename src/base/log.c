#include "iddpm/base.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool quiet;
static bool live; /* a progress line stands unfinished on the terminal */
static FILE *file;

void log_set_quiet(bool value)
{
    quiet = value;
}

enum iddpm_status log_open(const char *path)
{
    if (file) fclose(file);
    file = NULL;
    if (!path) return IDDPM_OK;
    file = fopen(path, "a");
    if (!file) return iddpm_error(IDDPM_FAILED, "%s: cannot open the log file: %s", path, strerror(errno));
    setvbuf(file, NULL, _IOLBF, 0);
    return IDDPM_OK;
}

static void line(FILE *stream, const char *prefix, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    if (live) fputs("\n", stdout);
    live = false;
    fflush(stdout);
    fputs(prefix, stream);
    vfprintf(stream, format, args);
    fputc('\n', stream);
    fflush(stream);
    if (file) {
        fputs(prefix, file);
        vfprintf(file, format, again);
        fputc('\n', file);
    }
    va_end(again);
}

void log_info(const char *format, ...)
{
    if (quiet) return;
    va_list args;
    va_start(args, format);
    line(stdout, "", format, args);
    va_end(args);
}

void log_warn(const char *format, ...)
{
    if (quiet) return;
    va_list args;
    va_start(args, format);
    line(stderr, "iddpm: warning: ", format, args);
    va_end(args);
}

void log_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    line(stderr, "iddpm: ", format, args);
    va_end(args);
}

/* mpirun gives its ranks a pseudo-terminal even when it writes to a file itself: its own output decides then. */
static bool on_terminal(void)
{
    char link[64], target[64] = "";
    if (!isatty(STDOUT_FILENO)) return false;
    snprintf(link, sizeof link, "/proc/%ld/fd/1", (long)getppid());
    if (readlink(link, target, sizeof target - 1) < 0) return true;
    return strncmp(target, "/dev/pts/", 9) == 0 || strncmp(target, "/dev/tty", 8) == 0;
}

void log_progress_start(struct log_progress *progress, const char *what, const char *unit, double first, double total)
{
    double now = clock_seconds();
    bool bar = on_terminal();
    *progress = (struct log_progress){what, unit, now, now, bar ? 0.2 : 10, total, first, bar};
}

static void time_text(double seconds, char out[32])
{
    long s = seconds < 0 || seconds > 1e8 ? 0 : (long)(seconds + 0.5);
    if (s >= 86400)
        snprintf(out, 32, "%ldd %02ldh", s / 86400, s / 3600 % 24);
    else if (s >= 3600)
        snprintf(out, 32, "%ldh %02ldm", s / 3600, s / 60 % 60);
    else
        snprintf(out, 32, "%ldm %02lds", s / 60, s % 60);
}

void log_progress_show(struct log_progress *progress, double done, const char *extra)
{
    double now = clock_seconds(), elapsed = now - progress->started;
    bool end = done >= progress->total;
    if (quiet || (!end && now - progress->last < progress->seconds)) return;
    progress->last = now;
    double rate = elapsed > 0 ? (done - progress->first) / elapsed : 0;
    char left[32];
    time_text(end ? elapsed : rate > 0 ? (progress->total - done) / rate : 0, left);
    char body[256];
    snprintf(body, sizeof body, "%.0f/%.0f %s  %.3g/s  %s %s%s%s", done, progress->total, progress->unit, rate, left,
             end ? "taken" : "left", extra ? "  " : "", extra ? extra : "");
    if (!progress->bar) {
        log_info("%s: %s", progress->what, body);
        return;
    }
    enum { WIDTH = 24 };
    char bar[WIDTH + 1];
    int full = progress->total > 0 ? (int)(WIDTH * done / progress->total) : WIDTH;
    for (int i = 0; i < WIDTH; i++) bar[i] = i < full ? '#' : '.';
    bar[WIDTH] = 0;
    printf("\r\033[K%s [%s] %s%s", progress->what, bar, body, end ? "\n" : "");
    fflush(stdout);
    live = !end;
}
