/* One training step on ranks (src/train/step.h) against its definition: the whole batch in one run of a network of the
 * test's own, the update written out in double. */
#include "../../src/train/step.h"

#include "check.h"
#include "digits.h"
#include "network.h"
#include "ranks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOLERANCE_GRADIENT 2e-5 /* of the largest element: float32 sums in another order */
#define TOLERANCE_UPDATE 1e-6

/* The step before and the updates before differ as after skipped steps. */
enum {
    STEPS = 4,
    BATCH = 16,
    LEAVES = 4,
    IMAGES = BATCH / LEAVES,
    SIZE = 8,
    PIXELS = SIZE * SIZE,
    STEP = 4,
    UPDATES = 2
};

static float *copy_of(const float *x, size_t n)
{
    float *copy = malloc(n * sizeof *copy);
    assert_non_null(copy);
    return memcpy(copy, x, n * sizeof *copy);
}

/* The whole of an array of which every rank has its part. */
static float *whole_of(const struct train_state *state, const float *own)
{
    float *whole = calloc(state->flat, sizeof *whole);
    assert_non_null(whole);
    memcpy(whole + state->own.first, own, state->own.count * sizeof *own);
    parallel_gather_parts(&ranks, whole, state->flat, NET_BLOCK, sizeof *whole);
    return whole;
}

static struct config *configuration(const char *reduction)
{
    char path[PATH_SIZE + 16];
    snprintf(path, sizeof path, "data.path=%s/data", digits_folder);
    const char *keys[] = {path,
                          reduction,
                          "run.dir=unused", /* a plan wants one; a step writes nothing */
                          "run.seed=7",
                          "image_size=8",
                          "in_channels=1",
                          "num_channels=32",
                          "channel_mult=1",
                          "num_res_blocks=1",
                          "attention_resolutions=8",
                          "num_heads=1",
                          "dropout=0.1",
                          "diffusion_steps=4",
                          "noise_schedule=cosine",
                          "learn_sigma=true",
                          "batch_size=16",
                          "microbatch=3",
                          "parallel.leaves=4",
                          "lr=0.01",
                          "weight_decay=0.1",
                          "lr_anneal_steps=10",
                          "ema_rate=0.1,0.99",
                          "ema_warmup=true",
                          "schedule_sampler=loss-second-moment"};
    struct config *config;
    must(config_load(&config, NULL, sizeof keys / sizeof *keys, keys));
    return config;
}

/* A trainer in the middle of a run: parameters by the rule, moments that are not zero (so that no step of Adam is the
 * sign of rounding), a sampler that prefers late timesteps. */
static void open_trainer(struct trainer *t, const struct config *config)
{
    *t = (struct trainer){.parallel = &ranks, .config = config};
    must(trainer_create(t));
    struct train_state *state = t->state;
    network_fill(t->net, state->params);
    for (size_t i = 0; i < state->own.count; i++) {
        state->exp_avg[i] = 0.001f * (float)(i % 7);
        state->exp_avg_sq[i] = 0.01f;
    }
    state->step = STEP;
    state->updates = UPDATES;
    for (int time = 0; time < STEPS; time++) {
        state->sampler->counts[time] = SAMPLER_HISTORY;
        for (int i = 0; i < SAMPLER_HISTORY; i++) state->sampler->history[time * SAMPLER_HISTORY + i] = 1 + time;
    }
    sampler_refresh(state->sampler);
}

/* Timesteps with p_t as sqrt(E[L^2]), here 1 : 2 : 3 : 4 but for the uniform share, and weights 1 / (T p_t). */
static void draw(uint32_t slot, int *time, double *weight)
{
    struct rng rng = {7, RNG_TIMESTEP, STEP, slot};
    double u = rng_one_uniform(&rng), below = 0, p = 0;
    for (*time = -1; *time + 1 < STEPS && u >= below; below += p)
        p = (1 - SAMPLER_UNIFORM_PROB) * (++*time + 1) / 10 + SAMPLER_UNIFORM_PROB / STEPS;
    *weight = 1 / (STEPS * p);
}

/* The share of images [first, end) of the batch in the gradient of mean(loss weight), and what is known of each image.
 * Both are multiples of IMAGES. */
static float *gradient_of(const struct trainer *t, int first, int end, struct image_terms *terms)
{
    double *x_start = malloc(sizeof(double) * BATCH * PIXELS), *x_t = malloc(sizeof(double) * BATCH * PIXELS);
    double *noise = malloc(sizeof(double) * BATCH * PIXELS), times[BATCH];
    uint32_t slots[BATCH];
    uint8_t pixels[IMAGES * PIXELS];
    struct net *net;
    must(unet_create(&net, &t->plan.spec.unet, BATCH, NET_TRAINING, 1));
    net_set_params(net, t->state->params);
    for (int i = first; i < end; i++) {
        double *x = x_start + i * PIXELS, *eps = noise + i * PIXELS;
        if (i % IMAGES == 0) {
            struct leaf_reader *reader;
            must(leaf_reader_create(&reader, t->data, i / IMAGES, LEAVES, 7, 0));
            must(leaf_reader_get(reader, STEP * IMAGES, IMAGES, pixels, NULL));
            leaf_reader_destroy(reader);
        }
        slots[i] = (uint32_t)i;
        draw(slots[i], &terms[i].t, &terms[i].weight);
        rng_normal(&(struct rng){7, RNG_NOISE, STEP, slots[i]}, PIXELS, eps);
        for (int k = 0; k < PIXELS; k++) x[k] = pixels[i % IMAGES * PIXELS + k] / 127.5 - 1;
        q_sample(t->diffusion, terms[i].t, PIXELS, x, eps, x_t + i * PIXELS);
        times[i] = diffusion_model_timestep(t->diffusion, terms[i].t);
    }
    for (int k = 0; k < (end - first) * PIXELS; k++) net_input_data(net, 0)[k] = (float)x_t[first * PIXELS + k];
    struct net_run run = {
        .n = end - first, .timesteps = times + first, .seed = 7, .step = STEP, .slots = slots + first};
    net_forward(net, &run);
    for (int i = first; i < end; i++) {
        struct loss_terms losses;
        int at = i * PIXELS, out = 2 * (i - first) * PIXELS;
        training_losses(t->diffusion, terms[i].t, PIXELS, 1, x_start + at, x_t + at, noise + at,
                        net_output_data(net) + out, terms[i].weight / BATCH, &losses, net_output_grad(net) + out);
        terms[i].losses[0] = losses.loss;
    }
    float *grad = calloc(t->state->flat, sizeof *grad);
    net_backward(net, &run, grad);
    net_destroy(net);
    free(x_start);
    free(x_t);
    free(noise);
    return grad;
}

static void check_floats(size_t n, const float *got, const double *want, double tolerance, const char *what)
{
    double *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = got[i];
    check_scaled(n, x, want, tolerance, "%s", what);
    free(x);
}

static void check_part(const struct train_state *state, const float *own, const double *want, double tolerance,
                       const char *what)
{
    float *got = whole_of(state, own);
    check_floats(state->flat, got, want, tolerance, what);
    free(got);
}

/* AdamW (Loshchilov & Hutter, algorithm 2) and the EMAs at update 3: annealed to 6 / 10, EMA rates at most 4 / 13. */
static void check_update(const struct trainer *t, const float *params, float *const *emas, const float *exp_avg,
                         const float *grad)
{
    const struct train_state *state = t->state;
    const double lr = 0.01 * (1 - STEP / 10.0), rates[] = {0.1, 4.0 / 13};
    size_t n = state->flat;
    double *m = malloc(n * sizeof *m), *p = malloc(n * sizeof *p), *ema = malloc(n * sizeof *ema);
    for (size_t i = 0; i < n; i++) {
        m[i] = 0.9 * exp_avg[i] + 0.1 * grad[i];
        double v = 0.999 * 0.01 + 0.001 * grad[i] * grad[i];
        p[i] = params[i] * (1 - lr * 0.1) - lr * m[i] / (1 - pow(0.9, 3)) / (sqrt(v / (1 - pow(0.999, 3))) + 1e-8);
    }
    check_part(state, state->exp_avg, m, TOLERANCE_GRADIENT, "exp_avg");
    check_floats(n, state->params, p, TOLERANCE_UPDATE, "params");
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < n; i++) ema[i] = rates[k] * emas[k][i] + (1 - rates[k]) * p[i];
        check_part(state, state->emas[k], ema, TOLERANCE_UPDATE, k ? "the EMA in its warm-up" : "the EMA of rate 0.1");
    }
    free(m);
    free(p);
    free(ema);
}

static void check_terms(const struct trainer *t, const struct image_terms *terms)
{
    double sum = 0;
    int seen[STEPS] = {0};
    for (int i = BATCH - 1; i >= 0; i--) { /* the newest loss of a timestep is the last of its history */
        const struct image_terms *got = &t->all_terms[i], *want = &terms[i];
        assert_int_equal(got->t, want->t);
        check_close(1, &got->weight, &want->weight, 1e-12, 0, "weight of image %d", i);
        check_close(1, got->losses, want->losses, TOLERANCE_LOSS, 0, "loss of image %d", i);
        const double *history = t->state->sampler->history + want->t * SAMPLER_HISTORY;
        assert_true(history[SAMPLER_HISTORY - ++seen[want->t]] == got->losses[0]);
        sum += want->losses[0] * want->weight;
    }
    check_close(1, &t->state->sums[0], &sum, TOLERANCE_LOSS, 0, "sum of the losses");
    assert_true(t->state->counts[0] == BATCH);
}

/* Of a flat gradient times `factor`. */
static double squares(const float *grad, size_t n, double factor)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += factor * grad[i] * factor * grad[i];
    return sum;
}

/* McCandlish et al. 2018, equations A.2 and A.3: the batch in `parts`, each with the gradient of its own mean loss. */
static void check_noise_scale(const struct trainer *t, int parts, const double *square_small, double square_big)
{
    const double *sums = t->state->sums, *counts = t->state->counts, b = BATCH / (double)parts, big = BATCH;
    for (int slot = GRAD_SQ_SMALL_SLOT; slot < METRIC_SLOTS; slot++) assert_true(counts[slot] == (parts > 1));
    if (parts == 1) return;
    double mean = 0, scale = 10 * TOLERANCE_GRADIENT;
    for (int i = 0; i < parts; i++) mean += square_small[i] / parts;
    double signal = (big * square_big - b * mean) / (big - b), noise = (mean - square_big) / (1 / b - 1 / big);
    check_close(1, &sums[GRAD_SQ_SMALL_SLOT], &mean, scale, 0, "squares of small batches");
    check_close(1, &sums[GRAD_SQ_BIG_SLOT], &square_big, scale, 0, "squares of the batch");
    check_close(1, &sums[GRAD_SIGNAL_SLOT], &signal, 0, scale * mean, "signal");
    check_close(1, &sums[GRAD_NOISE_SLOT], &noise, 0, scale * mean * b, "noise");
}

/* The squares of the parts' gradients before the step, into out[parts]. */
static void squares_of_parts(const struct trainer *t, int parts, double *out)
{
    struct image_terms terms[BATCH];
    for (int i = 0; i < parts; i++) {
        float *grad = gradient_of(t, i * BATCH / parts, (i + 1) * BATCH / parts, terms);
        out[i] = squares(grad, t->state->flat, parts);
        free(grad);
    }
}

static void check_step(const char *reduction, int parts)
{
    struct config *config = configuration(reduction);
    struct trainer t;
    struct image_terms terms[BATCH];
    open_trainer(&t, config);
    size_t n = t.state->flat;
    float *params = copy_of(t.state->params, n), *exp_avg = whole_of(t.state, t.state->exp_avg);
    float *emas[] = {whole_of(t.state, t.state->emas[0]), whole_of(t.state, t.state->emas[1])},
          *grad = gradient_of(&t, 0, BATCH, terms);
    double small[BATCH];
    squares_of_parts(&t, parts, small);
    must(train_step(&t));
    double *want = malloc(n * sizeof *want), norm = 0;
    for (size_t i = 0; i < n; i++) {
        want[i] = grad[i];
        norm += want[i] * want[i];
    }
    norm = sqrt(norm);
    check_part(t.state, t.grads[0] + t.state->own.first, want, TOLERANCE_GRADIENT, "mean gradient");
    check_close(1, &t.grad_norm, &norm, TOLERANCE_GRADIENT, 0, "norm of the gradient");
    check_noise_scale(&t, parts, small, squares(grad, n, 1));
    check_terms(&t, terms);
    check_update(&t, params, emas, exp_avg, grad);
    assert_int_equal(t.state->step, STEP + 1);
    assert_int_equal(t.state->updates, UPDATES + 1);
    assert_int_equal(t.state->skipped, 0);
    float *arrays[] = {params, exp_avg, emas[0], emas[1], grad};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
    free(want);
    trainer_destroy(&t);
    config_destroy(config);
}

static void a_step_of_allreduce(void **state)
{
    (void)state;
    check_step("reduction=mpi_allreduce", ranks.size);
}

static void a_step_of_the_tree(void **state)
{
    (void)state;
    check_step("reduction=reproducible", LEAVES);
}

/* One bad image, on the last rank only, and nobody learns from the step. */
static void a_step_that_is_not_finite_changes_nothing(void **state)
{
    (void)state;
    struct config *config = configuration("reduction=mpi_allreduce");
    struct trainer t;
    open_trainer(&t, config);
    size_t n = t.state->flat;
    if (ranks.rank == ranks.size - 1) t.state->params[0] = NAN;
    net_set_params(t.net, t.state->params);
    size_t own = t.state->own.count;
    float *params = copy_of(t.state->params, n), *ema = copy_of(t.state->emas[1], own);
    float *exp_avg = copy_of(t.state->exp_avg, own);
    must(train_step(&t));
    assert_memory_equal(t.state->params, params, n * sizeof *params);
    assert_memory_equal(t.state->emas[1], ema, own * sizeof *ema);
    assert_memory_equal(t.state->exp_avg, exp_avg, own * sizeof *exp_avg);
    assert_true(t.state->sampler->history[SAMPLER_HISTORY - 1] == 1 && t.state->counts[0] == 0);
    assert_int_equal(t.state->step, STEP + 1);
    assert_int_equal(t.state->updates, UPDATES);
    assert_int_equal(t.state->skipped, 1);
    assert_int_equal(t.state->skipped_in_row, 1);
    free(params);
    free(ema);
    free(exp_avg);
    trainer_destroy(&t);
    config_destroy(config);
}

/* Rewrites a checkpoint as a program left it that knew of no noise scale. */
static void make_older(const char *path)
{
    enum { ARRAYS_MAX = 512 };
    const struct parallel alone = {MPI_COMM_SELF, 0, 1};
    struct store_slice slices[ARRAYS_MAX];
    struct checkpoint *checkpoint;
    must(checkpoint_open(&checkpoint, path));
    int n = checkpoint_count(checkpoint);
    assert_in_range(n, 1, ARRAYS_MAX);
    for (int i = 0; i < n; i++) {
        struct store_array array = checkpoint_array(checkpoint, i);
        array.data = malloc(store_array_elements(&array) * store_type_bytes(array.type) + 1);
        must(checkpoint_read(checkpoint, i, array.data));
        if (strncmp(array.path, "train/metric_", strlen("train/metric_")) == 0) array.dims[0] = FORMER_SLOTS;
        slices[i] = (struct store_slice){array, 0, store_array_elements(&array)};
    }
    must(checkpoint_write(&alone, path, checkpoint_step(checkpoint), checkpoint_config(checkpoint), n, slices, NULL));
    for (int i = 0; i < n; i++) free(slices[i].array.data);
    checkpoint_close(checkpoint);
}

/* The sums go on where a checkpoint has them, and start where it has none. */
static void checkpoints_from_before_the_noise_scale(void **state)
{
    (void)state;
    struct config *config = configuration("reduction=reproducible");
    struct trainer t;
    char path[PATH_SIZE];
    double sums[METRIC_SLOTS];
    must(path_join(path, digits_folder, "step-00000005.h5"));
    open_trainer(&t, config);
    must(train_step(&t));
    memcpy(sums, t.state->sums, sizeof sums);
    must(state_write(t.state, &ranks, path, "", NULL));
    for (int older = 0; older < 2; older++) {
        if (older && ranks.rank == 0) make_older(path);
        parallel_barrier(&ranks);
        for (int slot = 0; slot < METRIC_SLOTS; slot++) t.state->sums[slot] = t.state->counts[slot] = -1;
        must(state_read(t.state, &ranks, path));
        int n = older ? FORMER_SLOTS : METRIC_SLOTS;
        assert_memory_equal(t.state->sums, sums, (size_t)n * sizeof *sums);
        for (int slot = n; slot < METRIC_SLOTS; slot++)
            assert_true(t.state->sums[slot] == 0 && t.state->counts[slot] == 0);
    }
    parallel_barrier(&ranks);
    if (ranks.rank == 0) unlink(path);
    trainer_destroy(&t);
    config_destroy(config);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_step_of_allreduce), cmocka_unit_test(a_step_of_the_tree),
                                       cmocka_unit_test(a_step_that_is_not_finite_changes_nothing),
                                       cmocka_unit_test(checkpoints_from_before_the_noise_scale)};
    if (ranks_start(&argc, &argv, 120) != 0) return 1;
    log_set_quiet(true);
    return ranks_end(cmocka_run_group_tests(tests, digits_setup, digits_teardown));
}
