#include "iddpm/kernels.h"

#include <cblas.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What OpenBLAS (0.3.21) takes for each thread. */
#define BUFFER_BYTES ((size_t)128 << 20)

enum iddpm_status kernels_reserve(void)
{
    enum { SIDE = 256 }; /* a product so small that it does without a buffer would not do */
    size_t bytes = BUFFER_BYTES * (size_t)kernels_threads();
    void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return iddpm_error(IDDPM_FAILED, "OpenBLAS: no memory for its buffers of %zu MB for each of %d threads: %s",
                           BUFFER_BYTES >> 20, kernels_threads(), strerror(errno));
    munmap(room, bytes);
    float *zero, *product;
    TRY(mem_alloc(&zero, SIDE * SIDE, sizeof *zero, "a product of matrices"));
    enum iddpm_status status =
        mem_alloc(&product, (size_t)kernels_threads() * SIDE * SIDE, sizeof *product, "products of matrices");
    if (status == IDDPM_OK) {
#pragma omp parallel for schedule(static)
        for (int i = 0; i < kernels_threads(); i++)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, SIDE, SIDE, SIDE, 1, zero, SIDE, zero, SIDE, 0,
                        product + (size_t)i * SIDE * SIDE, SIDE);
    }
    free(product);
    free(zero);
    return status;
}
