/* Power laws: known ones are found again, and what cannot be fitted is refused. */
#include "check.h"
#include "iddpm/study.h"
#include "mock_study.h"
#include "scratch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* ---- one curve --------------------------------------------------------------------------------------------------- */

enum { N = 8 };

static void make_curve(double l_inf, double c_0, double alpha, double *compute, double *loss)
{
    for (int i = 0; i < N; i++) {
        compute[i] = 1e15 * pow(3, i);
        loss[i] = l_inf + pow(c_0 / compute[i], alpha);
    }
}

static void exact_laws_are_found(void **state)
{
    (void)state;
    static const double laws[][3] = {
        {3, 1e13, 0.3}, {0.5, 1e17, 0.05}, {2, 1e16, 1.5}, {3.4, 1e-20, 0.06}, {0, 1e14, 0.2}};
    for (size_t k = 0; k < sizeof laws / sizeof *laws; k++) {
        double compute[N], loss[N];
        struct power_law law;
        make_curve(laws[k][0], laws[k][1], laws[k][2], compute, loss);
        for (int given = 0; given < 2; given++) {
            if (!given && laws[k][0] == 0) continue; /* on the bound */
            must(power_law_fit(N, compute, loss, NULL, given ? laws[k][0] : NAN, &law));
            const double got[] = {law.l_inf, law.alpha, log(law.c_0)},
                         want[] = {laws[k][0], laws[k][2], log(laws[k][1])};
            check_close(3, got, want, 1e-3, 1e-6, "law %zu, L_inf %s", k, given ? "given" : "fitted");
            assert_true(law.residual < 1e-6);
            for (int i = 0; i < N; i++) assert_true(fabs(power_law_at(&law, compute[i]) - loss[i]) < 1e-6);
        }
    }
}

static void points_of_small_error_count_more(void **state)
{
    (void)state;
    double compute[N], loss[N], error[N];
    struct power_law law;
    make_curve(3, 1e13, 0.3, compute, loss);
    for (int i = 0; i < N; i++) error[i] = 1e-4;
    loss[2] += 0.05;
    error[2] = 10;
    must(power_law_fit(N, compute, loss, error, NAN, &law));
    assert_true(fabs(law.alpha - 0.3) < 1e-3);
    must(power_law_fit(N, compute, loss, NULL, NAN, &law));
    assert_true(fabs(law.alpha - 0.3) > 0.01);
}

static void refused(int n, const double *compute, const double *loss, const double *error, double l_inf,
                    const char *why)
{
    struct power_law law;
    assert_int_equal(power_law_fit(n, compute, loss, error, l_inf, &law), IDDPM_FAILED);
    if (!strstr(iddpm_error_text(), why)) fail_msg("'%s' does not say '%s'", iddpm_error_text(), why);
    assert_true(isnan(law.alpha));
}

static void what_the_data_cannot_support(void **state)
{
    (void)state;
    double compute[N], loss[N], error[N], straight[N], flat[N], near[N];
    struct power_law law;
    make_curve(3, 1e13, 0.3, compute, loss);
    for (int i = 0; i < N; i++) {
        straight[i] = 5 - 0.1 * i;
        flat[i] = 3 + 0.001 * (i % 2);
        error[i] = 0.5;
        near[i] = compute[0] * (1 + 0.1 * i);
    }
    refused(3, compute, loss, NULL, NAN, "3 points are too few: at least 4");
    refused(2, compute, loss, NULL, 3, "2 points are too few: at least 3");
    must(power_law_fit(3, compute, loss, NULL, 3, &law));
    refused(N, near, loss, NULL, NAN, "range of compute is too small");
    refused(N, compute, loss, error, NAN, "no fall beyond errors");
    refused(N, compute, flat, NULL, NAN, "no fall beyond errors");
    refused(N, compute, loss, NULL, 4, "L_inf = 4 is given");
    refused(N, compute, straight, NULL, NAN, "L_inf is not identified");
    must(power_law_fit(N, compute, straight, NULL, 1, &law)); /* given, it can be fitted */
    loss[0] = 1e6;
    refused(N, compute, loss, NULL, 3, "alpha is at its bound");
    loss[0] = NAN;
    refused(N, compute, loss, NULL, NAN, "no positive number");
}

static void the_frontier(void **state)
{
    (void)state;
    const double compute[] = {4, 1, 2, 2, 8, 16, 1}, loss[] = {3, 5, 4, 4.5, 3, 2, 6};
    const int want[] = {1, 2, 0, 5};
    int keep[7];
    assert_int_equal(compute_frontier(7, compute, loss, keep), 4);
    assert_memory_equal(keep, want, sizeof want);
    assert_int_equal(compute_frontier(0, NULL, NULL, keep), 0);
}

/* ---- a study ----------------------------------------------------------------------------------------------------- */

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

static const struct study_fit *find(const struct study_fits *fits, const char *what)
{
    for (int i = 0; i < fits->n; i++)
        if (strcmp(fits->fits[i].what, what) == 0) return &fits->fits[i];
    fail_msg("no fit of '%s'", what);
    return NULL;
}

static void sizes_and_their_frontier(void **state)
{
    (void)state;
    struct mock mock = mock_default;
    mock.sizes = 4;
    mock.seeds = 2;
    mock.bend = 0;
    struct study_fits *fits = fit(&mock, NAN);
    assert_int_equal(fits->n, 5);
    const struct study_fit *frontier = find(fits, "frontier"), *size = find(fits, "num_channels 64");
    assert_string_equal(size->evaluation, "curve");
    assert_string_equal(size->measure, "bits_per_dim");
    assert_int_equal(size->n, 6); /* seeds are one point */
    assert_true(size->fitted && frontier->fitted && frontier->n > 6);
    assert_true(fabs(frontier->law.alpha - mock.alpha) < 0.1);
    assert_true(frontier->low.alpha < mock.alpha && mock.alpha < frontier->high.alpha);
    assert_true(isfinite(frontier->held_predicted) && frontier->held_low < frontier->held_high);
    study_fits_destroy(fits);
    char path[PATH_SIZE], *text;
    must(path_join(path, folder, "fits.csv"));
    must(path_read_text(path, 1 << 20, &text));
    assert_non_null(strstr(text, "\ncurve,bits_per_dim,num_channels 64,6,1,,"));
    free(text);
}

static void the_reason_is_kept(void **state)
{
    (void)state;
    struct mock mock = mock_default;
    mock.checkpoints = 2;
    mock.sizes = 1;
    struct study_fits *fits = fit(&mock, NAN);
    const struct study_fit *all = find(fits, "all");
    assert_false(all->fitted);
    assert_non_null(strstr(all->why, "2 points are too few"));
    assert_true(isnan(all->law.alpha) && isnan(all->held_predicted));
    study_fits_destroy(fits);
}

static void the_same_seed_gives_the_same(void **state)
{
    (void)state;
    struct study_fits *a = fit(&mock_default, 2.9), *b = fit(&mock_default, 2.9);
    assert_int_equal(a->n, b->n);
    assert_memory_equal(a->fits, b->fits, (size_t)a->n * sizeof *a->fits);
    assert_true(a->fits[0].law.l_inf == 2.9 && a->fits[0].low.l_inf == 2.9);
    study_fits_destroy(a);
    study_fits_destroy(b);
}

/* ---- sizes at one compute ---------------------------------------------------------------------------------------- */

static void sizes_are_compared_at_one_compute(void **state)
{
    (void)state;
    struct mock mock = mock_default;
    mock.row_noise = 0.001;
    struct study *study = mock_study(&mock, folder);
    struct study_results *results = mock_results(&mock, study);
    struct study_sizes *sizes;
    double compute = study->points[0].flops / 3; /* between two checkpoints of each */
    must(study_sizes_at(&sizes, study, results, compute, 7));
    assert_int_equal(sizes->n, 3);
    double best = 0;
    int at = 0;
    for (int i = 0; i < 3; i++) {
        const struct study_size *s = &sizes->sizes[i];
        assert_int_equal(s->parameters, study->points[i].parameters);
        assert_true(fabs(s->images * 6 * (double)study->points[i].macs - compute) < 1e-6 * compute);
        double truth = mock_loss(&mock, &study->points[i], compute), all = mock_loss(&mock, &study->points[0], compute);
        assert_true(fabs((s->loss - sizes->sizes[0].loss) - (truth - all)) < 0.02);
        assert_true(s->low < s->loss && s->loss < s->high);
        best += s->best;
        if (s->loss < sizes->sizes[at].loss) at = i;
    }
    assert_true(fabs(best - 1) < 1e-9 && sizes->sizes[at].best > 0.9);
    study_sizes_destroy(sizes);
    must(study_sizes_at(&sizes, study, results, NAN, 7));
    assert_int_equal(sizes->n, 2);
    assert_true(sizes->sizes[0].compute == study->points[1].flops);
    study_sizes_destroy(sizes);
    must(study_sizes_at(&sizes, study, results, 1, 7));
    assert_int_equal(sizes->n, 0);
    study_sizes_destroy(sizes);
    study_results_destroy(results);
    mock_study_destroy(study);
}

/* ---- many points ------------------------------------------------------------------------------------------------- */

#ifdef __SANITIZE_ADDRESS__
#define SECONDS_MOST 60 /* the sanitizers take their time */
#else
#define SECONDS_MOST 10
#endif

static void a_thousand_points(void **state)
{
    (void)state;
    struct mock mock = mock_default;
    mock.sizes = 100;
    mock.seeds = 2;
    mock.budgets = 5;
    mock.columns = 4;
    struct study *study = mock_study(&mock, folder);
    struct study_results *results;
    struct study_collected counts;
    struct study_fits *fits;
    mock_runs(&mock, study);
    clock_t start = clock();
    must(study_collect(study, false, &counts));
    clock_t collected = clock();
    assert_int_equal(counts.rows, 6000);
    must(study_collect(study, false, &counts));
    assert_int_equal(counts.added, 0);
    clock_t again = clock();
    must(study_results_read(&results, study));
    must(study_fit(&fits, study, results, NAN, 7));
    clock_t fitted = clock();
    assert_int_equal(fits->n, 101);
    print_message("1,000 points, CPU time: collected in %.2f s, again in %.2f s, fitted in %.2f s\n",
                  (double)(collected - start) / CLOCKS_PER_SEC, (double)(again - collected) / CLOCKS_PER_SEC,
                  (double)(fitted - again) / CLOCKS_PER_SEC);
    assert_true(again - start < SECONDS_MOST * CLOCKS_PER_SEC && fitted - again < SECONDS_MOST * CLOCKS_PER_SEC);
    study_fits_destroy(fits);
    study_results_destroy(results);
    mock_study_destroy(study);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(exact_laws_are_found),
                                       cmocka_unit_test(points_of_small_error_count_more),
                                       cmocka_unit_test(what_the_data_cannot_support),
                                       cmocka_unit_test(the_frontier),
                                       cmocka_unit_test(sizes_and_their_frontier),
                                       cmocka_unit_test(the_reason_is_kept),
                                       cmocka_unit_test(the_same_seed_gives_the_same),
                                       cmocka_unit_test(sizes_are_compared_at_one_compute),
                                       cmocka_unit_test(a_thousand_points)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
