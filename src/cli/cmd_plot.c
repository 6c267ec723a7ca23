/* iddpm plot: the curves of a run and of what was measured on it. */
#include "cli.h"

#include "iddpm/evaluate.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CURVES_MAX = 8 }; /* more could not be told apart */

static int is_result(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 3 && entry->d_name[0] != '.' && strcmp(entry->d_name + length - 3, ".h5") == 0;
}

static enum iddpm_status plot_results(const char *run, const char *folder, int n, struct dirent **entries)
{
    char picture[PATH_SIZE], paths[CURVES_MAX][PATH_SIZE];
    char *results[CURVES_MAX];
    int first = n > CURVES_MAX ? n - CURVES_MAX : 0; /* names begin with the step, so these are the newest */
    for (int i = first; i < n; i++) {
        results[i - first] = paths[i - first];
        TRY(path_join(paths[i - first], folder, entries[i]->d_name));
    }
    TRY(path_join(picture, run, "vb-terms.png"));
    TRY(plot_vb_terms(n - first, results, picture));
    log_info("wrote %s", picture);
    return IDDPM_OK;
}

/* Draws all nll results of a run; *drawn tells whether there are any. */
static enum iddpm_status plot_bound(const char *run, bool *drawn)
{
    char folder[PATH_SIZE];
    struct dirent **entries;
    TRY(path_join(folder, run, "nll"));
    *drawn = false;
    if (!path_is_folder(folder)) return IDDPM_OK;
    int n = scandir(folder, &entries, is_result, alphasort);
    if (n < 0) return iddpm_error(IDDPM_FAILED, "%s: cannot read this folder: %s", folder, strerror(errno));
    *drawn = n > 0;
    enum iddpm_status status = n > 0 ? plot_results(run, folder, n, entries) : IDDPM_OK;
    for (int i = 0; i < n; i++) free(entries[i]);
    free(entries);
    return status;
}

static enum iddpm_status plot_training(const char *run, bool *drawn)
{
    char progress[PATH_SIZE], picture[PATH_SIZE];
    TRY(path_join(progress, run, "progress.csv"));
    TRY(path_join(picture, run, "loss.png"));
    *drawn = path_exists(progress);
    if (!*drawn) return IDDPM_OK;
    TRY(plot_loss(run, picture));
    log_info("wrote %s", picture);
    return IDDPM_OK;
}

enum iddpm_status cmd_plot(struct cli *cli)
{
    const struct usage usage = {
        "RUN",
        "Draws RUN/loss.png from the progress of the training, with held-out images where it measures them "
        "(train.eval_interval), and RUN/vb-terms.png from its newest nll results, with gnuplot.",
        1,
        1,
        0,
        NULL};
    bool done, loss, bound;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    const char *run = cli->argv[0];
    if (!path_is_folder(run)) return iddpm_error(IDDPM_USAGE, "plot: %s: no such run folder", run);
    TRY(plot_training(run, &loss));
    TRY(plot_bound(run, &bound));
    if (loss || bound) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "plot: %s has nothing to draw: neither progress.csv nor results in nll/", run);
}
