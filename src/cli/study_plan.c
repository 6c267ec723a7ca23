/* iddpm study plan: the points of a study and what they cost. */
#include "study.h"

#include <inttypes.h>
#include <string.h>

static void print_points(const struct study *study)
{
    int width = 5;
    for (int i = 0; i < study->n_points; i++)
        if ((int)strlen(study->points[i].name) > width) width = (int)strlen(study->points[i].name);
    printf("%-*s %11s %12s %9s %9s\n", width, "point", "parameters", "MACs/image", "steps", "FLOPs");
    for (int i = 0; i < study->n_points; i++) {
        const struct study_point *p = &study->points[i];
        printf("%-*s %11" PRIu64 " %12" PRIu64 " %9" PRId64 " %9.3g\n", width, p->name, p->parameters, p->macs,
               p->steps, p->flops);
    }
}

enum iddpm_status study_cmd_plan(struct cli *cli)
{
    const struct usage usage = {
        "FILE|STUDY", "The points of a study, and what each costs. Nothing is submitted or written.", 1, 1, 0, NULL};
    bool done;
    struct study *study;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    TRY(study_read(&study, cli->argv[0]));
    print_points(study);
    study_destroy(study);
    return IDDPM_OK;
}
