/* Which ranks have fewer processors than threads, from their masks. */
#include "check.h"
#include "iddpm/parallel.h"

static struct seat seat(int threads, int first, int count) /* processors first, first + 1, ... */
{
    struct seat seat = {.threads = threads};
    for (int i = first; i < first + count; i++) seat.mask[i / 64] |= UINT64_C(1) << i % 64;
    return seat;
}

static void check(int n, const struct seat *seats, int ranks, int threads, int cores)
{
    struct crowding found = crowding_find(n, seats);
    assert_int_equal(found.ranks, ranks);
    if (ranks == 0) return;
    assert_int_equal(found.threads, threads);
    assert_int_equal(found.cores, cores);
}

static void well_bound_is_not_crowded(void **state)
{
    (void)state;
    check(0, NULL, 0, 0, 0);
    check(1, (struct seat[]){seat(1, 0, 1)}, 0, 0, 0);
    check(1, (struct seat[]){seat(2, 0, 16)}, 0, 0, 0);
    check(2, (struct seat[]){seat(1, 0, 1), seat(1, 1, 1)}, 0, 0, 0);
    check(2, (struct seat[]){seat(60, 0, 60), seat(70, 60, 70)}, 0, 0, 0); /* across words */
    check(2, (struct seat[]){seat(4, 0, 8), seat(4, 0, 8)}, 0, 0, 0);      /* not bound, but there is room */
    check(2, (struct seat[]){seat(4, 0, 8), seat(4, 0, 4)}, 0, 0, 0);
}

static void more_threads_than_the_node_has(void **state)
{
    (void)state;
    check(2, (struct seat[]){seat(1, 0, 1), seat(1, 0, 1)}, 2, 2, 1);
    check(4, (struct seat[]){seat(2, 0, 4), seat(2, 0, 4), seat(2, 0, 4), seat(2, 0, 4)}, 4, 8, 4);
    check(2, (struct seat[]){seat(2, 4094, 1), seat(1, 4095, 1)}, 2, 3, 2);
    check(1, (struct seat[]){seat(8, 3, 1)}, 1, 8, 1); /* mpirun's own binding of two ranks, with threads */
}

static void more_than_some_ranks_have(void **state)
{
    (void)state;
    check(3, (struct seat[]){seat(1, 0, 8), seat(1, 5, 1), seat(1, 5, 1)}, 2, 2, 1);
    check(3, (struct seat[]){seat(1, 0, 8), seat(3, 2, 4), seat(2, 3, 2)}, 2, 5, 4);
    check(3, (struct seat[]){seat(1, 0, 8), seat(2, 2, 4), seat(3, 3, 2)}, 2, 5, 4);
    check(2, (struct seat[]){seat(1, 70, 8), seat(2, 70, 1)}, 1, 2, 1);
}

static void unknown_is_no_warning(void **state)
{
    (void)state;
    check(2, (struct seat[]){seat(4, 0, 1), seat(4, 0, 0)}, 0, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_bound_is_not_crowded), cmocka_unit_test(more_threads_than_the_node_has),
        cmocka_unit_test(more_than_some_ranks_have), cmocka_unit_test(unknown_is_no_warning)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
