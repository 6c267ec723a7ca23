#include "digits.h"

#include "check.h"
#include "iddpm/data.h"
#include "iddpm/kernels.h"
#include "ranks.h"
#include "scratch.h"

char digits_folder[PATH_SIZE];

int digits_setup(void **state)
{
    char target[PATH_SIZE];
    struct import_result result;
    (void)state;
    if (ranks.rank == 0) scratch_make(digits_folder);
    must(parallel_broadcast(&ranks, digits_folder, PATH_SIZE));
    must(path_join(target, digits_folder, "data"));
    const struct import_options options = {.kind = IMPORT_DIGITS, .target = target, .split = "train"};
    must(parallel_agree(&ranks, ranks.rank == 0 ? data_import(&options, &result) : IDDPM_OK));
    must(kernels_select(NULL));
    return 0;
}

int digits_teardown(void **state)
{
    (void)state;
    parallel_barrier(&ranks);
    if (ranks.rank == 0) scratch_remove(digits_folder);
    return 0;
}
