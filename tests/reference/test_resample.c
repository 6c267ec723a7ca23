/* The loss-second-moment sampler against the authors' weights after given updates. */
#include "iddpm/diffusion.h"
#include "reference.h"

#include <stdlib.h>

enum { LOSSES = 8 }; /* of one update, as the reference's description has it */

/* Update number k of the file: losses grow toward small timesteps. */
static void update(struct sampler *sampler, uint32_t k)
{
    int steps = sampler->num_timesteps, t[LOSSES];
    int64_t drawn[LOSSES];
    double loss[LOSSES];
    rule_integers(RULE_INPUT + k, steps, LOSSES, drawn);
    for (int i = 0; i < LOSSES; i++) {
        t[i] = (int)drawn[i];
        loss[i] = (rule(RULE_NOISE + k, (uint64_t)i) + 1) * (3 + t[i] * ((0.1 - 3) / (steps - 1)));
    }
    sampler_update(sampler, LOSSES, t, loss);
}

static void weights_are_the_authors(void **state)
{
    (void)state;
    struct reference *reference = reference_open("resample");
    int steps = (int)reference_number(reference, "", "steps");
    assert_int_equal(reference_number(reference, "", "history_per_term"), SAMPLER_HISTORY);
    assert_true(reference_number(reference, "", "uniform_prob") == SAMPLER_UNIFORM_PROB);
    struct array initial = reference_array(reference, "", "weights_initial");
    struct array want = reference_array(reference, "", "weights_after");
    struct json *after = reference_json(reference, "", "after");
    assert_int_equal(want.dims[0], after->n);
    struct sampler *sampler;
    assert_int_equal(sampler_create(&sampler, "loss-second-moment", steps), IDDPM_OK);
    double *got = malloc((size_t)steps * sizeof *got);
    sampler_weights(sampler, got);
    check_close((size_t)steps, got, initial.data, 0, 0, "initial weights");
    int warmed_up = 0;
    uint32_t updates = 0;
    for (int row = 0; row < after->n; row++) {
        while (updates < (uint32_t)after->items[row]->number) update(sampler, updates++);
        const double *w = want.data + row * steps;
        sampler_weights(sampler, got);
        check_close((size_t)steps, got, w, TOLERANCE_MATHS, TOLERANCE_MATHS_ZERO, "after %u updates", updates);
        warmed_up += w[0] != 1;
    }
    assert_in_range(warmed_up, 1, after->n - 1); /* the file shows both sides */
    free(got);
    sampler_destroy(sampler);
    json_free(after);
    array_free(&initial);
    array_free(&want);
    reference_close(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(weights_are_the_authors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
