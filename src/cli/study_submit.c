/* iddpm study submit and cancel. */
#include "slurm.h"
#include "study.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* This program, and jobs/ beside the folder that it was built in. */
struct tools {
    char program[PATH_SIZE], jobs[PATH_SIZE];
};

static enum iddpm_status find_tools(const struct cli *cli, struct tools *tools)
{
    char folder[PATH_SIZE], script[PATH_SIZE];
    ssize_t n = readlink("/proc/self/exe", tools->program, PATH_SIZE - 1);
    if (n < 0) return iddpm_error(IDDPM_FAILED, "this program's own path cannot be read: %s", strerror(errno));
    tools->program[n] = 0;
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(tools->program, '/') - tools->program), tools->program);
    if (cli->jobs)
        snprintf(tools->jobs, PATH_SIZE, "%s", cli->jobs);
    else
        TRY(path_join(tools->jobs, folder, "../jobs"));
    if (!cli->jobs && realpath(tools->jobs, folder)) snprintf(tools->jobs, PATH_SIZE, "%s", folder);
    TRY(path_join(script, tools->jobs, "train.sbatch"));
    if (path_exists(script)) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s: no job scripts are there: name their folder in IDDPM_JOBS", tools->jobs);
}

static enum iddpm_status check_time(const struct study *study)
{
    double seconds;
    if (!*study->slurm.time || slurm_duration(study->slurm.time, &seconds)) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s: slurm.time: found '%.80s'; allowed are minutes, MM:SS, HH:MM:SS, D-HH:MM:SS",
                       study->file, study->slurm.time);
}

enum iddpm_status study_cmd_submit(struct cli *cli)
{
    int64_t ranks = 0;
    bool dry = false, done;
    const struct option options[] = {
        {"local", "RANKS", "without Slurm: here, one task after the other, each on so many ranks; 0: to Slurm",
         .integer = &ranks, .max = INT_MAX},
        {"dry-run", NULL, "only prints the commands", .flag = &dry}};
    const struct usage usage = {
        "FILE|STUDY",
        "Runs what is missing of a study: one task of training for each point, and when that is done its evaluations.\n"
        "What has its results, is queued or runs is passed over, so the same command goes on after a week, and after\n"
        "failures. Points and evaluations may be added to the file; a point that has begun keeps its configuration.\n"
        "STUDY/jobs.csv says what was submitted, STUDY/logs has what the tasks print. With --local a signal ends it\n"
        "with everything saved (status 75); a task that fails stops no other (status 1 at the end).",
        1, 1, OPTIONS(options)};
    struct study *study;
    struct tools tools;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    TRY(find_tools(cli, &tools));
    TRY(study_read(&study, cli->argv[0]));
    const struct study_tools used = {tools.program, tools.jobs};
    if (ranks > 0) stop_install();
    enum iddpm_status status = check_time(study);
    if (status == IDDPM_OK)
        status = ranks > 0 ? study_run(study, &used, (int)ranks, dry) : study_submit(study, &used, dry);
    study_destroy(study);
    return status;
}

enum iddpm_status study_cmd_cancel(struct cli *cli)
{
    const struct usage usage = {
        "FILE|STUDY",
        "Ends what of a study is queued or running; what is saved stays, and `iddpm study submit` goes on from there.",
        1,
        1,
        0,
        NULL};
    bool done;
    struct study *study;
    char said[512];
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    TRY(study_read(&study, cli->argv[0]));
    enum iddpm_status status = study_cancel(study, said, sizeof said);
    if (status == IDDPM_OK) log_info("%s: %s", study->folder, said);
    study_destroy(study);
    return status;
}
