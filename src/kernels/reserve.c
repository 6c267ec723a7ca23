#include "iddpm/kernels.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* What OpenBLAS (0.3.21) takes for each thread. */
#define BUFFER_BYTES ((size_t)128 << 20)

/* OpenBLAS's own, in none of its headers: a buffer out of those that it has, else a new one, which it keeps when it is
 * given back. Weak, since a build of it may hide them: then only the room is looked for. */
void *blas_memory_alloc(int unused) __attribute__((weak));
void blas_memory_free(void *buffer) __attribute__((weak));

/* Products would not do: when one thread is done before another begins, both use the same buffer. */
static void take_buffers(void)
{
    if (!blas_memory_alloc || !blas_memory_free) return;
#pragma omp parallel
    {
        void *buffer = blas_memory_alloc(0);
#pragma omp barrier
        blas_memory_free(buffer);
    }
}

enum iddpm_status kernels_reserve(void)
{
    size_t bytes = BUFFER_BYTES * (size_t)kernels_threads();
    void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return iddpm_error(IDDPM_FAILED, "OpenBLAS: no memory for its buffers of %zu MB for each of %d threads: %s",
                           BUFFER_BYTES >> 20, kernels_threads(), strerror(errno));
    munmap(room, bytes);
    take_buffers();
    return IDDPM_OK;
}
