/* Pixels as signals, made smaller by means over areas, mirrored. */
#include "check.h"
#include "iddpm/data.h"

#include <math.h>

static void pixels_and_signal(void **state)
{
    uint8_t all[256], back[256];
    double x[256];
    (void)state;
    for (int i = 0; i < 256; i++) all[i] = (uint8_t)i;
    pixels_to_signal(256, all, x);
    assert_true(x[0] == -1 && x[255] == 1 && x[127] == 127 / 127.5 - 1);
    for (int i = 0; i < 256; i++) x[i] += 1e-9; /* truncation: a level is reached from above */
    signal_to_pixels(256, x, back);
    assert_memory_equal(all, back, 256);
    signal_to_pixels(6, (double[]){-7, 7, 1 - 1e-9, 0, NAN, -INFINITY}, back);
    assert_memory_equal(back, ((uint8_t[]){0, 255, 254, 127, 0, 0}), 6);
}

/* What PyTorch 1.13 gives: F.interpolate(x, small, mode="area") in float64 of x[i] = (37 i mod 101) / 50 - 1. */
static void area_averages(void **state)
{
    static const struct {
        int size, small;
        double want[50];
    } cases[] = {
        {7,
         3,
         {0.0666666666666667, -0.0911111111111111, -0.115555555555556, 0.175555555555555, 0.151111111111111,
          -0.231111111111111, 0.137777777777778, -0.02, 0.18, 0.0222222222222222, -0.00222222222222219, -0.16,
          -0.0155555555555555, 0.0511111111111111, 0.251111111111111, -0.131111111111111, -0.155555555555556,
          0.135555555555556}},
        {8,
         5,
         {0.105,
          -0.165,
          -0.2,
          0.203333333333333,
          0,
          -0.27,
          0.2,
          -0.07,
          -0.105,
          0.13,
          0.19,
          0.256666666666667,
          -0.171111111111111,
          0.12,
          0.253333333333333,
          -0.353333333333333,
          0.00444444444444447,
          0.0711111111111111,
          0.316666666666667,
          -0.29,
          -0.23,
          0.51,
          -0.03,
          -0.3,
          0.17,
          -0.1,
          0.0333333333333333,
          0.1,
          0.57,
          -0.205,
          -0.313333333333333,
          0.09,
          0.111111111111111,
          -0.271111111111111,
          -0.25,
          0.153333333333333,
          0.0622222222222222,
          -0.0955555555555556,
          0.15,
          0.216666666666667,
          -0.0599999999999999,
          -0.33,
          0.14,
          -0.13,
          -0.165,
          0.07,
          0.203333333333333,
          -0.0666666666666667,
          -0.27,
          0.47}},
        {9,
         4,
         {-0.115555555555556,
          -0.0488888888888889,
          -0.0733333333333333,
          -0.00666666666666667,
          0.193333333333333,
          0.0355555555555556,
          0.0111111111111111,
          0.0777777777777777,
          0.04,
          -0.117777777777778,
          0.0822222222222222,
          -0.0755555555555556,
          -0.1,
          -0.0333333333333333,
          -0.0577777777777778,
          0.00888888888888887,
          -0.0288888888888889,
          0.0377777777777778,
          0.0133333333333333,
          0.08,
          0.0555555555555556,
          -0.102222222222222,
          0.0977777777777778,
          -0.06,
          -0.0977777777777778,
          0.193333333333333,
          -0.0555555555555556,
          0.0111111111111111,
          -0.0133333333333334,
          0.0533333333333334,
          0.0288888888888889,
          0.0955555555555556}},
    };
    double x[2 * 81], got[50];
    (void)state;
    for (int i = 0; i < 2 * 81; i++) x[i] = (37 * i % 101) / 50. - 1;
    for (int k = 0; k < 3; k++) {
        int small = cases[k].small;
        signal_area_average(cases[k].size, 2, x, small, got);
        check_close((size_t)(2 * small * small), got, cases[k].want, 0, 1e-14, "%d to %d", cases[k].size, small);
    }
    signal_area_average(5, 2, x, 5, got); /* of the same size it is the image */
    assert_memory_equal(got, x, 50 * sizeof *x);
}

static void mirrored_images(void **state)
{
    (void)state;
    uint8_t pixels[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    pixels_mirror(2, 3, 2, pixels);
    assert_memory_equal(pixels, ((uint8_t[]){5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8}), 12);
    pixels_mirror(3, 4, 1, pixels);
    assert_memory_equal(pixels, ((uint8_t[]){4, 3, 6, 5, 12, 11, 2, 1, 8, 7, 10, 9}), 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_and_signal),
        cmocka_unit_test(area_averages),
        cmocka_unit_test(mirrored_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
