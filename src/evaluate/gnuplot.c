#include "iddpm/evaluate.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PNG, SVG, FORMATS };
static const char *const endings[FORMATS] = {".png", ".svg"};
static const char *const terminals[FORMATS] = {
    "pngcairo size 1200,750 font 'sans,15' linewidth 1.5 enhanced",
    "svg size 1200,750 font 'sans,15' linewidth 1.5 enhanced background '#ffffff'"};

/* Large enough for a report, with the colours of Okabe and Ito, which colour-blind readers can tell apart. */
static const char style[] = "set encoding utf8\n"
                            "set border 3 linecolor '#404040'\n"
                            "set tics nomirror out textcolor '#404040'\n"
                            "set grid xtics ytics linetype 1 linecolor '#e4e4e4' linewidth 0.7\n"
                            "set key top right spacing 1.3 samplen 2.5 noautotitle noenhanced\n"
                            "set title font ',18' offset 0,-0.3\n"
                            "set lmargin 11\nset rmargin 4\nset bmargin 4.5\n"
                            "set linetype 1 linecolor '#0072b2'\nset linetype 2 linecolor '#d55e00'\n"
                            "set linetype 3 linecolor '#009e73'\nset linetype 4 linecolor '#cc79a7'\n"
                            "set linetype 5 linecolor '#e69f00'\nset linetype 6 linecolor '#56b4e9'\n"
                            "set linetype 7 linecolor '#000000'\nset linetype 8 linecolor '#999999'\n";

static bool is_png(const char *path)
{
    size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, endings[PNG]) == 0;
}

enum iddpm_status gnuplot_begin(struct gnuplot *plot, const char *path)
{
    *plot = (struct gnuplot){.formats = is_png(path) ? 1 : FORMATS};
    if (strlen(path) >= PATH_SIZE) return iddpm_error(IDDPM_USAGE, "the path of the picture is too long");
    strcpy(plot->path, path);
    if (plot->formats == 1) plot->path[strlen(path) - strlen(endings[PNG])] = 0;
    plot->script = open_memstream(&plot->text, &plot->length);
    if (!plot->script) return iddpm_error(IDDPM_FAILED, "%s: no memory for its commands", path);
    return IDDPM_OK;
}

static void put_string(FILE *script, const char *text)
{
    fputc('\'', script);
    for (; *text; text++) {
        if (*text == '\'') fputc('\'', script);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, script);
    }
    fputc('\'', script);
}

void gnuplot_string(struct gnuplot *plot, const char *text)
{
    put_string(plot->script, text);
}

void gnuplot_data(struct gnuplot *plot, const char *name, size_t n, const double *x, const double *y)
{
    fprintf(plot->script, "$%s << END\n", name);
    for (size_t i = 0; i < n; i++)
        if (isfinite(y[i]) && y[i] > 0) fprintf(plot->script, "%.10g %.10g\n", x[i], y[i]);
    fputs("END\n", plot->script);
}

/* ---- the other process ------------------------------------------------------------------------------------------- */

static int start(int read_end, pid_t *child)
{
    char *argv[] = {"gnuplot", "-", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, read_end, STDIN_FILENO);
    int error = posix_spawnp(child, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static bool send(int fd, const char *text, size_t length)
{
    while (length) {
        ssize_t n = write(fd, text, length);
        if (n < 0 && errno != EINTR) return false;
        if (n > 0) text += n, length -= (size_t)n;
    }
    return true;
}

static void picture_path(const struct gnuplot *plot, int format, const char *behind, size_t size, char *out)
{
    snprintf(out, size, "%s%s%s", plot->path, endings[format], behind);
}

enum { PICTURE_PATH = PATH_SIZE + 16 };

/* The script once for each format. A gnuplot that ended early is seen by its status, not by a SIGPIPE here. */
static void send_script(const struct gnuplot *plot, int fd)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);
    bool well = true;
    for (int f = 0; f < plot->formats && well; f++) {
        char *head, path[PICTURE_PATH];
        size_t length;
        FILE *stream = open_memstream(&head, &length);
        if (!stream) break;
        picture_path(plot, f, ".tmp", sizeof path, path);
        fprintf(stream, "reset session\nset terminal %s\n%sset output ", terminals[f], style);
        put_string(stream, path);
        fputc('\n', stream);
        well = fclose(stream) == 0 && send(fd, head, length) && send(fd, plot->text, plot->length);
        free(head);
    }
    sigaction(SIGPIPE, &before, NULL);
}

static enum iddpm_status run(const struct gnuplot *plot)
{
    int fd[2], end = -1;
    pid_t child;
    if (pipe2(fd, O_CLOEXEC) != 0) return iddpm_error(IDDPM_FAILED, "no pipe to gnuplot: %s", strerror(errno));
    int error = start(fd[0], &child);
    close(fd[0]);
    if (!error) send_script(plot, fd[1]);
    close(fd[1]);
    if (error == ENOENT)
        return iddpm_error(IDDPM_FAILED,
                           "%s.png: cannot be drawn, because there is no gnuplot; install it (Debian package "
                           "gnuplot-nox)",
                           plot->path);
    if (error) return iddpm_error(IDDPM_FAILED, "gnuplot cannot be started: %s", strerror(error));
    while (waitpid(child, &end, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(end) && WEXITSTATUS(end) == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED,
                       "%s.png: gnuplot failed, with its reason above; is its package gnuplot-nox complete?",
                       plot->path);
}

enum iddpm_status gnuplot_end(struct gnuplot *plot, enum iddpm_status status)
{
    bool whole = plot->script && fclose(plot->script) == 0;
    if (status == IDDPM_OK && !whole) status = iddpm_error(IDDPM_FAILED, "%s: no memory for its commands", plot->path);
    if (status == IDDPM_OK) status = run(plot);
    for (int f = 0; f < plot->formats; f++) {
        char path[PICTURE_PATH], temporary[PICTURE_PATH];
        picture_path(plot, f, "", sizeof path, path);
        picture_path(plot, f, ".tmp", sizeof temporary, temporary);
        if (status == IDDPM_OK && rename(temporary, path) != 0)
            status = iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", path, strerror(errno));
        if (status != IDDPM_OK) unlink(temporary);
    }
    free(plot->text);
    return status;
}
