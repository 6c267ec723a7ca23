/* Bits/dim and samples have the same bits on any number of ranks; errors and signals end them on all ranks. */
#include "iddpm/evaluate.h"
#include "ranks.h"
#include "reference.h"
#include "scratch.h"
#include "tiny_model.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Neither 2 nor 4 ranks have equal shares. */
enum { SIZE = TINY_SIZE, BATCH = 3, IMAGES = 3 * BATCH + 2, CLASSES = 10 };

static char folder[PATH_SIZE];
static struct dataset *data;

static struct nll *measure(const struct parallel *parallel, struct model *model)
{
    const struct nll_options options = {.images = IMAGES, .clip_denoised = true, .seed = 5};
    struct nll *nll;
    must(nll_measure(parallel, model, data, &options, &nll));
    return nll;
}

static void bits_do_not_depend_on_ranks(void **state)
{
    (void)state;
    const struct parallel alone = {MPI_COMM_SELF, 0, 1};
    struct model *model = tiny_model(BATCH, CLASSES);
    struct nll *together = measure(&ranks, model), *single = measure(&alone, model);
    size_t all = IMAGES * (size_t)single->steps * sizeof(double), images = IMAGES * sizeof(double);
    assert_int_equal(together->images, IMAGES);
    assert_int_equal(single->steps, 5);
    assert_true(together->mean == single->mean && together->standard_error == single->standard_error);
    assert_true(isfinite(single->mean) && single->standard_error > 0);
    if (ranks.rank == 0) {
        assert_memory_equal(together->vb, single->vb, all);
        assert_memory_equal(together->mse, single->mse, all);
        assert_memory_equal(together->xstart_mse, single->xstart_mse, all);
        assert_memory_equal(together->prior, single->prior, images);
        assert_memory_equal(together->total, single->total, images);
    }
    nll_destroy(together);
    nll_destroy(single);
    model_destroy(model);
}

/* By the definition, image by image: a timestep in its part of all timesteps, the noise that a likelihood has there. */
static void validation_losses_are_those_of_training(void **state)
{
    (void)state;
    enum { N = 11, IMAGE = SIZE * SIZE };
    struct model *model = tiny_model(BATCH, CLASSES);
    struct loss_terms means, sums = {0};
    must(validation_losses(&ranks, model, data, N, 5, &means));
    for (uint32_t i = 0; i < N; i++) {
        const struct rng part = {5, RNG_STRATUM, UINT32_MAX, i};
        int T = model->diffusion->num_timesteps, t = (int)((i + rng_one_uniform(&part)) * T / N);
        assert_in_range(t, (int)i * T / N, ((int)i + 1) * T / N);
        const struct rng rng = {5, RNG_NLL, (uint32_t)t, i};
        uint8_t pixels[IMAGE];
        double x_start[IMAGE], x_t[IMAGE], noise[IMAGE];
        int64_t label;
        struct loss_terms terms;
        must(dataset_read(data, i, 1, pixels, &label));
        pixels_to_signal(IMAGE, pixels, x_start);
        rng_normal(&rng, IMAGE, noise);
        q_sample(model->diffusion, t, IMAGE, x_start, noise, x_t);
        const float *output = model_outputs(model, t, 1, x_t, &(struct condition){.labels = &label});
        training_losses(model->diffusion, t, IMAGE, 1, x_start, x_t, noise, output, 0, &terms, NULL);
        sums.loss += terms.loss;
        sums.mse += terms.mse;
        sums.vb += terms.vb;
    }
    check_close(1, &means.loss, &(double){sums.loss / N}, 1e-6, 0, "loss");
    check_close(1, &means.mse, &(double){sums.mse / N}, 1e-6, 0, "mse");
    assert_true(isnan(means.vb) == isnan(sums.vb));
    if (!isnan(sums.vb)) check_close(1, &means.vb, &(double){sums.vb / N}, 1e-6, 0, "vb");
    model_destroy(model);
}

/* The first images, made small, in order, with their classes, and begun again where they end. */
static void images_to_enlarge_are_made_small(void **state)
{
    (void)state;
    enum { N = 5, SMALL = 4, LARGE = SIZE * SIZE, AREA = SMALL * SMALL };
    uint8_t pixels[LARGE], small[AREA], read[3 * AREA];
    double x[LARGE], average[AREA];
    int64_t label;
    struct base *base;
    must(base_from_data(&base, &ranks, data, N, SMALL));
    assert_int_equal(base->images, N);
    assert_true(base->size == SMALL && base->channels == 1);
    must(base_read(base, &ranks, N - 2, 3, read));
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t image = (N - 2 + i) % N;
        must(dataset_read(data, image, 1, pixels, &label));
        pixels_to_signal(LARGE, pixels, x);
        signal_area_average(SIZE, 1, x, SMALL, average);
        signal_to_pixels(AREA, average, small);
        assert_memory_equal(read + i * AREA, small, AREA);
        assert_int_equal(base->labels[image], label);
    }
    base_close(base);
}

/* total = prior + all columns; mean and standard error are those of the totals. */
static void totals_add_up(void **state)
{
    (void)state;
    const struct parallel alone = {MPI_COMM_SELF, 0, 1};
    struct model *model = tiny_model(BATCH, 0);
    struct nll *nll = measure(&alone, model);
    double mean = 0, squares = 0;
    for (size_t i = 0; i < IMAGES; i++) {
        double total = nll->prior[i];
        for (size_t k = 0; k < (size_t)nll->steps; k++) total += nll->vb[i * (size_t)nll->steps + k];
        check_close(1, &nll->total[i], &total, 1e-12, 0, "image %zu", i);
        mean += total / IMAGES;
    }
    for (size_t i = 0; i < IMAGES; i++) squares += (nll->total[i] - mean) * (nll->total[i] - mean);
    double error = sqrt(squares / (IMAGES - 1.) / IMAGES);
    check_close(1, &nll->mean, &mean, 1e-12, 0, "mean");
    check_close(1, &nll->standard_error, &error, 1e-12, 0, "standard error");
    nll_destroy(nll);
    model_destroy(model);
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

static void samples_do_not_depend_on_ranks(void **state)
{
    (void)state;
    const struct parallel alone = {MPI_COMM_SELF, 0, 1};
    static const double etas[] = {0, 1};
    struct model *model = tiny_model(BATCH, CLASSES);
    for (int k = 0; k < 3; k++) {
        enum sampling kind = k == 0 ? SAMPLING_ANCESTRAL : SAMPLING_DDIM;
        double eta = k == 0 ? 0 : etas[k - 1];
        struct samples *together = draw(&ranks, model, kind, eta, -1), *single = draw(&alone, model, kind, eta, -1);
        if (ranks.rank == 0) {
            assert_memory_equal(together->pixels, single->pixels, IMAGES * SIZE * SIZE);
            assert_memory_equal(together->labels, single->labels, IMAGES * sizeof *single->labels);
            bool differ = false; /* random classes are not all the same */
            for (int i = 0; i < IMAGES; i++) {
                assert_in_range(single->labels[i], 0, CLASSES - 1);
                differ |= single->labels[i] != single->labels[0];
            }
            assert_true(differ);
        }
        samples_destroy(together);
        samples_destroy(single);
    }
    model_destroy(model);
}

/* What is left of a chain has the noise of the whole one, and begins with its first draw. */
static void a_prefix_can_be_skipped(void **state)
{
    (void)state;
    enum { SKIP = 2, N = 2, IMAGE = SIZE * SIZE };
    struct model *model = tiny_model(BATCH, 0);
    const struct sample_options options = {.clip_denoised = true, .images = N, .seed = 6, .skip = SKIP, .label = -1};
    const struct condition given = {.labels = (const int64_t[N]){0}};
    double x[N * IMAGE];
    uint8_t pixels[N * IMAGE];
    struct samples *samples;
    must(sample_images(&ranks, model, &options, &samples));
    for (uint32_t i = 0; i < N; i++) rng_normal(&(struct rng){6, RNG_SAMPLE, 0, i}, IMAGE, x + i * IMAGE);
    for (int j = SKIP; j < model->diffusion->num_timesteps; j++) sample_step(model, &options, j, 0, N, x, &given, NULL);
    signal_to_pixels(N * IMAGE, x, pixels);
    if (ranks.rank == 0) assert_memory_equal(samples->pixels, pixels, sizeof pixels);
    samples_destroy(samples);
    model_destroy(model);
}

static void a_class_can_be_asked_for(void **state)
{
    (void)state;
    struct model *model = tiny_model(BATCH, CLASSES);
    struct samples *seven = draw(&ranks, model, SAMPLING_DDIM, 0, 7), *any = draw(&ranks, model, SAMPLING_DDIM, 0, -1);
    int others = 0; /* samples that another class has made another image */
    for (int i = 0; i < IMAGES && ranks.rank == 0; i++) {
        size_t at = (size_t)i * SIZE * SIZE;
        bool same = memcmp(seven->pixels + at, any->pixels + at, SIZE * SIZE) == 0;
        assert_int_equal(seven->labels[i], 7);
        assert_true(same || any->labels[i] != 7);
        others += !same;
    }
    assert_true(others > 0 || ranks.rank > 0);
    samples_destroy(seven);
    samples_destroy(any);
    model_destroy(model);
}

static void refused(enum iddpm_status status, const char *text)
{
    assert_int_equal(status, IDDPM_USAGE);
    if (!strstr(iddpm_error_text(), text)) fail_msg("'%s' does not say '%s'", iddpm_error_text(), text);
}

static void impossible_jobs_are_refused(void **state)
{
    (void)state;
    struct model *model = tiny_model(BATCH, 0);
    struct nll *nll;
    struct samples *samples;
    double value = 0;
    const struct noise noise = {.name = "few.h5", .draws = 1, .images = 1, .image = 1, .data = &value};
    struct nll_options options = {.images = data->images + 1};
    refused(nll_measure(&ranks, model, data, &options, &nll), "has only 300 images, not 301");
    assert_null(nll);
    options = (struct nll_options){.images = 1, .noise = &noise};
    refused(nll_measure(&ranks, model, data, &options, &nll), "few.h5: noise of 1 draws of 1 images of 1 elements");
    struct sample_options draws = {.images = 1, .label = 3};
    refused(sample_images(&ranks, model, &draws, &samples), "not class-conditional");
    assert_null(samples);
    draws = (struct sample_options){.images = 0, .label = -1};
    refused(sample_images(&ranks, model, &draws, &samples), "at least one sample");
    draws = (struct sample_options){.images = 1, .label = -1, .eta = 1.5};
    refused(sample_images(&ranks, model, &draws, &samples), "eta must lie between 0 and 1");
    draws = (struct sample_options){.images = 1, .label = -1, .skip = 5};
    refused(sample_images(&ranks, model, &draws, &samples), "of the 5 steps of a chain 5 cannot be left out");
    model_destroy(model);
    model = tiny_model(BATCH, 3);
    draws = (struct sample_options){.images = 1, .label = 3};
    refused(sample_images(&ranks, model, &draws, &samples), "the classes 0 to 2, not 3");
    options = (struct nll_options){.images = 30}; /* of ten classes */
    refused(nll_measure(&ranks, model, data, &options, &nll), "needs 0 to 2");
    model_destroy(model);
}

/* With the flag of a signal set, a job ends after every step: it goes on behind it, on all ranks and on one in turn. */
static void stopped_chains_go_on(struct model *model, const struct samples *want)
{
    const struct parallel alone = {MPI_COMM_SELF, 0, 1};
    char part[PATH_SIZE];
    int stops = 0;
    struct samples *samples = NULL;
    must(path_join(part, folder, "samples.png.part"));
    const struct sample_options options = {
        .clip_denoised = true, .images = IMAGES, .seed = 6, .label = -1, .columns = 2, .part = part};
    for (enum iddpm_status status = IDDPM_STOPPED; status == IDDPM_STOPPED; stops++) {
        assert_in_range(stops, 0, 1000);
        if (stops % 2 == 0) {
            status = sample_images(&ranks, model, &options, &samples);
        } else {
            if (ranks.rank == 0) status = sample_images(&alone, model, &options, &samples);
            must(parallel_broadcast(&ranks, &status, sizeof status));
        }
        if (status != IDDPM_OK && status != IDDPM_STOPPED) fail_msg("%s", iddpm_error_text());
    }
    int rounds = (IMAGES + BATCH - 1) / BATCH;
    assert_in_range(stops, rounds * 5 / ranks.size, rounds * 5 + 1);
    if (ranks.rank == 0) {
        char path[2][PATH_SIZE];
        for (int i = 0; i < 2; i++) must(path_join(path[i], folder, i ? "want.npz" : "got.npz"));
        must(samples_write_npz(samples, path[0]));
        must(samples_write_npz(want, path[1]));
        size_t n[2];
        uint8_t *bytes[2] = {scratch_read(path[0], &n[0]), scratch_read(path[1], &n[1])};
        assert_int_equal(n[0], n[1]);
        assert_memory_equal(bytes[0], bytes[1], n[0]);
        free(bytes[0]);
        free(bytes[1]);
    }
    samples_destroy(samples);
}

/* The last test: the flag of a signal stays set. */
static void a_signal_to_one_rank_stops_all(void **state)
{
    (void)state;
    struct model *model = tiny_model(BATCH, 0);
    struct nll *nll;
    struct samples *samples, *whole;
    const struct nll_options options = {.images = IMAGES};
    const struct sample_options draws = {.images = IMAGES, .label = -1};
    const struct sample_options two = {.clip_denoised = true, .images = IMAGES, .seed = 6, .label = -1, .columns = 2};
    must(config_load(&model->config, NULL, 0, NULL)); /* jobs are known by it */
    must(sample_images(&ranks, model, &two, &whole));
    stop_install();
    if (ranks.rank == ranks.size - 1) raise(SIGUSR1);
    assert_int_equal(nll_measure(&ranks, model, data, &options, &nll), IDDPM_STOPPED);
    assert_null(nll);
    assert_int_equal(sample_images(&ranks, model, &draws, &samples), IDDPM_STOPPED);
    assert_null(samples);
    if (ranks.size > 1 && ranks.rank == 0) raise(SIGUSR1); /* also when it works alone */
    stopped_chains_go_on(model, whole);
    samples_destroy(whole);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_do_not_depend_on_ranks),      cmocka_unit_test(validation_losses_are_those_of_training),
        cmocka_unit_test(images_to_enlarge_are_made_small), cmocka_unit_test(totals_add_up),
        cmocka_unit_test(samples_do_not_depend_on_ranks),   cmocka_unit_test(a_prefix_can_be_skipped),
        cmocka_unit_test(a_class_can_be_asked_for),         cmocka_unit_test(impossible_jobs_are_refused),
        cmocka_unit_test(a_signal_to_one_rank_stops_all)};
    if (ranks_start(&argc, &argv, 120) != 0) return 1;
    log_set_quiet(true);
    return ranks_end(cmocka_run_group_tests(tests, open_data, close_data));
}
