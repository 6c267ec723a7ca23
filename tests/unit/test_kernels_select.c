/* The choice of the instruction set, and denormals. */
#include "check.h"

#include "iddpm/kernels.h"

#include <omp.h>
#include <string.h>

static const char *const isas[] = {"portable", "avx2", "avx512", "avx512bf16"};

static void test_selection(void **state)
{
    (void)state;
    assert_int_equal(kernels_select("sse9"), IDDPM_USAGE);
    assert_non_null(strstr(iddpm_error_text(), "sse9"));
    assert_int_equal(kernels_select("portable"), IDDPM_OK);
    assert_string_equal(kernels_isa(), "portable");
    assert_int_equal(kernels_select(NULL), IDDPM_OK);
    const char *best = kernels_isa();
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) /* worst first: the last that can be selected is the best */
        if (kernels_select(isas[i]) == IDDPM_OK) assert_string_equal(kernels_isa(), isas[i]);
    assert_string_equal(kernels_isa(), best);
}

static volatile float small = 1.5e-38f, tenth = 0.1f; /* not local: GCC 12 for aarch64 leaves out their product */

static void test_flush_denormals(void **state)
{
    (void)state;
    kernels_flush_denormals();
    int flushed = 0, threads = 0;
#pragma omp parallel reduction(+ : flushed, threads)
    {
        flushed += small * tenth == 0;
        threads++;
    }
    assert_int_equal(flushed, threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selection),
        cmocka_unit_test(test_flush_denormals), /* last: it changes the arithmetic of this process */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
