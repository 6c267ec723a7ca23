/* Seconds until every rank has the sum of a gradient: by MPI_Allreduce, and by the reproducible tree, whose parts are
 * then gathered as those of the parameters are. One JSON line each.
 * usage: mpirun -n RANKS bench_reduction [ELEMENTS] (default: the parameters of the CIFAR-10 network) */
#include "models.h"

#include "iddpm/kernels.h"
#include "iddpm/net.h"
#include "iddpm/parallel.h"

enum { ROUNDS = 6 };

/* reducer NULL: MPI_Allreduce */
static double seconds_of(const struct parallel *parallel, struct reducer *reducer, float *data, size_t n)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        parallel_barrier(parallel);
        double start = clock_seconds();
        if (reducer) {
            reducer_begin(reducer, data);
            reducer_finish(reducer);
            parallel_gather_parts(parallel, data, n, NET_BLOCK, sizeof *data);
        } else
            bench_check(parallel_sum(parallel, data, n));
        double seconds = parallel_max(parallel, clock_seconds() - start);
        if (round == 0 || seconds < best) best = seconds;
    }
    return best;
}

int main(int argc, char **argv)
{
    struct parallel parallel;
    struct reducer *reducer;
    float *data;
    bench_check(parallel_init(&parallel, &argc, &argv));
    size_t n = argc > 1 ? (size_t)atoll(argv[1]) : 52546438;
    n = (n + NET_BLOCK - 1) / NET_BLOCK * NET_BLOCK;
    bench_check(mem_alloc(&data, n, sizeof *data, "gradient"));
    bench_check(reducer_create(&reducer, &parallel, n, NET_BLOCK, add_floats));
    for (int tree = 0; tree < 2; tree++) {
        double seconds = seconds_of(&parallel, tree ? reducer : NULL, data, n);
        if (parallel.rank == 0)
            printf("{\"benchmark\": \"reduction\", \"reduction\": \"%s\", \"ranks\": %d, \"bytes\": %zu, \"seconds\": "
                   "%.4f}\n",
                   tree ? "reproducible" : "mpi_allreduce", parallel.size, n * sizeof *data, seconds);
    }
    free(data);
    reducer_destroy(reducer);
    parallel_finalize(&parallel);
    return 0;
}
