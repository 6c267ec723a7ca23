#include "check.h"
#include "iddpm/parallel.h"

#include <string.h>

static void default_number(void **state)
{
    (void)state;
    /* the largest power of two up to batch / 8, at most 16, that divides the batch */
    const struct {
        int64_t batch;
        int leaves;
    } cases[] = {{1, 1},  {7, 1},  {8, 1},   {15, 1},   {16, 2},   {24, 2},    {32, 4},
                 {40, 4}, {64, 8}, {100, 4}, {128, 16}, {144, 16}, {4096, 16}, {129, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(leaves_default(cases[i].batch), cases[i].leaves);
}

/* Every leaf has one owner, in order. */
static void ownership(void **state)
{
    (void)state;
    for (int size = 1; size <= 16; size *= 2) {
        int next = 0;
        for (int rank = 0; rank < size; rank++) {
            struct leaves leaves;
            assert_int_equal(leaves_plan(&leaves, 128, 0, rank, size), IDDPM_OK);
            assert_int_equal(leaves.total, 16);
            assert_int_equal(leaves.images, 8);
            assert_int_equal(leaves.first, next);
            next += leaves.count;
        }
        assert_int_equal(next, 16);
    }
}

static void refused(int64_t batch, int64_t leaves, int size, const char *hint)
{
    struct leaves plan;
    assert_int_equal(leaves_plan(&plan, batch, leaves, 0, size), IDDPM_USAGE);
    if (!strstr(iddpm_error_text(), hint)) fail_msg("'%s' does not say '%s'", iddpm_error_text(), hint);
}

static void wrong_numbers(void **state)
{
    (void)state;
    refused(48, 6, 1, "1, 2, 4, 8 or 16 would do");
    refused(48, 32, 1, "1, 2, 4, 8 or 16 would do");
    refused(48, -2, 1, "1, 2, 4, 8 or 16 would do");
    refused(7, 2, 1, "divides batch_size 7: 1 would do");
    refused(0, 0, 1, "at least 1");
    refused(128, 8, 3, "run on 1, 2, 4 or 8 ranks");
    refused(16, 0, 4, "for batch_size 16 1, 2, 4, 8 or 16 would do");
    refused((int64_t)1 << 40, 1, 1, "too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_number),
        cmocka_unit_test(ownership),
        cmocka_unit_test(wrong_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
