/* iddpm study figures, report: what a study has measured as pictures, and as a page. */
#include "study.h"

#include <math.h>

struct measured {
    struct study *study;
    struct study_results *results; /* NULL: nothing was collected */
};

static void close_study(struct measured *measured)
{
    study_results_destroy(measured->results);
    study_destroy(measured->study);
}

/* What needs no results can be drawn before there are any. */
static enum iddpm_status open_study(struct measured *measured, const char *path)
{
    *measured = (struct measured){0};
    TRY(study_read(&measured->study, path));
    enum iddpm_status status = study_results_read(&measured->results, measured->study);
    if (status == IDDPM_USAGE) {
        log_info("%s", iddpm_error_text());
        measured->results = NULL;
        return IDDPM_OK;
    }
    if (status != IDDPM_OK) study_destroy(measured->study);
    return status;
}

static enum iddpm_status draw(const struct measured *measured, bool page)
{
    struct study_fits *fits = NULL;
    if (measured->results) TRY(study_fit(&fits, measured->study, measured->results, NAN, 0));
    enum iddpm_status status = study_figures(measured->study, measured->results, fits);
    if (status == IDDPM_OK && page) status = study_report(measured->study, measured->results, fits);
    study_fits_destroy(fits);
    return status;
}

static enum iddpm_status command(struct cli *cli, const struct usage *usage, bool page)
{
    struct measured measured;
    bool done;
    TRY(options_parse(cli, usage, &done));
    if (done) return IDDPM_OK;
    TRY(open_study(&measured, cli->argv[0]));
    enum iddpm_status status = draw(&measured, page);
    close_study(&measured);
    return status;
}

enum iddpm_status study_cmd_figures(struct cli *cli)
{
    const struct usage usage = {
        "FILE|STUDY",
        "Draws into STUDY/figures, with gnuplot, what was collected (iddpm study collect): each figure as PNG, as SVG "
        "and "
        "its data as CSV. What cannot be drawn yet is named with the reason; the schedules need no results.\n\n"
        "Of many points those of the most compute of their kind stand for all.",
        1,
        1,
        0,
        NULL};
    return command(cli, &usage, false);
}

enum iddpm_status study_cmd_report(struct cli *cli)
{
    const struct usage usage = {"FILE|STUDY",
                                "Draws the figures, and writes STUDY/report.html: the table of points, fits, figures, "
                                "samples and the configuration of each point, on one page that holds everything in "
                                "itself and opens from a file.",
                                1,
                                1,
                                0,
                                NULL};
    return command(cli, &usage, true);
}
