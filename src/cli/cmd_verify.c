/* iddpm verify: every checksum of checkpoints and data sets, one line a file. */
#include "cli.h"

#include "iddpm/data.h"
#include "iddpm/store.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

struct tally {
    int files, damaged;
};

/* The line of one file: what it holds, or the error. */
static void report(struct tally *tally, enum iddpm_status status, const char *path, const char *contents)
{
    tally->files++;
    if (status == IDDPM_OK) {
        printf("sound    %s: %s\n", path, contents);
    } else {
        tally->damaged++;
        printf("damaged  %s\n", iddpm_error_text()); /* which begins with the path */
    }
    fflush(stdout);
}

static void verify_checkpoint(struct tally *tally, const char *path)
{
    struct checkpoint *checkpoint;
    char contents[128] = "";
    enum iddpm_status status = checkpoint_open(&checkpoint, path);
    if (status == IDDPM_OK) {
        snprintf(contents, sizeof contents, "step %" PRId64 ", %d arrays", checkpoint_step(checkpoint),
                 checkpoint_count(checkpoint));
        status = checkpoint_verify(checkpoint);
    }
    report(tally, status, path, contents);
    checkpoint_close(checkpoint);
}

static void verify_dataset(struct tally *tally, const char *folder)
{
    struct dataset *data;
    char contents[128] = "";
    enum iddpm_status status = dataset_open(&data, folder);
    if (status == IDDPM_OK) {
        snprintf(contents, sizeof contents, "%" PRIu64 " images in %d shards", data->images, data->shards);
        status = dataset_verify(data);
    }
    report(tally, status, folder, contents);
    dataset_close(data);
}

/* Every checkpoint of a folder that holds some. */
static enum iddpm_status verify_folder(struct tally *tally, const char *folder)
{
    int64_t *steps;
    int n;
    TRY(checkpoint_list(folder, &steps, &n));
    char path[PATH_SIZE];
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < n && status == IDDPM_OK; i++) {
        status = checkpoint_path(path, folder, steps[i]);
        if (status == IDDPM_OK) verify_checkpoint(tally, path);
    }
    free(steps);
    return status;
}

static enum iddpm_status verify(struct tally *tally, const char *path)
{
    char run[PATH_SIZE], checkpoints[PATH_SIZE];
    if (!path_exists(path)) return iddpm_error(IDDPM_USAGE, "%s: there is no such file or folder", path);
    if (!path_is_folder(path)) {
        verify_checkpoint(tally, path);
        return IDDPM_OK;
    }
    int before = tally->files;
    TRY(path_join(run, path, "config.yaml"));
    TRY(path_join(checkpoints, path, "checkpoints"));
    bool is_run = path_exists(run);
    if (!is_run || path_is_folder(checkpoints)) TRY(verify_folder(tally, is_run ? checkpoints : path));
    if (is_run && tally->files == before) printf("empty    %s: a run without checkpoints\n", path);
    if (!is_run && tally->files == before) verify_dataset(tally, path);
    return IDDPM_OK;
}

enum iddpm_status cmd_verify(struct cli *cli)
{
    const struct usage usage = {"CHECKPOINT|RUN|DATA ...",
                                "Reads checkpoints (of a run: all of them) and data sets whole and compares every "
                                "checksum. One line a file says\n"
                                "whether it is sound or what is damaged; the exit status is 1 when anything is.",
                                1,
                                INT_MAX,
                                0,
                                NULL};
    bool done;
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    struct tally tally = {0, 0};
    for (int i = 0; i < cli->argc; i++) TRY(verify(&tally, cli->argv[i]));
    if (tally.damaged == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "verify: %d of %d damaged", tally.damaged, tally.files);
}
