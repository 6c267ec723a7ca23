#include "iddpm/parallel.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_SIZE = 8192 };
/* Bytes handed to MPI in one call. Counts are ints, and transports of Open MPI 4 are little tested over 2 GiB. */
#define PIECE_BYTES ((size_t)1 << 30)

/* Open MPI makes a temporary copy of what it sums: of 4 MiB it stays in the heap and in the cache. 210 MB on two ranks
 * took 0.05 s in pieces of 4 MiB, 0.14 s of 16 MiB, 1.0 s in one piece (benchmarks/reduction.c). */
#define SUM_BYTES ((size_t)4 << 20)

static size_t piece(size_t left, size_t most)
{
    return left < most ? left : most;
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

static const char *host_name(void)
{
    static char name[256];
    if (!name[0] && gethostname(name, sizeof name - 1) != 0) strcpy(name, "unknown host");
    return name;
}

/* The others would wait in the collective that failed here, so an error of MPI itself ends every rank. Communicators
 * that HDF5 and ROMIO duplicate inherit this. */
static void on_mpi_error(MPI_Comm *comm, int *code, ...)
{
    struct parallel parallel = {*comm, 0, 1};
    char text[MPI_MAX_ERROR_STRING];
    int length;
    PMPI_Comm_rank(MPI_COMM_WORLD, &parallel.rank);
    PMPI_Error_string(*code, text, &length);
    parallel_abort(&parallel, IDDPM_FAILED, "MPI failed: %s", text);
}

enum iddpm_status parallel_init(struct parallel *out, int *argc, char ***argv)
{
    /* Open MPI's own MPI-IO loses its place when one rank's write fails (src/store/checkpoint_write.c); ROMIO is the
     * other one that it carries. A user's choice stands. */
    setenv("OMPI_MCA_io", "romio321", 0);
    int provided, error = MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    if (error != MPI_SUCCESS) return iddpm_error(IDDPM_FAILED, "MPI cannot start (MPI_Init_thread: error %d)", error);
    if (provided < MPI_THREAD_FUNNELED) {
        MPI_Finalize();
        return iddpm_error(IDDPM_FAILED, "this MPI does not allow OpenMP threads beside it (MPI_THREAD_FUNNELED)");
    }
    MPI_Errhandler handler;
    MPI_Comm_create_errhandler(on_mpi_error, &handler);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, handler);
    MPI_Errhandler_free(&handler);
    out->comm = MPI_COMM_WORLD;
    MPI_Comm_rank(out->comm, &out->rank);
    MPI_Comm_size(out->comm, &out->size);
    log_set_quiet(out->rank != 0);
    return IDDPM_OK;
}

void parallel_finalize(struct parallel *parallel)
{
    MPI_Finalize();
    *parallel = (struct parallel){MPI_COMM_NULL, 0, 1};
}

void parallel_abort(const struct parallel *parallel, enum iddpm_status status, const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_error("rank %d on %s: %s", parallel->rank, host_name(), text);
    MPI_Abort(parallel->comm, status);
    abort(); /* MPI_Abort may return by the standard */
}

/* ---- decisions --------------------------------------------------------------------------------------------------- */

static const enum iddpm_status severity_order[] = {IDDPM_OK, IDDPM_STOPPED, IDDPM_USAGE, IDDPM_FAILED};
enum { SEVERITIES = sizeof severity_order / sizeof severity_order[0] };

static int severity(enum iddpm_status status)
{
    for (int i = 0; i < SEVERITIES; i++)
        if (severity_order[i] == status) return i;
    return SEVERITIES - 1;
}

/* A text that was agreed before keeps the name of the rank it came from. */
static bool names_rank(const char *text)
{
    int rank, end = 0;
    return sscanf(text, "rank %d on %*[^ :]:%n", &rank, &end) == 1 && end > 0;
}

/* Collective: the error text of rank `root` becomes everyone's. */
static void share_error_text(const struct parallel *parallel, int root, enum iddpm_status status)
{
    char text[TEXT_SIZE] = "";
    if (parallel->rank == root) {
        if (parallel->size > 1 && !names_rank(iddpm_error_text()))
            iddpm_error_context(status, "rank %d on %s", root, host_name());
        snprintf(text, sizeof text, "%s", iddpm_error_text());
    }
    MPI_Bcast(text, sizeof text, MPI_CHAR, root, parallel->comm);
    iddpm_error(status, "%s", text);
}

enum iddpm_status parallel_agree(const struct parallel *parallel, enum iddpm_status mine)
{
    /* one number whose maximum is the worst status, and among its ranks the lowest */
    int64_t vote = (int64_t)severity(mine) << 32 | (parallel->size - 1 - parallel->rank), worst;
    MPI_Allreduce(&vote, &worst, 1, MPI_INT64_T, MPI_MAX, parallel->comm);
    enum iddpm_status status = severity_order[worst >> 32];
    if (status != IDDPM_OK) share_error_text(parallel, parallel->size - 1 - (int)(worst & INT32_MAX), status);
    return status;
}

int parallel_max_int(const struct parallel *parallel, int mine)
{
    MPI_Allreduce(MPI_IN_PLACE, &mine, 1, MPI_INT, MPI_MAX, parallel->comm);
    return mine;
}

double parallel_max(const struct parallel *parallel, double mine)
{
    MPI_Allreduce(MPI_IN_PLACE, &mine, 1, MPI_DOUBLE, MPI_MAX, parallel->comm);
    return mine;
}

void parallel_barrier(const struct parallel *parallel)
{
    MPI_Barrier(parallel->comm);
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

enum iddpm_status parallel_broadcast(const struct parallel *parallel, void *data, size_t bytes)
{
    for (size_t done = 0, n; done < bytes; done += n) {
        n = piece(bytes - done, PIECE_BYTES);
        MPI_Bcast((char *)data + done, (int)n, MPI_BYTE, 0, parallel->comm);
    }
    return IDDPM_OK;
}

enum iddpm_status parallel_broadcast_text(const struct parallel *parallel, char **text)
{
    bool root = parallel->rank == 0;
    uint64_t bytes = root && *text ? strlen(*text) + 1 : 0; /* 0: NULL everywhere */
    TRY(parallel_broadcast(parallel, &bytes, sizeof bytes));
    char *copy = NULL;
    enum iddpm_status status = IDDPM_OK;
    if (!root && bytes) status = mem_alloc(&copy, bytes, 1, "a text from rank 0");
    status = parallel_agree(parallel, status);
    if (status == IDDPM_OK) status = parallel_broadcast(parallel, root ? *text : copy, bytes);
    if (status != IDDPM_OK) {
        free(copy);
        return status;
    }
    if (!root) *text = copy;
    return IDDPM_OK;
}

static enum iddpm_status sum(const struct parallel *parallel, void *data, size_t n, size_t size, MPI_Datatype type)
{
    for (size_t done = 0, m; done < n; done += m) {
        m = piece(n - done, SUM_BYTES / size);
        MPI_Allreduce(MPI_IN_PLACE, (char *)data + done * size, (int)m, type, MPI_SUM, parallel->comm);
    }
    return IDDPM_OK;
}

enum iddpm_status parallel_sum(const struct parallel *parallel, float *data, size_t n)
{
    return sum(parallel, data, n, sizeof *data, MPI_FLOAT);
}

enum iddpm_status parallel_sum_double(const struct parallel *parallel, double *data, size_t n)
{
    return sum(parallel, data, n, sizeof *data, MPI_DOUBLE);
}

enum iddpm_status parallel_gather(const struct parallel *parallel, const void *mine, size_t bytes, void *all)
{
    for (size_t done = 0, n; done < bytes; done += n) {
        n = piece(bytes - done, PIECE_BYTES);
        /* n bytes of every `bytes`: the received pieces lie apart when there are several */
        MPI_Datatype whole, spaced;
        MPI_Type_contiguous((int)n, MPI_BYTE, &whole);
        MPI_Type_create_resized(whole, 0, (MPI_Aint)bytes, &spaced);
        MPI_Type_commit(&spaced);
        MPI_Allgather((const char *)mine + done, (int)n, MPI_BYTE, (char *)all + done, 1, spaced, parallel->comm);
        MPI_Type_free(&spaced);
        MPI_Type_free(&whole);
    }
    return IDDPM_OK;
}

enum iddpm_status parallel_collect(const struct parallel *parallel, const void *mine, size_t mine_bytes, void *all,
                                   size_t *bytes)
{
    bool root = parallel->rank == 0;
    int count = (int)mine_bytes, *counts = NULL, *begins = NULL;
    size_t total = 0, ranks = root ? (size_t)parallel->size : 0;
    enum iddpm_status status =
        mine_bytes > INT32_MAX ? iddpm_error(IDDPM_FAILED, "too many bytes to collect") : IDDPM_OK;
    if (status == IDDPM_OK) status = mem_alloc(&counts, ranks + 1, sizeof *counts, "counts of all ranks");
    if (status == IDDPM_OK) status = mem_alloc(&begins, ranks + 1, sizeof *begins, "counts of all ranks");
    status = parallel_agree(parallel, status);
    if (status == IDDPM_OK) MPI_Gather(&count, 1, MPI_INT, counts, 1, MPI_INT, 0, parallel->comm);
    for (size_t r = 0; r < ranks && status == IDDPM_OK; r++) {
        begins[r] = (int)total;
        total += (size_t)counts[r];
        if (total > INT32_MAX) status = iddpm_error(IDDPM_FAILED, "too many bytes to collect");
    }
    void **to = all;
    *to = NULL;
    *bytes = total;
    if (status == IDDPM_OK && root) status = mem_alloc(to, total + 1, 1, "what all ranks send");
    status = parallel_agree(parallel, status);
    if (status == IDDPM_OK) MPI_Gatherv(mine, count, MPI_BYTE, *to, counts, begins, MPI_BYTE, 0, parallel->comm);
    free(counts);
    free(begins);
    return status;
}
