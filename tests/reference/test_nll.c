/* Every term of the bound by the whole nll job, data set included, against the authors' calc_bpd_loop. */
#include "iddpm/evaluate.h"
#include "iddpm/kernels.h"
#include "network.h"
#include "ranks.h"
#include "reference.h"
#include "scratch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE_CLIPPED_XSTART 1e-4 /* relative: few of its errors are not cut off */

struct job {
    const struct reference *reference;
    const char *group;
    struct model *model;
    struct dataset *data;
    struct noise noise; /* [steps][images], channels last, in the order of the data set */
    size_t images, steps;
    uint64_t *place; /* [images] in the data set, where an import deals images in another order */
};

static void *zeroed(size_t n, size_t size)
{
    return calloc(n ? n : 1, size);
}

static void open_model(struct job *job)
{
    char *schedule = reference_text(job->reference, job->group, "noise_schedule");
    char *respacing = reference_text(job->reference, job->group, "timestep_respacing");
    struct json *config = reference_json(job->reference, job->group, "config");
    struct model_spec spec = {
        .unet = network_options(config),
        .diffusion = {.steps = (int)reference_number(job->reference, job->group, "diffusion_steps"),
                      .noise_schedule = schedule,
                      .timestep_respacing = respacing,
                      .mean = MEAN_EPSILON,
                      .var = VAR_LEARNED_RANGE,
                      .rescale_timesteps = true}};
    int batch = (int)job->images - 1; /* so that there is a last batch that is padded */
    if (model_create(&job->model, &spec, batch, 1) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    network_fill(job->model->net, job->model->params);
    job->steps = (size_t)job->model->diffusion->num_timesteps;
    json_free(config);
    free(schedule);
    free(respacing);
}

/* The images of the rule as pixels, imported; job->place by looking for them. */
static void open_data(struct job *job, const char *folder)
{
    const struct model *model = job->model;
    size_t image = model->image, all = job->images * image, size = (size_t)model->unet.image_size;
    char source[PATH_SIZE], target[PATH_SIZE];
    double *first = zeroed(all, sizeof *first), *last = zeroed(all, sizeof *last);
    uint8_t *pixels = zeroed(all, 1), *dealt = zeroed(all, 1);
    rule_images(RULE_INPUT, all, first);
    channels_last((int)job->images, model->channels, (size_t)model->pixels, first, last);
    for (size_t i = 0; i < all; i++) pixels[i] = (uint8_t)rint((last[i] + 1) * 127.5);
    assert_int_equal(path_join(source, folder, "images.npz"), IDDPM_OK);
    assert_int_equal(path_join(target, folder, "data"), IDDPM_OK);
    struct npz_array array = {"arr_0", STORE_U8, 4, {job->images, size, size, (uint64_t)model->channels}, pixels};
    struct import_options options = {.kind = IMPORT_NPZ, .source = source, .target = target};
    struct import_result result;
    if (npz_write(source, 1, &array) != IDDPM_OK || data_import(&options, &result) != IDDPM_OK ||
        dataset_open(&job->data, target) != IDDPM_OK ||
        dataset_read(job->data, 0, job->images, dealt, NULL) != IDDPM_OK)
        fail_msg("%s", iddpm_error_text());
    job->place = zeroed(job->images, sizeof *job->place);
    for (size_t i = 0; i < job->images; i++)
        while (memcmp(pixels + i * image, dealt + job->place[i] * image, image) != 0)
            assert_true(++job->place[i] < job->images);
    free(first);
    free(last);
    free(pixels);
    free(dealt);
}

static void make_noise(struct job *job)
{
    const struct model *model = job->model;
    size_t image = model->image, all = job->images * image;
    double *first = zeroed(all, sizeof *first), *last = zeroed(all, sizeof *last);
    job->noise = (struct noise){.name = "the rule",
                                .draws = job->steps,
                                .images = job->images,
                                .image = image,
                                .data = zeroed(job->steps * all, sizeof(double))};
    for (size_t k = 0; k < job->steps; k++) {
        rule_noise((uint32_t)k, all, first);
        channels_last((int)job->images, model->channels, (size_t)model->pixels, first, last);
        for (size_t i = 0; i < job->images; i++)
            memcpy(job->noise.data + k * all + job->place[i] * image, last + i * image, image * sizeof *last);
    }
    free(first);
    free(last);
}

/* Compares an array of [images][columns], given in the order of the data set. */
static void check_terms(const struct job *job, const char *name, const double *dealt, size_t columns, double relative)
{
    struct array want = reference_array(job->reference, job->group, name);
    double *got = zeroed(want.size, sizeof *got);
    assert_int_equal(want.size, job->images * columns);
    for (size_t i = 0; i < job->images; i++)
        memcpy(got + i * columns, dealt + job->place[i] * columns, columns * sizeof *got);
    check_close(want.size, got, want.data, relative, TOLERANCE_LOSS_SET * largest_magnitude(want.size, want.data),
                "%s %s", job->group, name);
    free(got);
    array_free(&want);
}

static void check_job(struct job *job)
{
    struct nll_options options = {.clip_denoised = reference_number(job->reference, job->group, "clip_denoised") != 0,
                                  .noise = &job->noise};
    struct nll *nll;
    if (nll_measure(&ranks, job->model, job->data, &options, &nll) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    check_terms(job, "vb", nll->vb, job->steps, TOLERANCE_LOSS);
    check_terms(job, "mse", nll->mse, job->steps, TOLERANCE_LOSS);
    check_terms(job, "xstart_mse", nll->xstart_mse, job->steps,
                options.clip_denoised ? TOLERANCE_CLIPPED_XSTART : TOLERANCE_LOSS);
    check_terms(job, "prior_bpd", nll->prior, 1, TOLERANCE_LOSS);
    check_terms(job, "total_bpd", nll->total, 1, TOLERANCE_LOSS);
    nll_destroy(nll);
}

static void terms_are_the_authors(void **state)
{
    (void)state;
    assert_int_equal(kernels_select(NULL), IDDPM_OK);
    struct reference *reference = reference_open("nll");
    struct names cases = reference_cases(reference, "");
    assert_true(cases.n > 0);
    for (int i = 0; i < cases.n; i++) {
        struct job job = {.reference = reference, .group = cases.name[i]};
        char folder[PATH_SIZE];
        scratch_make(folder);
        job.images = (size_t)reference_number(reference, job.group, "batch");
        open_model(&job);
        open_data(&job, folder);
        make_noise(&job);
        check_job(&job);
        free(job.noise.data);
        free(job.place);
        dataset_close(job.data);
        model_destroy(job.model);
        scratch_remove(folder);
    }
    names_free(&cases);
    reference_close(reference);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(terms_are_the_authors)};
    if (ranks_start(&argc, &argv, 250) != 0) return 1;
    log_set_quiet(true);
    return ranks_end(cmocka_run_group_tests(tests, NULL, NULL));
}
