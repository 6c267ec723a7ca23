#include "check.h"
#include "iddpm/parallel.h"
#include "ranks.h"

#include <stdlib.h>
#include <string.h>

static void all_well(void **state)
{
    (void)state;
    assert_int_equal(parallel_agree(&ranks, IDDPM_OK), IDDPM_OK);
}

/* Every rank in turn is the one that fails; everyone hears its text, with its name when there are several. */
static void error_of_any_rank(void **state)
{
    (void)state;
    for (int bad = 0; bad < ranks.size; bad++) {
        enum iddpm_status mine = IDDPM_OK;
        if (ranks.rank == bad) mine = iddpm_error(IDDPM_USAGE, "bad thing %d", bad);
        assert_int_equal(parallel_agree(&ranks, mine), IDDPM_USAGE);
        char expected[64];
        snprintf(expected, sizeof expected, "rank %d on ", bad);
        if (ranks.size > 1) assert_ptr_equal(strstr(iddpm_error_text(), expected), iddpm_error_text());
        snprintf(expected, sizeof expected, "bad thing %d", bad);
        assert_string_equal(strstr(iddpm_error_text(), "bad thing"), expected);
    }
}

static void worst_then_lowest(void **state)
{
    (void)state;
    iddpm_error(IDDPM_FAILED, "text %d", ranks.rank);
    assert_int_equal(parallel_agree(&ranks, IDDPM_FAILED), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "text 0"));
    if (ranks.size == 1) return;
    iddpm_error(IDDPM_FAILED, "text %d", ranks.rank);
    enum iddpm_status mine = ranks.rank == 0 ? IDDPM_STOPPED : ranks.rank == 1 ? IDDPM_FAILED : IDDPM_USAGE;
    assert_int_equal(parallel_agree(&ranks, mine), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "text 1"));
    assert_int_equal(parallel_agree(&ranks, ranks.rank ? IDDPM_OK : IDDPM_STOPPED), IDDPM_STOPPED);
}

static void agreed_again(void **state)
{
    (void)state;
    iddpm_error(IDDPM_FAILED, "once");
    enum iddpm_status status = parallel_agree(&ranks, ranks.rank == ranks.size - 1 ? IDDPM_FAILED : IDDPM_OK);
    char before[256];
    snprintf(before, sizeof before, "%s", iddpm_error_text());
    assert_int_equal(parallel_agree(&ranks, status), IDDPM_FAILED);
    assert_string_equal(iddpm_error_text(), before);
}

static void long_error_text(void **state)
{
    (void)state;
    char text[9000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_int_equal(parallel_agree(&ranks, iddpm_error(IDDPM_FAILED, "%s", text)), IDDPM_FAILED);
    assert_true(strlen(iddpm_error_text()) > 8000);
}

static void largest_values(void **state)
{
    (void)state;
    assert_int_equal(parallel_max_int(&ranks, -ranks.rank), 0);
    assert_int_equal(parallel_max_int(&ranks, ranks.rank), ranks.size - 1);
    assert_true(parallel_max(&ranks, 0.5 * ranks.rank) == 0.5 * (ranks.size - 1));
}

static void broadcasts(void **state)
{
    (void)state;
    int value[3] = {7 + ranks.rank, 8 + ranks.rank, 9 + ranks.rank};
    assert_int_equal(parallel_broadcast(&ranks, value, sizeof value), IDDPM_OK);
    assert_int_equal(value[0] * 100 + value[1] * 10 + value[2], 789);
    assert_int_equal(parallel_broadcast(&ranks, NULL, 0), IDDPM_OK);

    static const char *const texts[] = {"a: 1\nb: 2\n", "", NULL};
    for (int i = 0; i < 3; i++) {
        char *text = ranks.rank == 0 ? mem_strdup(texts[i]) : NULL;
        assert_int_equal(parallel_broadcast_text(&ranks, &text), IDDPM_OK);
        if (texts[i]) assert_string_equal(text, texts[i]);
        if (!texts[i]) assert_null(text);
        free(text);
    }
}

/* Whole numbers, so that the sum is exact in every order. */
static void sums(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 3, 1000, 70001};
    int from_ranks = ranks.size * (ranks.size + 1) / 2;
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        size_t n = sizes[k];
        float *f = malloc(n * sizeof *f + 1);
        double *d = malloc(n * sizeof *d + 1);
        for (size_t i = 0; i < n; i++) f[i] = (float)((ranks.rank + 1) * (int)(i % 97)), d[i] = 3.0 * f[i];
        assert_int_equal(parallel_sum(&ranks, f, n), IDDPM_OK);
        assert_int_equal(parallel_sum_double(&ranks, d, n), IDDPM_OK);
        for (size_t i = 0; i < n; i++) {
            assert_true(f[i] == (float)(from_ranks * (int)(i % 97)));
            assert_true(d[i] == 3.0 * from_ranks * (int)(i % 97));
        }
        free(f);
        free(d);
    }
}

static void gather(void **state)
{
    (void)state;
    struct odd {
        char letter[3];
    } mine = {{(char)('a' + ranks.rank), 'x', 'y'}}, *all = malloc((size_t)ranks.size * sizeof *all);
    assert_int_equal(parallel_gather(&ranks, &mine, sizeof mine, all), IDDPM_OK);
    for (int r = 0; r < ranks.size; r++) {
        assert_int_equal(all[r].letter[0], 'a' + r);
        assert_int_equal(all[r].letter[2], 'y');
    }
    assert_int_equal(parallel_gather(&ranks, NULL, 0, NULL), IDDPM_OK);
    free(all);
}

int main(int argc, char **argv)
{
    if (ranks_start(&argc, &argv, 60)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_well),
        cmocka_unit_test(error_of_any_rank),
        cmocka_unit_test(worst_then_lowest),
        cmocka_unit_test(agreed_again),
        cmocka_unit_test(long_error_text),
        cmocka_unit_test(largest_values),
        cmocka_unit_test(broadcasts),
        cmocka_unit_test(sums),
        cmocka_unit_test(gather),
    };
    return ranks_end(cmocka_run_group_tests(tests, NULL, NULL));
}
