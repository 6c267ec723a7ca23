/* The sum over ranks whose bits do not depend on how many there are, and the parts that ranks own. */
#include "check.h"
#include "iddpm/kernels.h"
#include "ranks.h"

#include <stdlib.h>
#include <string.h>

enum { LEAVES = 8, BLOCK = 16 };

/* Values whose sums round differently in another order. */
static void leaf_values(int leaf, size_t n, float *out)
{
    struct rng rng = {3, RNG_TEST, 0, (uint32_t)leaf};
    double *u;
    assert_int_equal(mem_alloc(&u, n, sizeof *u, "values"), IDDPM_OK);
    rng_uniform(&rng, n, u);
    for (size_t i = 0; i < n; i++) out[i] = (float)((u[i] - 0.5) * (leaf % 3 ? 1e4 : 1e-3));
    free(u);
}

/* Leaves [first, first + count) added as the tree does: halves first. */
static void tree_sum(int first, int count, size_t n, float *out)
{
    float *other;
    if (count == 1) {
        leaf_values(first, n, out);
        return;
    }
    assert_int_equal(mem_alloc(&other, n, sizeof *other, "values"), IDDPM_OK);
    tree_sum(first, count / 2, n, out);
    tree_sum(first + count / 2, count / 2, n, other);
    for (size_t i = 0; i < n; i++) out[i] += other[i];
    free(other);
}

/* How a sum is told what is ready: not at all, or in pieces from the end, as a backward pass does. */
enum telling { NOTHING, PIECES, SOME_PIECES, TELLINGS };

static void tell(struct reducer *reducer, enum telling telling, size_t n)
{
    const size_t piece = 3 * REDUCER_BUCKET / 7 + 11;
    size_t stop = telling == SOME_PIECES ? n / 3 : 0;
    for (size_t end = n; telling != NOTHING && end > stop;) {
        size_t count = end < piece ? end : piece;
        end -= count;
        reducer_ready(reducer, end, count);
        reducer_progress(reducer);
    }
}

static void check_size(size_t n)
{
    float *want, *got;
    struct reducer *reducer;
    int mine = LEAVES / ranks.size;
    struct part own = parallel_own(ranks.rank, ranks.size, n, BLOCK);
    assert_int_equal(mem_alloc(&want, n, sizeof *want, "values"), IDDPM_OK);
    assert_int_equal(mem_alloc(&got, n, sizeof *got, "values"), IDDPM_OK);
    assert_int_equal(reducer_create(&reducer, &ranks, n, BLOCK, add_floats), IDDPM_OK);
    tree_sum(0, LEAVES, n, want);
    for (int telling = 0; telling < TELLINGS; telling++) {
        tree_sum(ranks.rank * mine, mine, n, got);
        reducer_begin(reducer, got);
        tell(reducer, telling, n);
        reducer_finish(reducer);
        assert_memory_equal(got + own.first, want + own.first, own.count * sizeof *got);
        memset(got, 0, own.first * sizeof *got); /* partial sums are nobody's business */
        memset(got + own.first + own.count, 0, (n - own.first - own.count) * sizeof *got);
        parallel_gather_parts(&ranks, got, n, BLOCK, sizeof *got);
        assert_memory_equal(got, want, n * sizeof *got);
    }
    reducer_destroy(reducer);
    free(want);
    free(got);
}

/* Fewer blocks than ranks, odd numbers of blocks, and many buckets. */
static void same_bits(void **state)
{
    (void)state;
    const size_t blocks[] = {1, 2, 3, 5, 64, 1001, REDUCER_BUCKET / BLOCK * 2 + 7, REDUCER_BUCKET / BLOCK * 5 - 1};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) check_size(blocks[i] * BLOCK);
}

/* Every element belongs to one rank, in whole blocks, and no rank has two blocks more than another. */
static void parts(void **state)
{
    (void)state;
    for (int size = 1; size <= 64; size *= 2)
        for (size_t blocks = 0; blocks < 200; blocks += 7) {
            int owners[200] = {0};
            size_t least = blocks, most = 0;
            for (int rank = 0; rank < size; rank++) {
                struct part own = parallel_own(rank, size, blocks * BLOCK, BLOCK);
                assert_true(own.first % BLOCK == 0 && own.count % BLOCK == 0);
                for (size_t k = 0; k < own.count / BLOCK; k++) owners[own.first / BLOCK + k]++;
                if (own.count / BLOCK < least) least = own.count / BLOCK;
                if (own.count / BLOCK > most) most = own.count / BLOCK;
            }
            for (size_t k = 0; k < blocks; k++) assert_int_equal(owners[k], 1);
            assert_true(most - least <= 1);
        }
}

static void collected(void **state)
{
    (void)state;
    int mine[4] = {ranks.rank, ranks.rank, ranks.rank, ranks.rank}, *all;
    size_t bytes, at = 0;
    assert_int_equal(parallel_collect(&ranks, mine, (size_t)(ranks.rank % 4) * sizeof *mine, &all, &bytes), IDDPM_OK);
    for (int rank = 0; ranks.rank == 0 && rank < ranks.size; rank++)
        for (int i = 0; i < rank % 4; i++) assert_int_equal(all[at++], rank);
    assert_int_equal(bytes, at * sizeof *mine);
    assert_true(ranks.rank == 0 || !all);
    free(all);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits), cmocka_unit_test(parts),
                                       cmocka_unit_test(collected)};
    if (ranks_start(&argc, &argv, 60) != 0) return 1;
    return ranks_end(cmocka_run_group_tests(tests, NULL, NULL));
}
