/* Whether the ranks of a node have processors enough for their threads. */
#include "iddpm/parallel.h"

#include <stdlib.h>
#include <unistd.h>

static int count(const struct seat *seat)
{
    int n = 0;
    for (int i = 0; i < SEAT_WORDS; i++) n += __builtin_popcountll(seat->mask[i]);
    return n;
}

static bool is_within(const struct seat *inner, const struct seat *outer)
{
    for (int i = 0; i < SEAT_WORDS; i++)
        if (inner->mask[i] & ~outer->mask[i]) return false;
    return true;
}

/* The ranks that have no processors but those of `place`, and what they have to do there. */
static struct crowding crowding_in(const struct seat *place, int n, const struct seat *seats)
{
    struct crowding in = {.cores = count(place)};
    for (int i = 0; i < n; i++) {
        if (seats[i].threads == 0 || !is_within(&seats[i], place)) continue;
        in.ranks++;
        in.threads += seats[i].threads;
    }
    return in;
}

struct crowding crowding_find(int n, const struct seat *seats)
{
    struct seat all = {0};
    struct crowding found = {0};
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < SEAT_WORDS; k++) all.mask[k] |= seats[i].mask[k];
        if (count(&seats[i]) == 0) return found; /* the system did not say */
    }
    for (int i = -1; i < n; i++) { /* of the whole node first */
        struct crowding in = crowding_in(i < 0 ? &all : &seats[i], n, seats);
        if (in.threads > in.cores) return in;
    }
    return found;
}

/* Collective on a node. */
static enum iddpm_status find_on_node(const struct parallel *node, const struct seat *mine, struct crowding *out)
{
    struct seat *seats;
    enum iddpm_status status = mem_alloc(&seats, (size_t)node->size, sizeof *seats, "affinities of the ranks");
    status = parallel_agree(node, status);
    if (status == IDDPM_OK) status = parallel_gather(node, mine, sizeof *mine, seats);
    if (status == IDDPM_OK) *out = crowding_find(node->size, seats);
    free(seats);
    return status;
}

enum iddpm_status parallel_crowding(const struct parallel *parallel, const struct seat *mine, struct crowding *out)
{
    struct parallel node;
    struct crowding here = {0}, *all = NULL;
    MPI_Comm_split_type(parallel->comm, MPI_COMM_TYPE_SHARED, parallel->rank, MPI_INFO_NULL, &node.comm);
    MPI_Comm_rank(node.comm, &node.rank);
    MPI_Comm_size(node.comm, &node.size);
    enum iddpm_status status = find_on_node(&node, mine, &here);
    MPI_Comm_free(&node.comm);
    if (gethostname(here.host, sizeof here.host - 1) != 0) here.host[0] = 0;
    if (status == IDDPM_OK) status = mem_alloc(&all, (size_t)parallel->size, sizeof *all, "affinities of the nodes");
    status = parallel_agree(parallel, status);
    if (status == IDDPM_OK) status = parallel_gather(parallel, &here, sizeof here, all);
    *out = (struct crowding){0};
    for (int rank = 0; status == IDDPM_OK && rank < parallel->size && out->ranks == 0; rank++) *out = all[rank];
    free(all);
    return status;
}
