/* The reference support itself: known values of the rule, listing, reading, JSON, comparison. */
#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void rule_has_known_values(void **state)
{
    (void)state;
    if (rule_seed() != 1) skip();
    /* splitmix64 by NumPy with seed 1 */
    assert_true(rule(3000, 0) == -0x1.d078500000000p-2);
    assert_true(rule(0, 1) == -0x1.fc85a00000000p-1);
    assert_true(rule(1500, UINT64_C(1) << 33) == -0x1.a9a3880000000p-2);
}

static void parameters_follow_their_kind(void **state)
{
    (void)state;
    uint64_t dims[4] = {4, 3, 1, 2};
    float weight[24], vector[4];
    rule_parameter(7, "input_blocks.0.0.weight", 4, dims, weight);
    for (int i = 0; i < 24; i++) assert_true(weight[i] == (float)(sqrt(3 / 6.) * rule(7, i)));
    rule_parameter(7, "label_emb.weight", 2, dims, weight);
    for (int i = 0; i < 12; i++) assert_true(weight[i] == (float)rule(7, i));
    rule_parameter(8, "out.0.weight", 1, dims, vector);
    for (int i = 0; i < 4; i++) assert_true(vector[i] == (float)(1 + 0.25 * rule(8, i)));
    rule_parameter(9, "out.0.bias", 1, dims, vector);
    for (int i = 0; i < 4; i++) assert_true(vector[i] == (float)(0.1 * rule(9, i)));
}

static void images_are_8_bit(void **state)
{
    (void)state;
    double image[1000];
    rule_images(RULE_INPUT, 1000, image);
    for (int i = 0; i < 1000; i++) {
        double byte = (image[i] + 1) * 127.5;
        assert_true(fabs(byte - rint(byte)) < 1e-9 && byte > -1e-9 && byte < 255 + 1e-9);
        assert_true(fabs(image[i] - rule(RULE_INPUT, i)) <= 1 / 255. + 1e-12);
    }
    int64_t t[1000];
    rule_integers(RULE_TIMESTEP, 7, 1000, t);
    for (int i = 0; i < 1000; i++) assert_in_range(t[i], 0, 6);
}

static void channels_move_there_and_back(void **state)
{
    (void)state;
    enum { N = 2, C = 3, HW = 5, SIZE = N * C * HW };
    double first[SIZE], last[SIZE], back[SIZE];
    float last_float[SIZE];
    rule_fill(RULE_INPUT, 2, 1, SIZE, first);
    channels_last(N, C, HW, first, last);
    assert_true(last[(1 * HW + 4) * C + 2] == first[(1 * C + 2) * HW + 4]);
    channels_first(N, C, HW, last, back);
    assert_memory_equal(first, back, sizeof first);
    channels_last_float(N, C, HW, first, last_float);
    for (int i = 0; i < SIZE; i++) assert_true(last_float[i] == (float)last[i]);
    channels_first_float(N, C, HW, last_float, back);
    for (int i = 0; i < SIZE; i++) assert_true(back[i] == (float)first[i]);
}

static void dots_and_norms(void **state)
{
    (void)state;
    double x[3] = {3, 0, -4};
    float y[3] = {3, 0, -4};
    assert_true(norm(3, x) == 5 && norm_float(3, y) == 5 && largest_magnitude(3, x) == 4);
    double dot = 3 * rule(RULE_PROBE, 0) - 4 * rule(RULE_PROBE, 2);
    assert_true(fabs(rule_dot(RULE_PROBE, 3, x) - dot) < 1e-15 && fabs(rule_dot_float(RULE_PROBE, 3, y) - dot) < 1e-15);
}

static const double want[3] = {1, -2, 4};

static void close_differs(void **state)
{
    (void)state;
    check_close(3, (double[]){1, -2.001, 4}, want, 4e-4, 0, "case");
}

static void close_is_nan(void **state)
{
    (void)state;
    check_close(3, (double[]){1, NAN, 4}, want, 1, 1, "case");
}

static void scaled_differs(void **state)
{
    (void)state;
    check_scaled(3, (double[]){1, -2.001, 4}, want, 2e-4, "case");
}

static void dots_differ(void **state)
{
    (void)state;
    check_dots(3, (double[]){1.1, -2, 4}, want, (double[]){1, 2, 4}, (double[]){1, 2, 4}, 0.05, 0.01, "case");
}

static void norms_differ(void **state)
{
    (void)state;
    check_dots(3, want, want, (double[]){1, 2, 5}, (double[]){1, 2, 4}, 0.05, 0.01, "case");
}

/* Failing checks end a test, so that they are run in a process of their own, whose status is how many failed. */
static void checks_can_fail(void **state)
{
    (void)state;
    check_close(3, (double[]){1, -2.001, 4}, want, 6e-4, 0, "close");
    check_scaled(3, (double[]){1.0007, -2.0007, 4}, want, 2e-4, "scaled");
    check_dots(3, (double[]){1.08, -2, 4}, want, (double[]){1, 2, 4}, (double[]){1, 2, 4}, 0.05, 0.01, "dots");
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(close_differs), cmocka_unit_test(close_is_nan),
                                           cmocka_unit_test(scaled_differs), cmocka_unit_test(dots_differ),
                                           cmocka_unit_test(norms_differ)};
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(100);
        _exit(cmocka_run_group_tests(tests, NULL, NULL));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 5);
}

static void cases_and_attributes_are_found(void **state)
{
    (void)state;
    struct reference *reference = reference_open("ops");
    struct names kinds = reference_groups(reference, ""), cases = reference_cases(reference, "conv3x3");
    assert_true(kinds.n > 5 && cases.n > 0);
    for (int i = 0; i < cases.n; i++) {
        const char *group = cases.name[i];
        assert_memory_equal(group, "conv3x3/", 8);
        struct json *input = reference_json(reference, group, "input0");
        double shape[4];
        assert_string_equal(json_string(input, "name", ""), "x");
        assert_int_equal(json_numbers(input, "shape", 4, shape), 4);
        assert_true(json_number(input, "scale", 0) > 0 && json_number(input, "none", -5) == -5);
        struct array output = reference_array(reference, group, "output");
        assert_int_equal(output.ndim, 4);
        assert_true(output.dims[0] == shape[0] && output.dims[2] == shape[2] && output.dims[3] == shape[3]);
        assert_false(reference_has(reference, group, "nothing") || reference_has_attribute(reference, group, "output"));
        array_free(&output);
        json_free(input);
    }
    names_free(&cases);
    names_free(&kinds);
    reference_close(reference);
    reference = reference_open("sampling");
    cases = reference_cases(reference, "");
    for (int i = 0; i < cases.n; i++) {
        double image[3];
        char *respacing = reference_text(reference, cases.name[i], "timestep_respacing");
        assert_non_null(respacing);
        assert_int_equal(reference_numbers(reference, cases.name[i], "image", 3, image), 3);
        assert_true(reference_number(reference, cases.name[i], "diffusion_steps") > 0);
        free(respacing);
    }
    names_free(&cases);
    reference_close(reference);
}

static void json_has_every_kind(void **state)
{
    (void)state;
    struct json *json = json_parse(
        "{\"a\": [1, -2.5e3], \"b\": null, \"c\": true, \"d\": \"x \\\"1\\\"\", \"e\": {\"f\": \"7\"}, \"g\": []}");
    double list[2];
    assert_int_equal(json_numbers(json, "a", 2, list), 2);
    assert_true(list[0] == 1 && list[1] == -2500 && json_number(json, "b", 3) == 3 && json_bool(json, "c", false));
    assert_string_equal(json_string(json, "d", ""), "x \"1\"");
    assert_string_equal(json_string(json_get(json, "e"), "f", ""), "7");
    assert_int_equal(json_get(json, "g")->n, 0);
    assert_null(json_get(json, "b"));
    json_free(json);
    char path[TEST_PATH_SIZE];
    tests_path(path, "reference/cifar10_state_dict.json");
    json = json_read(path);
    assert_string_equal(json->keys[0], "time_embed.0.weight");
    assert_int_equal(json->items[0]->n, 2);
    json_free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rule_has_known_values),
        cmocka_unit_test(parameters_follow_their_kind),
        cmocka_unit_test(images_are_8_bit),
        cmocka_unit_test(channels_move_there_and_back),
        cmocka_unit_test(dots_and_norms),
        cmocka_unit_test(checks_can_fail),
        cmocka_unit_test(cases_and_attributes_are_found),
        cmocka_unit_test(json_has_every_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
