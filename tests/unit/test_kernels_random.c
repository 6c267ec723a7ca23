/* Random parameters have the bits that the scalar generator gives, on every instruction set and any number of threads.
 */
#include "iddpm/kernels.h"
#include "plane.h"

#include <stdlib.h>
#include <string.h>

static const struct rng rng = {0x0123456789abcdef, RNG_INIT, 3, 0xfffffff0};

static void fill(void *context)
{
    struct plane *plane = context;
    uniform_fill(&rng, 0.0294627825, (size_t)plane->c, plane->data);
}

static void same_as_scalar(void)
{
    static const int sizes[] = {0, 1, 3, 31, 4095, 4096, 4097, 3 * 4096 + 18};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct plane plane = plane_create(1, sizes[k], sizes[k] + 40);
        check_threads(fill, &plane, 1, (struct plane *[]){&plane});
        plane_check_guards(&plane, "uniform_fill");
        for (int first = 0; first < sizes[k]; first += UNIFORM_PIECE) {
            double want[UNIFORM_PIECE];
            struct rng piece = rng;
            piece.step += (uint32_t)(first / UNIFORM_PIECE);
            int n = sizes[k] - first < UNIFORM_PIECE ? sizes[k] - first : UNIFORM_PIECE;
            rng_uniform(&piece, (size_t)n, want);
            for (int i = 0; i < n; i++) {
                double value = (2 * want[i] - 1) * 0.0294627825;
                assert_true(plane.data[first + i] == (float)value);
            }
        }
        plane_free(&plane);
    }
}

static void uniform(void **state)
{
    (void)state;
    every_isa(same_as_scalar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(uniform)};
    if (kernels_select(NULL)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
