/* The intervals of fits hold what they promise: the truth in 95 % of repetitions with other noise. */
#include "check.h"
#include "iddpm/study.h"
#include "mock_study.h"
#include "scratch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static char folder[PATH_SIZE];

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static struct study_fits *fit(const struct mock *mock, double l_inf)
{
    struct study *study = mock_study(mock, folder);
    struct study_results *results = mock_results(mock, study);
    struct study_fits *fits;
    must(study_fit(&fits, study, results, l_inf, 7));
    study_results_destroy(results);
    mock_study_destroy(study);
    return fits;
}

enum { REPETITIONS = 200 };

static void expect_nominal(const char *what, int covered, int n)
{
    print_message("%s: the 95 %% interval holds the truth in %d of %d\n", what, covered, n);
    if (n < REPETITIONS * 0.95 || covered < 0.9 * n || covered > 0.99 * n) fail_msg("%s: not nominal", what);
}

static bool within(double x, double low, double high)
{
    return low <= x && x <= high;
}

/* One size, so that all rows follow the law. The truth for L_inf, which all images shift, is the law's; images differ
 * by image_noise, the same for all rows. */
static void intervals_hold_what_they_promise(const struct mock *shape, double l_inf, const char *what)
{
    int covered[3] = {0}, held = 0, n = 0, n_held = 0;
    char text[128];
    for (int i = 0; i < REPETITIONS; i++) {
        struct mock mock = *shape;
        mock.seed = 1000 + (uint64_t)i;
        struct study_fits *fits = fit(&mock, l_inf);
        const struct study_fit *f = &fits->fits[0]; /* of the one size */
        if (f->fitted) {
            n++;
            covered[0] += within(mock.alpha, f->low.alpha, f->high.alpha);
            covered[1] += within(mock.l_inf, f->low.l_inf, f->high.l_inf);
            covered[2] += within(mock.c_0, f->low.c_0, f->high.c_0);
        }
        if (isfinite(f->held_predicted)) {
            n_held++;
            held += within(f->held_loss, f->held_low, f->held_high);
        }
        study_fits_destroy(fits);
    }
    static const char *const names[] = {"alpha", "L_inf", "C_0"};
    for (int k = 0; k < 3; k++) {
        if (k == 1 && isfinite(l_inf)) continue;
        snprintf(text, sizeof text, "%s, %s", what, names[k]);
        expect_nominal(text, covered[k], n);
    }
    snprintf(text, sizeof text, "%s, the largest budget", what);
    expect_nominal(text, held, n_held);
}

static void coverage_over_images(void **state)
{
    (void)state;
    struct mock mock = mock_default;
    mock.sizes = 1;
    mock.bend = 0;
    mock.checkpoints = 8;
    mock.images = 200;
    intervals_hold_what_they_promise(&mock, NAN, "images");
}

static void coverage_over_seeds(void **state)
{
    (void)state;
    struct mock mock = mock_default;
    mock.sizes = 1;
    mock.bend = 0;
    mock.checkpoints = 8;
    mock.images = 100;
    mock.seeds = 8;
    mock.seed_noise = 0.02;
    intervals_hold_what_they_promise(&mock, NAN, "images and seeds");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(coverage_over_images), cmocka_unit_test(coverage_over_seeds)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
