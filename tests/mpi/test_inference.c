/* Guidance by classes, and two models that take turns, in likelihoods and samples; features of blocks. */
#include "iddpm/evaluate.h"
#include "ranks.h"
#include "reference.h"
#include "tiny_model.h"

#include <stdlib.h>
#include <string.h>

enum { PIXELS = TINY_SIZE * TINY_SIZE, BATCH = 3, IMAGES = 2 * BATCH + 1, CLASSES = 10 };

static char folder[PATH_SIZE];
static struct dataset *data;

static struct nll *measure(const struct parallel *parallel, struct model *model)
{
    const struct nll_options options = {.images = IMAGES, .clip_denoised = true, .seed = 5};
    struct nll *nll;
    must(nll_measure(parallel, model, data, &options, &nll));
    return nll;
}

static struct samples *draw(const struct parallel *parallel, struct model *model, enum sampling kind, double eta,
                            int64_t label)
{
    const struct sample_options options = {
        .kind = kind, .eta = eta, .clip_denoised = true, .images = IMAGES, .seed = 6, .label = label};
    struct samples *samples;
    must(sample_images(parallel, model, &options, &samples));
    return samples;
}

static void refused(enum iddpm_status status, const char *text)
{
    assert_int_equal(status, IDDPM_USAGE);
    if (!strstr(iddpm_error_text(), text)) fail_msg("'%s' does not say '%s'", iddpm_error_text(), text);
}

/* The image part of outputs is where guidance says, the variance part that of the classes given. */
static void guidance_goes_away_from_no_class(void **state)
{
    (void)state;
    static const double scales[] = {1, 0, 2.5};
    const struct condition given = {.labels = (const int64_t[BATCH]){1, 7, 4}},
                           none = {.labels = (const int64_t[BATCH]){CLASSES, CLASSES, CLASSES}};
    struct model *model = tiny_model(BATCH, CLASSES);
    double x[BATCH * PIXELS];
    float with[BATCH * PIXELS * 2], without[BATCH * PIXELS * 2];
    rng_normal(&(struct rng){1, RNG_TEST, 0, 0}, BATCH * PIXELS, x);
    memcpy(with, model_outputs(model, 2, BATCH, x, &given), sizeof with);
    memcpy(without, model_outputs(model, 2, BATCH, x, &none), sizeof without);
    assert_memory_not_equal(with, without, sizeof with);
    for (size_t k = 0; k < sizeof scales / sizeof *scales; k++) {
        must(model_guide(model, scales[k]));
        assert_true(model->guidance == scales[k]);
        const float *out = model_outputs(model, 2, BATCH, x, &given);
        for (size_t i = 0; i < BATCH * PIXELS; i++) {
            double expected = without[2 * i] + scales[k] * ((double)with[2 * i] - without[2 * i]);
            assert_true(out[2 * i] == (k == 0 ? with[2 * i] : k == 1 ? without[2 * i] : (float)expected));
            assert_true(out[2 * i + 1] == with[2 * i + 1]);
        }
    }
    model_destroy(model);
}

/* With scale 0, chains in which variances play no part are those of no class; with another one they are others, and as
 * everywhere the same on all ranks. */
static void guided_samples(void **state)
{
    (void)state;
    const struct parallel alone = {MPI_COMM_SELF, 0, 1};
    const struct sample_options options = {.kind = SAMPLING_DDIM, .clip_denoised = true, .images = BATCH, .seed = 6};
    const struct condition none = {.labels = (const int64_t[BATCH]){CLASSES, CLASSES, CLASSES}};
    struct model *model = tiny_model(BATCH, CLASSES), *guided = tiny_model(BATCH, CLASSES);
    double x[BATCH * PIXELS];
    uint8_t pixels[BATCH * PIXELS];
    must(model_guide(guided, 0));
    for (uint32_t i = 0; i < BATCH; i++) rng_normal(&(struct rng){6, RNG_SAMPLE, 0, i}, PIXELS, x + i * PIXELS);
    for (int j = 0; j < 5; j++) sample_step(model, &options, j, 0, BATCH, x, &none, NULL);
    signal_to_pixels(BATCH * PIXELS, x, pixels);
    struct samples *zero = draw(&alone, guided, SAMPLING_DDIM, 0, -1);
    assert_memory_equal(zero->pixels, pixels, sizeof pixels);
    guided->guidance = 3;
    struct samples *together = draw(&ranks, guided, SAMPLING_ANCESTRAL, 0, -1),
                   *single = draw(&alone, guided, SAMPLING_ANCESTRAL, 0, -1);
    assert_memory_not_equal(single->pixels, zero->pixels, sizeof pixels);
    if (ranks.rank == 0) assert_memory_equal(together->pixels, single->pixels, IMAGES * PIXELS);
    samples_destroy(zero);
    samples_destroy(together);
    samples_destroy(single);
    model_destroy(model);
    model_destroy(guided);
}

/* Of the same form, with other parameters. */
static struct model *open_other(void)
{
    struct model *model = tiny_model(BATCH, CLASSES);
    for (size_t i = 0; i < net_flat_size(model->net); i++) model->params[i] *= 0.9f;
    net_set_params(model->net, model->params);
    return model;
}

static struct model *open_ensemble(int below, int from)
{
    struct model *model = tiny_model(BATCH, CLASSES);
    must(model_add_ends(model, open_other(), below, from));
    return model;
}

/* The timesteps of the process are 0, 3, 6, 8 and 11 of 12. Each term is that of the model whose timestep it is, and so
 * is each step of a chain. */
static void models_take_turns(void **state)
{
    (void)state;
    static const struct {
        int below, from;
        const char *columns; /* the last timestep first: whose it is */
    } cases[] = {{0, 12, "aaaaa"}, {12, 12, "bbbbb"}, {3, 11, "baaab"}, {4, 8, "bbabb"}, {0, 6, "bbbaa"}};
    const struct parallel alone = {MPI_COMM_SELF, 0, 1};
    struct model *a = tiny_model(BATCH, CLASSES), *b = open_other();
    struct nll *of_a = measure(&alone, a), *of_b = measure(&alone, b);
    assert_memory_not_equal(of_a->vb, of_b->vb, IMAGES * 5 * sizeof(double));
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct model *both = open_ensemble(cases[c].below, cases[c].from);
        struct nll *nll = measure(&ranks, both);
        for (size_t i = 0; i < IMAGES && ranks.rank == 0; i++) {
            double total = 0;
            for (size_t k = 0; k < 5; k++) {
                const struct nll *one = cases[c].columns[k] == 'a' ? of_a : of_b;
                assert_true(nll->vb[i * 5 + k] == one->vb[i * 5 + k]);
                assert_true(nll->mse[i * 5 + k] == one->mse[i * 5 + k]);
                total += one->vb[i * 5 + k];
            }
            assert_true(nll->total[i] == total + of_a->prior[i]);
        }
        nll_destroy(nll);
        model_destroy(both);
    }
    nll_destroy(of_a);
    nll_destroy(of_b);
    model_destroy(a);
    model_destroy(b);
}

/* Timesteps 11 and 0, the first and last of a chain, the other's; all of them; none. */
static void chains_take_turns(void **state)
{
    (void)state;
    static const int ends[][2] = {{3, 11}, {12, 12}, {0, 12}};
    const struct sample_options options = {.clip_denoised = true, .images = BATCH, .seed = 6, .label = 3};
    const struct condition given = {.labels = (const int64_t[BATCH]){3, 3, 3}};
    struct model *a = tiny_model(BATCH, CLASSES), *b = open_other();
    double x[BATCH * PIXELS];
    uint8_t pixels[BATCH * PIXELS];
    for (int c = 0; c < 3; c++) {
        struct model *both = open_ensemble(ends[c][0], ends[c][1]);
        struct samples *samples = draw(&ranks, both, SAMPLING_ANCESTRAL, 0, 3);
        for (uint32_t i = 0; i < BATCH; i++) rng_normal(&(struct rng){6, RNG_SAMPLE, 0, i}, PIXELS, x + i * PIXELS);
        for (int j = 0; j < 5; j++) {
            bool other = c == 1 || (c == 0 && (j == 0 || j == 4));
            sample_step(other ? b : a, &options, j, 0, BATCH, x, &given, NULL);
        }
        signal_to_pixels(BATCH * PIXELS, x, pixels);
        if (ranks.rank == 0) assert_memory_equal(samples->pixels, pixels, sizeof pixels);
        samples_destroy(samples);
        model_destroy(both);
    }
    model_destroy(a);
    model_destroy(b);
}

/* With strata the images of a batch have timesteps of both models. */
static void timesteps_of_both_in_a_batch(void **state)
{
    (void)state;
    enum { STRATA = 2 };
    const struct parallel alone = {MPI_COMM_SELF, 0, 1};
    const struct nll_options options = {.images = IMAGES, .clip_denoised = true, .seed = 5, .strata = STRATA};
    struct model *both = open_ensemble(7, 12);
    struct nll *full = measure(&alone, both), *nll;
    int ends[STRATA] = {0};
    must(nll_measure(&ranks, both, data, &options, &nll));
    for (size_t i = 0; i < IMAGES && ranks.rank == 0; i++)
        for (int k = 0; k < STRATA; k++) {
            int t = nll_stratum_draw(nll->first, k, 5, i);
            ends[k] += both->diffusion->timestep_map[t] < 7;
            check_close(1, &nll->vb[i * STRATA + (size_t)(STRATA - 1 - k)], &full->vb[i * 5 + (size_t)(4 - t)], 1e-5,
                        1e-9, "image %zu, t %d", i, t);
        }
    if (ranks.rank == 0) assert_in_range(ends[1], 1, IMAGES - 1);
    nll_destroy(full);
    nll_destroy(nll);
    model_destroy(both);
}

static void combinations_that_cannot_be(void **state)
{
    (void)state;
    struct model *model = tiny_model(BATCH, 0), *other = tiny_model(BATCH, CLASSES);
    refused(model_guide(model, 2), "cannot be guided");
    must(model_guide(model, 1));
    refused(model_add_ends(model, other, 3, 9), "model.num_classes is 0 in one and 10 in the other");
    model_destroy(model); /* and the other with it */
    model = tiny_model(BATCH, 3);
    other = tiny_model(BATCH, 3);
    other->diffusion->betas[1] *= 1.5;
    refused(model_add_ends(model, other, 3, 9), "diffusion.noise_schedule differs");
    model_destroy(model);
    model = tiny_model(BATCH, 3);
    refused(model_add_ends(model, tiny_model(BATCH, 3), 3, 13), "0 <= A <= B <= 12");
    model_destroy(model);
}

/* ---- features of blocks ------------------------------------------------------------------------------------------ */

enum { T = 3, STEP_SEED = 5 };

/* An array of the file, found in memory; free(). */
static float *read_block(const char *path, const char *name, int ndim, size_t n)
{
    struct store_array array;
    must(store_read(path, name, STORE_F32, &array));
    assert_int_equal(array.ndim, ndim);
    assert_int_equal(array.dims[0], IMAGES);
    assert_int_equal(store_array_elements(&array), n);
    return array.data;
}

/* What the network gives for images noised by hand, a batch after the other as on any number of ranks. */
static void compare_blocks(struct model *model, const char *path, const char *pooled)
{
    const char *const names[] = {"input_blocks.2", "middle_block", "output_blocks.0"};
    uint8_t pixels[BATCH * PIXELS];
    int64_t labels[BATCH];
    double x_start[PIXELS], noise[PIXELS], x_t[BATCH * PIXELS];
    for (int k = 0; k < 3; k++) {
        struct net_kept kept;
        assert_true(net_kept(model->net, k, &kept));
        assert_string_equal(kept.name, names[k]);
        size_t c = (size_t)kept.c, hw = (size_t)kept.h * (size_t)kept.w;
        float *all = read_block(path, names[k], 4, IMAGES * hw * c),
              *means = read_block(pooled, names[k], 2, IMAGES * c);
        for (size_t first = 0; first < IMAGES; first += BATCH) {
            size_t n = IMAGES - first < BATCH ? IMAGES - first : BATCH;
            must(dataset_read(data, first, n, pixels, labels));
            for (size_t i = 0; i < n; i++) {
                pixels_to_signal(PIXELS, pixels + i * PIXELS, x_start);
                rng_normal(&(struct rng){STEP_SEED, RNG_NLL, T, (uint32_t)(first + i)}, PIXELS, noise);
                q_sample(model->diffusion, T, PIXELS, x_start, noise, x_t + i * PIXELS);
            }
            model_outputs(model, T, (int)n, x_t, &(struct condition){.labels = labels});
            assert_true(net_kept(model->net, k, &kept));
            for (size_t i = 0; i < n * c; i++) {
                const size_t image = i / c, channel = i % c;
                double sum = 0;
                for (size_t p = 0; p < hw; p++) {
                    float value = ((const float *)kept.data)[(image * hw + p) * (size_t)kept.pitch + channel];
                    assert_true(all[((first + image) * hw + p) * c + channel] == value);
                    sum += value;
                }
                assert_true(means[(first + image) * c + channel] == (float)(sum / (double)hw));
            }
        }
        free(all);
        free(means);
    }
}

static void features_are_those_of_the_network(void **state)
{
    (void)state;
    struct model *model = tiny_model_of_blocks(BATCH, CLASSES, "middle_block,input_blocks.2,output_blocks.0");
    struct feature_options options = {.images = IMAGES, .timestep = T, .seed = STEP_SEED};
    char path[PATH_SIZE], pooled[PATH_SIZE];
    must(path_join(path, folder, "features.h5"));
    must(path_join(pooled, folder, "pooled.h5"));
    must(features_write(&ranks, model, data, &options, path));
    options.pool = true;
    must(features_write(&ranks, model, data, &options, pooled));
    if (ranks.rank == 0) {
        struct store_array labels;
        int64_t expected[IMAGES];
        uint8_t pixels[IMAGES * PIXELS];
        compare_blocks(model, path, pooled);
        must(store_read(path, "labels", STORE_I64, &labels));
        must(dataset_read(data, 0, IMAGES, pixels, expected));
        assert_int_equal(store_array_elements(&labels), IMAGES);
        assert_memory_equal(labels.data, expected, sizeof expected);
        free(labels.data);
    }
    model_destroy(model);
}

/* Noise of a file takes the place of Philox. */
static void features_of_given_noise(void **state)
{
    (void)state;
    struct model *model = tiny_model_of_blocks(BATCH, 0, "input_blocks.0");
    double draws[IMAGES * PIXELS];
    for (uint32_t i = 0; i < IMAGES; i++)
        rng_normal(&(struct rng){STEP_SEED, RNG_NLL, T, i}, PIXELS, draws + i * PIXELS);
    const struct noise noise = {.name = "given", .draws = 1, .images = IMAGES, .image = PIXELS, .data = draws};
    struct feature_options options = {.images = IMAGES, .timestep = T, .seed = STEP_SEED};
    char drawn[PATH_SIZE], given[PATH_SIZE];
    must(path_join(drawn, folder, "drawn.h5"));
    must(path_join(given, folder, "given.h5"));
    must(features_write(&ranks, model, data, &options, drawn));
    options.noise = &noise;
    options.seed = 99;
    must(features_write(&ranks, model, data, &options, given));
    if (ranks.rank == 0) {
        const size_t n = IMAGES * PIXELS * 32;
        float *one = read_block(drawn, "input_blocks.0", 4, n), *other = read_block(given, "input_blocks.0", 4, n);
        assert_memory_equal(one, other, n * sizeof *one);
        free(one);
        free(other);
    }
    model_destroy(model);
}

static void features_that_cannot_be(void **state)
{
    (void)state;
    struct model *model = tiny_model_of_blocks(BATCH, CLASSES, "middle_block,output_blocks.9");
    struct feature_options options = {.images = IMAGES, .timestep = T};
    char path[PATH_SIZE];
    must(path_join(path, folder, "none.h5"));
    refused(features_write(&ranks, model, data, &options, path),
            "no block is \"output_blocks.9\": there are input_blocks.0 to input_blocks.3");
    options.timestep = 5;
    refused(features_write(&ranks, model, data, &options, path), "timestep 5: those of this model are 0 to 4");
    options = (struct feature_options){.images = data->images + 1};
    refused(features_write(&ranks, model, data, &options, path), "has only 300 images, not 301");
    model_destroy(model);
    model = tiny_model_of_blocks(BATCH, CLASSES, "middle_block");
    options = (struct feature_options){.images = IMAGES};
    must(path_join(path, folder, "no-folder/none.h5"));
    assert_int_equal(features_write(&ranks, model, data, &options, path), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "none.h5"));
    model_destroy(model);
}

static int open_data(void **state)
{
    (void)state;
    tiny_digits(folder, &data);
    return 0;
}

static int close_data(void **state)
{
    (void)state;
    tiny_digits_end(folder, data);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(guidance_goes_away_from_no_class),
                                       cmocka_unit_test(guided_samples),
                                       cmocka_unit_test(models_take_turns),
                                       cmocka_unit_test(chains_take_turns),
                                       cmocka_unit_test(timesteps_of_both_in_a_batch),
                                       cmocka_unit_test(combinations_that_cannot_be),
                                       cmocka_unit_test(features_are_those_of_the_network),
                                       cmocka_unit_test(features_of_given_noise),
                                       cmocka_unit_test(features_that_cannot_be)};
    if (ranks_start(&argc, &argv, 120) != 0) return 1;
    log_set_quiet(true);
    return ranks_end(cmocka_run_group_tests(tests, open_data, close_data));
}
