/* What a training step sends, counted: on n ranks the reproducible reduction moves P (n - 1) / n floats per rank, the
 * optimum, to add up the gradient of P (padded) parameters, and as many to bring the result to all. */
#include "../../src/train/step.h"

#include "check.h"
#include "digits.h"
#include "messages.h"
#include "ranks.h"
#include "scaling/scaling.h"

enum { LEAVES = 8, BATCH = 16 };

/* More parameters than travel together, and a number of blocks that ranks cannot share evenly. */
static struct config *configuration(const char *reduction)
{
    char path[PATH_SIZE + 16];
    snprintf(path, sizeof path, "data.path=%s/data", digits_folder);
    const char *keys[] = {path,
                          reduction,
                          "run.dir=unused", /* a plan wants one; a step writes nothing */
                          "image_size=8",
                          "in_channels=1",
                          "num_channels=96",
                          "channel_mult=1,2",
                          "num_res_blocks=1",
                          "attention_resolutions=4",
                          "batch_size=16",
                          "parallel.leaves=8",
                          "total_steps=10"};
    struct config *config;
    must(config_load(&config, NULL, sizeof keys / sizeof *keys, keys));
    return config;
}

/* What this rank gives to MPI in one step, not the first of the run. */
static struct messages one_step(const char *reduction, size_t *flat)
{
    struct config *config = configuration(reduction);
    struct trainer t = {.parallel = &ranks, .config = config};
    must(trainer_create(&t));
    state_begin(t.state, 1);
    net_set_params(t.net, t.state->params);
    must(train_step(&t));
    struct messages before = messages_counted();
    must(train_step(&t));
    struct messages now = messages_counted();
    *flat = t.state->flat;
    assert_int_equal(t.state->updates, 2);
    trainer_destroy(&t);
    config_destroy(config);
    return (struct messages){now.sent - before.sent, now.sent_bytes - before.sent_bytes,
                             now.collective - before.collective, now.shared_bytes - before.shared_bytes};
}

static uint64_t sum_over_ranks(uint64_t mine)
{
    double sum = (double)mine;
    must(parallel_sum_double(&ranks, &sum, 1));
    return (uint64_t)sum;
}

/* Halves are whole blocks, so one rank may send a block more than another at each level; all together send just as many
 * as they must. What comes on top is the sum of squares of each block, 8 bytes, that everyone is told. */
static void the_tree_sends_the_optimum(void **state)
{
    (void)state;
    size_t flat;
    struct messages step = one_step("reduction=reproducible", &flat);
    uint64_t n = (uint64_t)ranks.size, others = n - 1, blocks = flat / NET_BLOCK;
    uint64_t floats = 2 * flat * sizeof(float) * others, norms = blocks * sizeof(double) * others;
    uint64_t slack = 2 * (uint64_t)traffic_levels(ranks.size) * (NET_BLOCK * sizeof(float) + sizeof(double));
    assert_true(flat > REDUCER_BUCKET && blocks % 8 != 0);
    assert_int_equal(sum_over_ranks(step.sent_bytes), floats + norms);
    assert_in_range(step.sent_bytes, floats / n - (n > 1 ? slack : 0), (floats + norms) / n + slack);
    /* little else: what ranks agree on, and what is told of each image */
    assert_in_range(step.shared_bytes, 1, 256 + BATCH * sizeof(struct image_terms));
    if (ranks.rank == 0)
        print_message(
            "%d ranks: %.3f MB sent by rank 0 in %llu messages, optimum %.3f; %llu bytes in %llu collectives\n",
            ranks.size, (double)step.sent_bytes / 1e6, (unsigned long long)step.sent, (double)floats / 1e6 / (double)n,
            (unsigned long long)step.shared_bytes, (unsigned long long)step.collective);
}

/* benchmarks/scaling_model foretells every message: its network time is made of these. */
static void the_scaling_model_knows_every_message(void **state)
{
    (void)state;
    size_t flat;
    struct messages step = one_step("reduction=reproducible", &flat);
    struct traffic expected = traffic_step(ranks.rank, ranks.size, flat);
    uint64_t leaves = LEAVES / (uint64_t)ranks.size; /* each in one microbatch */
    assert_int_equal(step.sent, expected.messages);
    assert_int_equal(step.sent_bytes, expected.bytes);
    assert_int_equal(step.collective, leaves + 2);
    assert_int_equal(step.shared_bytes,
                     leaves * (sizeof(int) + SCALING_LEAF_BYTES) + BATCH / (uint64_t)ranks.size * SCALING_IMAGE_BYTES);
}

/* The other reduction gives the gradient to MPI, whatever MPI does with it, and only the parameters' way back is ours.
 */
static void allreduce_gets_the_gradient_once(void **state)
{
    (void)state;
    size_t flat;
    struct messages step = one_step("reduction=mpi_allreduce", &flat);
    uint64_t gradient = flat * sizeof(float), others = (uint64_t)ranks.size - 1;
    assert_in_range(step.shared_bytes, gradient, gradient + 256 + BATCH * sizeof(struct image_terms));
    assert_int_equal(sum_over_ranks(step.sent_bytes), (gradient + flat / NET_BLOCK * sizeof(double)) * others);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_tree_sends_the_optimum),
                                       cmocka_unit_test(the_scaling_model_knows_every_message),
                                       cmocka_unit_test(allreduce_gets_the_gradient_once)};
    if (ranks_start(&argc, &argv, 120) != 0) return 1;
    log_set_quiet(true);
    return ranks_end(cmocka_run_group_tests(tests, digits_setup, digits_teardown));
}
