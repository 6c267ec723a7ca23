/* Sampling chains of whole networks against the authors': what every step leaves and what it takes x_0 to be. */
#include "iddpm/evaluate.h"
#include "iddpm/kernels.h"
#include "network.h"
#include "reference.h"

#include <stdlib.h>
#include <string.h>

/* Of the largest magnitude: float32 errors grow along a chain, most of all while encoding. */
#define TOLERANCE_SAMPLES 5e-4
#define TOLERANCE_XSTART 2e-3
#define TOLERANCE_XSTART_REVERSE 1e-2

struct chain {
    const struct reference *reference;
    const char *group;
    struct model *model;
    struct sample_options options;
    struct noise noise; /* [steps + 1][batch] images, channels last */
    size_t batch, steps;
    int64_t labels[16];
};

static double *doubles(size_t n)
{
    return malloc((n ? n : 1) * sizeof(double));
}

static void open_model(struct chain *chain)
{
    const struct reference *reference = chain->reference;
    const char *group = chain->group;
    char *schedule = reference_text(reference, group, "noise_schedule");
    char *respacing = reference_text(reference, group, "timestep_respacing");
    bool learn_sigma = reference_number(reference, group, "learn_sigma") != 0;
    bool sigma_small = reference_number(reference, group, "sigma_small") != 0;
    struct json *config = reference_json(reference, group, "config");
    struct model_spec spec = {.unet = network_options(config),
                              .diffusion = {.steps = (int)reference_number(reference, group, "diffusion_steps"),
                                            .noise_schedule = schedule,
                                            .timestep_respacing = respacing,
                                            .mean = MEAN_EPSILON,
                                            .var = learn_sigma   ? VAR_LEARNED_RANGE
                                                   : sigma_small ? VAR_FIXED_SMALL
                                                                 : VAR_FIXED_LARGE,
                                            .rescale_timesteps = true}};
    if (model_create(&chain->model, &spec, (int)chain->batch, 1) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    network_fill(chain->model->net, chain->model->params);
    chain->steps = (size_t)chain->model->diffusion->num_timesteps;
    json_free(config);
    free(schedule);
    free(respacing);
}

/* The draws of the whole chain, as the file of --noise would hold them. */
static void make_noise(struct chain *chain)
{
    const struct model *model = chain->model;
    size_t n = chain->batch * model->image;
    chain->noise = (struct noise){.name = "the rule",
                                  .draws = chain->steps + 1,
                                  .images = chain->batch,
                                  .image = model->image,
                                  .data = doubles((chain->steps + 1) * n)};
    double *first = doubles(n);
    for (size_t k = 0; k <= chain->steps; k++) {
        rule_noise((uint32_t)k, n, first);
        channels_last((int)chain->batch, model->channels, (size_t)model->pixels, first, chain->noise.data + k * n);
    }
    free(first);
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static void chain_open(struct chain *chain)
{
    char *kind = reference_text(chain->reference, chain->group, "kind");
    chain->batch = (size_t)reference_number(chain->reference, chain->group, "batch");
    chain->options = (struct sample_options){.kind = starts_with(kind, "ddim")      ? SAMPLING_DDIM
                                                     : starts_with(kind, "reverse") ? SAMPLING_DDIM_REVERSE
                                                                                    : SAMPLING_ANCESTRAL,
                                             .eta = reference_number(chain->reference, chain->group, "eta"),
                                             .clip_denoised = true,
                                             .label = -1};
    free(kind);
    open_model(chain);
    make_noise(chain);
    chain->options.noise = &chain->noise;
    if (chain->model->unet.num_classes == 0) return;
    struct array labels = reference_array(chain->reference, chain->group, "y");
    assert_in_range(labels.size, chain->batch, 16);
    for (size_t i = 0; i < chain->batch; i++) chain->labels[i] = (int64_t)labels.data[i];
    array_free(&labels);
}

static void chain_close(struct chain *chain)
{
    free(chain->noise.data);
    model_destroy(chain->model);
}

/* Compares step j of one of the two arrays, [steps][batch][c][h][w] in the file. */
static void check_step(const struct chain *chain, const struct array *want, const char *what, size_t j, const double *x,
                       double tolerance)
{
    size_t n = chain->batch * chain->model->image;
    double *first = doubles(n);
    channels_first((int)chain->batch, chain->model->channels, (size_t)chain->model->pixels, x, first);
    check_scaled(n, first, want->data + j * n, tolerance, "%s %s, step %zu", chain->group, what, j);
    free(first);
}

static void check_chain(struct chain *chain)
{
    struct model *model = chain->model;
    size_t n = chain->batch * model->image;
    const struct condition given = {.labels = chain->labels};
    struct array samples = reference_array(chain->reference, chain->group, "samples");
    struct array xstart = reference_array(chain->reference, chain->group, "pred_xstart");
    double *x = doubles(n), *pred_xstart = doubles(n), *first = doubles(n);
    bool reverse = chain->options.kind == SAMPLING_DDIM_REVERSE;
    assert_int_equal(samples.size, chain->steps * n);
    assert_int_equal(xstart.size, chain->steps * n);
    memcpy(x, chain->noise.data, n * sizeof *x);
    rule_fill(RULE_INPUT, 1, 0, n, first); /* what is encoded */
    if (reverse) channels_last((int)chain->batch, model->channels, (size_t)model->pixels, first, x);
    for (size_t j = 0; j < chain->steps; j++) {
        sample_step(model, &chain->options, (int)j, 0, (int)chain->batch, x, &given, pred_xstart);
        check_step(chain, &samples, "samples", j, x, TOLERANCE_SAMPLES);
        check_step(chain, &xstart, "pred_xstart", j, pred_xstart,
                   reverse ? TOLERANCE_XSTART_REVERSE : TOLERANCE_XSTART);
    }
    free(x);
    free(pred_xstart);
    free(first);
    array_free(&samples);
    array_free(&xstart);
}

static void chains_are_the_authors(void **state)
{
    (void)state;
    assert_int_equal(kernels_select(NULL), IDDPM_OK);
    struct reference *reference = reference_open("sampling");
    struct names cases = reference_cases(reference, "");
    assert_true(cases.n > 0);
    for (int i = 0; i < cases.n; i++) {
        struct chain chain = {.reference = reference, .group = cases.name[i]};
        chain_open(&chain);
        check_chain(&chain);
        chain_close(&chain);
    }
    names_free(&cases);
    reference_close(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chains_are_the_authors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
