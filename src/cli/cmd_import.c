/* iddpm import: a data set from pictures. */
#include "cli.h"
#include "iddpm/data.h"

#include <string.h>

static enum iddpm_status find_kind(const char *name, enum import_kind *kind)
{
    static const char *const names[] = {[IMPORT_DIGITS] = "digits",
                                        [IMPORT_CIFAR10] = "cifar10",
                                        [IMPORT_FOLDER] = "folder",
                                        [IMPORT_NPZ] = "npz",
                                        [IMPORT_LSUN] = "lsun"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        *kind = (enum import_kind)i;
        if (strcmp(name, names[i]) == 0) return IDDPM_OK;
    }
    return iddpm_error(IDDPM_USAGE, "import: '%.80s' cannot be imported; digits, cifar10, folder, lsun and npz can",
                       name);
}

/* KIND [SOURCE] DATA: only the digits have a source of their own. */
static enum iddpm_status take_arguments(const struct cli *cli, struct import_options *options)
{
    TRY(find_kind(cli->argv[0], &options->kind));
    options->target = cli->argv[cli->argc - 1];
    if (cli->argc == 3) options->source = cli->argv[1];
    if (cli->argc == 3 || options->kind == IMPORT_DIGITS) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "import: usage: iddpm import %s SOURCE DATA", cli->argv[0]);
}

enum iddpm_status cmd_import(struct cli *cli)
{
    struct import_options import = {0};
    struct import_result result;
    int64_t size = 0, shards = 0, seed = 0;
    bool done;
    const struct option options[] = {
        {"size", "N", "folder, lsun (256): bring pictures to N x N pixels", .integer = &size, .min = 1, .max = 4096},
        {"shards", "N", "number of files; 0: 16, or fewer for fewer images", .integer = &shards, .max = 4096},
        {"split", "PART", "digits, cifar10: train (default) or test", .text = &import.split},
        {"strict", NULL,
         "folder, lsun: fail at a picture that cannot be read, do not skip it; cifar10: at a file without all 10,000 "
         "records",
         .flag = &import.strict},
        {"authors-classes", NULL, "cifar10: number the classes as the authors' scripts do, by sorted names",
         .flag = &import.authors_classes},
        {"unlabelled", NULL, "folder: take no classes from the names of files", .flag = &import.unlabelled},
        {"seed", "N", "of the order in which images are dealt into the files", .integer = &seed},
    };
    const struct usage usage = {
        "digits|cifar10|folder|lsun|npz [SOURCE] DATA",
        "Makes the folder DATA, a data set for `train`, `nll` and others, from pictures.\n\n"
        "  digits    handwritten digits of 8 x 8 pixels, part of this program, or a file of that form\n"
        "  cifar10   the folder of CIFAR-10's binary version, or one of its files\n"
        "  folder    PNG, JPEG and WebP files anywhere below a folder, or in a .tar or .zip of one (and in .tar\n"
        "            files inside a .tar); the class is a file's name up to the first \"_\"\n"
        "  lsun      the LMDB folder of LSUN, unlabelled; brought to size as by the authors' lsun_bedroom.py\n"
        "  npz       arr_0 uint8 [n][h][w][c], and if there are classes arr_1 [n], as numpy and `iddpm sample` "
        "write\n\n"
        "A picture that cannot be read is named, counted and left out. DATA must be new or empty. An import that was\n"
        "stopped or killed goes on when the same command is given again, to the same files.",
        2, 3, OPTIONS(options)};
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    TRY(take_arguments(cli, &import));
    import.size = (int)size;
    import.shards = (int)shards;
    import.seed = (uint64_t)seed;
    stop_install(); /* so that a stopped import saves what is done */
    TRY(data_import(&import, &result));
    log_info("%s: %llu images, %d classes, %d shards, %llu skipped", import.target, (unsigned long long)result.images,
             result.classes, result.shards, (unsigned long long)result.skipped);
    return IDDPM_OK;
}
