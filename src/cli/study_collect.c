/* iddpm study collect: results and metrics of all runs into few files. */
#include "study.h"

enum iddpm_status study_cmd_collect(struct cli *cli)
{
    bool mixed = false, done;
    const struct option options[] = {
        {"mixed", NULL, "take different data sets or settings under one evaluation's name", .flag = &mixed}};
    const struct usage usage = {
        "FILE|STUDY",
        "Gathers what the runs of a study have left so far: STUDY/results.csv and results.h5 with a row per point, "
        "checkpoint and evaluation, and STUDY/metrics.csv with the learning curves. May be called at any time, while "
        "jobs run too: only files that have changed are read, and damaged ones are named and passed over.",
        1, 1, OPTIONS(options)};
    struct study *study;
    struct study_collected counts;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    TRY(study_read(&study, cli->argv[0]));
    enum iddpm_status status = study_collect(study, mixed, &counts);
    if (status == IDDPM_OK)
        log_info("%s/results.csv: %d rows, %d of them new or changed%s", study->folder, counts.rows, counts.added,
                 counts.damaged ? "; damaged files were passed over" : "");
    study_destroy(study);
    return status;
}
