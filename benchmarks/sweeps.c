/* What only sweeps over memory: group norm with what is fused into it, SiLU, the optimiser. GB/s of what each must read
 * and write at least once, as a ratio to a large copy by the same threads in the same run; caches are cold unless
 * --warm. One JSON line per measurement. bench_sweeps [--warm] [INSTRUCTION SET]; threads by OMP_NUM_THREADS. */
#include "support/peak.h"

#include "iddpm/kernels.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 40
#define COLD_FLOATS (32u << 20) /* more than the last cache */
#define PARAMETERS (16u << 20)  /* of the optimiser's arrays */
#define IMAGES 8
#define GROUPS 32

struct bench {
    float *sweep; /* [COLD_FLOATS]; NULL: warm */
    double bandwidth;
    /* the work */
    struct group_norm_shape shape;
    const struct dropout *dropout;
    bool accumulate;
    float *arrays[5]; /* x, y, dy, dx, scratch; params, gradient, two moments, average */
    float *scale_shift, *dscale_shift, *weight, *bias, *dweight, *dbias, *stats;
};

static void run_forward(struct bench *b)
{
    group_norm_forward(&b->shape, b->arrays[0], NULL, b->scale_shift, b->weight, b->bias, b->dropout, b->stats,
                       b->arrays[1]);
}

static void run_again(struct bench *b)
{
    group_norm_again(&b->shape, b->arrays[0], NULL, b->scale_shift, b->weight, b->bias, b->dropout, b->stats,
                     b->arrays[1]);
}

static void run_backward(struct bench *b)
{
    group_norm_backward(&b->shape, b->arrays[0], NULL, b->scale_shift, b->weight, b->bias, b->dropout, b->stats,
                        b->arrays[2], b->arrays[3], b->accumulate, NULL, b->dscale_shift, false, b->dweight, b->dbias,
                        b->arrays[4]);
}

static void run_silu(struct bench *b)
{
    silu_forward(IMAGES * b->shape.hw, b->shape.c, b->arrays[0], b->shape.c, b->arrays[1], b->shape.c);
}

static void run_adamw(struct bench *b)
{
    struct adamw adamw = {1e-4, 0.01, 0.9, 0.999, 1e-8, 10};
    adamw_ema(&adamw, PARAMETERS, b->arrays[0], b->arrays[1], b->arrays[2], b->arrays[3], 1, (double[]){0.9999},
              &b->arrays[4]);
}

static void run_squares(struct bench *b)
{
    b->stats[0] = (float)sum_of_squares(PARAMETERS, b->arrays[1]);
}

static void make_cold(const struct bench *b)
{
#pragma omp parallel for
    for (size_t i = 0; i < COLD_FLOATS; i++) b->sweep[i] += 1;
}

static void measure(struct bench *b, const char *name, void (*run)(struct bench *), double bytes)
{
    double best = 1e30;
    for (int round = 0; round < ROUNDS; round++) {
        if (b->sweep)
            make_cold(b);
        else
            run(b);
        double start = clock_seconds();
        run(b);
        double took = clock_seconds() - start;
        if (took < best) best = took;
    }
    printf("{\"benchmark\": \"sweeps\", \"isa\": \"%s\", \"threads\": %d, \"caches\": \"%s\", \"sweep\": \"%s\", "
           "\"element\": \"%s\", \"n\": %d, \"hw\": %d, \"c\": %d, \"ms\": %.4f, \"gbytes_per_s\": %.1f, "
           "\"of_copy\": %.3f}\n",
           kernels_isa(), omp_get_max_threads(), b->sweep ? "cold" : "warm", name,
           b->shape.element == ELEMENT_BF16 ? "bfloat16" : "float32", b->shape.n, b->shape.hw, b->shape.c, 1e3 * best,
           bytes / best / 1e9, bytes / best / 1e9 / b->bandwidth);
    fflush(stdout);
}

static enum iddpm_status fill(float **out, size_t n)
{
    TRY(mem_alloc(out, n, sizeof **out, "array"));
    for (size_t i = 0; i < n; i++) (*out)[i] = (float)(i * 2654435761u % 1000) / 500 - 1;
    return IDDPM_OK;
}

static enum iddpm_status group_norms(struct bench *b, int hw, int c)
{
    const struct dropout dropout = {0.3, {1, RNG_DROPOUT, 0, 0}, (uint32_t[IMAGES]){0, 1, 2, 3, 4, 5, 6, 7}};
    size_t n = (size_t)IMAGES * (size_t)hw * (size_t)c;
    b->shape = (struct group_norm_shape){IMAGES, hw, c, GROUPS, c, c, 0, 2 * c, true, ELEMENT_FLOAT32};
    for (int k = 0; k < 4; k++) TRY(fill(&b->arrays[k], n));
    TRY(fill(&b->arrays[4], group_norm_scratch_size(&b->shape, omp_get_max_threads())));
    for (enum element element = ELEMENT_FLOAT32; element <= ELEMENT_BF16; element++) {
        double bytes = (double)n * (double)element_size(element);
        b->shape.element = element;
        if (element == ELEMENT_BF16)
            for (int k = 0; k < 4; k++) /* a row in place, the smaller behind the larger */
                rows_from_float(element, (int64_t)n, 1, b->arrays[k], 1, b->arrays[k], 1, false);
        b->dropout = NULL;
        measure(b, "group norm forward", run_forward, 2 * bytes);
        measure(b, "group norm again", run_again, 2 * bytes);
        measure(b, "group norm backward", run_backward, 3 * bytes);
        b->dropout = &dropout;
        measure(b, "group norm forward, dropout", run_forward, 2 * bytes);
        measure(b, "group norm backward, dropout", run_backward, 3 * bytes);
    }
    b->shape.element = ELEMENT_FLOAT32;
    measure(b, "silu", run_silu, 8 * (double)n);
    for (int k = 0; k < 5; k++) free(b->arrays[k]);
    return IDDPM_OK;
}

static enum iddpm_status optimiser(struct bench *b)
{
    const double bytes = 4.0 * PARAMETERS;
    for (int k = 0; k < 5; k++) TRY(fill(&b->arrays[k], PARAMETERS));
    b->shape = (struct group_norm_shape){.n = 1, .hw = 1, .c = PARAMETERS};
    measure(b, "adamw and one ema", run_adamw, 9 * bytes);
    measure(b, "squares", run_squares, bytes);
    for (int k = 0; k < 5; k++) free(b->arrays[k]);
    return IDDPM_OK;
}

int main(int argc, char **argv)
{
    static const struct {
        int hw, c;
    } sizes[] = {{1024, 128}, {1024, 384}, {256, 256}, {64, 256}, {16, 512}, {4096, 128}};
    enum { C_MAX = 512 };
    bool warm = argc > 1 && strcmp(argv[1], "--warm") == 0;
    struct bench b = {0};
    enum iddpm_status status = kernels_select(argc > 1 + warm ? argv[1 + warm] : NULL);
    if (status == IDDPM_OK && !warm) status = mem_alloc(&b.sweep, COLD_FLOATS, sizeof(float), "sweep");
    kernels_flush_denormals();
    b.bandwidth = status == IDDPM_OK ? bench_bandwidth() : 0;
    float **small[] = {&b.scale_shift, &b.dscale_shift, &b.weight, &b.bias, &b.dweight, &b.dbias, &b.stats};
    for (int k = 0; k < 7 && status == IDDPM_OK; k++) status = fill(small[k], (size_t)IMAGES * 2 * C_MAX);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && status == IDDPM_OK; i++)
        status = group_norms(&b, sizes[i].hw, sizes[i].c);
    if (status == IDDPM_OK) status = optimiser(&b);
    for (int k = 0; k < 7; k++) free(*small[k]);
    free(b.sweep);
    if (status != IDDPM_OK) fprintf(stderr, "bench_sweeps: %s\n", iddpm_error_text());
    return (int)status;
}
