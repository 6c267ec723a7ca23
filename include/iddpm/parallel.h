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
/* Collective: `mine` of `bytes` from every rank, in rank order, on all ranks. */
enum iddpm_status parallel_gather(const struct parallel *parallel, const void *mine, size_t bytes, void *all);
/* Collective: `mine` of any number of bytes from every rank, in rank order, to rank 0: *all (free()), *bytes there,
 * NULL and 0 elsewhere. At most 2 GiB in all. */
enum iddpm_status parallel_collect(const struct parallel *parallel, const void *mine, size_t mine_bytes, void *all,
                                   size_t *bytes);
void parallel_barrier(const struct parallel *parallel);
/* Not collective: prints the reason with rank and host and ends every rank by MPI_Abort. Only for errors inside a
 * collective section. */
_Noreturn void parallel_abort(const struct parallel *parallel, enum iddpm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- ranks that share processors (crowding.c) -------------------------------------------------------------------- */

#define SEAT_WORDS 64
struct seat {                  /* of one rank */
    uint64_t mask[SEAT_WORDS]; /* processors that it may use: bit i % 64 of mask[i / 64]; all zero: not known */
    int threads;
};
/* `ranks` ranks of a node with `threads` threads in all have no more than `cores` processors, which are fewer. ranks 0:
 * there is no such place. */
struct crowding {
    int ranks, threads, cores;
    char host[64];
};
/* Among the n ranks of one node: in all processors that they have together, or in those of one of them. host is left
 * empty. */
struct crowding crowding_find(int n, const struct seat *seats);
/* Collective: of the node of the lowest rank that is crowded; the same on all ranks. */
enum iddpm_status parallel_crowding(const struct parallel *parallel, const struct seat *mine, struct crowding *out);

/* ---- watchdog (watchdog.c) --------------------------------------------------------------------------------------- */

/* Collective. Starts a thread in every rank that ends the process when the main thread has said nothing by watchdog_at
 * for `seconds` (0: never): with a line to standard error that says where this rank is, and, from one of the ranks,
 * one that says which ranks are where and which do not answer. Time in which the process was stopped does not count.
 * One at a time. */
enum iddpm_status watchdog_start(const struct parallel *parallel, double seconds);
/* Not collective. Where the stalled threads of all ranks meet: in a folder stalled-TOKEN in `folder`, of a name for
 * this one watchdog and made when they need it; rank 0 removes those that jobs left there more than ten minutes ago.
 * "": they do not meet. `beat` (may be NULL) is called every 10 s by a thread of its own. */
typedef void watchdog_beat_fn(void *context);
enum iddpm_status watchdog_serve(const char *folder, watchdog_beat_fn *beat, void *context);
/* Where the main thread is: `place` is a string constant ("reduction"), step -1 for none. Cheap, never fails, also
 * without a watchdog. To be called before whatever may take long: reads, waits for other ranks, a microbatch. */
void watchdog_at(const char *place, int64_t step);
/* Ends the threads. `context` is not used any more after it. */
void watchdog_stop(void);

/* ---- reduction in a fixed tree (reduce.c) ------------------------------------------------------------------------ */

/* Elements [first, first + count) of a flat array. */
struct part {
    size_t first, count;
};
/* The part of n elements, a multiple of `block`, that a rank of `size`, a power of two, owns: whole blocks, about n /
 * size elements. The parts of all ranks together are the array. Not collective. */
struct part parallel_own(int rank, int size, size_t n, size_t block);

/* Sums flat arrays of n floats over ranks in the same binary tree for every number of ranks. Each rank ends with the
 * sum of its own part; elsewhere its array then holds partial sums of no use. */
#define REDUCER_BUCKET ((size_t)1 << 20) /* floats that travel together */
struct reducer;
typedef void reducer_add_fn(size_t n, const float *restrict x, float *restrict y); /* y += x */
enum iddpm_status reducer_create(struct reducer **out, const struct parallel *parallel, size_t n, size_t block,
                                 reducer_add_fn *add);
void reducer_destroy(struct reducer *reducer);
size_t reducer_bytes(const struct parallel *parallel); /* that one allocates */
/* A sum: begin on every rank, then, as elements get their final values on this rank, ready, in the same order on all
 * ranks; progress moves what has arrived and never waits; finish is collective, takes what was never said to be ready,
 * and ends the sum. */
void reducer_begin(struct reducer *reducer, float *data);
void reducer_ready(struct reducer *reducer, size_t first, size_t count);
void reducer_progress(struct reducer *reducer);
void reducer_finish(struct reducer *reducer);
/* Collective: of an array of n elements of `size` bytes every rank has its own part; now all have all. */
void parallel_gather_parts(const struct parallel *parallel, void *data, size_t n, size_t block, size_t size);

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
