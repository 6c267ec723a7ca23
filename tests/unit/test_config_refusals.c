/* Every wrong configuration gives one message that names file, line, key, what was found and what is allowed. */
#include "iddpm/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void refuse_text(const char *text, const char *message)
{
    struct config *config = (struct config *)&config;
    assert_int_equal(config_parse(&config, "x.yaml", text, 0, NULL), IDDPM_USAGE);
    assert_null(config);
    assert_string_equal(iddpm_error_text(), message);
}

static void refuse_override(const char *argument, const char *message)
{
    struct config *config;
    assert_int_equal(config_load(&config, NULL, 1, &argument), IDDPM_USAGE);
    assert_null(config);
    assert_string_equal(iddpm_error_text(), message);
}

/* Writes `size` bytes as a file, reads it, expects a message that has `part` in it. */
static void refuse_file(const char *bytes, size_t size, const char *part)
{
    char path[] = "/tmp/iddpm-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    struct config *config;
    assert_int_equal(config_load(&config, path, 0, NULL), IDDPM_USAGE);
    unlink(path);
    const char *said = iddpm_error_text();
    assert_int_equal(strncmp(said, path, strlen(path)), 0);
    if (!strstr(said, part)) fail_msg("no '%s' in: %s", part, said);
    assert_null(strchr(said, '\n'));
}

static void test_unknown_keys(void **state)
{
    (void)state;
    refuse_text("model:\n  num_chanels: 64\n",
                "x.yaml:2: model.num_chanels: unknown key; nearest is model.num_channels");
    refuse_text("train:\n  lr: 1\n  dropout: 0.1\n", "x.yaml:3: train.dropout: unknown key; nearest is model.dropout");
    refuse_text("modle: {image_size: 8}\n", "x.yaml:1: modle: unknown group; nearest is model");
    refuse_text("\nimage_size: 8\n", "x.yaml:2: image_size: a key stands below its group: write 'model:' and in the "
                                     "next line, indented, 'image_size: ...'");
    refuse_text("model.image_size: 8\n", "x.yaml:1: model.image_size: a key stands below its group: write 'model:' and "
                                         "in the next line, indented, 'image_size: ...'");
    refuse_override("num_chanels=3", "on the command line: num_chanels: unknown key; nearest is model.num_channels");
    refuse_override("modle.lr=3", "on the command line: modle.lr: unknown key; nearest is train.lr");
}

static void test_ends_of_names_list_the_candidates(void **state)
{
    (void)state;
    refuse_override("steps=3", "on the command line: steps: which key is meant? diffusion.diffusion_steps, "
                               "train.lr_anneal_steps, train.total_steps, train.save_steps or train.sample_steps");
    refuse_override("rate=3", "on the command line: rate: which key is meant? train.ema_rate");
}

static void test_flags_of_the_authors_that_are_no_keys(void **state)
{
    (void)state;
    refuse_text("train: {use_fp16: True}\n",
                "x.yaml:1: train.use_fp16: this flag of the authors' scripts is not carried: "
                "model.precision=bf16 stands in its place");
    static const char *const flags[] = {"fp16_scale_growth=1", "data_dir=x", "use_ddim=True"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct config *config;
        assert_int_equal(config_load(&config, NULL, 1, &flags[i]), IDDPM_USAGE);
        assert_non_null(strstr(iddpm_error_text(), "this flag of the authors' scripts is "));
    }
}

static void test_types_and_limits(void **state)
{
    (void)state;
    refuse_text("model:\n  image_size: big\n",
                "x.yaml:2: model.image_size: found 'big'; allowed is a whole number from 1 to 4096");
    refuse_text("model: {image_size: 0}\n",
                "x.yaml:1: model.image_size: found '0'; allowed is a whole number from 1 to 4096");
    refuse_text("model: {image_size: }\n",
                "x.yaml:1: model.image_size: found nothing; allowed is a whole number from 1 to 4096");
    refuse_text("model: {image_size: [8]}\n",
                "x.yaml:1: model.image_size: found 'a list'; allowed is a whole number from 1 to 4096");
    refuse_text("model:\n  dropout:\n    rate: 1\n",
                "x.yaml:2: model.dropout: found 'nested keys'; allowed is a number from 0 to below 1");
    refuse_text("model: {channel_mult: [1, [2]]}\n",
                "x.yaml:1: model.channel_mult: found a list in a list; allowed are plain values");
    refuse_override("num_heads_upsample=0", "model.num_heads_upsample=0 on the command line: found '0'; allowed is a "
                                            "whole number from 1 to 1024, or -1");
    refuse_override("ema_rate=0.9,0.9",
                    "train.ema_rate=0.9,0.9 on the command line: found '0.9,0.9'; allowed is a list "
                    "of numbers from 0 to below 1; at least one, none twice");
    refuse_override("save_steps=3,3",
                    "train.save_steps=3,3 on the command line: found '3,3'; allowed is a list of whole "
                    "numbers from 1 to 4294967295; ascending, at most 16");
    refuse_override("noise_schedule=cos", "diffusion.noise_schedule=cos on the command line: found 'cos'; allowed is "
                                          "linear or cosine");
    refuse_override("use_kl=maybe", "diffusion.use_kl=maybe on the command line: found 'maybe'; allowed is true or "
                                    "false");
    refuse_override("lr=-1", "train.lr=-1 on the command line: found '-1'; allowed is a number of at least 0");
    refuse_override("lr", "lr: an override is written key=value, for example lr=1e-4");
    refuse_override("=3", "=3: an override is written key=value, for example lr=1e-4");
}

static void test_numbers_that_are_none(void **state)
{
    (void)state;
    static const char *const wrong[] = {"lr=nan",
                                        "lr=inf",
                                        "lr=0x1p3",
                                        "lr=1e999",
                                        "lr=1e",
                                        "lr= 1",
                                        "lr=1 ",
                                        "lr=",
                                        "lr=1,2",
                                        "lr=--1",
                                        "seed=1.0",
                                        "seed=1e3",
                                        "seed=0x10",
                                        "seed=",
                                        "seed=9223372036854775808",
                                        "seed=-1",
                                        "seed= 1",
                                        "dropout=1",
                                        "channel_mult=1,,2",
                                        "channel_mult=1,2,",
                                        "channel_mult=,",
                                        "channel_mult=[1",
                                        "channel_mult=1]",
                                        "channel_mult=[[1]]",
                                        "channel_mult=1;2",
                                        "ema_rate=",
                                        "ema_rate=1",
                                        "channel_mult=1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
                                        "save_steps=0",
                                        "save_steps=2,1",
                                        "save_steps=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
                                        "noise_schedule=",
                                        "noise_schedule=linear|cosine",
                                        "noise_schedule=Linear"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct config *config;
        if (config_load(&config, NULL, 1, &wrong[i]) != IDDPM_USAGE) fail_msg("%s was taken", wrong[i]);
        assert_non_null(strstr(iddpm_error_text(), "allowed is "));
    }
}

static void test_text_that_is_not_printable(void **state)
{
    (void)state;
    refuse_override("dir=a\nb",
                    "run.dir=a\nb on the command line: found byte 0x0A at place 2; allowed is printable UTF-8");
    static const char *const wrong[] = {
        "dir=\xff", "dir=\xc3",     "dir=\xc0\xaf",    "dir=\xed\xa0\x80", "dir=\xf4\x90\x80\x80",
        "dir=\x7f", "dir=\xc2\x85", "dir=\xef\xbb\xbf"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct config *config;
        assert_int_equal(config_load(&config, NULL, 1, &wrong[i]), IDDPM_USAGE);
        assert_non_null(strstr(iddpm_error_text(), "at place 1; allowed is printable UTF-8"));
    }
    refuse_text("run: {dir: \"a\\0b\"}\n", "x.yaml:1: run.dir: found a NUL byte; allowed is printable UTF-8");
    refuse_text("run: {dir: \"\\e[2J\"}\n",
                "x.yaml:1: run.dir: found byte 0x1B at place 1; allowed is printable UTF-8");
}

static void test_twice(void **state)
{
    (void)state;
    refuse_text("train:\n  lr: 1\n  lr: 2\n", "x.yaml:3: train.lr: stands here a second time, the first is in line 2");
    refuse_text("train:\n  lr: 1\nmodel:\ntrain:\n  batch_size: 2\n",
                "x.yaml:4: train: stands here a second time, the first is in line 1");
}

static void test_structure(void **state)
{
    (void)state;
    refuse_text("- a\n",
                "x.yaml:1: found a list; a configuration holds groups of keys, for example 'model:' and in the "
                "next line, indented, 'image_size: 32'");
    refuse_text("\nmodel: 3\n", "x.yaml:2: model: found 3; a group holds indented lines 'key: value'");
    refuse_text("model: [1]\n", "x.yaml:1: model: found a list; a group holds indented lines 'key: value'");
    refuse_text("[a]: b\n", "x.yaml:1: found a list where a name stands");
    refuse_text("model:\n  ? {a: b}\n  : c\n", "x.yaml:2: found nested keys where a name stands");
    refuse_text("run: {seed: 1}\n---\nrun: {seed: 2}\n",
                "x.yaml:3: a second document ('---') stands here; a configuration is one document");
}

static void test_not_yaml(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"model:\n\timage_size: 8\n", "x.yaml:2: not YAML: "}, {"model: {image_size: 8\n", "not YAML: "},
        {"model:\n  a: b\n c: d\n", "x.yaml:3: not YAML: "},   {"run: {dir: \"a}\n", "not YAML: "},
        {"run: {dir: *nowhere}\n", "x.yaml:1: not YAML: "},    {"run: {dir: @x}\n", "needs quotes"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct config *config;
        assert_int_equal(config_parse(&config, "x.yaml", wrong[i][0], 0, NULL), IDDPM_USAGE);
        if (!strstr(iddpm_error_text(), wrong[i][1])) fail_msg("%s", iddpm_error_text());
    }
    struct config *config;
    assert_int_equal(config_parse(&config, "x.yaml", "model:\n\timage_size: 8\n", 0, NULL), IDDPM_USAGE);
    assert_non_null(strstr(iddpm_error_text(), "indent with spaces, not tabs"));
}

static void test_files(void **state)
{
    (void)state;
    refuse_file("run: {seed: 1}\0\n", 16, ": byte 15 is no text that YAML allows");
    refuse_file("run: {dir: caf\xe9}\n", 17, ": byte 16 is no text that YAML allows");
    static char huge[(1 << 16) + 100];
    memset(huge, '#', sizeof huge);
    refuse_file(huge, sizeof huge, ": longer than 65536 bytes");
    struct config *config;
    assert_int_equal(config_load(&config, "/tmp", 0, NULL), IDDPM_USAGE);
    assert_string_equal(iddpm_error_text(), "/tmp: cannot read: Is a directory");
    assert_int_equal(config_load(&config, "/no/such.yaml", 0, NULL), IDDPM_USAGE);
    assert_string_equal(iddpm_error_text(), "/no/such.yaml: cannot open this configuration: No such file or directory");
}

/* Deep nesting, many aliases and long names neither crash nor take long. */
static void test_hostile(void **state)
{
    (void)state;
    enum { DEEP = 5000 };
    static char text[DEEP + 200];
    struct config *config;
    memset(text, '[', DEEP);
    assert_int_equal(config_parse(&config, "x.yaml", text, 0, NULL), IDDPM_USAGE);
    memset(text, 'a', DEEP);
    strcpy(text + DEEP, ": 1\n");
    assert_int_equal(config_parse(&config, "x.yaml", text, 0, NULL), IDDPM_USAGE);
    memcpy(text, "run: {dir: ", 11);
    strcpy(text + DEEP, "}\n");
    assert_int_equal(config_parse(&config, "x.yaml", text, 0, NULL), IDDPM_USAGE);
    memcpy(text, "model: {channel_mult: [", 23);
    for (int i = 23; i < DEEP; i++) text[i] = i % 2 ? '1' : ',';
    strcpy(text + DEEP, "]}\n");
    assert_int_equal(config_parse(&config, "x.yaml", text, 0, NULL), IDDPM_USAGE);
    assert_int_equal(config_parse(&config, "x.yaml",
                                  "a: &a [x,x,x,x]\nb: &b [*a,*a,*a]\nmodel: {channel_mult: [*b,*b,*b]}\n", 0, NULL),
                     IDDPM_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_ends_of_names_list_the_candidates),
        cmocka_unit_test(test_flags_of_the_authors_that_are_no_keys),
        cmocka_unit_test(test_types_and_limits),
        cmocka_unit_test(test_numbers_that_are_none),
        cmocka_unit_test(test_text_that_is_not_printable),
        cmocka_unit_test(test_twice),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_not_yaml),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
