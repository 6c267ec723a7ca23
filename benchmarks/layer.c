/* Effective rate (of the direct algorithm's operations) of each 3x3 convolution shape, pass and algorithm, as a ratio
 * to the multiply-add peak of the same threads measured in the same run: one JSON line per measurement, and one per
 * algorithm for the first eight shapes together. The algorithms take turns; caches are cold as in a network, whose
 * other layers ran in between, unless --warm. bench_layer [--warm] [INSTRUCTION SET]; threads by OMP_NUM_THREADS. */
#include "support/arrays.h"
#include "support/peak.h"

#include "iddpm/kernels.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 12
#define IN_TOTAL 8 /* shapes */

static const struct conv_shape shapes[] = {
    {.n = 8, .h = 32, .w = 32, .c_in = 128, .c_out = 128, .stride = 1},
    {.n = 8, .h = 16, .w = 16, .c_in = 256, .c_out = 256, .stride = 1},
    {.n = 8, .h = 8, .w = 8, .c_in = 256, .c_out = 256, .stride = 1},
    {.n = 8, .h = 4, .w = 4, .c_in = 256, .c_out = 256, .stride = 1},
    {.n = 8, .h = 32, .w = 32, .c_in = 384, .c_out = 128, .stride = 1},
    {.n = 8, .h = 32, .w = 32, .c_in = 256, .c_out = 128, .stride = 1},
    {.n = 8, .h = 16, .w = 16, .c_in = 512, .c_out = 256, .stride = 1},
    {.n = 8, .h = 8, .w = 8, .c_in = 512, .c_out = 512, .stride = 1},
    {.n = 2, .h = 64, .w = 64, .c_in = 128, .c_out = 128, .stride = 1},
    {.n = 8, .h = 32, .w = 32, .c_in = 128, .c_out = 128, .stride = 2},
    {.n = 8, .h = 32, .w = 32, .c_in = 3, .c_out = 128, .stride = 1},
    {.n = 8, .h = 32, .w = 32, .c_in = 128, .c_out = 6, .stride = 1},
};

/* ---- layers ------------------------------------------------------------------------------------------------------ */

enum pass { FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, PASSES };
static const char *const pass_names[PASSES] = {"forward", "backward_input", "backward_weight"};
#define ALGORITHMS (CONV_WINOGRAD4 + 1)
static const char *const algorithm_names[ALGORITHMS] = {"direct", "winograd2", "winograd4"};

struct layer {
    struct conv_shape shape;
    float *x, *y, *weight, *dweight, *bias;
    float *packed[ALGORITHMS][2], *scratch[ALGORITHMS];
};

static enum iddpm_status layer_create(struct layer *layer, const struct conv_shape *given)
{
    struct conv_shape *s = &layer->shape;
    *s = *given;
    s->x_pitch = s->c_in;
    s->y_pitch = s->c_out;
    size_t h_out = (s->h + s->stride - 1) / s->stride, w_out = (s->w + s->stride - 1) / s->stride;
    size_t x = (size_t)s->n * s->h * s->w * s->c_in, y = s->n * h_out * w_out * s->c_out;
    size_t weight = (size_t)9 * s->c_in * s->c_out;
    TRY(mem_alloc(&layer->x, x, sizeof(float), "input"));
    TRY(mem_alloc(&layer->y, y, sizeof(float), "output"));
    TRY(mem_alloc(&layer->weight, weight, sizeof(float), "weight"));
    TRY(mem_alloc(&layer->bias, s->c_out, sizeof(float), "bias"));
    TRY(mem_alloc(&layer->dweight, weight, sizeof(float), "gradient"));
    bench_fill(x, layer->x);
    bench_fill(y, layer->y);
    bench_fill(weight, layer->weight);
    for (s->algorithm = CONV_DIRECT; s->algorithm < ALGORITHMS; s->algorithm++) {
        if (s->algorithm != CONV_DIRECT && s->stride != 1) continue;
        size_t scratch = conv3x3_scratch_size(s, omp_get_max_threads());
        TRY(mem_alloc(&layer->scratch[s->algorithm], scratch, sizeof(float), "scratch"));
        for (enum conv_pack pack = PACK_FORWARD; pack <= PACK_BACKWARD; pack++) {
            size_t size = conv3x3_packed_size(s, pack);
            if (size == 0) continue;
            TRY(mem_alloc(&layer->packed[s->algorithm][pack], size, sizeof(float), "packed weights"));
            conv3x3_pack(s, pack, layer->weight, layer->packed[s->algorithm][pack]);
        }
    }
    return IDDPM_OK;
}

static void layer_destroy(struct layer *layer)
{
    free(layer->x);
    free(layer->y);
    free(layer->weight);
    free(layer->dweight);
    free(layer->bias);
    for (int k = 0; k < ALGORITHMS; k++) {
        free(layer->packed[k][PACK_FORWARD]);
        free(layer->packed[k][PACK_BACKWARD]);
        free(layer->scratch[k]);
    }
}

static void layer_run(const struct layer *layer, enum pass pass)
{
    const struct conv_shape *shape = &layer->shape;
    const float *packed = layer->packed[shape->algorithm][pass == FORWARD ? PACK_FORWARD : PACK_BACKWARD];
    float *scratch = layer->scratch[shape->algorithm];
    if (!packed) packed = layer->weight;
    if (pass == FORWARD)
        conv3x3_forward(shape, layer->x, packed, layer->bias, NULL, 0, layer->y, scratch);
    else if (pass == BACKWARD_INPUT)
        conv3x3_backward_input(shape, layer->y, packed, layer->x, false, scratch);
    else
        conv3x3_backward_weight(shape, layer->x, layer->y, layer->dweight, layer->bias, scratch);
}

/* ---- measurement ------------------------------------------------------------------------------------------------- */

struct bench {
    float *sweep; /* [BENCH_COLD_FLOATS]; NULL: warm */
    double peak_gflops;
    double total_gflop, total_seconds[ALGORITHMS];
};

/* Seconds of one run of each algorithm, in turns: the fastest of ROUNDS. */
static void layer_seconds(const struct bench *bench, struct layer *layer, enum pass pass, double *seconds)
{
    for (int k = 0; k < ALGORITHMS; k++) seconds[k] = 1e30;
    for (int round = 0; round < ROUNDS; round++)
        for (int k = 0; k < ALGORITHMS; k++) {
            if (!layer->scratch[k]) continue;
            layer->shape.algorithm = (enum conv_algorithm)k;
            if (bench->sweep)
                bench_make_cold(bench->sweep);
            else
                layer_run(layer, pass);
            double start = clock_seconds();
            layer_run(layer, pass);
            double took = clock_seconds() - start;
            if (took < seconds[k]) seconds[k] = took;
        }
}

static void print(const struct bench *bench, const struct conv_shape *shape, const char *pass, const char *algorithm,
                  double gflop, double seconds)
{
    printf("{\"benchmark\": \"layer\", \"isa\": \"%s\", \"threads\": %d, \"caches\": \"%s\", ", kernels_isa(),
           omp_get_max_threads(), bench->sweep ? "cold" : "warm");
    if (shape)
        printf("\"n\": %d, \"h\": %d, \"w\": %d, \"c_in\": %d, \"c_out\": %d, \"stride\": %d, ", shape->n, shape->h,
               shape->w, shape->c_in, shape->c_out, shape->stride);
    printf("\"pass\": \"%s\", \"algorithm\": \"%s\", \"ms\": %.4f, \"gflops\": %.1f, \"peak_gflops\": %.1f, "
           "\"ratio\": %.3f}\n",
           pass, algorithm, 1e3 * seconds, gflop / seconds, bench->peak_gflops, gflop / seconds / bench->peak_gflops);
    fflush(stdout);
}

static enum iddpm_status measure(struct bench *bench, const struct conv_shape *shape, bool in_total)
{
    struct layer layer = {0};
    enum iddpm_status status = layer_create(&layer, shape);
    double points = (double)shape->n * ((shape->h + shape->stride - 1) / shape->stride) *
                    ((shape->w + shape->stride - 1) / shape->stride);
    double gflop = 2e-9 * 9 * shape->c_in * shape->c_out * points, seconds[ALGORITHMS];
    for (enum pass pass = FORWARD; pass < PASSES && status == IDDPM_OK; pass++) {
        layer_seconds(bench, &layer, pass, seconds);
        if (in_total) bench->total_gflop += gflop;
        for (int k = 0; k < ALGORITHMS; k++) {
            if (layer.scratch[k]) print(bench, shape, pass_names[pass], algorithm_names[k], gflop, seconds[k]);
            if (in_total) bench->total_seconds[k] += seconds[k];
        }
    }
    layer_destroy(&layer);
    return status;
}

int main(int argc, char **argv)
{
    bool warm = argc > 1 && strcmp(argv[1], "--warm") == 0;
    struct bench bench = {0};
    enum iddpm_status status = kernels_select(argc > 1 + warm ? argv[1 + warm] : NULL);
    if (status == IDDPM_OK && !warm) status = mem_alloc(&bench.sweep, BENCH_COLD_FLOATS, sizeof(float), "sweep");
    bench.peak_gflops = status == IDDPM_OK ? bench_peak() : 0;
    for (size_t i = 0; status == IDDPM_OK && i < sizeof shapes / sizeof shapes[0]; i++) {
        status = measure(&bench, &shapes[i], i < IN_TOTAL);
        for (int k = 0; status == IDDPM_OK && i == IN_TOTAL - 1 && k < ALGORITHMS; k++)
            print(&bench, NULL, "total of eight shapes", algorithm_names[k], bench.total_gflop, bench.total_seconds[k]);
    }
    free(bench.sweep);
    if (status != IDDPM_OK) fprintf(stderr, "bench_layer: %s\n", iddpm_error_text());
    return (int)status;
}
