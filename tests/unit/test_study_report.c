/* The report of a study: one page that is valid, holds every point once and everything in itself, whatever stands in
 * names and titles. */
#include "check.h"
#include "scratch.h"
#include "study_mock.h"

#include <stdlib.h>
#include <string.h>

static char folder[PATH_SIZE], page[PATH_SIZE];

static const char sizes[] = "grid: {model.num_channels: [32, 64]}\nseeds: [0, 1]\nbudget: {steps: [500, 1000]}\n"
                            "checkpoints: 4\nevaluate:\n"
                            "  - {nll: curve, data: held-out, images: 12, checkpoints: all}\n"
                            "  - {sample: grid, images: 64, checkpoints: last}\n";

static char *read_page(void)
{
    char *text;
    must(path_read_text(page, 1 << 28, &text));
    return text;
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part)) n++;
    return n;
}

static void check_valid(void)
{
    char command[PATH_SIZE + 64];
    snprintf(command, sizeof command, "xmllint --noout '%s'", page);
    if (system("xmllint --version >/dev/null 2>&1") != 0) skip();
    assert_int_equal(system(command), 0);
}

static void every_point_is_there_once(void **state)
{
    (void)state;
    struct study_mock mock;
    study_mock_make(&mock, folder, sizes, false);
    must(path_make_folders(mock.study->folder));
    must(study_report(mock.study, mock.results, &mock.fits));
    char *text = read_page();
    assert_int_equal(mock.study->n_points, 8);
    assert_int_equal(count(text, "<tr class=\"point\">"), 8);
    assert_int_equal(count(text, "<details id=\"point-"), 8);
    for (int p = 0; p < 8; p++) {
        char link[STUDY_NAME + 32], value[64];
        snprintf(link, sizeof link, ">%s</a>", mock.study->points[p].name);
        assert_int_equal(count(text, link), 1);
        const struct study_row *last = NULL;
        for (int i = 0; i < mock.results->n; i++)
            if (strcmp(mock.results->rows[i].point, mock.study->points[p].name) == 0) last = &mock.results->rows[i];
        snprintf(value, sizeof value, "<td>%.3f ± %.3f</td></tr>", last->bits_per_dim, last->standard_error);
        assert_non_null(strstr(text, value));
    }
    assert_int_equal(count(text, "<tr class=\"fit\">"), 2);
    assert_non_null(strstr(text, "0.300 [0.250, 0.360]"));
    assert_non_null(strstr(text, "no fit: two points &lt; 4 &amp; no fall"));
    assert_non_null(strstr(text, "<h1>A &lt;mock&gt; &amp; &quot;study&quot;</h1>"));
    free(text);
    study_mock_free(&mock);
    check_valid();
}

/* Pictures are inside; nothing is fetched from anywhere. */
static void nothing_is_outside(void **state)
{
    (void)state;
    if (system("gnuplot --version >/dev/null 2>&1") != 0) skip();
    struct study_mock mock;
    study_mock_make(&mock, folder, sizes, true);
    must(study_figures(mock.study, mock.results, &mock.fits));
    must(study_report(mock.study, mock.results, &mock.fits));
    char *text = read_page();
    const int pictures = count(text, "<img ");
    assert_true(pictures >= 6);
    assert_int_equal(count(text, "src=\"data:image/svg+xml;base64,PD94bWw"), pictures); /* <?xml */
    assert_int_equal(count(text, "src="), pictures);
    assert_int_equal(count(text, "href="), count(text, "href=\"#point-"));
    assert_null(strstr(text, "http"));
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "@import"));
    free(text);
    if (getenv("IDDPM_KEEP_FIGURES")) {
        char command[2 * PATH_SIZE];
        snprintf(command, sizeof command, "cp %.2000s %.1000s/", page, getenv("IDDPM_KEEP_FIGURES"));
        assert_int_equal(system(command), 0);
    }
    study_mock_free(&mock);
    check_valid();
}

/* Control characters, broken UTF-8, what XML forbids. */
static void any_bytes_are_text(void **state)
{
    (void)state;
    struct study_mock mock;
    study_mock_make(&mock, folder, sizes, false);
    must(path_make_folders(mock.study->folder));
    free(mock.study->title);
    mock.study->title =
        mem_strdup("a\x01]]>\xff<b>&amp;\xc3\x28\xed\xa0\x80\xef\xbf\xbf\x80 \xf0\x9f\x98\x80 \xc3\xa9\xe2\x82");
    must(study_report(mock.study, NULL, NULL));
    char *text = read_page();
    assert_non_null(strstr(text, "<h1>a?]]&gt;?&lt;b&gt;&amp;amp;?("));
    assert_non_null(strstr(text, "\xf0\x9f\x98\x80 \xc3\xa9?\?</h1>"));
    free(text);
    study_mock_free(&mock);
    check_valid();
}

static void a_thousand_points_take_seconds(void **state)
{
    (void)state;
    struct study_mock mock;
    char text[8192] = "grid:\n  train.lr: [1e-5", *end = text + strlen(text);
    for (int i = 2; i <= 250; i++) end += sprintf(end, ", %de-5", i);
    strcpy(end, "]\n  model.num_channels: [32, 64]\nseeds: [0, 1]\nbudget: {steps: 1000}\ncheckpoints: 6\nevaluate:\n"
                "  - {nll: curve, data: held-out, images: 12, checkpoints: all}\n");
    study_mock_make(&mock, folder, text, false);
    must(path_make_folders(mock.study->folder));
    assert_int_equal(mock.study->n_points, 1000);
    double began = clock_seconds();
    if (system("gnuplot --version >/dev/null 2>&1") == 0) must(study_figures(mock.study, mock.results, &mock.fits));
    must(study_report(mock.study, mock.results, &mock.fits));
    double seconds = clock_seconds() - began;
    print_message("1,000 points: %.1f s\n", seconds);
    char *page_text = read_page();
    assert_int_equal(count(page_text, "<tr class=\"point\">"), 1000);
    free(page_text);
    study_mock_free(&mock);
    assert_true(seconds < 60); /* a few, on a machine that has nothing else to do */
    check_valid();
}

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    snprintf(page, sizeof page, "%.2000s/out/report.html", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_point_is_there_once),
                                       cmocka_unit_test(nothing_is_outside), cmocka_unit_test(any_bytes_are_text),
                                       cmocka_unit_test(a_thousand_points_take_seconds)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
