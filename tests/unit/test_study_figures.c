/* Figures of a study: which are drawn, that something is on them, that their data is beside them, and what is said of
 * those that are left out. */
#include "../../src/study/figure.h"
#include "../../src/study/names.h"

#include "check.h"
#include "iddpm/data.h"
#include "scratch.h"
#include "study_mock.h"

#include <stdlib.h>
#include <string.h>

static char folder[PATH_SIZE];

static const char objectives[] =
    "zip:\n"
    "  diffusion.learn_sigma: [false, true, true, true]\n"
    "  diffusion.use_kl: [false, false, true, true]\n"
    "  train.schedule_sampler: [uniform, uniform, uniform, loss-second-moment]\n"
    "budget: {steps: 2000}\ncheckpoints: 5\n"
    "evaluate:\n"
    "  - {nll: curve, data: held-out, images: 12, strata: 20, checkpoints: all}\n"
    "  - {nll: steps, data: held-out, images: 12, respacing: [10, 25, 50, 100], checkpoints: last}\n"
    "  - {sample: grid, images: 64, respacing: [10, \"\"], checkpoints: last}\n";

static const char *figure(const char *name, const char *ending)
{
    static char path[PATH_SIZE];
    snprintf(path, sizeof path, "%.2000s/out/figures/%s%s", folder, name, ending);
    return path;
}

/* Pixels that are not white. */
static size_t ink(const char *path)
{
    struct picture picture;
    must(picture_read(&picture, path));
    size_t n = 0, all = (size_t)picture.width * (size_t)picture.height;
    for (size_t i = 0; i < all; i++) n += picture.pixels[3 * i] < 250 || picture.pixels[3 * i + 1] < 250;
    picture_destroy(&picture);
    return n;
}

static char *text_of(const char *path)
{
    char *text;
    must(path_read_text(path, 1 << 28, &text));
    return text;
}

static void check_drawn(const char *name, const char *in_csv)
{
    if (ink(figure(name, ".png")) < 4000) fail_msg("%s.png: next to nothing is on it", name);
    char *svg = text_of(figure(name, ".svg")), *csv = text_of(figure(name, ".csv"));
    assert_non_null(strstr(svg, "</svg>"));
    if (!strstr(csv, in_csv)) fail_msg("%s.csv does not hold '%s'", name, in_csv);
    free(svg);
    free(csv);
}

static bool there(const char *name)
{
    return path_exists(figure(name, ".png")) || path_exists(figure(name, ".svg")) || path_exists(figure(name, ".csv"));
}

static bool gnuplot_is_here(void)
{
    return system("gnuplot --version >/dev/null 2>&1") == 0;
}

/* Where examples go when someone wants to look at them. */
static void keep(const char *as)
{
    char command[2 * PATH_SIZE];
    if (!getenv("IDDPM_KEEP_FIGURES")) return;
    snprintf(command, sizeof command, "mkdir -p %.1000s/%s && cp -r %.1000s/out/figures/. %.1000s/%s/",
             getenv("IDDPM_KEEP_FIGURES"), as, folder, getenv("IDDPM_KEEP_FIGURES"), as);
    assert_int_equal(system(command), 0);
}

static void schedules_need_no_results(void **state)
{
    (void)state;
    if (!gnuplot_is_here()) skip();
    struct study_mock mock;
    study_mock_make(&mock, folder, "budget: {steps: 100}\n", false);
    must(study_figures(mock.study, NULL, NULL));
    check_drawn("variance-ratio", "\"linear, T = 100\",0.02,");
    check_drawn("alpha-bar", "\"cosine, T = 200\",1,");
    assert_false(there("noised") || there("terms") || there("compute") || there("samples") || there("noise-scale"));
    study_mock_free(&mock);
}

/* Of so few steps there is no linear schedule. */
static void few_steps_leave_one_out(void **state)
{
    (void)state;
    if (!gnuplot_is_here()) skip();
    struct study_mock mock;
    study_mock_make(&mock, folder, "set: {diffusion.diffusion_steps: 20}\nbudget: {steps: 100}\n", false);
    must(study_figures(mock.study, NULL, NULL));
    assert_true(there("variance-ratio"));
    assert_false(there("alpha-bar"));
    study_mock_free(&mock);
}

static void objectives_are_compared(void **state)
{
    (void)state;
    if (!gnuplot_is_here()) skip();
    struct study_mock mock;
    char set[2 * PATH_SIZE + sizeof objectives];
    snprintf(set, sizeof set, "set: {data.path: %s/digits}\n%s", folder, objectives);
    study_mock_make(&mock, folder, set, true);
    must(study_figures(mock.study, mock.results, &mock.fits));
    keep("objectives");
    check_drawn("noised", "linear schedule");
    check_drawn("terms", "\"L_vlb importance-sampled: step 2000");
    check_drawn("learning-curves", "\"training bound, bits/dim\",\"L_hybrid, raw\",100,");
    check_drawn("learning-curves", "\"held-out, bits/dim\",L_simple,2000,");
    check_drawn("noise-scale", "images\",L_vlb,100,");
    check_drawn("sampling-steps", "\"fixed variances");
    check_drawn("samples", "grid");
    check_drawn("compute", "frontier: ");
    check_drawn("two-checkpoints", "\"ratio, first / second\"");
    check_drawn("overfitting", "lowest: step");
    assert_false(there("prefix"));
    study_mock_free(&mock);
}

/* What a result that is gone had drawn goes with it. */
static void old_figures_go(void **state)
{
    (void)state;
    if (!gnuplot_is_here()) skip();
    struct study_mock mock;
    study_mock_make(&mock, folder, objectives, false);
    must(study_figures(mock.study, mock.results, NULL));
    assert_true(there("terms") && there("compute") && there("alpha-bar"));
    must(study_figures(mock.study, NULL, NULL));
    assert_false(there("terms") || there("compute"));
    assert_true(there("alpha-bar"));
    study_mock_free(&mock);
}

static void sizes_against_compute(void **state)
{
    (void)state;
    if (!gnuplot_is_here()) skip();
    struct study_mock mock;
    study_mock_make(&mock, folder,
                    "grid: {model.num_channels: [32, 64, 96, 128], model.dropout: [0, 0.1], run.seed: [0, 1]}\n"
                    "budget: {steps: [1000, 4000]}\ncheckpoints: 6\nevaluate:\n"
                    "  - {nll: curve, data: held-out, images: 12, checkpoints: all}\n",
                    true);
    must(study_figures(mock.study, mock.results, &mock.fits));
    keep("sizes");
    check_drawn("compute", "num_channels 64, dropout 0.1");
    check_drawn("overfitting", "lowest: step");
    study_mock_free(&mock);
}

static void many_points_are_grouped(void **state)
{
    (void)state;
    if (!gnuplot_is_here()) skip();
    struct study_mock mock;
    study_mock_make(&mock, folder,
                    "grid: {model.num_channels: [32, 64], train.lr: [1e-4, 2e-4, 3e-4, 4e-4, 5e-4]}\n"
                    "budget: {steps: 1000}\ncheckpoints: 6\nevaluate:\n"
                    "  - {nll: curve, data: held-out, images: 12, checkpoints: all}\n",
                    true);
    must(study_figures(mock.study, mock.results, &mock.fits));
    keep("many");
    check_drawn("compute", "\"64 channels, ");
    study_mock_free(&mock);
}

static int make_folder(void **state)
{
    (void)state;
    char path[PATH_SIZE];
    struct import_result result;
    scratch_make(folder);
    must(path_join(path, folder, "digits"));
    must(data_import(&(struct import_options){.kind = IMPORT_DIGITS, .target = path}, &result));
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

/* Where values span little, the axis is linear, and shows what is not above 0. */
static void a_linear_axis_shows_all_values(void **state)
{
    (void)state;
    struct figure figure = {.n_panels = 1, .panels = {{.log = true}}};
    struct series *series;
    must(figure_series(&figure, 0, SERIES_LINE, 0, &series, "s"));
    must(series_add(series, 1, -1));
    assert_false(panel_is_log(&figure, 0));
    assert_true(figure_shows(&figure));
    must(series_add(series, 2, 1));
    must(series_add(series, 3, 20));
    assert_false(panel_is_log(&figure, 0));
    must(figure_write(&figure, folder, "linear", "t", "c"));
    char path[PATH_SIZE];
    must(path_join(path, folder, "linear.svg"));
    char *svg = text_of(path);
    assert_non_null(strstr(svg, ">0<")); /* on the axis only because of the first value */
    free(svg);
    must(series_add(series, 4, 40));
    assert_true(panel_is_log(&figure, 0));
    figure_destroy(&figure);
}

static void labels_that_are_cut_stay_different(void **state)
{
    (void)state;
    char labels[2][40] = {"", ""}, whole[40] = "";
    for (int i = 0; i < 2; i++) {
        label_add(labels[i], sizeof labels[i], "path", "a/folder/with/a/rather/long/name");
        label_add(labels[i], sizeof labels[i], "lr", i ? "0.001" : "0.002");
        assert_true(strlen(labels[i]) == sizeof labels[i] - 1 && strstr(labels[i], "... "));
    }
    assert_string_not_equal(labels[0], labels[1]);
    label_add(whole, sizeof whole, "lr", "0.1");
    label_add(whole, sizeof whole, "", "L_vlb");
    assert_string_equal(whole, "lr 0.1, L_vlb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(schedules_need_no_results),
                                       cmocka_unit_test(few_steps_leave_one_out),
                                       cmocka_unit_test(objectives_are_compared),
                                       cmocka_unit_test(old_figures_go),
                                       cmocka_unit_test(sizes_against_compute),
                                       cmocka_unit_test(a_linear_axis_shows_all_values),
                                       cmocka_unit_test(labels_that_are_cut_stay_different),
                                       cmocka_unit_test(many_points_are_grouped)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
