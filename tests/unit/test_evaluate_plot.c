/* Pictures of a run: what is drawn, what is refused, and what is said when gnuplot is missing or fails. */
#include "check.h"
#include "iddpm/evaluate.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[PATH_SIZE];
static const char *path_before; /* PATH of this program */

static void refused(enum iddpm_status status, const char *text)
{
    if (status == IDDPM_OK || !strstr(iddpm_error_text(), text))
        fail_msg("status %d; '%s' should say '%s'", status, iddpm_error_text(), text);
}

static const char *at(const char *name)
{
    static char path[2][PATH_SIZE];
    static int next;
    must(path_join(path[next ^= 1], folder, name));
    return path[next];
}

static void write_progress(const char *text)
{
    scratch_write(at("progress.csv"), text, strlen(text));
}

static bool gnuplot_is_here(void)
{
    return system("gnuplot --version >/dev/null 2>&1") == 0;
}

static void check_picture(const char *path)
{
    struct picture picture;
    must(picture_read(&picture, path));
    assert_true(picture.width >= 800 && picture.height >= 500);
    picture_destroy(&picture);
}

/* Columns in any order, missing and infinite values, an unfinished last line, a quote in the title. */
static void losses_are_drawn(void **state)
{
    (void)state;
    if (!gnuplot_is_here()) skip();
    char run[PATH_SIZE], picture[PATH_SIZE];
    must(path_join(run, folder, "a 'run'"));
    must(path_make_folders(run));
    must(path_join(picture, run, "progress.csv"));
    const char text[] = "vb,step,loss\n0.1,1,2\n,2,1.5\r\nnan,3,inf\n0.05,4,1\n-1,5,0\n0.0";
    scratch_write(picture, text, strlen(text));
    must(path_join(picture, run, "loss.png"));
    must(plot_loss(run, picture));
    check_picture(picture);
    assert_int_equal(scratch_entries(run), 2);
}

/* Rows of weights in turn, fields that are empty; the picture is another one than without them. */
static void held_out_images_are_drawn(void **state)
{
    (void)state;
    if (!gnuplot_is_here()) skip();
    size_t n, m;
    const char rows[] = "step,weights,images,loss,mse,vb,bits_per_dim,standard_error,seconds\n"
                        "2,params,5,1.2,1.1,,6.5,0.1,1\n2,ema/0.9,5,1.4,1.1,,6.8,0.1,1\n"
                        "6,params,5,1.1,1.0,,,,1\n6,ema/0.9,5,1.2,1.1,,6.1,0.1,1\n8,par";
    write_progress("step,loss\n1,2\n2,1.5\n3,1\n4,0.5\n");
    must(plot_loss(folder, at("loss.png")));
    uint8_t *before = scratch_read(at("loss.png"), &n);
    scratch_write(at("eval.csv"), rows, strlen(rows));
    must(plot_loss(folder, at("loss.png")));
    check_picture(at("loss.png"));
    uint8_t *after = scratch_read(at("loss.png"), &m);
    assert_true(n != m || memcmp(before, after, n) != 0);
    scratch_write(at("eval.csv"), "step,loss\n", 10);
    refused(plot_loss(folder, at("loss.png")), "eval.csv: has no columns step and bits_per_dim");
    must(unlink(at("eval.csv")) == 0 ? IDDPM_OK : IDDPM_FAILED);
    must(unlink(at("loss.png")) == 0 ? IDDPM_OK : IDDPM_FAILED);
    free(before);
    free(after);
}

static void tables_without_losses_are_refused(void **state)
{
    (void)state;
    static const char *const tables[][2] = {{"", "no columns step and loss"},
                                            {"step,mse\n1,2\n", "no columns step and loss"},
                                            {"step,loss\n", "holds no loss yet"},
                                            {"step,loss\n1,\n2,nan\nx,3\n", "holds no loss yet"}};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        write_progress(tables[i][0]);
        refused(plot_loss(folder, at("loss.png")), tables[i][1]);
        assert_false(path_exists(at("loss.png")));
    }
    refused(plot_loss(at("nowhere"), at("loss.png")), "nowhere/progress.csv");
}

/* A path without ending is drawn twice, from one script with all its data. */
static void png_and_svg_come_together(void **state)
{
    (void)state;
    if (!gnuplot_is_here()) skip();
    const double x[] = {1, 2, 3}, y[] = {1, 4, 9};
    char path[PATH_SIZE], svg[PATH_SIZE];
    struct gnuplot plot;
    must(path_join(path, folder, "lr-0.1"));
    must(gnuplot_begin(&plot, path));
    gnuplot_data(&plot, "squares", 3, x, y);
    fputs("plot $squares using 1:2 with lines title 'only here'\n", plot.script);
    must(gnuplot_end(&plot, IDDPM_OK));
    check_picture(at("lr-0.1.png"));
    must(path_join(svg, folder, "lr-0.1.svg"));
    size_t n;
    char *text = (char *)scratch_read(svg, &n);
    assert_non_null(memmem(text, n, "only here", 9));
    free(text);
}

enum { IMAGES = 2, STEPS = 3 };

static void write_result(const char *path, uint64_t steps)
{
    double vb[IMAGES * STEPS] = {0.1, 0.2, 1, 0.1, 0.3, 2};
    int64_t timesteps[STEPS] = {7, 4, 0};
    const struct store_array arrays[] = {{"vb", STORE_F64, 2, {IMAGES, STEPS}, vb},
                                         {"timesteps", STORE_I64, 1, {steps}, timesteps}};
    const struct store_attribute attributes[] = {{"bits_per_dim", STORE_NUMBER, .number = 1.85},
                                                 {"standard_error", STORE_NUMBER, .number = 0.5},
                                                 {"step", STORE_INTEGER, .integer = 100},
                                                 {"weights", STORE_TEXT, .text = "ema/0.9"},
                                                 {"data", STORE_TEXT, .text = "data/it's_mine/"}};
    must(store_write(path, 2, arrays, sizeof attributes / sizeof *attributes, attributes));
}

static void terms_are_drawn(void **state)
{
    (void)state;
    if (!gnuplot_is_here()) skip();
    char one[PATH_SIZE], two[PATH_SIZE], *results[] = {one, two};
    must(path_join(one, folder, "one.h5"));
    must(path_join(two, folder, "two.h5"));
    write_result(one, STEPS);
    write_result(two, STEPS);
    must(plot_vb_terms(2, results, at("vb-terms.png")));
    check_picture(at("vb-terms.png"));
}

static void other_files_are_no_results(void **state)
{
    (void)state;
    char path[PATH_SIZE], *results[] = {path};
    must(path_join(path, folder, "bad.h5"));
    refused(plot_vb_terms(1, results, at("bad.png")), "bad.h5");
    scratch_write(path, "text", 4);
    refused(plot_vb_terms(1, results, at("bad.png")), "bad.h5");
    write_result(path, STEPS - 1);
    refused(plot_vb_terms(1, results, at("bad.png")), "shapes that do not fit");
    assert_false(path_exists(at("bad.png")));
}

/* Runs plot_loss with a PATH that holds only the script `gnuplot` (NULL: nothing). */
static enum iddpm_status plot_with(const char *gnuplot)
{
    char bin[PATH_SIZE], program[PATH_SIZE];
    must(path_join(bin, folder, "bin"));
    must(path_make_folders(bin));
    must(path_join(program, bin, "gnuplot"));
    if (gnuplot) scratch_write(program, gnuplot, strlen(gnuplot));
    if (gnuplot) assert_int_equal(chmod(program, 0755), 0);
    write_progress("step,loss\n1,2\n");
    setenv("PATH", bin, 1);
    enum iddpm_status status = plot_loss(folder, at("loss.png"));
    setenv("PATH", path_before, 1);
    return status;
}

static void a_missing_gnuplot_names_the_package(void **state)
{
    (void)state;
    refused(plot_with(NULL), "gnuplot-nox");
    assert_false(path_exists(at("loss.png")));
}

/* It neither reads all its input (SIGPIPE) nor leaves a picture. */
static void a_failing_gnuplot_leaves_nothing(void **state)
{
    (void)state;
    refused(plot_with("#!/bin/sh\nexit 3\n"), "gnuplot failed");
    refused(plot_with("#!/bin/sh\nexit 0\n"), "cannot write");
    assert_false(path_exists(at("loss.png")));
    assert_false(path_exists(at("loss.png.tmp")));
}

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    path_before = strdup(getenv("PATH"));
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    free((char *)path_before);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(losses_are_drawn),
                                       cmocka_unit_test(held_out_images_are_drawn),
                                       cmocka_unit_test(png_and_svg_come_together),
                                       cmocka_unit_test(tables_without_losses_are_refused),
                                       cmocka_unit_test(terms_are_drawn),
                                       cmocka_unit_test(other_files_are_no_results),
                                       cmocka_unit_test(a_missing_gnuplot_names_the_package),
                                       cmocka_unit_test(a_failing_gnuplot_leaves_nothing)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
