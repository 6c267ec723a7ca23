/* Options of a command line. The program's files are in no library, so the one under test is taken in whole. */
#include "../../src/cli/options.c"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct read {
    bool strict;
    const char *out;
    int64_t num;
    double eta;
};

#define ARGUMENTS(...) (char *[]){__VA_ARGS__}, (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *))

static struct cli cli;

static enum iddpm_status parse(struct read *read, char **argv, int argc)
{
    *read = (struct read){.num = 7, .eta = 0.5};
    const struct option options[] = {
        {"strict", NULL, "", .flag = &read->strict},
        {"out", "FILE", "", .text = &read->out},
        {"num", "N", "", .integer = &read->num, .min = 1, .max = 100},
        {"eta", "X", "", .number = &read->eta},
    };
    const struct usage usage = {"RUN [key=value]", "", 1, 2, OPTIONS(options)};
    bool done;
    cli = (struct cli){.command = "test", .argc = argc, .argv = argv};
    return options_parse(&cli, &usage, &done);
}

static void test_all_kinds_between_arguments(void **state)
{
    (void)state;
    struct read read;
    assert_int_equal(parse(&read, ARGUMENTS("--num", "3", "run", "--out=a=b", "lr=1", "--strict", "--eta", "-0")), 0);
    assert_true(read.strict && read.num == 3 && read.eta == 0);
    assert_string_equal(read.out, "a=b");
    assert_int_equal(cli.argc, 2);
    assert_string_equal(cli.argv[0], "run");
    assert_string_equal(cli.argv[1], "lr=1");
}

static void test_defaults_and_the_last_one(void **state)
{
    (void)state;
    struct read read;
    assert_int_equal(parse(&read, ARGUMENTS("run")), 0);
    assert_true(!read.strict && read.num == 7 && read.eta == 0.5 && !read.out);
    assert_int_equal(parse(&read, ARGUMENTS("--num", "3", "--num=4", "run", "--out=")), 0);
    assert_int_equal(read.num, 4);
    assert_string_equal(read.out, "");
}

static void test_two_dashes_end_options(void **state)
{
    (void)state;
    struct read read;
    assert_int_equal(parse(&read, ARGUMENTS("--", "--num", "--help")), 0);
    assert_int_equal(cli.argc, 2);
    assert_string_equal(cli.argv[0], "--num");
    assert_int_equal(parse(&read, ARGUMENTS("-")), 0); /* standard input, say */
}

#define REFUSED(message, ...)                                                                                          \
    do {                                                                                                               \
        struct read read;                                                                                              \
        assert_int_equal(parse(&read, ARGUMENTS(__VA_ARGS__)), IDDPM_USAGE);                                           \
        assert_string_equal(iddpm_error_text(), message);                                                              \
    } while (0)

static void test_refusals(void **state)
{
    (void)state;
    REFUSED("test: unknown option --nun; nearest is --num (see iddpm test --help)", "run", "--nun=3");
    REFUSED("test: unknown option --n; nearest is --num (see iddpm test --help)", "run", "-n", "3");
    REFUSED("test: unknown option --nu; nearest is --num (see iddpm test --help)", "run", "--nu", "3");
    REFUSED("test: unknown option --; nearest is --out (see iddpm test --help)", "run", "--=3");
    REFUSED("test: --strict takes no value", "run", "--strict=1");
    REFUSED("test: --num needs a value: --num N", "run", "--num");
    REFUSED("test: --out needs a value: --out FILE", "run", "--out", "--strict");
    REFUSED("test: --num: found '0'; allowed is a whole number from 1 to 100", "run", "--num", "0");
    REFUSED("test: --num: found '101'; allowed is a whole number from 1 to 100", "run", "--num", "101");
    REFUSED("test: --num: found '1.5'; allowed is a whole number from 1 to 100", "run", "--num=1.5");
    REFUSED("test: --num: found ''; allowed is a whole number from 1 to 100", "run", "--num=");
    REFUSED("test: --eta: found 'nan'; allowed is a number of at least 0", "run", "--eta", "nan");
    REFUSED("test: --eta: found '-1'; allowed is a number of at least 0", "run", "--eta", "-1");
    REFUSED("test: something is missing; usage: iddpm test RUN [key=value]", "--strict");
    REFUSED("test: 'c' is one argument too many; usage: iddpm test RUN [key=value]", "a", "b", "c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_kinds_between_arguments),
        cmocka_unit_test(test_defaults_and_the_last_one),
        cmocka_unit_test(test_two_dashes_end_options),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
