/* Floor 1: the ranks. Who owns which leaves, gradient reduction, small agreed decisions, ending all ranks with a
 * reason. MPI is called only here and in src/store. */
#ifndef IDDPM_PARALLEL_H
#define IDDPM_PARALLEL_H

#include "iddpm/base.h"

#include <mpi.h>

struct parallel {
    MPI_Comm comm;
    int rank, size;
};

/* Before MPI_Init: the environment that parallel HDF5 needs (src/store/checkpoint_write.c). Then MPI_Init_thread
 * (FUNNELED). One rank alone without mpirun is fine. Also makes ranks other than 0 quiet. From here on an error of MPI
 * itself ends every rank with its reason: the others would wait in the collective that failed. */
enum iddpm_status parallel_init(struct parallel *out, int *argc, char ***argv);
void parallel_finalize(struct parallel *parallel);

/* Collective: every rank gives its status; all return the worst (FAILED, then USAGE, then STOPPED), and the error text
 * of the lowest rank that has it, prefixed "rank R on HOST: " when there are several ranks and it is not so already.
 * The only way an error leaves a collective section; one allreduce when all is well. */
enum iddpm_status parallel_agree(const struct parallel *parallel, enum iddpm_status mine);
/* Collective: the largest value of all ranks. */
int parallel_max_int(const struct parallel *parallel, int mine);
double parallel_max(const struct parallel *parallel, double mine);
/* Collective: buffer of rank 0 to all. */
enum iddpm_status parallel_broadcast(const struct parallel *parallel, void *data, size_t bytes);
/* Collective: text of rank 0 to all: *text is malloc'ed on the other ranks. */
enum iddpm_status parallel_broadcast_text(const struct parallel *parallel, char **text);
/* Collective: sums n floats over ranks in place by MPI_Allreduce, in pieces that fit an int. */
enum iddpm_status parallel_sum(const struct parallel *parallel, float *data, size_t n);
enum iddpm_status parallel_sum_double(const struct parallel *parallel, double *data, size_t n);
/* Collective: sums n floats over ranks in place, in the same binary tree for every number of ranks, a power of two
 * (tree.c). Cut in whole blocks of `block` elements, which divides n; scratch [PARALLEL_TREE_PIECE]. */
#define PARALLEL_TREE_PIECE (1 << 20)
void parallel_sum_tree(const struct parallel *parallel, float *data, size_t n, size_t block, float *scratch);
/* Collective: `mine` of `bytes` from every rank, in rank order, on all ranks. */
enum iddpm_status parallel_gather(const struct parallel *parallel, const void *mine, size_t bytes, void *all);
void parallel_barrier(const struct parallel *parallel);
/* Not collective: prints the reason with rank and host and ends every rank by MPI_Abort. Only for errors inside a
 * collective section. */
_Noreturn void parallel_abort(const struct parallel *parallel, enum iddpm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- leaves ------------------------------------------------------------------------------------------------------ */

/* A step's global batch is `leaves` leaves of batch / leaves images. Rank r of n owns leaves [first, first + count). */
struct leaves {
    int total, first, count;
    int images; /* of one leaf */
};
/* The default number: the largest power of two up to batch / 8, at most 16 and at least 1, that divides the batch. */
int leaves_default(int64_t batch);
/* leaves: 0 for the default. IDDPM_USAGE when it is no power of two, does not divide the batch, or the ranks do not
 * divide it; the text says which numbers would do. */
enum iddpm_status leaves_plan(struct leaves *out, int64_t batch, int64_t leaves, int rank, int size);

#endif
