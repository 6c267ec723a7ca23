/* Wrappers around MPI that count and then do what was asked. Those ways to send that nobody uses yet are here too, so
 * that a new one cannot go unseen. */
#include "messages.h"

#include <mpi.h>

static struct messages counted;

struct messages messages_counted(void)
{
    return counted;
}

static uint64_t bytes_of(int count, MPI_Datatype type)
{
    int size = 0;
    if (count <= 0) return 0; /* with MPI_IN_PLACE the type may be none */
    PMPI_Type_size(type, &size);
    return (uint64_t)count * (uint64_t)size;
}

static void count_sent(int count, MPI_Datatype type, int to)
{
    if (to == MPI_PROC_NULL) return;
    counted.sent++;
    counted.sent_bytes += bytes_of(count, type);
}

static void count_shared(uint64_t bytes)
{
    counted.collective++;
    counted.shared_bytes += bytes;
}

static int rank_of(MPI_Comm comm)
{
    int rank;
    PMPI_Comm_rank(comm, &rank);
    return rank;
}

/* ---- point to point ---------------------------------------------------------------------------------------------- */

#define SEND(name)                                                                                                     \
    int MPI_##name(const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm)                     \
    {                                                                                                                  \
        count_sent(count, type, to);                                                                                   \
        return PMPI_##name(data, count, type, to, tag, comm);                                                          \
    }
SEND(Send)
SEND(Ssend)
SEND(Bsend)
SEND(Rsend)

#define START_SEND(name)                                                                                               \
    int MPI_##name(const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request *out)   \
    {                                                                                                                  \
        count_sent(count, type, to);                                                                                   \
        return PMPI_##name(data, count, type, to, tag, comm, out);                                                     \
    }
START_SEND(Isend)
START_SEND(Issend)
START_SEND(Ibsend)
START_SEND(Irsend)

int MPI_Sendrecv(const void *out, int n_out, MPI_Datatype type_out, int to, int tag_out, void *in, int n_in,
                 MPI_Datatype type_in, int from, int tag_in, MPI_Comm comm, MPI_Status *status)
{
    count_sent(n_out, type_out, to);
    return PMPI_Sendrecv(out, n_out, type_out, to, tag_out, in, n_in, type_in, from, tag_in, comm, status);
}

int MPI_Sendrecv_replace(void *data, int count, MPI_Datatype type, int to, int tag_out, int from, int tag_in,
                         MPI_Comm comm, MPI_Status *status)
{
    count_sent(count, type, to);
    return PMPI_Sendrecv_replace(data, count, type, to, tag_out, from, tag_in, comm, status);
}

/* ---- collectives ------------------------------------------------------------------------------------------------- */

int MPI_Barrier(MPI_Comm comm)
{
    count_shared(0);
    return PMPI_Barrier(comm);
}

int MPI_Bcast(void *data, int count, MPI_Datatype type, int root, MPI_Comm comm)
{
    count_shared(rank_of(comm) == root ? bytes_of(count, type) : 0);
    return PMPI_Bcast(data, count, type, root, comm);
}

int MPI_Reduce(const void *in, void *out, int count, MPI_Datatype type, MPI_Op op, int root, MPI_Comm comm)
{
    count_shared(bytes_of(count, type));
    return PMPI_Reduce(in, out, count, type, op, root, comm);
}

int MPI_Allreduce(const void *in, void *out, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    count_shared(bytes_of(count, type));
    return PMPI_Allreduce(in, out, count, type, op, comm);
}

int MPI_Iallreduce(const void *in, void *out, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
                   MPI_Request *request)
{
    count_shared(bytes_of(count, type));
    return PMPI_Iallreduce(in, out, count, type, op, comm, request);
}

int MPI_Reduce_scatter(const void *in, void *out, const int *counts, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    int size;
    uint64_t bytes = 0;
    PMPI_Comm_size(comm, &size);
    for (int i = 0; i < size; i++) bytes += bytes_of(counts[i], type);
    count_shared(bytes);
    return PMPI_Reduce_scatter(in, out, counts, type, op, comm);
}

int MPI_Reduce_scatter_block(const void *in, void *out, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    int size;
    PMPI_Comm_size(comm, &size);
    count_shared((uint64_t)size * bytes_of(count, type));
    return PMPI_Reduce_scatter_block(in, out, count, type, op, comm);
}

int MPI_Allgather(const void *in, int n_in, MPI_Datatype type_in, void *out, int n_out, MPI_Datatype type_out,
                  MPI_Comm comm)
{
    count_shared(in == MPI_IN_PLACE ? bytes_of(n_out, type_out) : bytes_of(n_in, type_in));
    return PMPI_Allgather(in, n_in, type_in, out, n_out, type_out, comm);
}

int MPI_Allgatherv(const void *in, int n_in, MPI_Datatype type_in, void *out, const int *counts, const int *begins,
                   MPI_Datatype type_out, MPI_Comm comm)
{
    count_shared(in == MPI_IN_PLACE ? bytes_of(counts[rank_of(comm)], type_out) : bytes_of(n_in, type_in));
    return PMPI_Allgatherv(in, n_in, type_in, out, counts, begins, type_out, comm);
}

int MPI_Gather(const void *in, int n_in, MPI_Datatype type_in, void *out, int n_out, MPI_Datatype type_out, int root,
               MPI_Comm comm)
{
    count_shared(in == MPI_IN_PLACE ? 0 : bytes_of(n_in, type_in));
    return PMPI_Gather(in, n_in, type_in, out, n_out, type_out, root, comm);
}

int MPI_Gatherv(const void *in, int n_in, MPI_Datatype type_in, void *out, const int *counts, const int *begins,
                MPI_Datatype type_out, int root, MPI_Comm comm)
{
    count_shared(in == MPI_IN_PLACE ? 0 : bytes_of(n_in, type_in));
    return PMPI_Gatherv(in, n_in, type_in, out, counts, begins, type_out, root, comm);
}
