/* iddpm info --files: which files of the data set some ranks of a job read, for copying them near (jobs/stage.sh). */
#include "info.h"

#include <ctype.h>
#include <stdlib.h>

/* "0-3,8": the ranks of `ranks` that are meant, into wanted[ranks]. */
static enum iddpm_status read_ranks(const char *list, int ranks, bool *wanted)
{
    const char *at = list;
    do {
        char *end;
        long first = strtol(at, &end, 10), last = first;
        bool sound = isdigit((unsigned char)*at);
        if (sound && *end == '-') {
            at = end + 1;
            sound = isdigit((unsigned char)*at);
            last = strtol(at, &end, 10);
        }
        if (!sound || (*end && *end != ',') || last < first || last >= ranks)
            return iddpm_error(IDDPM_USAGE,
                               "info: --files: found '%.80s'; allowed are ranks from 0 to %d, such as 0-3,8", list,
                               ranks - 1);
        for (long rank = first; rank <= last; rank++) wanted[rank] = true;
        at = *end ? end + 1 : NULL;
    } while (at);
    return IDDPM_OK;
}

static enum iddpm_status print_files(const struct dataset *data, const bool *leaf_wanted, int leaves)
{
    char path[PATH_SIZE];
    TRY(dataset_index_path(data, path));
    puts(path);
    for (int s = 0; s < data->shards; s++) {
        bool read = false;
        for (int leaf = 0; leaf < leaves && !read; leaf++)
            read = leaf_wanted[leaf] && leaf_reads_shard(leaf, leaves, s, data->shards);
        if (!read) continue;
        TRY(dataset_shard_path(data, s, path));
        puts(path);
    }
    return IDDPM_OK;
}

static enum iddpm_status list_files(const struct config *config, const struct dataset *data, int ranks,
                                    const char *list)
{
    struct train_plan plan;
    bool *wanted = NULL, *leaf_wanted = NULL;
    TRY(train_plan(config, data, 0, ranks, &plan));
    enum iddpm_status status = mem_alloc(&wanted, (size_t)ranks, sizeof *wanted, "ranks");
    if (status == IDDPM_OK) status = mem_alloc(&leaf_wanted, (size_t)plan.leaves.total, sizeof *leaf_wanted, "leaves");
    if (status == IDDPM_OK) status = read_ranks(list, ranks, wanted);
    if (status == IDDPM_OK) {
        for (int leaf = 0; leaf < plan.leaves.total; leaf++) leaf_wanted[leaf] = wanted[leaf / plan.leaves.count];
        status = print_files(data, leaf_wanted, plan.leaves.total);
    }
    free(wanted);
    free(leaf_wanted);
    return status;
}

enum iddpm_status info_files(const struct config *config, int ranks, const char *list)
{
    struct dataset *data;
    if (!*config->data.path) return config_error(config, "data.path", "not set: name the folder of a data set");
    if (dataset_open(&data, config->data.path) != IDDPM_OK)
        return config_error(config, "data.path", "%s", iddpm_error_text());
    enum iddpm_status status = list_files(config, data, ranks, list);
    dataset_close(data);
    return status;
}
