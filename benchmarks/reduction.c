/* Seconds to average a gradient over ranks, by MPI_Allreduce and by the reproducible tree: one JSON line each.
 * usage: mpirun -n RANKS bench_reduction [ELEMENTS] (default: the parameters of the CIFAR-10 network) */
#include "models.h"

#include "iddpm/net.h"
#include "iddpm/parallel.h"

enum { ROUNDS = 6 };

static double seconds_of(const struct parallel *parallel, bool tree, float *data, size_t n, float *scratch)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        parallel_barrier(parallel);
        double start = clock_seconds();
        if (tree)
            parallel_sum_tree(parallel, data, n, NET_BLOCK, scratch);
        else
            bench_check(parallel_sum(parallel, data, n));
        double seconds = parallel_max(parallel, clock_seconds() - start);
        if (round == 0 || seconds < best) best = seconds;
    }
    return best;
}

int main(int argc, char **argv)
{
    struct parallel parallel;
    float *data, *scratch;
    bench_check(parallel_init(&parallel, &argc, &argv));
    size_t n = argc > 1 ? (size_t)atoll(argv[1]) : 52546438;
    n = (n + NET_BLOCK - 1) / NET_BLOCK * NET_BLOCK;
    bench_check(mem_alloc(&data, n, sizeof *data, "gradient"));
    bench_check(mem_alloc(&scratch, PARALLEL_TREE_PIECE, sizeof *scratch, "a piece"));
    for (int tree = 0; tree < 2; tree++) {
        double seconds = seconds_of(&parallel, tree, data, n, scratch);
        if (parallel.rank == 0)
            printf("{\"benchmark\": \"reduction\", \"reduction\": \"%s\", \"ranks\": %d, \"bytes\": %zu, \"seconds\": "
                   "%.4f}\n",
                   tree ? "reproducible" : "mpi_allreduce", parallel.size, n * sizeof *data, seconds);
    }
    free(data);
    free(scratch);
    parallel_finalize(&parallel);
    return 0;
}
