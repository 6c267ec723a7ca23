/* Files that evaluations read and write: draws of noise, nll results, samples. */
#include "check.h"
#include "iddpm/evaluate.h"
#include "iddpm/kernels.h"
#include "scratch.h"

#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char folder[PATH_SIZE];

static void refused(enum iddpm_status status, const char *text)
{
    if (status == IDDPM_OK || !strstr(iddpm_error_text(), text))
        fail_msg("status %d; '%s' should say '%s'", status, iddpm_error_text(), text);
}

static const char *at(const char *name)
{
    static char path[PATH_SIZE];
    must(path_join(path, folder, name));
    return path;
}

/* ---- noise ------------------------------------------------------------------------------------------------------- */

enum { DRAWS = 3, IMAGES = 2, IMAGE = 2 * 2 * 1, ALL = DRAWS * IMAGES * IMAGE };

static void check_noise(const char *path)
{
    struct noise *noise;
    must(noise_read(&noise, path));
    assert_int_equal(noise->draws, DRAWS);
    assert_int_equal(noise->images, IMAGES);
    assert_int_equal(noise->image, IMAGE);
    for (int i = 0; i < ALL; i++) assert_true(noise->data[i] == i * 0.5);
    noise_destroy(noise);
}

static void noise_is_read_from_both_kinds_of_file(void **state)
{
    (void)state;
    double doubles[ALL];
    float floats[ALL];
    for (int i = 0; i < ALL; i++) floats[i] = (float)(doubles[i] = i * 0.5);
    struct store_array arrays[] = {{"noise", STORE_F64, 5, {DRAWS, IMAGES, 2, 2, 1}, doubles},
                                   {"noise", STORE_F32, 3, {DRAWS, IMAGES, IMAGE}, floats}};
    for (int i = 0; i < 2; i++) {
        must(store_write(at("noise.h5"), 1, &arrays[i], 0, NULL));
        check_noise(at("noise.h5"));
    }
    struct npz_array members[] = {{"arr_0", STORE_F64, 5, {DRAWS, IMAGES, 2, 2, 1}, doubles},
                                  {"eps", STORE_F32, 3, {DRAWS, IMAGES, IMAGE}, floats}};
    for (int i = 0; i < 2; i++) {
        must(npz_write(at("noise.npz"), 1, &members[i]));
        check_noise(at("noise.npz"));
    }
}

/* Results are known again by the draws, not by the name alone. */
static void other_draws_under_a_name_are_other_noise(void **state)
{
    (void)state;
    double draws[ALL] = {0};
    uint32_t crcs[2];
    for (int i = 0; i < 2; i++) {
        struct noise *noise;
        char crc[32];
        draws[ALL - 1] = i;
        must(store_write(at("noise.h5"), 1, &(struct store_array){"noise", STORE_F64, 3, {DRAWS, IMAGES, IMAGE}, draws},
                         0, NULL));
        must(noise_read(&noise, at("noise.h5")));
        crcs[i] = noise->crc32;
        snprintf(crc, sizeof crc, "noise.h5, crc32 %08x", (unsigned)noise->crc32);
        assert_non_null(strstr(noise->label, crc));
        noise_destroy(noise);
    }
    assert_int_not_equal(crcs[0], crcs[1]);
}

static void other_arrays_are_no_noise(void **state)
{
    (void)state;
    struct noise *noise;
    int64_t integers[ALL] = {0};
    double doubles[ALL] = {0};
    struct store_array array = {"noise", STORE_I64, 3, {DRAWS, IMAGES, IMAGE}, integers};
    must(store_write(at("noise.h5"), 1, &array, 0, NULL));
    refused(noise_read(&noise, at("noise.h5")), "noise");
    assert_null(noise);
    array = (struct store_array){"eps", STORE_F64, 3, {DRAWS, IMAGES, IMAGE}, doubles};
    must(store_write(at("noise.h5"), 1, &array, 0, NULL));
    refused(noise_read(&noise, at("noise.h5")), "noise");
    array = (struct store_array){"noise", STORE_F64, 2, {DRAWS, IMAGES * IMAGE}, doubles};
    must(store_write(at("noise.h5"), 1, &array, 0, NULL));
    refused(noise_read(&noise, at("noise.h5")), "[draws][images] and the dimensions of an image");
    struct npz_array member = {"arr_0", STORE_I64, 3, {DRAWS, IMAGES, IMAGE}, integers};
    must(npz_write(at("noise.npz"), 1, &member));
    refused(noise_read(&noise, at("noise.npz")), "float32 or float64");
    refused(noise_read(&noise, at("none.npz")), "none.npz");
    scratch_write(at("text.h5"), "text", 4);
    refused(noise_read(&noise, at("text.h5")), "text.h5");
    assert_null(noise);
}

/* ---- results of nll ---------------------------------------------------------------------------------------------- */

enum { STEPS = 4 };

static struct model *open_model(void)
{
    static const char *const keys[] = {"image_size=4",    "in_channels=1",     "num_channels=32",
                                       "channel_mult=1",  "num_res_blocks=1",  "attention_resolutions=4",
                                       "num_heads=1",     "diffusion_steps=8", "noise_schedule=cosine",
                                       "learn_sigma=true"};
    struct config *config;
    struct model_spec spec;
    struct model *model;
    must(kernels_select(NULL));
    must(config_load(&config, NULL, sizeof keys / sizeof *keys, keys));
    must(model_spec_from_config(config, -1, "ddim4", &spec));
    must(model_create(&model, &spec, 2, 1));
    model->config = config;
    model->step = 7;
    strcpy(model->path, "run/checkpoints/step-00000007.h5");
    strcpy(model->weights, "ema/0.9");
    return model;
}

static struct nll make_nll(double values[3][IMAGES * STEPS], double images[2][IMAGES])
{
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < IMAGES * STEPS; i++) values[k][i] = 100 * k + i;
    for (int i = 0; i < IMAGES; i++) images[0][i] = 0.5 + i, images[1][i] = 7 + i;
    static int first[STEPS + 1] = {0, 1, 2, 3, 4};
    return (struct nll){.images = IMAGES,
                        .steps = STEPS,
                        .first = first,
                        .vb = values[0],
                        .mse = values[1],
                        .xstart_mse = values[2],
                        .prior = images[0],
                        .total = images[1],
                        .mean = 7.5,
                        .standard_error = 0.5};
}

static void check_array(const char *name, int ndim, size_t n, const double *want)
{
    struct store_array array;
    must(store_read(at("nll.h5"), name, STORE_F64, &array));
    assert_int_equal(array.ndim, ndim);
    assert_int_equal(array.dims[0], IMAGES);
    assert_memory_equal(array.data, want, n * sizeof *want);
    free(array.data);
}

static void a_result_says_what_was_measured_on_what(void **state)
{
    (void)state;
    double values[3][IMAGES * STEPS], images[2][IMAGES], number;
    struct nll nll = make_nll(values, images);
    struct model *model = open_model();
    struct dataset data = {.folder = "data/held-out", .hash = "abc", .images = IMAGES};
    const struct nll_options options = {.seed = 3};
    must(nll_write(&nll, model, &data, &options, at("nll.h5")));
    check_array("vb", 2, IMAGES * STEPS, values[0]);
    check_array("mse", 2, IMAGES * STEPS, values[1]);
    check_array("xstart_mse", 2, IMAGES * STEPS, values[2]);
    check_array("prior", 1, IMAGES, images[0]);
    check_array("total", 1, IMAGES, images[1]);
    struct store_array timesteps;
    must(store_read(at("nll.h5"), "timesteps", STORE_I64, &timesteps));
    for (int k = 0; k < STEPS; k++) assert_int_equal(((int64_t *)timesteps.data)[k], 2 * (STEPS - 1 - k));
    free(timesteps.data);
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"bits_per_dim", 7.5},  {"standard_error", 0.5}, {"images", IMAGES},   {"step", 7},
                   {"diffusion_steps", 8}, {"num_timesteps", 4},    {"clip_denoised", 0}, {"seed", 3},
                   {"batch", 2},           {"strata", 0},           {"weights_crc32", 0}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        must(store_read_number(at("nll.h5"), "/", numbers[i].name, &number));
        assert_true(number == numbers[i].value);
    }
    const char *const texts[][2] = {{"checkpoint", "run/checkpoints/step-00000007.h5"},
                                    {"weights", "ema/0.9"},
                                    {"data", "data/held-out"},
                                    {"data_hash", "abc"},
                                    {"noise_schedule", "cosine"},
                                    {"noise", "philox"},
                                    {"respacing", "ddim4"},
                                    {"instruction_set", kernels_isa()}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *text;
        must(store_read_text(at("nll.h5"), "/", texts[i][0], &text));
        assert_string_equal(text, texts[i][1]);
        free(text);
    }
    model_destroy(model);
}

/* Results without the settings of an ensemble, as they were once written, are those of one model. */
static void a_result_from_before_ensembles_counts(void **state)
{
    (void)state;
    static const char *const names[] = {"ends_checkpoint",    "ends_step",  "ends_weights",
                                        "ends_weights_crc32", "ends_below", "ends_from"};
    double values[3][IMAGES * STEPS], images[2][IMAGES];
    struct nll nll = make_nll(values, images);
    struct model *model = open_model();
    struct dataset data = {.folder = "data/held-out", .hash = "abc", .images = IMAGES};
    const struct nll_options options = {.seed = 3};
    must(nll_write(&nll, model, &data, &options, at("nll.h5")));
    assert_true(nll_is_measured(model, &data, &options, at("nll.h5")));
    hid_t file = H5Fopen(at("nll.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
    for (int i = 0; i < 6; i++) assert_true(H5Adelete(file, names[i]) >= 0);
    assert_true(H5Fclose(file) >= 0);
    assert_true(nll_is_measured(model, &data, &options, at("nll.h5")));
    must(model_add_ends(model, open_model(), 2, 6));
    assert_false(nll_is_measured(model, &data, &options, at("nll.h5")));
    must(nll_write(&nll, model, &data, &options, at("nll.h5")));
    assert_true(nll_is_measured(model, &data, &options, at("nll.h5")));
    model->ends->weights_crc32 = 5;
    assert_false(nll_is_measured(model, &data, &options, at("nll.h5")));
    model_destroy(model);
}

/* vb of two images and their prior make up bits_per_dim; errors are means over timesteps, whatever the strata. */
static void a_result_is_read_again(void **state)
{
    (void)state;
    enum { STRATA = 2 };
    double vb[] = {1, 2, 3, 4}, mse[] = {0.5, 1, 0.5, 1}, xstart_mse[] = {2, 2, 2, 2}, prior[] = {0.5, 1.5},
           total[] = {5.5, 14.5};
    int first[STRATA + 1] = {0, 1, 4}; /* column 0 counts three times */
    struct nll nll = {IMAGES, STRATA, first, vb, mse, xstart_mse, prior, total, 10, 4.5};
    struct model *model = open_model();
    struct dataset data = {.folder = "data/held-out", .hash = "abc", .images = IMAGES};
    const struct nll_options options = {.seed = 3, .strata = STRATA, .clip_denoised = true};
    struct nll_result *r;
    must(nll_write(&nll, model, &data, &options, at("nll.h5")));
    must(nll_result_read(&r, at("nll.h5")));
    assert_true(r->bits_per_dim == 10 && r->standard_error == 4.5 && r->images == IMAGES && r->total[1] == 14.5);
    assert_true(r->vb == 9 && r->prior == 1 && r->mse == 2.5 / 4 && r->xstart_mse == 2);
    assert_true(r->step == 7 && r->diffusion_steps == 8 && r->num_timesteps == 4 && r->strata == STRATA);
    assert_true(r->seed == 3 && r->batch == 2 && r->clip_denoised);
    assert_string_equal(r->respacing, "ddim4");
    assert_string_equal(r->data_hash, "abc");
    assert_string_equal(r->checkpoint, model->path);
    nll_result_destroy(r);
    struct store_array timesteps;
    must(store_read(at("nll.h5"), "timesteps", STORE_I64, &timesteps));
    assert_true(timesteps.ndim == 2 && timesteps.dims[0] == IMAGES && timesteps.dims[1] == STRATA);
    const int64_t *t = timesteps.data; /* every second of 8 */
    for (int i = 0; i < IMAGES; i++) {
        assert_in_range(t[i * STRATA], 2, 6);
        assert_int_equal(t[i * STRATA] % 2, 0);
        assert_int_equal(t[i * STRATA + 1], 0);
    }
    free(timesteps.data);
    const double weights[] = {3, 1};
    struct store_array read;
    must(store_read(at("nll.h5"), "column_weights", STORE_F64, &read));
    assert_memory_equal(read.data, weights, sizeof weights);
    free(read.data);
    model_destroy(model);
}

static void what_is_no_result_is_named(void **state)
{
    (void)state;
    struct nll_result *r;
    double two[] = {1, 2};
    const struct store_array total = {"total", STORE_F64, 1, {2}, two};
    refused(nll_result_read(&r, at("nothing.h5")), "nothing.h5");
    must(store_write(at("other.h5"), 1, &total, 0, NULL));
    refused(nll_result_read(&r, at("other.h5")), "other.h5: cannot read the attribute bits_per_dim");
    assert_null(r);
    scratch_write(at("cut.h5"), "\x89HDF", 4);
    refused(nll_result_read(&r, at("cut.h5")), "cut.h5");
}

static void means_are_written_as_npz(void **state)
{
    (void)state;
    static const char *const names[] = {"vb_terms.npz", "mse_terms.npz", "xstart_mse_terms.npz"};
    double values[3][IMAGES * STEPS], images[2][IMAGES];
    struct nll nll = make_nll(values, images);
    must(nll_write_npz(&nll, folder));
    for (int k = 0; k < 3; k++) {
        struct npz_array *arrays;
        int n;
        must(npz_read(at(names[k]), &n, &arrays));
        assert_int_equal(n, 1);
        assert_string_equal(arrays[0].name, "arr_0");
        assert_int_equal(arrays[0].type, STORE_F64);
        assert_int_equal(arrays[0].ndim, 1);
        assert_int_equal(arrays[0].dims[0], STEPS);
        for (int i = 0; i < STEPS; i++) assert_true(((double *)arrays[0].data)[i] == 100 * k + i + STEPS / 2.);
        npz_free(n, arrays);
    }
    refused(nll_write_npz(&nll, at("no-folder")), "no-folder/vb_terms.npz");
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

static void samples_are_a_picture_and_an_archive(void **state)
{
    (void)state;
    enum { N = 5, H = 2, C = 3, SIZE = H * H * C };
    uint8_t pixels[N * SIZE];
    int64_t labels[N] = {4, 3, 2, 1, 0};
    for (int i = 0; i < N * SIZE; i++) pixels[i] = (uint8_t)(i * 4);
    struct samples samples = {.images = N, .height = H, .width = H, .channels = C, .pixels = pixels};
    must(samples_write_npz(&samples, at("s.npz")));
    struct npz_array *arrays;
    int n;
    must(npz_read(at("s.npz"), &n, &arrays));
    assert_int_equal(n, 1);
    npz_free(n, arrays);
    samples.labels = labels;
    must(samples_write_npz(&samples, at("s.npz")));
    must(npz_read(at("s.npz"), &n, &arrays));
    assert_int_equal(n, 2);
    const uint64_t dims[] = {N, H, H, C};
    assert_int_equal(arrays[0].ndim, 4);
    assert_memory_equal(arrays[0].dims, dims, sizeof dims);
    assert_memory_equal(arrays[0].data, pixels, sizeof pixels);
    assert_string_equal(arrays[1].name, "arr_1");
    assert_memory_equal(arrays[1].data, labels, sizeof labels);
    npz_free(n, arrays);
    struct picture picture;
    must(samples_write_png(&samples, at("s.png")));
    must(picture_read(&picture, at("s.png")));
    int factor = 64 / H; /* enlarged, so the pixel before the gap between two images is the first image's last */
    assert_true(picture.width % factor == 0 && picture.height % factor == 0);
    bool found = false;
    for (int i = 0; i < picture.width * picture.height; i++)
        found |= memcmp(picture.pixels + (size_t)i * 3, pixels + SIZE - C, C) == 0;
    assert_true(found);
    picture_destroy(&picture);
}

static void images_of_two_channels_are_no_picture(void **state)
{
    (void)state;
    uint8_t pixels[8] = {0};
    const struct samples samples = {.images = 1, .height = 2, .width = 2, .channels = 2, .pixels = pixels};
    refused(samples_write_png(&samples, at("two.png")), "only 1 or 3 can be drawn");
    assert_false(path_exists(at("two.png")));
}

static int make_folder(void **state)
{
    (void)state;
    scratch_make(folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(noise_is_read_from_both_kinds_of_file),
                                       cmocka_unit_test(other_draws_under_a_name_are_other_noise),
                                       cmocka_unit_test(other_arrays_are_no_noise),
                                       cmocka_unit_test(a_result_says_what_was_measured_on_what),
                                       cmocka_unit_test(a_result_from_before_ensembles_counts),
                                       cmocka_unit_test(a_result_is_read_again),
                                       cmocka_unit_test(what_is_no_result_is_named),
                                       cmocka_unit_test(means_are_written_as_npz),
                                       cmocka_unit_test(samples_are_a_picture_and_an_archive),
                                       cmocka_unit_test(images_of_two_channels_are_no_picture)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
