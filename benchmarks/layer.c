/* Effective rate of each 3x3 convolution shape and pass, as a ratio to the multiply-add peak of the same threads
 * measured in the same run: one JSON line per measurement. bench_layer [INSTRUCTION SET]; threads by OMP_NUM_THREADS.
 */
#include "iddpm/kernels.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 20
#define TRY_SECONDS 0.02

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

/* ---- peak -------------------------------------------------------------------------------------------------------- */

#define PEAK_ROUNDS 100000
/* Multiply-adds in registers: more independent chains than latency x units, not more than registers. */
#define PEAK(isa, attribute, bytes, chains)                                                                            \
    attribute static double peak_##isa(void)                                                                           \
    {                                                                                                                  \
        typedef float vf __attribute__((vector_size(bytes)));                                                          \
        vf sum[chains], a, b;                                                                                          \
        memset(&a, 0, sizeof a);                                                                                       \
        memset(&b, 0, sizeof b);                                                                                       \
        memset(sum, 0, sizeof sum);                                                                                    \
        __asm__ volatile("" : "+x"(a), "+x"(b));                                                                       \
        double start = clock_seconds();                                                                                \
        for (int r = 0; r < PEAK_ROUNDS; r++) {                                                                        \
            _Pragma("GCC unroll 32") for (int i = 0; i < chains; i++) sum[i] = sum[i] * a + b;                         \
        }                                                                                                              \
        for (int i = 1; i < chains; i++) sum[0] += sum[i];                                                             \
        __asm__ volatile("" : "+x"(sum[0]));                                                                           \
        return 2.0 * PEAK_ROUNDS * (chains) * (bytes) / sizeof(float) / (clock_seconds() - start) / 1e9;               \
    }
PEAK(portable, , 16, 12)
#ifdef __x86_64__
PEAK(avx2, __attribute__((target("avx2,fma"))), 32, 12)
PEAK(avx512, __attribute__((target("avx512f"))), 64, 24)
#endif

/* GFLOP/s of all threads together. */
static double peak(void)
{
    double (*measure)(void) = peak_portable;
#ifdef __x86_64__
    if (strcmp(kernels_isa(), "avx2") == 0) measure = peak_avx2;
    if (strcmp(kernels_isa(), "avx512") == 0) measure = peak_avx512;
#endif
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        double all = 0;
#pragma omp parallel reduction(+ : all)
        all += measure();
        best = all > best ? all : best;
    }
    return best;
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

enum pass { FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, PASSES };
static const char *const pass_names[PASSES] = {"forward", "backward_input", "backward_weight"};

struct layer {
    struct conv_shape shape;
    float *x, *y, *weight, *forward, *backward, *bias, *scratch;
};

static void fill(size_t n, float *values)
{
    double normal[4];
    for (size_t i = 0; i < n; i++) {
        if (i % 4 == 0) rng_normal(&(struct rng){.purpose = RNG_TEST, .step = (uint32_t)(i / 4)}, 4, normal);
        values[i] = (float)normal[i % 4];
    }
}

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
    TRY(mem_alloc(&layer->forward, conv3x3_packed_size(s->c_in, s->c_out, PACK_FORWARD), sizeof(float), "packed"));
    TRY(mem_alloc(&layer->backward, conv3x3_packed_size(s->c_in, s->c_out, PACK_BACKWARD), sizeof(float), "packed"));
    TRY(mem_alloc(&layer->scratch, conv3x3_scratch_size(s, omp_get_max_threads()), sizeof(float), "scratch"));
    fill(x, layer->x);
    fill(y, layer->y);
    fill(weight, layer->weight);
    conv3x3_pack(s->c_in, s->c_out, PACK_FORWARD, layer->weight, layer->forward);
    conv3x3_pack(s->c_in, s->c_out, PACK_BACKWARD, layer->weight, layer->backward);
    return IDDPM_OK;
}

static void layer_destroy(struct layer *layer)
{
    free(layer->x);
    free(layer->y);
    free(layer->weight);
    free(layer->bias);
    free(layer->forward);
    free(layer->backward);
    free(layer->scratch);
}

static void layer_run(struct layer *layer, enum pass pass)
{
    const struct conv_shape *shape = &layer->shape;
    if (pass == FORWARD)
        conv3x3_forward(shape, layer->x, layer->forward, layer->bias, NULL, 0, layer->y, layer->scratch);
    else if (pass == BACKWARD_INPUT)
        conv3x3_backward_input(shape, layer->y, layer->backward, layer->x, false, layer->scratch);
    else
        conv3x3_backward_weight(shape, layer->x, layer->y, layer->weight, layer->bias, layer->scratch);
}

/* Seconds of one run: the fastest of TRIES averages over TRY_SECONDS. */
static double layer_seconds(struct layer *layer, enum pass pass)
{
    layer_run(layer, pass);
    double best = 1e30;
    for (int i = 0; i < TRIES; i++) {
        double start = clock_seconds(), now = start;
        int runs = 0;
        for (; now - start < TRY_SECONDS; runs++, now = clock_seconds()) layer_run(layer, pass);
        double seconds = (now - start) / runs;
        best = seconds < best ? seconds : best;
    }
    return best;
}

static enum iddpm_status measure(const struct conv_shape *shape, double peak_gflops)
{
    for (enum pass pass = FORWARD; pass < PASSES; pass++) {
        struct layer layer = {0};
        enum iddpm_status status = layer_create(&layer, shape);
        if (status == IDDPM_OK) {
            double points = (double)shape->n * ((shape->h + shape->stride - 1) / shape->stride) *
                            ((shape->w + shape->stride - 1) / shape->stride);
            double seconds = layer_seconds(&layer, pass);
            double gflops = 2e-9 * 9 * shape->c_in * shape->c_out * points / seconds;
            printf("{\"benchmark\": \"layer\", \"isa\": \"%s\", \"threads\": %d, \"n\": %d, \"h\": %d, \"w\": %d, "
                   "\"c_in\": %d, \"c_out\": %d, \"stride\": %d, \"pass\": \"%s\", \"ms\": %.4f, \"gflops\": %.1f, "
                   "\"peak_gflops\": %.1f, \"ratio\": %.3f}\n",
                   kernels_isa(), omp_get_max_threads(), shape->n, shape->h, shape->w, shape->c_in, shape->c_out,
                   shape->stride, pass_names[pass], 1e3 * seconds, gflops, peak_gflops, gflops / peak_gflops);
            fflush(stdout);
        }
        layer_destroy(&layer);
        TRY(status);
    }
    return IDDPM_OK;
}

int main(int argc, char **argv)
{
    enum iddpm_status status = kernels_select(argc > 1 ? argv[1] : NULL);
    double peak_gflops = status == IDDPM_OK ? peak() : 0;
    for (size_t i = 0; status == IDDPM_OK && i < sizeof shapes / sizeof shapes[0]; i++)
        status = measure(&shapes[i], peak_gflops);
    if (status != IDDPM_OK) fprintf(stderr, "bench_layer: %s\n", iddpm_error_text());
    return (int)status;
}
