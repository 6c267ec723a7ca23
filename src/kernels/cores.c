#include "iddpm/kernels.h"

#include <sched.h>
#include <string.h>

void kernels_cores(uint64_t mask[KERNELS_CORES_WORDS])
{
    memset(mask, 0, KERNELS_CORES_WORDS * sizeof *mask);
#pragma omp parallel
    {
        uint64_t mine[KERNELS_CORES_WORDS] = {0};
        if (sched_getaffinity(0, sizeof mine, (cpu_set_t *)mine) == 0)
#pragma omp critical(kernels_cores)
            for (int i = 0; i < KERNELS_CORES_WORDS; i++) mask[i] |= mine[i];
    }
}
