/* The configuration as its readers see it: defaults, files, overrides, origins, writing and comparing. */
#include "iddpm/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct config *parse(const char *text)
{
    struct config *config;
    if (config_parse(&config, "x.yaml", text, 0, NULL) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return config;
}

static struct config * override(const char *argument)
{
    struct config *config;
    if (config_load(&config, NULL, 1, &argument) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return config;
}

static void test_defaults_are_the_authors(void **state)
{
    (void)state;
    struct config *c;
    assert_int_equal(config_load(&c, NULL, 0, NULL), IDDPM_OK);
    assert_int_equal(c->model.image_size, 64);
    assert_int_equal(c->model.num_channels, 128);
    assert_int_equal(c->model.num_res_blocks, 2);
    assert_int_equal(c->model.num_heads, 4);
    assert_int_equal(c->model.num_heads_upsample, -1);
    assert_int_equal(c->model.attention_resolutions.n, 2);
    assert_int_equal(c->model.attention_resolutions.v[0], 16);
    assert_int_equal(c->model.attention_resolutions.v[1], 8);
    assert_int_equal(c->model.channel_mult.n, 0);
    assert_true(c->model.use_scale_shift_norm && c->model.conv_resample);
    assert_false(c->model.class_cond);
    assert_true(c->model.dropout == 0);
    assert_false(c->diffusion.learn_sigma || c->diffusion.sigma_small || c->diffusion.use_kl);
    assert_false(c->diffusion.predict_xstart);
    assert_true(c->diffusion.rescale_timesteps && c->diffusion.rescale_learned_sigmas);
    assert_int_equal(c->diffusion.diffusion_steps, 1000);
    assert_string_equal(c->diffusion.noise_schedule, "linear");
    assert_string_equal(c->diffusion.timestep_respacing, "");
    assert_int_equal(c->train.batch_size, 1);
    assert_int_equal(c->train.microbatch, -1);
    assert_true(c->train.lr == 1e-4 && c->train.weight_decay == 0);
    assert_int_equal(c->train.ema_rate.n, 1);
    assert_true(c->train.ema_rate.v[0] == 0.9999);
    assert_false(c->train.ema_warmup);
    assert_string_equal(c->train.schedule_sampler, "uniform");
    assert_int_equal(c->train.log_interval, 10);
    assert_int_equal(c->train.save_interval, 10000);
    assert_int_equal(c->train.lr_anneal_steps, 0);
    config_destroy(c);
}

static void test_block_and_flow_styles(void **state)
{
    (void)state;
    struct config *c = parse("# a comment\n"
                             "model: {image_size: 32, channel_mult: [1, 2, 2], dropout: 0.3}\n"
                             "train:\n"
                             "  lr: 2e-5        # behind\n"
                             "  ema_rate:\n"
                             "    - 0.999\n"
                             "    - 0.9999\n"
                             "  batch_size: \"128\"\n"
                             "diffusion:\n"
                             "  learn_sigma: Yes\n"
                             "  use_kl: 'False'\n"
                             "  timestep_respacing: 10,15,20\n"
                             "run: {dir: 'runs/it''s: one', seed: 9223372036854775807}\n");
    assert_int_equal(c->model.image_size, 32);
    assert_int_equal(c->model.channel_mult.n, 3);
    assert_int_equal(c->model.channel_mult.v[2], 2);
    assert_true(c->model.dropout == 0.3 && c->train.lr == 2e-5);
    assert_int_equal(c->train.ema_rate.n, 2);
    assert_true(c->train.ema_rate.v[1] == 0.9999);
    assert_int_equal(c->train.batch_size, 128);
    assert_true(c->diffusion.learn_sigma);
    assert_false(c->diffusion.use_kl);
    assert_string_equal(c->diffusion.timestep_respacing, "10,15,20");
    assert_string_equal(c->run.dir, "runs/it's: one");
    assert_true(c->run.seed == INT64_MAX);
    assert_int_equal(c->model.num_channels, 128); /* not in the file */
    config_destroy(c);
}

static void test_lists_as_text(void **state)
{
    (void)state;
    struct config *c = parse("model: {attention_resolutions: \"32, 16 ,8\", channel_mult: ''}\n");
    assert_int_equal(c->model.attention_resolutions.n, 3);
    assert_int_equal(c->model.attention_resolutions.v[1], 16);
    assert_int_equal(c->model.channel_mult.n, 0);
    config_destroy(c);
    c = override("channel_mult=[1, 2,3]");
    assert_int_equal(c->model.channel_mult.n, 3);
    assert_int_equal(c->model.channel_mult.v[2], 3);
    config_destroy(c);
    c = override("attention_resolutions=");
    assert_int_equal(c->model.attention_resolutions.n, 0);
    config_destroy(c);
}

static void test_nothing_and_null(void **state)
{
    (void)state;
    const char *const texts[] = {"",
                                 "# only a comment\n",
                                 "---\n",
                                 "model:\n",
                                 "data: {eval_path: null}\n",
                                 "data: {eval_path: ~}\nmodel: {attention_resolutions: [16, 8], channel_mult: }\n"};
    struct config *defaults = parse("");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct config *c = parse(texts[i]);
        char *difference;
        assert_int_equal(config_difference(c, defaults, NULL, &difference), IDDPM_OK);
        assert_null(difference);
        config_destroy(c);
    }
    struct config *c = parse("data: {eval_path: 'null'}\n"); /* quoted: a folder of that name */
    assert_string_equal(c->data.eval_path, "null");
    config_destroy(c);
    config_destroy(defaults);
}

static void test_anchors_are_harmless(void **state)
{
    (void)state;
    struct config *c = parse("model: {image_size: &size 32, attention_resolutions: [*size, 8]}\n"
                             "train: {batch_size: *size}\n");
    assert_int_equal(c->train.batch_size, 32);
    assert_int_equal(c->model.attention_resolutions.v[0], 32);
    config_destroy(c);
}

static void test_overrides_win_and_the_last_one_stands(void **state)
{
    (void)state;
    const char *const overrides[] = {"train.lr=1e-3", "num_channels=64", "lr=5e-4", "dir=a=b"};
    struct config *c;
    assert_int_equal(config_parse(&c, "x.yaml", "train: {lr: 1}\n", 4, overrides), IDDPM_OK);
    assert_true(c->train.lr == 5e-4);
    assert_int_equal(c->model.num_channels, 64);
    assert_string_equal(c->run.dir, "a=b");
    config_destroy(c);
}

static void test_origin_in_errors(void **state)
{
    (void)state;
    const char *const overrides[] = {"num_heads=3"};
    struct config *c;
    assert_int_equal(config_parse(&c, "x.yaml", "\nmodel:\n  num_channels: 96\n", 1, overrides), IDDPM_OK);
    assert_int_equal(config_error(c, "model.num_channels", "%d is odd", 96), IDDPM_USAGE);
    assert_string_equal(iddpm_error_text(), "x.yaml:3: model.num_channels: 96 is odd");
    config_error(c, "model.num_heads", "no");
    assert_string_equal(iddpm_error_text(), "model.num_heads=3 on the command line: no");
    config_error(c, "model.dropout", "no");
    assert_string_equal(iddpm_error_text(), "default of model.dropout: no");
    assert_true(config_is_set(c, "model.num_channels") && config_is_set(c, "model.num_heads"));
    assert_false(config_is_set(c, "model.dropout") || config_is_set(c, "model.no_such_key"));

    assert_int_equal(config_set(c, "model.num_classes", "10"), IDDPM_OK);
    assert_int_equal(c->model.num_classes, 10);
    assert_false(config_is_set(c, "model.num_classes"));
    config_error(c, "model.num_classes", "no");
    assert_string_equal(iddpm_error_text(), "model.num_classes=10: no");
    assert_int_equal(config_set(c, "model.num_classes", "-1"), IDDPM_USAGE);
    assert_int_equal(c->model.num_classes, 10);
    config_destroy(c);
}

/* Every kind of value, awkward ones, through text and back. */
static void test_text_round_trip(void **state)
{
    (void)state;
    const char *const overrides[] = {"dir= a \"b\" \\ # '[{: é 漢 😀",
                                     "eval_path=~",
                                     "data.path=null",
                                     "lr=0.1000000000000000055511151231257827",
                                     "weight_decay=4.9e-324",
                                     "cache=1.7976931348623157e308",
                                     "ema_rate=0.999,0.99990000000001",
                                     "seed=9223372036854775807",
                                     "channel_mult=1,2,3",
                                     "attention_resolutions=",
                                     "use_kl=yes",
                                     "timestep_respacing=ddim25",
                                     "schedule_sampler=loss-second-moment"};
    int n = sizeof overrides / sizeof *overrides;
    struct config *a, *b;
    char *text, *again, *difference;
    assert_int_equal(config_load(&a, NULL, n, overrides), IDDPM_OK);
    assert_int_equal(config_text(a, &text), IDDPM_OK);
    b = parse(text);
    assert_string_equal(b->run.dir, a->run.dir);
    assert_string_equal(b->data.eval_path, "~");
    assert_string_equal(b->data.path, "null");
    assert_true(b->train.lr == 0.1 && b->train.weight_decay == 4.9e-324);
    assert_true(b->train.ema_rate.v[1] == 0.99990000000001);
    assert_int_equal(b->model.attention_resolutions.n, 0);
    assert_int_equal(config_difference(a, b, NULL, &difference), IDDPM_OK);
    assert_null(difference);
    assert_int_equal(config_text(b, &again), IDDPM_OK);
    assert_string_equal(again, text);
    assert_non_null(strstr(text, "  lr: 0.1\n"));
    free(text);
    free(again);
    config_destroy(a);
    config_destroy(b);
}

static void test_difference(void **state)
{
    (void)state;
    struct config *a = parse("model: {num_channels: 32}\ntrain: {lr: 1e-3, total_steps: 5}\nstore: {keep: 1}\n");
    struct config *b = parse("data: {path: d}\n");
    const char *const ignored[] = {"store.", "train.total_steps", NULL};
    char *text;
    assert_int_equal(config_difference(a, b, ignored, &text), IDDPM_OK);
    assert_string_equal(text, "data.path: nothing here, d there\n"
                              "model.num_channels: 32 here, 128 there\n"
                              "train.lr: 0.001 here, 0.0001 there\n");
    free(text);
    config_destroy(a);
    config_destroy(b);
}

static void test_numbers_as_text(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {0.9999, "0.9999"},
                 {1e-4, "0.0001"},
                 {1e-5, "1.0e-05"},
                 {-2.5e-7, "-2.5e-07"},
                 {1e300, "1.0e+300"},
                 {1.0 / 3, "0.3333333333333333"},
                 {0.1 + 0.2, "0.30000000000000004"}};
    char text[TEXT_NUMBER_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text_from_number(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
        double back;
        assert_true(text_number(text, &back) && back == cases[i].value);
    }
}

static void test_text_distance(void **state)
{
    (void)state;
    assert_int_equal(text_distance("", ""), 0);
    assert_int_equal(text_distance("", "abc"), 3);
    assert_int_equal(text_distance("kitten", "sitting"), 3);
    assert_int_equal(text_distance("num_chanels", "num_channels"), 1);
    assert_int_equal(text_distance("ab", "ba"), 1); /* neighbours swapped */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_the_authors),
        cmocka_unit_test(test_block_and_flow_styles),
        cmocka_unit_test(test_lists_as_text),
        cmocka_unit_test(test_nothing_and_null),
        cmocka_unit_test(test_anchors_are_harmless),
        cmocka_unit_test(test_overrides_win_and_the_last_one_stands),
        cmocka_unit_test(test_origin_in_errors),
        cmocka_unit_test(test_text_round_trip),
        cmocka_unit_test(test_difference),
        cmocka_unit_test(test_numbers_as_text),
        cmocka_unit_test(test_text_distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
