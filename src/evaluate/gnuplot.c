#include "gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Large enough for a report, with the colours of Okabe and Ito, which colour-blind readers can tell apart. */
static const char style[] = "set terminal pngcairo size 1200,750 font 'sans,15' linewidth 1.5 enhanced\n"
                            "set encoding utf8\n"
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

enum iddpm_status gnuplot_begin(struct gnuplot *plot, const char *path)
{
    *plot = (struct gnuplot){0};
    if (strlen(path) >= PATH_SIZE) return iddpm_error(IDDPM_USAGE, "the path of the picture is too long");
    strcpy(plot->path, path);
    snprintf(plot->temporary, sizeof plot->temporary, "%s.tmp", path);
    plot->script = open_memstream(&plot->text, &plot->length);
    if (!plot->script) return iddpm_error(IDDPM_FAILED, "%s: no memory for its commands", path);
    fputs(style, plot->script);
    fputs("set output ", plot->script);
    gnuplot_string(plot, plot->temporary);
    fputc('\n', plot->script);
    return IDDPM_OK;
}

void gnuplot_string(struct gnuplot *plot, const char *text)
{
    fputc('\'', plot->script);
    for (; *text; text++) {
        if (*text == '\'') fputc('\'', plot->script);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, plot->script);
    }
    fputc('\'', plot->script);
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

/* A gnuplot that ended early is seen by its status, not by a SIGPIPE here. */
static void send_script(const struct gnuplot *plot, int fd)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    sigaction(SIGPIPE, &ignore, &before);
    for (size_t sent = 0; sent < plot->length;) {
        ssize_t n = write(fd, plot->text + sent, plot->length - sent);
        if (n < 0 && errno != EINTR) break;
        if (n > 0) sent += (size_t)n;
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
                           "%s: cannot be drawn, because there is no gnuplot; install it (Debian package "
                           "gnuplot-nox)",
                           plot->path);
    if (error) return iddpm_error(IDDPM_FAILED, "gnuplot cannot be started: %s", strerror(error));
    while (waitpid(child, &end, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(end) && WEXITSTATUS(end) == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: gnuplot failed, with its reason above; is its package gnuplot-nox complete?",
                       plot->path);
}

enum iddpm_status gnuplot_end(struct gnuplot *plot, enum iddpm_status status)
{
    bool whole = plot->script && fclose(plot->script) == 0;
    if (status == IDDPM_OK && !whole) status = iddpm_error(IDDPM_FAILED, "%s: no memory for its commands", plot->path);
    if (status == IDDPM_OK) status = run(plot);
    if (status == IDDPM_OK && rename(plot->temporary, plot->path) != 0)
        status = iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", plot->path, strerror(errno));
    if (status != IDDPM_OK) unlink(plot->temporary);
    free(plot->text);
    return status;
}
