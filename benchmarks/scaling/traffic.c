/* The messages of src/parallel/reduce.c, counted. tests/mpi/test_messages.c compares them with what is sent. */
#include "scaling.h"

static uint64_t pieces(uint64_t n, uint64_t piece)
{
    return (n + piece - 1) / piece;
}

int traffic_levels(int size)
{
    int levels = 0;
    while (1 << levels < size) levels++;
    return levels;
}

struct traffic traffic_halving(int rank, int level, size_t flat)
{
    /* what goes to the partner is what he goes on with: one message for each bucket that has some of it */
    struct part give = parallel_own(rank ^ (1 << level), 2 << level, flat, NET_BLOCK);
    if (!give.count) return (struct traffic){0};
    size_t first = give.first / REDUCER_BUCKET, last = (give.first + give.count - 1) / REDUCER_BUCKET;
    return (struct traffic){last - first + 1, give.count * sizeof(float)};
}

/* A rank gives all that it has got so far, in pieces of a bucket's bytes; the two parts of a pair may differ by a
 * block.
 */
static struct traffic gathering(int rank, int level, size_t n, size_t block, size_t size)
{
    size_t mine = parallel_own(rank, 2 << level, n, block).count * size;
    size_t theirs = parallel_own(rank ^ (1 << level), 2 << level, n, block).count * size;
    return (struct traffic){pieces(mine > theirs ? mine : theirs, REDUCER_BUCKET * sizeof(float)), mine};
}

struct traffic traffic_doubling(int rank, int level, size_t flat)
{
    return gathering(rank, level, flat, NET_BLOCK, sizeof(float));
}

struct traffic traffic_norms(int rank, int level, size_t flat)
{
    return gathering(rank, level, flat / NET_BLOCK, 1, sizeof(double));
}

struct traffic traffic_step(int rank, int size, size_t flat)
{
    struct traffic sum = {0};
    for (int level = 0; level < traffic_levels(size); level++) {
        struct traffic parts[] = {traffic_halving(rank, level, flat), traffic_doubling(rank, level, flat),
                                  traffic_norms(rank, level, flat)};
        for (int i = 0; i < 3; i++) {
            sum.messages += parts[i].messages;
            sum.bytes += parts[i].bytes;
        }
    }
    return sum;
}
