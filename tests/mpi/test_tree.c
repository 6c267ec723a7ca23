/* The sum over ranks whose bits do not depend on how many there are. */
#include "check.h"
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

static void check_size(size_t n)
{
    float *want, *got, *scratch;
    int mine = LEAVES / ranks.size;
    assert_int_equal(mem_alloc(&want, n, sizeof *want, "values"), IDDPM_OK);
    assert_int_equal(mem_alloc(&got, n, sizeof *got, "values"), IDDPM_OK);
    assert_int_equal(mem_alloc(&scratch, PARALLEL_TREE_PIECE, sizeof *scratch, "values"), IDDPM_OK);
    tree_sum(0, LEAVES, n, want);
    tree_sum(ranks.rank * mine, mine, n, got);
    parallel_sum_tree(&ranks, got, n, BLOCK, scratch);
    assert_memory_equal(got, want, n * sizeof *got);
    free(want);
    free(got);
    free(scratch);
}

/* Fewer blocks than ranks, odd numbers of blocks, and more than one piece a message. */
static void same_bits(void **state)
{
    (void)state;
    const size_t blocks[] = {1, 2, 3, 5, 64, 1001, PARALLEL_TREE_PIECE / BLOCK * 2 + 7};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) check_size(blocks[i] * BLOCK);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_bits)};
    if (ranks_start(&argc, &argv, 60) != 0) return 1;
    return ranks_end(cmocka_run_group_tests(tests, NULL, NULL));
}
