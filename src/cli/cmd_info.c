/* iddpm info: what a data set, a checkpoint, a run or a configuration is; with --ranks every check of a job. */
#include "info.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

void info_row(const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("  %-16s ", name);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

/* ---- data sets --------------------------------------------------------------------------------------------------- */

static void print_classes(const struct dataset *data)
{
    enum { SHOWN = 10 };
    if (data->classes == 0) {
        info_row("classes", "none");
        return;
    }
    printf("  %-16s %d:", "classes", data->classes);
    for (int i = 0; i < data->classes && i < SHOWN; i++) printf(" %s", data->class_names[i]);
    printf("%s\n", data->classes > SHOWN ? " ..." : "");
    if (data->unlabelled > 0) info_row("unlabelled", "%" PRIu64 " images", data->unlabelled);
}

static enum iddpm_status info_dataset(const char *folder)
{
    struct dataset *data;
    TRY(dataset_open(&data, folder));
    printf("data set %s\n", folder);
    info_row("images", "%" PRIu64 " of %dx%d, channels %d", data->images, data->height, data->width, data->channels);
    print_classes(data);
    info_row("shards", "%d", data->shards);
    info_row("source", "%s", data->source);
    info_row("licence", "%s", data->license);
    info_row("hash", "%s", data->hash);
    dataset_close(data);
    return IDDPM_OK;
}

/* ---- checkpoints and runs ---------------------------------------------------------------------------------------- */

/* One line for each group of arrays that stands for a set of weights: params, ema/RATE. */
static void print_weights(const struct checkpoint *checkpoint)
{
    char last[64] = "";
    uint64_t elements = 0, bytes = 0;
    for (int i = 0; i < checkpoint_count(checkpoint); i++) {
        struct store_array array = checkpoint_array(checkpoint, i);
        uint64_t size = store_array_elements(&array);
        bytes += size * store_type_bytes(array.type);
        if (strncmp(array.path, "params/", 7) == 0) elements += size;
        if (strncmp(array.path, "ema/", 4) != 0) continue;
        char group[64];
        snprintf(group, sizeof group, "%.*s", (int)(4 + strcspn(array.path + 4, "/")), array.path);
        if (strcmp(group, last) != 0) info_row("weights", "%s", group);
        memcpy(last, group, sizeof last);
    }
    info_row("weights", "params, %" PRIu64 " elements", elements);
    info_row("size", "%.1f MB in %d arrays", (double)bytes / 1e6, checkpoint_count(checkpoint));
}

/* What was asked for instead of the whole report. */
struct request {
    int64_t ranks;
    const char *files, *fits;
    bool yaml, tensors;
};

/* With what a run finds out: channel_mult, leaves, ... */
static enum iddpm_status print_yaml(const struct cli *cli, struct config *config)
{
    struct train_plan plan;
    char *text;
    TRY(cli_start(cli, config));
    TRY(train_plan(config, NULL, 0, 1, &plan));
    TRY(train_resolve(config, &plan));
    TRY(config_text(config, &text));
    fputs(text, stdout);
    free(text);
    return IDDPM_OK;
}

static enum iddpm_status fits(const struct cli *cli, const struct config *config, const char *path)
{
    struct checkpoint *checkpoint;
    TRY(checkpoint_open(&checkpoint, path));
    printf("checkpoint %s\n", path);
    enum iddpm_status status = info_fit(cli, config, checkpoint);
    checkpoint_close(checkpoint);
    return status;
}

/* *done: it was one of these, and is answered. */
static enum iddpm_status answer(const struct cli *cli, struct config *config, const struct request *request, bool *done)
{
    *done = true;
    if (request->files) return info_files(config, (int)request->ranks, request->files);
    if (request->fits) return fits(cli, config, request->fits);
    if (request->yaml) return print_yaml(cli, config);
    if (request->tensors) return info_tensors(cli, config);
    *done = false;
    return IDDPM_OK;
}

static void print_checkpoint(const char *path, const struct checkpoint *checkpoint)
{
    printf("checkpoint %s\n", path);
    info_row("step", "%" PRId64, checkpoint_step(checkpoint));
    print_weights(checkpoint);
}

static enum iddpm_status info_checkpoint(const struct cli *cli, const char *path, const struct request *request)
{
    struct checkpoint *checkpoint;
    struct config *config = NULL;
    bool done = false;
    TRY(checkpoint_open(&checkpoint, path));
    enum iddpm_status status =
        config_parse(&config, path, checkpoint_config(checkpoint), cli->argc - 1, (const char *const *)cli->argv + 1);
    if (status == IDDPM_OK) status = answer(cli, config, request, &done);
    if (!done) print_checkpoint(path, checkpoint);
    if (status == IDDPM_OK && !done) status = info_fit(cli, config, checkpoint);
    if (status == IDDPM_OK && !done) status = info_job(cli, config, (int)request->ranks);
    config_destroy(config);
    checkpoint_close(checkpoint);
    return status;
}

static enum iddpm_status print_checkpoints(const char *run)
{
    char folder[PATH_SIZE], path[PATH_SIZE];
    int64_t *steps;
    int n;
    TRY(path_join(folder, run, "checkpoints"));
    if (!path_is_folder(folder)) return IDDPM_OK;
    TRY(checkpoint_list(folder, &steps, &n));
    enum iddpm_status status = n > 0 ? checkpoint_path(path, folder, steps[n - 1]) : IDDPM_OK;
    info_row("checkpoints", "%d%s%s", n, n > 0 && status == IDDPM_OK ? ", newest " : "",
             n > 0 && status == IDDPM_OK ? path : "");
    free(steps);
    return status;
}

static enum iddpm_status info_config(const struct cli *cli, const char *path, const char *run,
                                     const struct request *request)
{
    struct config *config;
    bool done = false;
    TRY(config_load(&config, path, cli->argc - 1, (const char *const *)cli->argv + 1));
    enum iddpm_status status = answer(cli, config, request, &done);
    if (!done) printf("%s %s\n", run ? "run" : "configuration", run ? run : path);
    if (status == IDDPM_OK && !done && run) status = config_set(config, "run.dir", run); /* it may have been moved */
    if (status == IDDPM_OK && !done && run) status = print_checkpoints(run);
    if (status == IDDPM_OK && !done) status = info_job(cli, config, (int)request->ranks);
    config_destroy(config);
    return status;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static bool is_hdf5(const char *path)
{
    static const char signature[8] = "\x89HDF\r\n\x1a\n";
    char start[8];
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    bool same = fread(start, 1, sizeof start, file) == sizeof start && memcmp(start, signature, sizeof start) == 0;
    fclose(file);
    return same;
}

static enum iddpm_status check_request(const struct request *request, bool is_checkpoint)
{
    if (!!request->files + !!request->fits + request->yaml + request->tensors > 1)
        return iddpm_error(IDDPM_USAGE, "info: --files, --fits, --yaml and --tensors: one at a time");
    if (request->files && !request->ranks)
        return iddpm_error(IDDPM_USAGE, "info: --files: of how many ranks? Give their number with --ranks N");
    if ((request->files || request->fits) && is_checkpoint)
        return iddpm_error(IDDPM_USAGE, "info: --%s: needs a configuration or a run, not a checkpoint",
                           request->files ? "files" : "fits");
    return IDDPM_OK;
}

static enum iddpm_status info(const struct cli *cli, const struct request *request)
{
    const char *target = cli->argv[0];
    char path[PATH_SIZE];
    bool is_checkpoint = is_hdf5(target);
    TRY(check_request(request, is_checkpoint));
    if (is_checkpoint) return info_checkpoint(cli, target, request);
    if (!path_is_folder(target)) return info_config(cli, target, NULL, request);
    TRY(path_join(path, target, "config.yaml"));
    if (path_exists(path)) return info_config(cli, path, target, request);
    if (cli->argc > 1 || request->ranks || request->fits || request->yaml || request->tensors)
        return iddpm_error(IDDPM_USAGE,
                           "info: %s holds no run (config.yaml), and a data set takes no keys, ranks and tensors",
                           target);
    return info_dataset(target);
}

enum iddpm_status cmd_info(struct cli *cli)
{
    struct request request = {0};
    const struct option options[] = {
        {"ranks", "N", "makes every check of a training job on N ranks", .integer = &request.ranks, .min = 1,
         .max = INT_MAX},
        {"files", "RANKS", "only lists the files of the data set, index first, that these ranks of N read: 0-3,8",
         .text = &request.files},
        {"fits", "CHECKPOINT", "only says whether this checkpoint's tensors are those of the configuration's network",
         .text = &request.fits},
        {"yaml", NULL, "only prints the whole configuration, as a run of it keeps it", .flag = &request.yaml},
        {"tensors", NULL, "only prints names and shapes of the network's parameters, in their order",
         .flag = &request.tensors}};
    const struct usage usage = {"CONFIG|RUN|CHECKPOINT|DATA [key=value ...]",
                                "What a configuration, a run folder, a checkpoint or a data set is: sizes, parameters, "
                                "multiply-adds per image,\n"
                                "memory per rank, and what each rank has to do. Of a checkpoint also which "
                                "configuration fits its tensors; the\nexit status is 1 when its own, with the given "
                                "keys, does not. Needs no mpirun.",
                                1, INT_MAX, OPTIONS(options)};
    bool done;
    TRY(options_parse(cli, &usage, &done));
    return done ? IDDPM_OK : info(cli, &request);
}
