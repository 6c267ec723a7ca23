/* Study files: lists become points with names of their own, budgets become steps, and everything wrong is refused with
 * its line. */
#include "iddpm/study.h"

#include "check.h"
#include "scratch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static char folder[PATH_SIZE], file[PATH_SIZE];

static void write_text(const char *name, const char *text)
{
    char path[PATH_SIZE];
    assert_int_equal(path_join(path, folder, name), IDDPM_OK);
    scratch_write(path, text, strlen(text));
}

static int set_up(void **state)
{
    (void)state;
    scratch_make(folder);
    assert_int_equal(path_join(file, folder, "s.yaml"), IDDPM_OK);
    write_text("base.yaml", "data: {path: data, eval_path: test}\n"
                            "model: {image_size: 8, in_channels: 1, num_channels: 32, channel_mult: 1, "
                            "num_res_blocks: 1, attention_resolutions: []}\n"
                            "diffusion: {diffusion_steps: 20, noise_schedule: cosine}\n"
                            "train: {batch_size: 16, lr_anneal_steps: 7}\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static struct study *read_study(const char *text)
{
    struct study *study;
    write_text("s.yaml", text);
    if (study_read(&study, file) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return study;
}

static void points_are_the_crossed_lists(void **state)
{
    (void)state;
    struct study *s = read_study("study: out/\nbase: base.yaml\nset: {cache: 1, ema_rate: [0.9, 0.99]}\n"
                                 "grid: {model.num_res_blocks: [1, 2], channel_mult: [[1, 2], [1]]}\n"
                                 "zip: {num_channels: [32, 64], lr: [1e-4, 2e-4]}\n"
                                 "seeds: [0, 1]\nbudget: {images: [160, 330]}\n");
    assert_int_equal(s->n_points, 32);
    assert_string_equal(s->folder, "out");
    const struct study_point *p = &s->points[1];
    assert_string_equal(p->name, "num_res_blocks-1_channel_mult-1+2_num_channels-32_lr-0.0001_seed-0_images-330");
    assert_string_equal(p->run, "out/points/num_res_blocks-1_channel_mult-1+2_num_channels-32_lr-0.0001_seed-0_"
                                "images-330");
    assert_string_equal(p->config->run.dir, p->run);
    assert_int_equal(p->steps, 21);
    assert_int_equal(p->images, 336);
    assert_int_equal(p->config->train.total_steps, 21);
    assert_int_equal(p->config->train.lr_anneal_steps, 21); /* where the base anneals, the budget is its length */
    assert_true(p->flops == 6.0 * (double)p->macs * 336);
    assert_int_equal(p->config->train.ema_rate.n, 2);
    assert_true(p->config->data.cache == 1);
    assert_int_equal(p->n_values, 6);
    assert_string_equal(p->values[0].key, "model.num_res_blocks");
    assert_string_equal(p->values[3].text, "0.0001");
    assert_string_equal(p->values[5].key, "budget.images");
    p = &s->points[31];
    assert_int_equal(p->config->model.num_channels, 64);
    assert_true(p->config->train.lr == 2e-4 && p->config->run.seed == 1);
    assert_int_equal(p->config->model.channel_mult.n, 1);
    study_destroy(s);
}

/* Its folder is found again when the lists have become longer. */
static void names_do_not_depend_on_other_points(void **state)
{
    (void)state;
    struct study *few = read_study("study: s\nbase: base.yaml\ngrid: {num_channels: [64]}\nseeds: [1]\n");
    struct study *more = read_study("study: s\nbase: base.yaml\ngrid: {num_channels: [32, 64]}\nseeds: [0, 1]\n");
    assert_string_equal(few->points[0].name, "num_channels-64_seed-1");
    assert_string_equal(more->points[3].name, few->points[0].name);
    assert_int_equal(few->points[0].steps, 7); /* of the base */
    study_destroy(few);
    study_destroy(more);
}

static void names_are_safe_short_and_different(void **state)
{
    (void)state;
    char text[1024], path[400];
    memset(path, 'x', sizeof path);
    path[399] = 0;
    snprintf(text, sizeof text,
             "study: s\nbase: base.yaml\ngrid: {data.path: ['a b', 'a?b', '', ../c, %.300s, %.301s]}\n", path, path);
    struct study *s = read_study(text);
    for (int i = 0; i < s->n_points; i++) {
        const char *name = s->points[i].name;
        assert_true(strlen(name) < 140 && *name != '.');
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.+-"), strlen(name));
        for (int k = 0; k < i; k++) assert_string_not_equal(name, s->points[k].name);
    }
    assert_string_equal(s->points[2].name, "path-none");
    study_destroy(s);
}

static void budgets_in_flops_and_checkpoints_in_compute(void **state)
{
    (void)state;
    struct study *s = read_study("study: s\nbase: base.yaml\ngrid: {num_channels: [32, 64]}\n"
                                 "budget: {flops: [1e12, 4.0e+12]}\ncheckpoints: {number: 5, first: 0.0625}\n");
    assert_int_equal(s->n_points, 4);
    for (int i = 0; i < 4; i++) {
        const struct study_point *p = &s->points[i];
        double asked = i % 2 ? 4e12 : 1e12;
        assert_true(fabs(p->flops / asked - 1) < 0.5 / (double)p->steps + 1e-12);
        assert_int_equal(p->n_saves, 5);
        assert_int_equal(p->saves[4], p->steps);
        for (int k = 0; k < 5; k++) assert_true(fabs((double)p->saves[k] - (double)p->steps * pow(2, k - 4)) <= 0.5);
    }
    assert_string_equal(s->points[0].name, "num_channels-32_flops-1.0e+12");
    struct study_evaluation e = {.checkpoints = 3};
    int64_t steps[STUDY_SAVES_MAX];
    const struct study_point *p = &s->points[0];
    assert_int_equal(study_evaluation_steps(p, &e, steps), 3);
    assert_true(steps[0] == p->saves[0] && steps[1] == p->saves[2] && steps[2] == p->saves[4]);
    e.checkpoints = 1;
    assert_int_equal(study_evaluation_steps(p, &e, steps), 1);
    assert_int_equal(steps[0], p->steps);
    e.checkpoints = 0;
    assert_int_equal(study_evaluation_steps(p, &e, steps), 5);
    study_destroy(s);
}

static void evaluations_of_lists(void **state)
{
    (void)state;
    char path[PATH_SIZE];
    struct study *s = read_study("study: s\nbase: base.yaml\nevaluate:\n"
                                 "  - {nll: curve, images: 30, strata: 10, seed: 5}\n"
                                 "  - {nll: few, data: d, respacing: [5, ddim4, ''], weights: [params, ema/0.9999]}\n"
                                 "  - {sample: grid, ddim: true, eta: 0.5}\n"
                                 "  - {sample: late, start_step: [3, 9]}\n");
    assert_int_equal(s->n_evaluations, 10);
    const struct study_evaluation *e = s->evaluations;
    assert_string_equal(e[0].name, "curve");
    assert_true(e[0].images == 30 && e[0].strata == 10 && e[0].seed == 5 && e[0].checkpoints == 0);
    assert_null(e[0].respacing);
    assert_string_equal(e[1].name, "few_5_params");
    assert_string_equal(e[4].name, "few_ddim4_ema-0.9999");
    assert_string_equal(e[4].weights, "ema/0.9999");
    assert_string_equal(e[5].name, "few_all_params");
    assert_string_equal(e[5].respacing, "");
    assert_string_equal(e[1].data, "d");
    assert_true(e[7].start_step == -1 && e[8].start_step == 3);
    assert_string_equal(e[9].name, "late_start_step-9");
    assert_true(e[7].kind == STUDY_SAMPLE && e[7].images == 64 && e[7].checkpoints == 1 && e[7].ddim);
    assert_int_equal(study_result_path(&s->points[0], &e[0], 7, path), IDDPM_OK);
    assert_string_equal(path, "s/points/point/nll/curve/step-00000007.h5");
    assert_int_equal(study_result_path(&s->points[0], &e[7], 7, path), IDDPM_OK);
    assert_string_equal(path, "s/points/point/samples/grid/step-00000007.png");
    study_destroy(s);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void refuse(const char *text, const char *wanted)
{
    struct study *study;
    write_text("s.yaml", text);
    assert_int_equal(study_read(&study, file), IDDPM_USAGE);
    assert_null(study);
    char whole[2 * PATH_SIZE];
    snprintf(whole, sizeof whole, "%s:%s", file, wanted);
    if (strncmp(iddpm_error_text(), whole, strlen(whole)) != 0)
        fail_msg("'%s'\nis not '%s'", iddpm_error_text(), whole);
}

#define HEAD "study: s\nbase: base.yaml\n"

static void what_is_wrong_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"", "1: an empty file"},
        {"[1]\n", "1: found a list; allowed are keys with values"},
        {"study: [\n", "2: not YAML: "},
        {"base: base.yaml\n", "1: study: not set"},
        {"study: s\n", "1: base: not set"},
        {"study: s\nbase: none.yaml\n", "2: base: "},
        {HEAD "gird: {}\n", "3: gird: unknown key; nearest is grid"},
        {HEAD "title: a\ntitle: b\n", "4: title: stands here a second time, the first is in line 3"},
        {HEAD "grid:\n  num_chanels: [1]\n", "4: num_chanels: unknown key; nearest is model.num_channels"},
        {HEAD "grid:\n  lr: [1, fast]\n", "4: train.lr=fast: found 'fast'; allowed is a number"},
        {HEAD "grid: {lr: []}\n", "3: train.lr: an empty list"},
        {HEAD "grid: {lr: [0.1, 1e-1]}\n", "3: train.lr: 0.1 stands twice in the list"},
        {HEAD "grid: {lr: [{a: 1}]}\n", "3: found nested keys; allowed is a value"},
        {HEAD "grid: {lr: [1]}\nset: {train.lr: 2}\n", "3: train.lr: stands twice in set, grid, zip and seeds"},
        {HEAD "grid: {seed: [1]}\nseeds: [2]\n", "3: run.seed: stands twice"},
        {HEAD "set: {total_steps: 3}\n", "3: train.total_steps: is set by the study: say it with budget"},
        {HEAD "zip: {lr: [1, 2],\n  num_channels: [32]}\n",
         "4: model.num_channels: has 1 values, train.lr has 2; lists of zip are as long as each other"},
        {HEAD "budget: {steps: 1, flops: 2}\n", "3: budget: give one of steps, images and flops"},
        {HEAD "budget: {steps: [10, 2.5]}\n", "3: budget.steps: found '2.5'; allowed is a whole number of at least 1"},
        {HEAD "budget: {epochs: 1}\n", "3: budget.epochs: unknown key; nearest is budget."},
        {HEAD "checkpoints: 17\n", "3: checkpoints: found '17'; allowed is a whole number from 1 to 16"},
        {HEAD "slurm: {nodes: none}\n", "3: slurm.nodes: found 'none'; allowed is a whole number from 1 to 1000000"},
        {HEAD "evaluate: {nll: a}\n", "3: evaluate: found nested keys; allowed is a list"},
        {HEAD "evaluate:\n  - {images: 3}\n", "4: evaluate: give each either nll: NAME or sample: NAME"},
        {HEAD "evaluate:\n  - {nll: a, sample: b}\n", "4: evaluate: give each either nll: NAME or sample: NAME"},
        {HEAD "evaluate:\n  - nll: a\n    ddim: true\n", "5: evaluate.ddim: belongs to sample, not to nll"},
        {HEAD "evaluate:\n  - {sample: a, eta: 1}\n", "4: evaluate.eta: belongs to ddim: true"},
        {HEAD "evaluate:\n  - {sample: a, start_step: x}\n", "4: evaluate.start_step: found 'x'"},
        {HEAD "evaluate: [{sample: a, start_step: 20}]\n",
         "1: evaluate: a_start_step-20: start_step: the timesteps of this chain are 0 to 19"},
        {HEAD "evaluate: [{sample: a, respacing: 5, start_step: 5}]\n",
         "1: evaluate: a_start_step-5: start_step: the timesteps of this chain are 0 to 4"},
        {HEAD "evaluate: [{nll: train}]\n", "3: evaluate: train cannot be a name"},
        {HEAD "evaluate: [{nll: ..}]\n", "3: evaluate: .. cannot be a name"},
        {HEAD "evaluate: [{sample: .}]\n", "3: evaluate: . cannot be a name"},
        {HEAD "evaluate:\n  - {nll: a, checkpoints: first}\n", "4: evaluate.checkpoints: found 'first'"},
        {HEAD "evaluate: [{nll: a}, {sample: a}]\n", "3: evaluate: two have the name a"},
        {HEAD "evaluate: [{nll: a, respacing: 21}]\n", "1: evaluate: a: "},
        {HEAD "grid: {num_channels: [32, 33]}\n", " point num_channels-33: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) refuse(cases[i].text, cases[i].wanted);
}

static void a_folder_without_a_study(void **state)
{
    (void)state;
    struct study *study;
    assert_int_equal(study_read(&study, folder), IDDPM_USAGE);
    assert_non_null(strstr(iddpm_error_text(), "no study was submitted to this folder"));
    char none[PATH_SIZE];
    assert_int_equal(path_join(none, folder, "none.yaml"), IDDPM_OK);
    assert_int_equal(study_read(&study, none), IDDPM_USAGE);
    assert_non_null(strstr(iddpm_error_text(), "no such study"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_are_the_crossed_lists),
        cmocka_unit_test(names_do_not_depend_on_other_points),
        cmocka_unit_test(names_are_safe_short_and_different),
        cmocka_unit_test(budgets_in_flops_and_checkpoints_in_compute),
        cmocka_unit_test(evaluations_of_lists),
        cmocka_unit_test(what_is_wrong_is_named_with_its_line),
        cmocka_unit_test(a_folder_without_a_study),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
