/* OpenBLAS takes a buffer for each thread when it is told to, however the threads are scheduled. */
#include "check.h"
#include "iddpm/kernels.h"

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 16 }; /* more than run at once */

static double virtual_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double reserved(int threads)
{
    kernels_set_threads(threads);
    kernels_flush_denormals(); /* the threads are there, with their stacks */
    double before = virtual_bytes();
    assert_int_equal(kernels_reserve(), IDDPM_OK);
    return virtual_bytes() - before;
}

static void every_thread_gets_a_buffer(void **state)
{
    (void)state;
    double one = reserved(1), others = reserved(THREADS);
    print_message("1 thread: %.0f MB, %d others: %.0f MB\n", one / 0x1p20, THREADS - 1, others / 0x1p20);
    /* what else the first call maps is less than the buffer that would be missing */
    assert_true(one >= 0x1p20 && others >= (THREADS - 1.5) * one);
    assert_true(reserved(THREADS) < one); /* they are kept */
}

int main(int argc, char **argv)
{
    (void)argc;
    mallopt(M_ARENA_MAX, 1);               /* threads map nothing else */
    if (!getenv("OPENBLAS_NUM_THREADS")) { /* read when it is loaded: threads of its own would take buffers too */
        setenv("OPENBLAS_NUM_THREADS", "1", 1);
        execv("/proc/self/exe", argv);
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_thread_gets_a_buffer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
