/* Gathering results: what changes, what does not, what is refused, what is passed over. */
#include "../../src/study/collect.h"

#include "check.h"
#include "iddpm/study.h"
#include "mock_study.h"
#include "scratch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[PATH_SIZE];
static struct study *study;
static struct mock mock;

static int make(void **state)
{
    (void)state;
    scratch_make(folder);
    mock = mock_default;
    mock.sizes = 2;
    mock.checkpoints = 3;
    study = mock_study(&mock, folder);
    mock_runs(&mock, study);
    return 0;
}

static int end(void **state)
{
    (void)state;
    mock_study_destroy(study);
    scratch_remove(folder);
    return 0;
}

static struct study_collected collect(void)
{
    struct study_collected counts;
    must(study_collect(study, false, &counts));
    return counts;
}

static void expect(struct study_collected counts, int rows, int added, int damaged)
{
    if (counts.rows != rows || counts.added != added || counts.damaged != damaged)
        fail_msg("%d rows, %d added, %d damaged; not %d, %d, %d", counts.rows, counts.added, counts.damaged, rows,
                 added, damaged);
}

static const char *result_path(int point, int save)
{
    static char path[PATH_SIZE];
    must(study_result_path(&study->points[point], &study->evaluations[0], study->points[point].saves[save], path));
    return path;
}

static const char *metrics_path(int point)
{
    static char path[PATH_SIZE];
    must(path_join(path, study->points[point].run, "metrics.jsonl"));
    return path;
}

/* ---- what is collected ------------------------------------------------------------------------------------------- */

static void same_values(const struct study_row *a, const struct study_row *b)
{
    const double x[] = {a->flops, a->seconds, a->bits_per_dim, a->standard_error, a->vb, a->mse, a->prior},
                 y[] = {b->flops, b->seconds, b->bits_per_dim, b->standard_error, b->vb, b->mse, b->prior};
    assert_string_equal(a->point, b->point);
    assert_string_equal(a->evaluation, b->evaluation);
    assert_string_equal(a->objective, b->objective);
    assert_string_equal(a->data_hash, b->data_hash);
    assert_int_equal(a->step, b->step);
    assert_int_equal(a->images, b->images);
    assert_int_equal(a->ranks, b->ranks);
    assert_int_equal(a->parameters, b->parameters);
    assert_int_equal(a->channels, b->channels);
    check_close(sizeof x / sizeof *x, x, y, 1e-9, 0, "%s, step %lld", a->point, (long long)a->step);
    check_close((size_t)a->n_totals, a->totals, b->totals, 0, 0, "totals");
    assert_int_equal(a->n_terms, b->n_terms);
    check_close((size_t)a->n_terms, a->terms, b->terms, 1e-9, 0, "terms");
    check_close((size_t)a->n_terms, a->term_steps, b->term_steps, 0, 0, "timesteps");
    assert_int_equal(isnan(a->difference), isnan(b->difference));
    if (isnan(a->difference)) return;
    check_close(1, &a->difference, &b->difference, 1e-9, 1e-12, "difference");
    check_close(1, &a->difference_error, &b->difference_error, 1e-9, 0, "its error");
}

static void all_that_the_runs_have(void **state)
{
    (void)state;
    struct study_results *read, *want = mock_results(&mock, study);
    expect(collect(), 6, 6, 0);
    must(study_results_read(&read, study));
    assert_int_equal(read->n, want->n);
    for (int i = 0; i < want->n; i++) same_values(&read->rows[i], &want->rows[i]);
    assert_int_equal(read->n_curves, want->n_curves);
    for (int i = 0; i < want->n_curves; i++)
        for (int c = 0; c < CURVE_COLUMNS; c++)
            check_close((size_t)want->curves[i].n, read->curves[i].column[c], want->curves[i].column[c], 1e-8, 0,
                        "column %d", c);
    study_results_destroy(read);
    study_results_destroy(want);
}

/* The same images and noise for both: the noise of images falls out of the difference. */
static void differences_are_sharper_than_values(void **state)
{
    (void)state;
    struct study_results *read;
    collect();
    must(study_results_read(&read, study));
    for (int i = 1; i < read->n; i++) {
        const struct study_row *row = &read->rows[i];
        if (isnan(row->difference)) continue;
        double independent = hypot(row->standard_error, row[-1].standard_error);
        assert_true(row->difference_error < independent / 5);
    }
    study_results_destroy(read);
}

/* ---- again ------------------------------------------------------------------------------------------------------- */

struct kept {
    uint8_t *bytes;
    size_t n;
    struct timespec time;
};
static const char *const outputs[] = {"results.h5", "results.csv", "metrics.csv"};

static void look(struct kept kept[3])
{
    for (int i = 0; i < 3; i++) {
        char path[PATH_SIZE];
        struct stat info;
        must(path_join(path, folder, outputs[i]));
        kept[i].bytes = scratch_read(path, &kept[i].n);
        assert_int_equal(stat(path, &info), 0);
        kept[i].time = info.st_mtim;
    }
}

static void expect_untouched(const struct kept before[3])
{
    struct kept after[3];
    look(after);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(after[i].n, before[i].n);
        assert_memory_equal(after[i].bytes, before[i].bytes, before[i].n);
        assert_memory_equal(&after[i].time, &before[i].time, sizeof after[i].time);
        free(after[i].bytes);
    }
}

static void twice_changes_nothing(void **state)
{
    (void)state;
    struct kept kept[3];
    collect();
    look(kept);
    expect(collect(), 6, 0, 0);
    expect_untouched(kept);
    for (int i = 0; i < 3; i++) free(kept[i].bytes);
}

static void a_run_grows(void **state)
{
    (void)state;
    char hidden[PATH_SIZE], later[PATH_SIZE];
    must(path_join(hidden, folder, "later.h5"));
    snprintf(later, sizeof later, "%s", result_path(0, 2));
    assert_int_equal(rename(later, hidden), 0);
    expect(collect(), 5, 5, 0);
    assert_int_equal(rename(hidden, later), 0);
    expect(collect(), 6, 1, 0);
    assert_int_equal(unlink(later), 0);
    expect(collect(), 5, 0, 0);
    mock.l_inf += 1; /* measured again */
    mock_nll(&mock, study, 1, 0, 1);
    expect(collect(), 5, 1, 0);
    struct study_results *read;
    must(study_results_read(&read, study));
    assert_true(fabs(read->rows[3].bits_per_dim - mock_loss(&mock, &study->points[1], read->rows[3].flops)) < 0.5);
    study_results_destroy(read);
}

/* A continued run counts its seconds from zero, and may have other ranks; its last line may be half-written. */
static void seconds_are_summed_over_continuations(void **state)
{
    (void)state;
    static const char text[] = "{\"step\": 256, \"samples\": 8192, \"loss\": 0.5, \"seconds\": 10, \"ranks\": 1}\n"
                               "{\"step\": 512, \"samples\": 16384, \"loss\": 0.4, \"seconds\": 30, \"ranks\": 1}\n"
                               "{\"step\": 1024, \"samples\": 32768, \"loss\": 0.3, \"seconds\": 20, \"ranks\": 4}\n"
                               "{\"step\": 1100, \"sam";
    scratch_write(metrics_path(0), text, sizeof text - 1);
    expect(collect(), 6, 6, 0);
    struct study_results *read;
    must(study_results_read(&read, study));
    assert_int_equal(read->curves[0].n, 3);
    assert_true(isnan(read->curves[0].column[CURVE_MSE][0]));
    assert_true(read->rows[0].seconds == 10 && read->rows[1].seconds == 40 && read->rows[2].seconds == 60);
    assert_true(read->rows[0].ranks == 1 && read->rows[2].ranks == 4);
    study_results_destroy(read);
    assert_int_equal(unlink(metrics_path(0)), 0);
    expect(collect(), 6, 0, 0);
    must(study_results_read(&read, study));
    assert_true(isnan(read->rows[0].seconds) && read->rows[0].ranks == 0);
    assert_int_equal(read->n_curves, 1);
    study_results_destroy(read);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

static void damaged_files_are_passed_over(void **state)
{
    (void)state;
    struct kept kept[3];
    assert_int_equal(truncate(result_path(0, 1), 1000), 0);
    scratch_write(result_path(1, 0), "no HDF5", 7);
    scratch_write(metrics_path(1), "{\"step\": 1, \"loss\": 2}\nrubbish\n", 31);
    expect(collect(), 4, 4, 3);
    look(kept);
    expect(collect(), 4, 0, 3); /* named again */
    expect_untouched(kept);
    for (int i = 0; i < 3; i++) free(kept[i].bytes);
    mock_nll(&mock, study, 0, 0, 1);
    expect(collect(), 5, 1, 2);
}

static void a_result_under_another_step_is_passed_over(void **state)
{
    (void)state;
    char from[PATH_SIZE];
    snprintf(from, sizeof from, "%s", result_path(0, 0));
    assert_int_equal(rename(from, result_path(0, 1)), 0);
    expect(collect(), 4, 4, 1);
}

static void a_damaged_collection_is_made_again(void **state)
{
    (void)state;
    char path[PATH_SIZE];
    struct study_results *read;
    collect();
    must(path_join(path, folder, "results.h5"));
    assert_int_equal(truncate(path, 3000), 0);
    expect(collect(), 6, 6, 0);
    must(study_results_read(&read, study));
    study_results_destroy(read);
}

/* ---- mixing ------------------------------------------------------------------------------------------------------ */

static void refused(const char *text)
{
    struct study_collected counts;
    assert_int_equal(study_collect(study, false, &counts), IDDPM_USAGE);
    if (!strstr(iddpm_error_text(), text)) fail_msg("'%s' does not say '%s'", iddpm_error_text(), text);
    must(study_collect(study, true, &counts));
    expect(counts, 6, counts.added, 0);
}

static void other_settings_are_not_mixed(void **state)
{
    (void)state;
    mock.images = 32;
    mock_nll(&mock, study, 1, 0, 1);
    refused("images 32, but the study file has 64");
    mock.images = 64;
    mock.data_hash = "fedcba9876543210";
    mock_nll(&mock, study, 1, 0, 1);
    refused("data set 0123456789abcdef, but num_channels-64_steps-1024_seed-0 at step 512 with fedcba9876543210");
    mock.data_hash = NULL;
    mock.nll_seed = 7;
    mock_nll(&mock, study, 1, 0, 1);
    refused("seed");
    struct study_results *read;
    must(study_results_read(&read, study));
    assert_true(isnan(read->rows[4].difference)); /* other noise than the row before */
    study_results_destroy(read);
}

static void differences_are_of_rows_measured_alike(void **state)
{
    (void)state;
    double totals[2][3] = {{1, 2, 3}, {2, 3, 5}};
    const struct study_row a = {.n_totals = 3, .totals = totals[0], .timesteps = 8, .weights = "params"};
    struct study_row others[] = {a, a, a, a, a, a, a};
    others[0].strata = 4, others[1].timesteps = 4, others[2].clip_denoised = true, others[3].nll_seed = 1;
    strcpy(others[4].weights, "ema/0.9"), strcpy(others[5].respacing, "4"), strcpy(others[6].data_hash, "1");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        row_difference(&others[i], &a);
        assert_true(isnan(others[i].difference));
    }
    struct study_row alike = a;
    alike.totals = totals[1];
    row_difference(&alike, &a);
    check_close(1, &alike.difference, (double[]){4. / 3}, 1e-12, 0, "difference");
}

/* The third has the data set of the second, and other bytes in it. */
static void data_sets_are_compared_with_their_own_first(void **state)
{
    (void)state;
    end(NULL);
    make(NULL);
    mock_study_destroy(study);
    mock.sizes = 4;
    study = mock_study(&mock, folder);
    mock_runs(&mock, study);
    for (int p = 1; p < 4; p += 2) must(config_set(study->points[p].config, "data.eval_path", "data/other"));
    for (int p = 1; p < 4; p += 2)
        for (int save = 0; save < 3; save++) {
            mock.data_hash = p == 1 ? "1111111111111111" : "3333333333333333";
            mock_nll(&mock, study, p, 0, save);
        }
    struct study_collected counts;
    assert_int_equal(study_collect(study, false, &counts), IDDPM_USAGE);
    assert_non_null(strstr(iddpm_error_text(), "data set 1111111111111111, but num_channels-128_steps-1024_seed-0"));
}

static void what_the_study_file_has_now_counts(void **state)
{
    (void)state;
    struct study_evaluation *e = &study->evaluations[0];
    expect(collect(), 6, 6, 0);
    e->images = 128;
    refused("images 64, but the study file has 128");
    e->images = 0;
    e->seed = 5;
    refused("seed 0, but the study file has 5");
    e->seed = -1;
    e->strata = 4;
    refused("strata 0, but the study file has 4");
    e->strata = 8; /* as many as timesteps */
    e->respacing = mem_strdup("2");
    refused("respacing");
    free(e->respacing);
    e->respacing = NULL;
    e->weights = mem_strdup("params");
    refused("weights");
    free(e->weights);
    e->weights = NULL;
    expect(collect(), 6, 0, 0);
}

static void points_may_have_data_sets_of_their_own(void **state)
{
    (void)state;
    must(config_set(study->points[1].config, "data.eval_path", "data/other"));
    mock.data_hash = "fedcba9876543210";
    for (int save = 0; save < 3; save++) mock_nll(&mock, study, 1, 0, save);
    expect(collect(), 6, 6, 0);
    study->evaluations[0].data[0] = 0;
    free(study->evaluations[0].data);
    study->evaluations[0].data = mem_strdup("data/both");
    refused("data set");
}

static void no_folder_no_results(void **state)
{
    (void)state;
    struct study_collected counts;
    snprintf(study->folder, PATH_SIZE, "%.4000s/none", folder);
    assert_int_equal(study_collect(study, false, &counts), IDDPM_USAGE);
    assert_non_null(strstr(iddpm_error_text(), "study submit"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, end)
    const struct CMUnitTest tests[] = {TEST(all_that_the_runs_have),
                                       TEST(differences_are_sharper_than_values),
                                       TEST(twice_changes_nothing),
                                       TEST(a_run_grows),
                                       TEST(seconds_are_summed_over_continuations),
                                       TEST(damaged_files_are_passed_over),
                                       TEST(a_result_under_another_step_is_passed_over),
                                       TEST(a_damaged_collection_is_made_again),
                                       TEST(other_settings_are_not_mixed),
                                       TEST(points_may_have_data_sets_of_their_own),
                                       TEST(differences_are_of_rows_measured_alike),
                                       TEST(data_sets_are_compared_with_their_own_first),
                                       TEST(what_the_study_file_has_now_counts),
                                       TEST(no_folder_no_results)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
