/* A sum over ranks whose bits do not depend on how many there are. Leaf gradients are added in a fixed binary tree:
 * first inside a rank, whose leaves are contiguous, then here, where level k joins ranks r and r xor 2^k, nearest
 * first. Halving sends half of what is left at each level, doubling brings the sums back: 2 n (size - 1) / size
 * elements per rank. */
#include "iddpm/parallel.h"

enum { LEVELS_MAX = 31 };

/* Elements [first, first + count) */
struct segment {
    size_t first, count;
};

static size_t shorter(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The lower or upper half, in whole blocks. */
static struct segment half_of(struct segment s, size_t block, bool upper)
{
    size_t lower = s.count / block / 2 * block;
    return upper ? (struct segment){s.first + lower, s.count - lower} : (struct segment){s.first, lower};
}

static void exchange(const struct parallel *parallel, int partner, const float *out, size_t n_out, float *in,
                     size_t n_in)
{
    MPI_Sendrecv(out, (int)n_out, MPI_FLOAT, partner, 0, in, (int)n_in, MPI_FLOAT, partner, 0, parallel->comm,
                 MPI_STATUS_IGNORE);
}

/* Gives the partner its half and adds what it gives to ours. */
static void add_half(const struct parallel *parallel, int partner, float *data, struct segment theirs,
                     struct segment ours, float *scratch)
{
    for (size_t done = 0; done < theirs.count || done < ours.count; done += PARALLEL_TREE_PIECE) {
        size_t n_out = done < theirs.count ? shorter(theirs.count - done, PARALLEL_TREE_PIECE) : 0;
        size_t n_in = done < ours.count ? shorter(ours.count - done, PARALLEL_TREE_PIECE) : 0;
        exchange(parallel, partner, data + theirs.first + done, n_out, scratch, n_in);
        float *to = data + ours.first + done;
        for (size_t i = 0; i < n_in; i++) to[i] += scratch[i];
    }
}

static void copy_half(const struct parallel *parallel, int partner, float *data, struct segment ours,
                      struct segment theirs)
{
    for (size_t done = 0; done < theirs.count || done < ours.count; done += PARALLEL_TREE_PIECE) {
        size_t n_out = done < ours.count ? shorter(ours.count - done, PARALLEL_TREE_PIECE) : 0;
        size_t n_in = done < theirs.count ? shorter(theirs.count - done, PARALLEL_TREE_PIECE) : 0;
        exchange(parallel, partner, data + ours.first + done, n_out, data + theirs.first + done, n_in);
    }
}

void parallel_sum_tree(const struct parallel *parallel, float *data, size_t n, size_t block, float *scratch)
{
    struct segment whole[LEVELS_MAX], now = {0, n};
    int levels = 0;
    for (int bit = 1; bit < parallel->size; bit *= 2, levels++) {
        bool upper = parallel->rank & bit;
        whole[levels] = now;
        now = half_of(whole[levels], block, upper);
        add_half(parallel, parallel->rank ^ bit, data, half_of(whole[levels], block, !upper), now, scratch);
    }
    while (levels-- > 0) {
        int bit = 1 << levels;
        copy_half(parallel, parallel->rank ^ bit, data, now, half_of(whole[levels], block, !(parallel->rank & bit)));
        now = whole[levels];
    }
}
