#include "cli.h"

#include "iddpm/kernels.h"

#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 16 };

/* Instruction sets include each other, so the first name that runs everywhere is the weakest of the ranks' own. */
static enum iddpm_status agree_isa(const struct parallel *parallel, const char *mine)
{
    char *all;
    enum iddpm_status status = mem_alloc(&all, (size_t)parallel->size, NAME_SIZE, "instruction sets of the ranks");
    TRY(parallel_agree(parallel, status));
    char name[NAME_SIZE] = "";
    snprintf(name, sizeof name, "%s", mine);
    status = parallel_gather(parallel, name, sizeof name, all);
    bool mixed = false, runs = false;
    for (int rank = 0; rank < parallel->size && !runs; rank++) {
        const char *candidate = all + rank * NAME_SIZE;
        bool again = rank > 0 && strcmp(candidate, all + (rank - 1) * NAME_SIZE) == 0;
        if (!again) runs = parallel_max_int(parallel, kernels_select(candidate) != IDDPM_OK) == 0;
    }
    for (int rank = 0; rank < parallel->size; rank++) mixed = mixed || strcmp(all + rank * NAME_SIZE, all) != 0;
    if (mixed) log_warn("the ranks' processors differ; all use instruction set '%s'", kernels_isa());
    free(all);
    return status;
}

enum iddpm_status cli_start(const struct cli *cli, const struct config *config)
{
    enum iddpm_status status = kernels_select(cli->isa);
    bool ranks = cli->parallel.comm != MPI_COMM_NULL;
    if (ranks) status = parallel_agree(&cli->parallel, status);
    if (status == IDDPM_OK && ranks) status = agree_isa(&cli->parallel, kernels_isa());
    kernels_set_threads(config && config->parallel.threads > 0 ? (int)config->parallel.threads : cli->threads);
    kernels_flush_denormals();
    if (status == IDDPM_OK) status = kernels_reserve();
    return ranks ? parallel_agree(&cli->parallel, status) : status;
}
