/* What a training step gives to the network (src/train/inputs.c), by its properties: frequencies, spread, the same on
 * any rank, and nothing of it when it is not asked for. */
#include "../../src/train/step.h"

#include "check.h"
#include "digits.h"
#include "ranks.h"

#include <math.h>
#include <string.h>

enum { BATCH = 16, IMAGES = 4, SIZE = 8, PIXELS = SIZE * SIZE, SMALL = 3, STEPS = 16, CLASSES = 12 };

/* The smallest network, and `more` keys. */
static void open_trainer(struct trainer *t, struct config **config, int more, const char *const *keys)
{
    char path[PATH_SIZE + 16];
    const char *all[40] = {path,
                           "run.dir=unused",
                           "run.seed=5",
                           "image_size=8",
                           "in_channels=1",
                           "num_channels=32",
                           "channel_mult=1",
                           "num_res_blocks=1",
                           "attention_resolutions=8",
                           "num_heads=1",
                           "class_cond=true",
                           "num_classes=12", /* two more than the data set has */
                           "diffusion_steps=16",
                           "noise_schedule=cosine",
                           "batch_size=16",
                           "parallel.leaves=4",
                           "total_steps=1000"};
    enum { COMMON = 17 };
    snprintf(path, sizeof path, "data.path=%s/data", digits_folder);
    for (int i = 0; i < more; i++) all[COMMON + i] = keys[i];
    must(config_load(config, NULL, COMMON + more, all));
    *t = (struct trainer){.parallel = &ranks, .config = *config};
    must(trainer_create(t));
    state_begin(t->state, 5);
    net_set_params(t->net, t->state->params);
}

static void close_trainer(struct trainer *t, struct config *config)
{
    trainer_destroy(t);
    config_destroy(config);
}

/* The whole batch of step `step` in pieces of a leaf: image i is a ramp, its class i mod 10. */
struct batch {
    uint8_t pixels[BATCH][PIXELS];
    int64_t labels[BATCH];
    struct image_terms terms[BATCH];
};

static void ramp(int i, uint8_t pixels[PIXELS])
{
    for (int k = 0; k < PIXELS; k++) pixels[k] = (uint8_t)(3 * k + i);
}

static void prepare(struct trainer *t, int step, int piece, struct batch *out)
{
    t->state->step = step;
    for (int first = 0; first < BATCH; first += piece) {
        for (int i = 0; i < piece; i++) {
            ramp(first + i, t->pixels + i * PIXELS);
            t->labels[i] = (first + i) % 10;
        }
        prepare_images(t, (uint32_t)first, piece, out->terms + first);
        memcpy(out->pixels[first], t->pixels, (size_t)piece * PIXELS);
        memcpy(out->labels + first, t->labels, (size_t)piece * sizeof *out->labels);
    }
}

/* Within five standard deviations. */
static void check_frequency(int seen, int of, double p)
{
    assert_true(fabs(seen - of * p) < 5 * sqrt(of * p * (1 - p)));
}

static void nothing_is_varied_unasked(void **state)
{
    (void)state;
    struct trainer t;
    struct config *config;
    struct batch batch;
    open_trainer(&t, &config, 0, NULL);
    assert_int_equal(t.plan.spec.unet.num_classes, CLASSES);
    for (int step = 0; step < 20; step++) {
        prepare(&t, step, IMAGES, &batch);
        for (int i = 0; i < BATCH; i++) {
            uint8_t pixels[PIXELS];
            ramp(i, pixels);
            assert_memory_equal(batch.pixels[i], pixels, PIXELS);
            assert_int_equal(batch.labels[i], i % 10);
            struct rng own = {5, RNG_TIMESTEP, (uint32_t)step, (uint32_t)i};
            assert_int_equal(batch.terms[i].t, (int)(rng_one_uniform(&own) * STEPS));
        }
    }
    close_trainer(&t, config);
}

static void half_of_the_images_are_mirrored(void **state)
{
    (void)state;
    static const char *const keys[] = {"horizontal_flip=true"};
    struct trainer t;
    struct config *config;
    struct batch batch, one;
    int mirrored = 0, again = 0;
    open_trainer(&t, &config, 1, keys);
    enum { TIMES = 60 };
    bool last[BATCH] = {false};
    for (int step = 0; step < TIMES; step++) {
        prepare(&t, step, IMAGES, &batch);
        prepare(&t, step, 1, &one); /* in other pieces */
        assert_memory_equal(batch.pixels, one.pixels, sizeof one.pixels);
        for (int i = 0; i < BATCH; i++) {
            uint8_t plain[PIXELS], mirror[PIXELS];
            ramp(i, plain);
            memcpy(mirror, plain, PIXELS);
            pixels_mirror(SIZE, SIZE, 1, mirror);
            bool is = memcmp(batch.pixels[i], mirror, PIXELS) == 0;
            if (!is) assert_memory_equal(batch.pixels[i], plain, PIXELS);
            mirrored += is;
            again += step > 0 && is == last[i];
            last[i] = is;
        }
    }
    check_frequency(mirrored, TIMES * BATCH, 0.5);
    check_frequency(again, (TIMES - 1) * BATCH, 0.5); /* and another half in the next step */
    close_trainer(&t, config);
}

static void labels_are_dropped_at_their_rate(void **state)
{
    (void)state;
    static const char *const keys[] = {"label_dropout=0.2"};
    struct trainer t;
    struct config *config;
    struct batch batch, one;
    int dropped = 0;
    open_trainer(&t, &config, 1, keys);
    enum { TIMES = 60 };
    for (int step = 0; step < TIMES; step++) {
        prepare(&t, step, IMAGES, &batch);
        prepare(&t, step, 1, &one);
        assert_memory_equal(batch.labels, one.labels, sizeof one.labels);
        for (int i = 0; i < BATCH; i++) {
            dropped += batch.labels[i] == CLASSES; /* the row behind the classes */
            assert_true(batch.labels[i] == CLASSES || batch.labels[i] == i % 10);
        }
    }
    check_frequency(dropped, TIMES * BATCH, 0.2);
    must(train_step(&t)); /* the row is there */
    close_trainer(&t, config);
}

/* Uniform weights: each of T = B timesteps once in a batch, in another order in another step. */
static void timesteps_are_spread_evenly(void **state)
{
    (void)state;
    static const char *const keys[] = {"low_discrepancy=true"};
    struct trainer t;
    struct config *config;
    struct batch batch;
    int first[STEPS] = {0}, same = 0, last = -1;
    open_trainer(&t, &config, 1, keys);
    enum { TIMES = 400 };
    for (int step = 0; step < TIMES; step++) {
        int seen[STEPS] = {0};
        prepare(&t, step, IMAGES, &batch);
        for (int i = 0; i < BATCH; i++) {
            assert_int_equal(seen[batch.terms[i].t]++, 0);
            assert_true(batch.terms[i].weight == 1);
        }
        same += batch.terms[0].t == last;
        last = batch.terms[0].t;
        first[last]++;
    }
    for (int time = 0; time < STEPS; time++) check_frequency(first[time], TIMES, 1. / STEPS); /* of one slot */
    check_frequency(same, TIMES - 1, 1. / STEPS);
    close_trainer(&t, config);
}

/* With loss-second-moment each timestep comes floor or ceil of B p_t times. */
static void timesteps_are_spread_by_their_weights(void **state)
{
    (void)state;
    static const char *const keys[] = {"low_discrepancy=true", "schedule_sampler=loss-second-moment"};
    struct trainer t;
    struct config *config;
    struct batch batch;
    open_trainer(&t, &config, 2, keys);
    struct sampler *sampler = t.state->sampler;
    for (int time = 0; time < STEPS; time++) {
        sampler->counts[time] = SAMPLER_HISTORY;
        for (int k = 0; k < SAMPLER_HISTORY; k++) sampler->history[time * SAMPLER_HISTORY + k] = 1 + time * time;
    }
    sampler_refresh(sampler);
    for (int step = 0; step < 50; step++) {
        int seen[STEPS] = {0};
        prepare(&t, step, IMAGES, &batch);
        for (int i = 0; i < BATCH; i++) seen[batch.terms[i].t]++;
        for (int time = 0; time < STEPS; time++) assert_true(fabs(seen[time] - BATCH * sampler->weights[time]) < 1);
    }
    close_trainer(&t, config);
}

/* The second input is the large image before noise, mirrored or not, averaged over areas; the first one lies in a
 * concatenation. */
static void super_resolution_sees_the_image_made_small(void **state)
{
    (void)state;
    static const char *const keys[] = {"large_size=8", "small_size=3", "horizontal_flip=true"};
    struct trainer t;
    struct config *config;
    open_trainer(&t, &config, 3, keys);
    t.state->step = 3;
    for (int i = 0; i < IMAGES; i++) ramp(i, t.pixels + i * PIXELS);
    struct image_terms terms[IMAGES];
    prepare_images(&t, 4, IMAGES, terms);
    int pitch = net_input_pitch(t.net, 0), low_pitch = net_input_pitch(t.net, 1);
    assert_int_equal(pitch, 2);
    for (int i = 0; i < IMAGES; i++) {
        double x_start[PIXELS], small[SMALL * SMALL];
        pixels_to_signal(PIXELS, t.pixels + i * PIXELS, x_start);
        signal_area_average(SIZE, 1, x_start, SMALL, small);
        for (int k = 0; k < SMALL * SMALL; k++)
            assert_true(net_input_data(t.net, 1)[(i * SMALL * SMALL + k) * low_pitch] == (float)small[k]);
        for (int k = 0; k < PIXELS; k++) {
            double x_t = t.diffusion->sqrt_alphas_cumprod[terms[i].t] * x_start[k] +
                         t.diffusion->sqrt_one_minus_alphas_cumprod[terms[i].t] * t.noise[i * PIXELS + k];
            assert_true(net_input_data(t.net, 0)[(i * PIXELS + k) * pitch] == (float)x_t);
        }
    }
    must(train_step(&t));
    assert_true(isfinite(t.grad_norm) && t.grad_norm > 0 && t.state->updates == 1);
    close_trainer(&t, config);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_varied_unasked),
                                       cmocka_unit_test(half_of_the_images_are_mirrored),
                                       cmocka_unit_test(labels_are_dropped_at_their_rate),
                                       cmocka_unit_test(timesteps_are_spread_evenly),
                                       cmocka_unit_test(timesteps_are_spread_by_their_weights),
                                       cmocka_unit_test(super_resolution_sees_the_image_made_small)};
    if (ranks_start(&argc, &argv, 120) != 0) return 1;
    log_set_quiet(true);
    return ranks_end(cmocka_run_group_tests(tests, digits_setup, digits_teardown));
}
