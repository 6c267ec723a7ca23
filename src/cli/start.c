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

/* Collective. Results are the same, but slow: each waits for those that share its processors. */
static enum iddpm_status warn_of_crowding(const struct parallel *parallel)
{
    _Static_assert(SEAT_WORDS == KERNELS_CORES_WORDS, "one mask");
    struct seat seat = {.threads = kernels_threads()};
    struct crowding c;
    kernels_cores(seat.mask);
    TRY(parallel_crowding(parallel, &seat, &c));
    if (c.ranks)
        log_warn("%d rank%s with %d thread%s in all share%s %d processor%s of %s: give each rank as many as it has "
                 "threads (mpirun --map-by slot:PE=THREADS --bind-to core, srun --cpus-per-task=THREADS), or start "
                 "fewer",
                 c.ranks, c.ranks > 1 ? "s" : "", c.threads, c.threads > 1 ? "s" : "", c.ranks > 1 ? "" : "s", c.cores,
                 c.cores > 1 ? "s" : "", c.host);
    return IDDPM_OK;
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
    if (!ranks) return status;
    TRY(parallel_agree(&cli->parallel, status));
    return warn_of_crowding(&cli->parallel);
}
