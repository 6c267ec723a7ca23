/* Collected results as files: what is written is what is read. */
#include "check.h"
#include "iddpm/study.h"
#include "mock_study.h"
#include "scratch.h"

#include "../../src/study/results.h"

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

static void same_array(int64_t n, const double *a, const double *b)
{
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
}

static void same_row(const struct study_row *a, const struct study_row *b)
{
    int n;
    const struct column *columns = result_columns(&n);
    for (int c = 0; c < n; c++) {
        const char *x = (const char *)a + columns[c].offset, *y = (const char *)b + columns[c].offset;
        if (columns[c].kind == COLUMN_TEXT)
            assert_string_equal(x, y);
        else
            assert_memory_equal(x, y, columns[c].size);
    }
    same_array(a->n_totals, a->totals, b->totals);
    same_array(a->n_terms, a->term_steps, b->term_steps);
    same_array(a->n_terms, a->terms, b->terms);
}

static void results_come_back(void **state)
{
    (void)state;
    struct study *study = mock_study(&mock_default, folder);
    struct study_results *results = mock_results(&mock_default, study), *read;
    results->rows[3].seconds = NAN;
    results->rows[4].file_time = INT64_MAX;
    must(results_write(folder, results));
    must(study_results_read(&read, study));
    assert_int_equal(read->n, 18);
    for (int i = 0; i < read->n; i++) same_row(&read->rows[i], &results->rows[i]);
    assert_int_equal(read->n_curves, 3);
    for (int i = 0; i < read->n_curves; i++) {
        assert_string_equal(read->curves[i].point, results->curves[i].point);
        assert_int_equal(read->curves[i].n, results->curves[i].n);
        for (int c = 0; c < CURVE_COLUMNS; c++)
            same_array(read->curves[i].n, read->curves[i].column[c], results->curves[i].column[c]);
    }
    study_results_destroy(read);
    study_results_destroy(results);
    mock_study_destroy(study);
}

static void nothing_is_something_too(void **state)
{
    (void)state;
    struct study_results none = {0}, *read;
    must(results_write(folder, &none));
    must(results_read(&read, folder));
    assert_int_equal(read->n + read->n_curves, 0);
    study_results_destroy(read);
}

static void without_a_collection(void **state)
{
    (void)state;
    struct study_results *read;
    char path[PATH_SIZE];
    must(path_join(path, folder, "nowhere"));
    assert_int_equal(results_read(&read, path), IDDPM_USAGE);
    assert_non_null(strstr(iddpm_error_text(), "iddpm study collect"));
    assert_null(read);
}

static void read_whatever(const char *copy)
{
    struct study_results *read;
    char parent[PATH_SIZE];
    snprintf(parent, sizeof parent, "%s", copy);
    *strrchr(parent, '/') = 0;
    if (results_read(&read, parent) == IDDPM_OK) study_results_destroy(read);
}

static void damage_is_refused_or_read(void **state)
{
    (void)state;
    char path[PATH_SIZE], other[PATH_SIZE], copy[PATH_SIZE];
    struct mock mock = mock_default;
    mock.sizes = 1;
    mock.checkpoints = 2;
    struct study *study = mock_study(&mock, folder);
    struct study_results *results = mock_results(&mock, study);
    must(results_write(folder, results));
    must(path_join(path, folder, "results.h5"));
    must(path_join(other, folder, "damaged"));
    must(path_make_folders(other));
    must(path_join(copy, other, "results.h5"));
    scratch_mutate(path, copy, 100, read_whatever);
    study_results_destroy(results);
    mock_study_destroy(study);
}

static void tables_have_a_line_for_each(void **state)
{
    (void)state;
    struct study *study = mock_study(&mock_default, folder);
    struct study_results *results = mock_results(&mock_default, study);
    char path[PATH_SIZE], *text;
    int lines = 0;
    snprintf(results->rows[0].weights, sizeof results->rows[0].weights, "a \"b\", c");
    must(results_write_csv(study, results));
    must(path_join(path, folder, "results.csv"));
    must(path_read_text(path, 1 << 20, &text));
    for (const char *c = text; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 1 + results->n);
    assert_true(strstr(text, "point,evaluation,step,images,flops,seconds,") == text);
    assert_non_null(strstr(text, ",data_hash,model.num_channels,budget.steps,run.seed\n"));
    assert_non_null(strstr(text, ",\"a \"\"b\"\", c\","));
    assert_non_null(strstr(text, ",0123456789abcdef,96,1024,0\n"));
    free(text);
    must(path_join(path, folder, "metrics.csv"));
    must(path_read_text(path, 1 << 20, &text));
    assert_true(strstr(text, "point,step,images,flops,loss,mse,vb,grad_norm,noise_scale,seconds,ranks\n") == text);
    free(text);
    study_results_destroy(results);
    mock_study_destroy(study);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(results_come_back), cmocka_unit_test(nothing_is_something_too),
                                       cmocka_unit_test(without_a_collection),
                                       cmocka_unit_test(damage_is_refused_or_read),
                                       cmocka_unit_test(tables_have_a_line_for_each)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
