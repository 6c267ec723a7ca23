/* What of the authors' losses, bounds and sampling chains needs no network: q_sample, the prior term, and each sampling
 * step, which follows from the step before and the prediction of x_0 that the files hold. */
#include "iddpm/diffusion.h"
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Float arrays of more than 600 elements are stored as float32; a step multiplies that error by at most this. */
#define STORED 2e-6

struct image {
    size_t batch, size; /* elements of one */
    int channels, pixels;
};

static struct image image_of(const struct reference *reference, const char *group)
{
    double shape[3];
    assert_int_equal(reference_numbers(reference, group, "image", 3, shape), 3);
    struct image image = {.batch = (size_t)reference_number(reference, group, "batch"),
                          .channels = (int)shape[0],
                          .pixels = (int)(shape[1] * shape[2])};
    image.size = (size_t)image.channels * (size_t)image.pixels;
    return image;
}

static struct diffusion *create(const char *schedule, int steps, const char *respacing, enum mean_type mean,
                                enum var_type var)
{
    struct diffusion_options options = {.steps = steps,
                                        .noise_schedule = schedule,
                                        .timestep_respacing = respacing,
                                        .mean = mean,
                                        .var = var,
                                        .rescale_timesteps = true};
    struct diffusion *d;
    if (diffusion_create(&d, &options) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return d;
}

static double *doubles(size_t n)
{
    return malloc((n ? n : 1) * sizeof(double));
}

static void q_sample_and_prior_of_losses(void **state)
{
    (void)state;
    struct reference *reference = reference_open("losses");
    struct image image = image_of(reference, "");
    size_t n = image.batch * image.size, width = 4; /* the first pixels of images 0 and 1 are the extreme levels */
    struct diffusion *d =
        create("cosine", (int)reference_number(reference, "", "diffusion_steps"), "", MEAN_EPSILON, VAR_LEARNED_RANGE);
    struct array t = reference_array(reference, "", "t"), want = reference_array(reference, "", "q_sample_cosine");
    struct array prior = reference_array(reference, "", "prior_bpd_cosine");
    double *x_start = doubles(n), *noise = doubles(n), *got = doubles(n), *bpd = doubles(image.batch);
    rule_images(RULE_INPUT, n, x_start);
    rule_noise(0, n, noise);
    for (size_t i = 0; i < width; i++) x_start[i] = -1, x_start[image.size + i] = 1;
    for (size_t k = 0; k < image.batch; k++) {
        size_t at = k * image.size;
        q_sample(d, (int)t.data[k], image.size, x_start + at, noise + at, got + at);
        bpd[k] = prior_bpd(d, image.size, x_start + at);
    }
    check_scaled(n, got, want.data, STORED, "q_sample_cosine");
    check_close(image.batch, bpd, prior.data, TOLERANCE_MATHS, TOLERANCE_MATHS_ZERO, "prior_bpd_cosine");
    free(x_start);
    free(noise);
    free(got);
    free(bpd);
    array_free(&t);
    array_free(&want);
    array_free(&prior);
    diffusion_destroy(d);
    reference_close(reference);
}

static void prior_of_nll(void **state)
{
    (void)state;
    struct reference *reference = reference_open("nll");
    struct names cases = reference_cases(reference, "");
    assert_true(cases.n > 0);
    for (int i = 0; i < cases.n; i++) {
        const char *group = cases.name[i];
        struct image image = image_of(reference, group);
        char *schedule = reference_text(reference, group, "noise_schedule");
        char *respacing = reference_text(reference, group, "timestep_respacing");
        struct diffusion *d = create(schedule, (int)reference_number(reference, group, "diffusion_steps"), respacing,
                                     MEAN_EPSILON, VAR_LEARNED_RANGE);
        struct array want = reference_array(reference, group, "prior_bpd");
        double *x_start = doubles(image.batch * image.size), *got = doubles(image.batch);
        rule_images(RULE_INPUT, image.batch * image.size, x_start);
        for (size_t k = 0; k < image.batch; k++) got[k] = prior_bpd(d, image.size, x_start + k * image.size);
        check_close(image.batch, got, want.data, TOLERANCE_MATHS, TOLERANCE_MATHS_ZERO, "%s", group);
        free(x_start);
        free(got);
        free(schedule);
        free(respacing);
        array_free(&want);
        diffusion_destroy(d);
    }
    names_free(&cases);
    reference_close(reference);
}

/* One chain: x_T, then step j gives samples[j] from samples[j - 1] and pred_xstart[j], for the whole batch at once as
 * one long image (the order of its elements does not matter here). */
struct chain {
    const char *kind;
    double eta;
    size_t n; /* elements of the batch */
    struct array samples, xstart;
};

static void step(const struct diffusion *d, const struct chain *chain, int j, const double *x, double *sample)
{
    int last = d->num_timesteps - 1, n = (int)chain->n;
    float *output = malloc(chain->n * sizeof *output); /* the diffusion predicts x_0 itself */
    double *noise = doubles(chain->n);
    for (size_t i = 0; i < chain->n; i++) output[i] = (float)chain->xstart.data[(size_t)j * chain->n + i];
    rule_noise((uint32_t)j + 1, chain->n, noise);
    if (strcmp(chain->kind, "reverse") == 0)
        ddim_reverse_sample(d, j, n, 1, x, output, true, sample, NULL);
    else if (strcmp(chain->kind, "ddim") == 0)
        ddim_sample(d, last - j, n, 1, x, output, true, chain->eta, noise, sample, NULL);
    else
        p_sample(d, last - j, n, 1, x, output, true, noise, sample, NULL);
    free(output);
    free(noise);
}

static void check_chain(const struct diffusion *d, const struct chain *chain, const char *name)
{
    double *first = doubles(chain->n), *sample = doubles(chain->n);
    if (strcmp(chain->kind, "reverse") == 0)
        rule_fill(RULE_INPUT, 1, 0, chain->n, first);
    else
        rule_noise(0, chain->n, first);
    assert_int_equal(chain->samples.dims[0], d->num_timesteps);
    for (int j = 0; j < d->num_timesteps; j++) {
        const double *want = chain->samples.data + (size_t)j * chain->n;
        int t = strcmp(chain->kind, "reverse") == 0 ? j : d->num_timesteps - 1 - j;
        /* epsilon is a difference of rounded values over sqrt(1 / abar - 1) */
        double tolerance = STORED * (1 + 1 / d->sqrt_recipm1_alphas_cumprod[t]);
        step(d, chain, j, j ? want - chain->n : first, sample);
        check_scaled(chain->n, sample, want, tolerance, "%s, step %d", name, j);
    }
    free(first);
    free(sample);
}

/* All chains but those whose variance a network gave. */
static void steps_of_sampling(void **state)
{
    (void)state;
    struct reference *reference = reference_open("sampling");
    struct names cases = reference_cases(reference, "");
    int checked = 0;
    for (int i = 0; i < cases.n; i++) {
        const char *group = cases.name[i];
        struct image image = image_of(reference, group);
        char *kind = reference_text(reference, group, "kind");
        bool ancestral = strncmp(kind, "ancestral", 9) == 0;
        if (ancestral && reference_number(reference, group, "learn_sigma") != 0) {
            free(kind);
            continue;
        }
        char *schedule = reference_text(reference, group, "noise_schedule");
        char *respacing = reference_text(reference, group, "timestep_respacing");
        bool small = reference_number(reference, group, "sigma_small") != 0;
        struct diffusion *d = create(schedule, (int)reference_number(reference, group, "diffusion_steps"), respacing,
                                     MEAN_START_X, small ? VAR_FIXED_SMALL : VAR_FIXED_LARGE);
        struct chain chain = {.kind = kind,
                              .eta = reference_number(reference, group, "eta"),
                              .n = image.batch * image.size,
                              .samples = reference_array(reference, group, "samples"),
                              .xstart = reference_array(reference, group, "pred_xstart")};
        check_chain(d, &chain, group);
        checked++;
        array_free(&chain.samples);
        array_free(&chain.xstart);
        diffusion_destroy(d);
        free(kind);
        free(schedule);
        free(respacing);
    }
    assert_true(checked > 0);
    names_free(&cases);
    reference_close(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(q_sample_and_prior_of_losses), cmocka_unit_test(prior_of_nll),
                                       cmocka_unit_test(steps_of_sampling)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
