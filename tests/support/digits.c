#include "digits.h"

#include "check.h"
#include "iddpm/data.h"
#include "ranks.h"
#include "scratch.h"

void digits_make(char *folder)
{
    char target[PATH_SIZE];
    struct import_result result;
    if (ranks.rank == 0) scratch_make(folder);
    must(parallel_broadcast(&ranks, folder, PATH_SIZE));
    must(path_join(target, folder, "data"));
    const struct import_options options = {.kind = IMPORT_DIGITS, .target = target, .split = "train"};
    must(parallel_agree(&ranks, ranks.rank == 0 ? data_import(&options, &result) : IDDPM_OK));
}

void digits_remove(const char *folder)
{
    parallel_barrier(&ranks);
    if (ranks.rank == 0) scratch_remove(folder);
}
