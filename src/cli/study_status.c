/* iddpm study status: how far each point is. */
#include "study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAUSE 5 /* seconds between two looks */

static const char *const words[] = {[STUDY_WAITING] = "waiting", [STUDY_QUEUED] = "queued", [STUDY_RUNNING] = "running",
                                    [STUDY_STOPPED] = "stopped", [STUDY_FAILED] = "failed", [STUDY_DONE] = "done"};

static void print_row(const struct study_point *point, const struct study_progress *p, int width)
{
    char left[16] = "", results[32] = "", bits[48] = "";
    if (p->step > 0 && p->step < point->steps && isfinite(p->seconds_left))
        study_hours_text(p->seconds_left / 3600, left);
    if (p->wanted > 0) snprintf(results, sizeof results, "%d/%d", p->results, p->wanted);
    if (isfinite(p->bits_per_dim)) snprintf(bits, sizeof bits, "%.3f +- %.3f", p->bits_per_dim, p->standard_error);
    printf("%-*s %-8s %5.1f %% %9s %9s  %s\n", width, point->name, words[p->state],
           100 * (double)p->step / (double)point->steps, left, results, bits);
    if (*p->why) printf("%-*s   %s\n", width, "", p->why);
    if (*p->log) printf("%-*s   %s\n", width, "", p->log);
}

/* True while something is queued or runs. */
static bool print_total(const struct study *study, const struct study_progress *progress)
{
    int counts[STUDY_DONE + 1] = {0}, trained = 0, results = 0, wanted = 0;
    for (int i = 0; i < study->n_points; i++) {
        counts[progress[i].state]++;
        trained += progress[i].trained;
        results += progress[i].results;
        wanted += progress[i].wanted;
    }
    printf("\n%s: %d points:", study->folder, study->n_points);
    const char *separator = "";
    for (int state = STUDY_DONE; state >= STUDY_WAITING; state--) {
        if (counts[state]) printf("%s %d %s", separator, counts[state], words[state]);
        if (counts[state]) separator = ",";
    }
    printf("; %d trained, %d of %d results\n", trained, results, wanted);
    return counts[STUDY_QUEUED] + counts[STUDY_RUNNING] > 0;
}

static enum iddpm_status look(const struct study *study, bool redraw, bool *goes_on)
{
    struct study_progress *progress;
    int width = 5;
    TRY(mem_alloc(&progress, (size_t)study->n_points, sizeof *progress, "progress"));
    enum iddpm_status status = study_status(study, progress);
    if (status == IDDPM_OK) {
        if (redraw) printf("\033[H\033[2J");
        for (int i = 0; i < study->n_points; i++)
            if ((int)strlen(study->points[i].name) > width) width = (int)strlen(study->points[i].name);
        printf("%-*s %-8s %7s %9s %9s  %s\n", width, "point", "state", "trained", "left", "results", "bits/dim");
        for (int i = 0; i < study->n_points; i++) print_row(&study->points[i], &progress[i], width);
        *goes_on = print_total(study, progress);
        fflush(stdout);
    }
    free(progress);
    return status;
}

enum iddpm_status study_cmd_status(struct cli *cli)
{
    bool watch = false, done, goes_on = true;
    const struct option options[] = {
        {"watch", NULL, "again every few seconds, until nothing is queued or runs", .flag = &watch}};
    const struct usage usage = {
        "FILE|STUDY",
        "How far each point of a study is: waiting, queued, running, stopped with everything saved, failed (with the\n"
        "last error and the path of the log) or done; how much of the training, and the time that the rest takes;\n"
        "results of evaluations; the bits/dim of the newest. Only reads.",
        1, 1, OPTIONS(options)};
    struct study *study;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    TRY(study_read(&study, cli->argv[0]));
    stop_install();
    enum iddpm_status status = look(study, watch && isatty(STDOUT_FILENO), &goes_on);
    while (watch && goes_on && status == IDDPM_OK && !stop_signal()) {
        for (int i = 0; i < 10 * PAUSE && !stop_signal(); i++) clock_sleep(0.1);
        if (!stop_signal()) status = look(study, isatty(STDOUT_FILENO), &goes_on);
    }
    study_destroy(study);
    return status;
}
