/* When a job ends before its time limit does it: by its own steps and checkpoints. */
#include "../../src/train/ending.h"

#include "check.h"

#include <string.h>

static void not_known(void **state)
{
    (void)state;
    struct ending ending = {.guessed_save = 1e9};
    assert_false(ending_is_near(&ending, ENDING_STEP, 1));
    assert_false(ending_is_near(&ending, ENDING_STEP, 1e12));
    assert_true(ending.began == 0); /* nothing is measured for nobody */
}

/* Before anything was measured only the guess and the reserve count. */
static void at_the_start(void **state)
{
    (void)state;
    struct ending ending = {.end = 1000, .guessed_save = ending_guess(4e9)}; /* 40 s at 100 MB/s */
    assert_false(ending_is_near(&ending, ENDING_STEP, 1000 - 91));
    ending = (struct ending){.end = 1000, .guessed_save = ending_guess(4e9)};
    assert_true(ending_is_near(&ending, ENDING_STEP, 1000 - 89));
}

/* 1.5 times the longest step, twice the longest checkpoint, 10 s. */
static void by_what_was_seen(void **state)
{
    (void)state;
    struct ending ending = {.end = 1000, .guessed_save = 300};
    const double steps[] = {10, 20, 14};
    double now = 100;
    for (int i = 0; i < 3; i++) {
        assert_false(ending_is_near(&ending, ENDING_STEP, now));
        now += steps[i];
        ending_done(&ending, ENDING_STEP, now);
        ending_saved(&ending, i == 1 ? 7 : 5); /* the guess does not count any more */
        now += 50;                             /* of other things */
    }
    const double needed = 1.5 * 20 + 2 * 7 + 10;
    assert_false(ending_is_near(&ending, ENDING_STEP, 1000 - needed - 0.1));
    ending_done(&ending, ENDING_STEP, 1000 - needed);
    assert_true(ending_is_near(&ending, ENDING_STEP, 1000 - needed + 0.1));
}

/* A step may be longer than any before: it is then given up between microbatches, which are measured by themselves. */
static void inside_a_step(void **state)
{
    (void)state;
    struct ending ending = {.end = 1000, .guessed_save = 5};
    double now = 500;
    for (int i = 0; i < 8; i++, now += i == 4 ? 40 : 20) assert_false(ending_is_near(&ending, ENDING_STEP, now));
    ending_done(&ending, ENDING_STEP, now);
    assert_true(ending.seen[ENDING_STEP].longest_piece == 40 && ending.seen[ENDING_STEP].longest == 180);
    assert_false(ending_is_near(&ending, ENDING_STEP, 700)); /* the whole step would do */
    for (now = 740; now <= 900; now += 40) assert_false(ending_is_near(&ending, ENDING_STEP, now));
    assert_true(ending_is_near(&ending, ENDING_STEP, 940)); /* 60 s are left, 1.5 x 40 + 2 x 5 + 10 needed */
}

/* What is said of a limit that is too short for one step. */
static void too_short(void **state)
{
    (void)state;
    char text[160];
    struct ending ending = {.end = 1000, .guessed_save = 5};
    assert_false(ending_is_near(&ending, ENDING_STEP, 920.5)); /* 20 s are enough for what is known then */
    assert_true(ending_is_near(&ending, ENDING_STEP, 960));    /* 40 s are left, 1.5 x 39.5 + 2 x 5 + 10 needed */
    ending_too_short(&ending, "step", text, sizeof text);
    assert_string_equal(text, "the limit leaves 79 s, a step and a checkpoint need 119 s or more: ask for a longer "
                              "limit");
    ending = (struct ending){.end = 1000, .guessed_save = 5};
    assert_true(ending_is_near(&ending, ENDING_STEP, 1001));
    ending_too_short(&ending, "step", text, sizeof text);
    assert_string_equal(text, "the limit leaves 0 s, a step and a checkpoint need 20 s or more: ask for a longer "
                              "limit");
}

/* Each hook has times of its own. Before one was ever done, a step stands for the longest piece of it. */
static void in_a_hook(void **state)
{
    (void)state;
    enum { FIRST = ENDING_HOOK, SECOND };
    char text[160];
    struct ending ending = {.end = 1000, .guessed_save = 5};
    assert_false(ending_is_near(&ending, ENDING_STEP, 100));
    ending_done(&ending, ENDING_STEP, 110);
    assert_false(ending_is_near(&ending, FIRST, 1000 - 35.1)); /* 1.5 x 10 + 2 x 5 + 10 */
    ending_given_up(&ending);
    assert_true(ending_is_near(&ending, FIRST, 1000 - 34.9));
    ending_given_up(&ending);
    for (double now = 200; now <= 300; now += 2) assert_false(ending_is_near(&ending, FIRST, now));
    ending_done(&ending, FIRST, 300);
    assert_true(ending.seen[FIRST].longest == 100 && ending.seen[FIRST].longest_piece == 2);
    assert_false(ending_is_near(&ending, SECOND, 1000 - 35.1)); /* nothing is known of this one */
    ending_given_up(&ending);
    assert_false(ending_is_near(&ending, FIRST, 1000 - 170.1)); /* the whole of it would do: 1.5 x 100 + 20 */
    assert_false(ending_is_near(&ending, FIRST, 1000 - 168));   /* once in it, its next piece counts */
    assert_true(ending_is_near(&ending, FIRST, 1000 - 22));
    ending_too_short(&ending, "validation", text, sizeof text);
    assert_string_equal(text, "the limit leaves 170 s, a validation and a checkpoint need 388 s or more: ask for a "
                              "longer limit");
    ending_given_up(&ending);
    assert_true(ending_is_near(&ending, FIRST, 1000 - 169.9));
    ending_given_up(&ending);
    assert_false(ending_is_near(&ending, ENDING_STEP, 1000 - 35.1)); /* of a step only steps tell */
}

static void says_when(void **state)
{
    (void)state;
    char text[64];
    struct ending ending = {.end = clock_seconds() + 78.4};
    ending_text(&ending, text, sizeof text);
    int hours, minutes, seconds, end = 0;
    assert_int_equal(sscanf(text, "the job ends at %2d:%2d:%2d (in 78 s)%n", &hours, &minutes, &seconds, &end), 3);
    assert_int_equal(end, strlen(text));
    ending.end = clock_seconds() - 5;
    ending_text(&ending, text, sizeof text);
    assert_non_null(strstr(text, "(in 0 s)"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(not_known),        cmocka_unit_test(at_the_start),
                                       cmocka_unit_test(by_what_was_seen), cmocka_unit_test(inside_a_step),
                                       cmocka_unit_test(too_short),        cmocka_unit_test(in_a_hook),
                                       cmocka_unit_test(says_when)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
