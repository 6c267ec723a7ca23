/* The images, labels, timesteps and noise of the first steps of a training, for the authors' code to be trained on the
 * same. Without dropout, flips and importance sampling.
 *
 * usage: authors_batch CONFIG STEPS OUT.h5 */
#include "iddpm/store.h"
#include "iddpm/train.h"

#include <stdlib.h>

struct steps {
    uint64_t n, batch, height, width, channels;
    uint8_t *pixels; /* [n][batch][height][width][channels], as the noise */
    double *noise;
    int64_t *labels, *t; /* [n][batch] */
};

static enum iddpm_status fill_leaf(const struct config *config, const struct dataset *data,
                                   const struct train_plan *plan, int leaf, struct steps *out)
{
    struct leaf_reader *reader;
    struct sampler *sampler;
    size_t image = (size_t)(out->height * out->width * out->channels), images = (size_t)plan->leaves.images;
    uint64_t seed = (uint64_t)config->run.seed;
    TRY(sampler_create(&sampler, "uniform", (int)config->diffusion.diffusion_steps));
    TRY(leaf_reader_create(&reader, data, leaf, plan->leaves.total, seed, 0));
    for (size_t step = 0; step < out->n; step++) {
        size_t first = step * out->batch + (size_t)leaf * images;
        TRY(leaf_reader_get(reader, step * images, (int)images, out->pixels + first * image, out->labels + first));
        for (size_t i = 0; i < images; i++) {
            uint32_t slot = (uint32_t)((size_t)leaf * images + i);
            struct rng draw = {seed, RNG_TIMESTEP, (uint32_t)step, slot},
                       noise = {seed, RNG_NOISE, (uint32_t)step, slot};
            int t;
            double weight;
            sampler_draw(sampler, rng_one_uniform(&draw), &t, &weight);
            out->t[first + i] = t;
            rng_normal(&noise, image, out->noise + (first + i) * image);
        }
    }
    leaf_reader_destroy(reader);
    sampler_destroy(sampler);
    return IDDPM_OK;
}

static enum iddpm_status write(const struct steps *steps, const char *path)
{
    const struct store_array arrays[] = {
        {"pixels", STORE_U8, 5, {steps->n, steps->batch, steps->height, steps->width, steps->channels}, steps->pixels},
        {"noise", STORE_F64, 5, {steps->n, steps->batch, steps->height, steps->width, steps->channels}, steps->noise},
        {"labels", STORE_I64, 2, {steps->n, steps->batch}, steps->labels},
        {"t", STORE_I64, 2, {steps->n, steps->batch}, steps->t}};
    return store_write(path, sizeof arrays / sizeof *arrays, arrays, 0, NULL);
}

static enum iddpm_status run(const char *name, uint64_t n, const char *out)
{
    struct config *config;
    struct dataset *data;
    struct train_plan plan;
    TRY(config_load(&config, name, 0, NULL));
    TRY(dataset_open(&data, config->data.path));
    TRY(train_plan(config, data, 0, 1, &plan));
    struct steps steps = {.n = n,
                          .batch = (uint64_t)config->train.batch_size,
                          .height = (uint64_t)data->height,
                          .width = (uint64_t)data->width,
                          .channels = (uint64_t)data->channels};
    size_t images = n * steps.batch, elements = images * steps.height * steps.width * steps.channels;
    TRY(mem_alloc(&steps.pixels, elements, 1, "pixels"));
    TRY(mem_alloc(&steps.noise, elements, sizeof *steps.noise, "noise"));
    TRY(mem_alloc(&steps.labels, images, sizeof *steps.labels, "labels"));
    TRY(mem_alloc(&steps.t, images, sizeof *steps.t, "timesteps"));
    for (int leaf = 0; leaf < plan.leaves.total; leaf++) TRY(fill_leaf(config, data, &plan, leaf, &steps));
    TRY(write(&steps, out));
    free(steps.pixels);
    free(steps.noise);
    free(steps.labels);
    free(steps.t);
    dataset_close(data);
    config_destroy(config);
    return IDDPM_OK;
}

int main(int argc, char **argv)
{
    if (argc != 4 || run(argv[1], strtoull(argv[2], NULL, 10), argv[3]) != IDDPM_OK) {
        fprintf(stderr, "authors_batch: %s\n", argc == 4 ? iddpm_error_text() : "CONFIG STEPS OUT.h5");
        return 1;
    }
    return 0;
}
