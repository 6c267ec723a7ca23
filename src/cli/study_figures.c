/* iddpm study figures, report: what a study has measured as pictures, and as a page. */
#include "study.h"

#include <math.h>

struct measured {
    struct study *study;
    struct study_results *results; /* NULL: nothing was collected */
    struct study_fits *fits;
};

static void close_study(struct measured *measured)
{
    study_fits_destroy(measured->fits);
    study_results_destroy(measured->results);
    study_destroy(measured->study);
}

/* What needs no results can be drawn before there are any. */
static enum iddpm_status open_results(struct measured *measured, double l_inf, uint64_t seed)
{
    enum iddpm_status status = study_results_read(&measured->results, measured->study);
    if (status == IDDPM_OK) return study_fit(&measured->fits, measured->study, measured->results, l_inf, seed);
    measured->results = NULL;
    if (status != IDDPM_USAGE) return status;
    log_info("%s", iddpm_error_text());
    return IDDPM_OK;
}

static enum iddpm_status draw(const struct measured *measured, bool page)
{
    TRY(study_figures(measured->study, measured->results, measured->fits));
    return page ? study_report(measured->study, measured->results, measured->fits) : IDDPM_OK;
}

static enum iddpm_status command(struct cli *cli, const char *about, bool page)
{
    double l_inf = NAN;
    int64_t seed = 0;
    const struct option options[] = {
        {"l-inf", "X", "as of iddpm study fit, whose power laws are drawn", .number = &l_inf},
        {"seed", "N", "of the resampling", .integer = &seed, .min = 0}};
    const struct usage usage = {"FILE|STUDY", about, 1, 1, OPTIONS(options)};
    struct measured measured = {0};
    bool done;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    TRY(study_read(&measured.study, cli->argv[0]));
    enum iddpm_status status = open_results(&measured, l_inf, (uint64_t)seed);
    if (status == IDDPM_OK) status = draw(&measured, page);
    close_study(&measured);
    return status;
}

enum iddpm_status study_cmd_figures(struct cli *cli)
{
    return command(
        cli,
        "Draws into STUDY/figures, with gnuplot, what was collected (iddpm study collect): each figure as PNG, "
        "as SVG and its data as CSV. What cannot be drawn yet is named with the reason; the schedules need no "
        "results.\n\nOf many points those of the most compute of their kind stand for all.",
        false);
}

enum iddpm_status study_cmd_report(struct cli *cli)
{
    return command(
        cli,
        "Draws the figures, and writes STUDY/report.html: the table of points, fits, figures, samples and the "
        "configuration of each point, on one page that holds everything in itself and opens from a file.",
        true);
}
