/* Effective rate of linear layers and attention beside that of OpenBLAS on the same products, as a ratio to the
 * multiply-add peak of the same threads measured in the same run: one JSON line per measurement, the two in turns. What
 * stands for OpenBLAS are single calls on whole matrices, without bias, residual and softmax. Caches are cold as in a
 * network, unless --warm. bench_products [--warm] [INSTRUCTION SET]; threads by OMP_NUM_THREADS, OpenBLAS has one. */
#include "support/arrays.h"
#include "support/peak.h"

#include "iddpm/kernels.h"

#include <cblas.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 15

/* A layer to be measured. */
struct product {
    double macs; /* of the forward pass */
    struct linear_shape linear;
    struct attention_shape attention;
    float *x, *y, *weight, *bias, *scratch, *scores;
};

static const struct linear_shape linears[] = {
    {.rows = 2048, .c_in = 256, .c_out = 768}, {.rows = 2048, .c_in = 256, .c_out = 256},
    {.rows = 512, .c_in = 256, .c_out = 768},  {.rows = 512, .c_in = 256, .c_out = 256},
    {.rows = 8192, .c_in = 256, .c_out = 128}, {.rows = 8192, .c_in = 384, .c_out = 128},
    {.rows = 2048, .c_in = 512, .c_out = 256}, {.rows = 512, .c_in = 512, .c_out = 256},
    {.rows = 128, .c_in = 512, .c_out = 256},  {.rows = 8, .c_in = 512, .c_out = 512},
};
static const struct attention_shape attentions[] = {
    {.n = 8, .t = 256, .heads = 4, .c_head = 64},
    {.n = 8, .t = 64, .heads = 4, .c_head = 64},
    {.n = 2, .t = 1024, .heads = 4, .c_head = 64},
    {.n = 1, .t = 256, .heads = 1, .c_head = 512},
};

/* ---- linear layers ----------------------------------------------------------------------------------------------- */

static void gemm(bool transpose_a, bool transpose_b, int m, int n, int k, const float *a, int lda, const float *b,
                 int ldb, float beta, float *c, int ldc)
{
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans, m, n,
                k, 1, a, lda, b, ldb, beta, c, ldc);
}

static void forward(const struct product *p)
{
    linear_forward(&p->linear, p->x, p->weight, p->bias, NULL, 0, p->y, p->scratch);
}

static void forward_theirs(const struct product *p)
{
    const struct linear_shape *s = &p->linear;
    gemm(false, true, (int)s->rows, s->c_out, s->c_in, p->x, s->c_in, p->weight, s->c_in, 0, p->y, s->c_out);
}

static void forward_residual(const struct product *p)
{
    linear_forward(&p->linear, p->x, p->weight, p->bias, p->y, p->linear.y_pitch, p->y, p->scratch);
}

static void backward_input(const struct product *p)
{
    linear_backward_input(&p->linear, p->y, p->weight, p->x, false, p->scratch);
}

static void backward_input_theirs(const struct product *p)
{
    const struct linear_shape *s = &p->linear;
    gemm(false, false, (int)s->rows, s->c_in, s->c_out, p->y, s->c_out, p->weight, s->c_in, 0, p->x, s->c_in);
}

static void backward_weight(const struct product *p)
{
    linear_backward_weight(&p->linear, p->x, p->y, p->weight, p->bias, p->scratch);
}

static void backward_weight_theirs(const struct product *p)
{
    const struct linear_shape *s = &p->linear;
    gemm(true, false, s->c_out, s->c_in, (int)s->rows, p->y, s->c_out, p->x, s->c_in, 1, p->weight, s->c_in);
}

static enum iddpm_status linear_create(struct product *p, const struct linear_shape *shape)
{
    p->linear = *shape;
    p->linear.x_pitch = shape->c_in;
    p->linear.y_pitch = shape->c_out;
    size_t x = (size_t)shape->rows * (size_t)shape->c_in, y = (size_t)shape->rows * (size_t)shape->c_out;
    size_t weight = (size_t)shape->c_in * (size_t)shape->c_out;
    TRY(mem_alloc(&p->x, x, sizeof(float), "input"));
    TRY(mem_alloc(&p->y, y, sizeof(float), "output"));
    TRY(mem_alloc(&p->weight, weight, sizeof(float), "weight"));
    TRY(mem_alloc(&p->bias, (size_t)shape->c_out, sizeof(float), "bias"));
    TRY(mem_alloc(&p->scratch, linear_scratch_size(&p->linear, omp_get_max_threads()), sizeof(float), "scratch"));
    bench_fill(x, p->x);
    bench_fill(y, p->y);
    bench_fill(weight, p->weight);
    p->macs = (double)shape->rows * shape->c_in * shape->c_out;
    return IDDPM_OK;
}

/* ---- attention --------------------------------------------------------------------------------------------------- */

static void attend(const struct product *p)
{
    attention_forward(&p->attention, p->x, p->y, p->scratch);
}

static void attend_backward(const struct product *p)
{
    attention_backward(&p->attention, p->x, p->y, p->weight, false, p->scratch);
}

/* The two products of a head's forward pass. */
static void attend_theirs(const struct product *p)
{
    const struct attention_shape *s = &p->attention;
    int pitch = s->qkv_pitch, t = s->t, c = s->c_head;
    for (int head = 0; head < s->n * s->heads; head++) {
        const float *q = p->x + (int64_t)(head / s->heads) * t * pitch + head % s->heads * 3 * c;
        float *y = p->y + (int64_t)(head / s->heads) * t * s->y_pitch + head % s->heads * c;
        gemm(false, true, t, t, c, q, pitch, q + c, pitch, 0, p->scores, t);
        gemm(false, false, t, c, t, p->scores, t, q + 2 * c, pitch, 0, y, s->y_pitch);
    }
}

/* The five of its backward pass. */
static void attend_backward_theirs(const struct product *p)
{
    const struct attention_shape *s = &p->attention;
    int pitch = s->qkv_pitch, t = s->t, c = s->c_head;
    for (int head = 0; head < s->n * s->heads; head++) {
        int64_t offset = (int64_t)(head / s->heads) * t * pitch + head % s->heads * 3 * c;
        const float *q = p->x + offset, *k = q + c, *v = k + c;
        const float *dy = p->y + (int64_t)(head / s->heads) * t * s->y_pitch + head % s->heads * c;
        float *dq = p->weight + offset, *dk = dq + c, *dv = dk + c;
        gemm(false, true, t, t, c, q, pitch, k, pitch, 0, p->scores, t);
        gemm(true, false, t, c, t, p->scores, t, dy, s->y_pitch, 0, dv, pitch);
        gemm(false, true, t, t, c, dy, s->y_pitch, v, pitch, 0, p->scores, t);
        gemm(false, false, t, c, t, p->scores, t, k, pitch, 0, dq, pitch);
        gemm(true, false, t, c, t, p->scores, t, q, pitch, 0, dk, pitch);
    }
}

static enum iddpm_status attention_create(struct product *p, const struct attention_shape *shape)
{
    struct attention_shape *s = &p->attention;
    *s = *shape;
    s->y_pitch = s->heads * s->c_head;
    s->qkv_pitch = 3 * s->y_pitch;
    size_t positions = (size_t)s->n * (size_t)s->t, qkv = positions * (size_t)s->qkv_pitch;
    TRY(mem_alloc(&p->x, qkv, sizeof(float), "qkv"));
    TRY(mem_alloc(&p->weight, qkv, sizeof(float), "gradient"));
    TRY(mem_alloc(&p->y, positions * (size_t)s->y_pitch, sizeof(float), "output"));
    TRY(mem_alloc(&p->scores, (size_t)s->t * (size_t)s->t, sizeof(float), "scores"));
    TRY(mem_alloc(&p->scratch, attention_scratch_size(s, omp_get_max_threads()), sizeof(float), "scratch"));
    bench_fill(qkv, p->x);
    bench_fill(positions * (size_t)s->y_pitch, p->y);
    p->macs = 2.0 * s->n * s->heads * s->t * s->t * s->c_head;
    return IDDPM_OK;
}

static void product_destroy(struct product *p)
{
    float *all[] = {p->x, p->y, p->weight, p->bias, p->scratch, p->scores};
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) free(all[k]);
}

/* ---- measurement ------------------------------------------------------------------------------------------------- */

struct bench {
    float *sweep; /* NULL: warm */
    double peak_gflops;
};

static double seconds_of(const struct bench *bench, const struct product *p, void (*run)(const struct product *))
{
    if (bench->sweep)
        bench_make_cold(bench->sweep);
    else
        run(p);
    double start = clock_seconds();
    run(p);
    return clock_seconds() - start;
}

static void print(const struct bench *bench, const struct product *p, const char *pass, const char *by, double gflop,
                  double seconds)
{
    printf("{\"benchmark\": \"products\", \"isa\": \"%s\", \"threads\": %d, \"caches\": \"%s\", ", kernels_isa(),
           omp_get_max_threads(), bench->sweep ? "cold" : "warm");
    if (p->linear.rows)
        printf("\"op\": \"linear\", \"rows\": %d, \"c_in\": %d, \"c_out\": %d, ", (int)p->linear.rows, p->linear.c_in,
               p->linear.c_out);
    else
        printf("\"op\": \"attention\", \"n\": %d, \"t\": %d, \"heads\": %d, \"c_head\": %d, ", p->attention.n,
               p->attention.t, p->attention.heads, p->attention.c_head);
    printf("\"pass\": \"%s\", \"by\": \"%s\", \"ms\": %.4f, \"gflops\": %.1f, \"peak_gflops\": %.1f, "
           "\"ratio\": %.3f}\n",
           pass, by, 1e3 * seconds, gflop / seconds, bench->peak_gflops, gflop / seconds / bench->peak_gflops);
    fflush(stdout);
}

/* `factor`: products of the pass for each of the forward pass. */
static void measure(const struct bench *bench, const struct product *p, const char *pass, double factor,
                    void (*ours)(const struct product *), void (*theirs)(const struct product *))
{
    double best[2] = {1e30, 1e30};
    for (int round = 0; round < ROUNDS; round++)
        for (int k = 0; k < 2; k++) {
            double took = seconds_of(bench, p, k ? theirs : ours);
            if (took < best[k]) best[k] = took;
        }
    print(bench, p, pass, "iddpm", 2e-9 * p->macs * factor, best[0]);
    print(bench, p, pass, "openblas", 2e-9 * p->macs * factor, best[1]);
}

static enum iddpm_status measure_linear(const struct bench *bench, const struct linear_shape *shape)
{
    struct product p = {0};
    enum iddpm_status status = linear_create(&p, shape);
    if (status == IDDPM_OK) {
        measure(bench, &p, "forward", 1, forward, forward_theirs);
        measure(bench, &p, "forward_residual", 1, forward_residual, forward_theirs);
        measure(bench, &p, "backward_input", 1, backward_input, backward_input_theirs);
        measure(bench, &p, "backward_weight", 1, backward_weight, backward_weight_theirs);
    }
    product_destroy(&p);
    return status;
}

static enum iddpm_status measure_attention(const struct bench *bench, const struct attention_shape *shape)
{
    struct product p = {0};
    enum iddpm_status status = attention_create(&p, shape);
    if (status == IDDPM_OK) {
        measure(bench, &p, "forward", 1, attend, attend_theirs);
        measure(bench, &p, "backward", 2.5, attend_backward, attend_backward_theirs);
    }
    product_destroy(&p);
    return status;
}

int main(int argc, char **argv)
{
    bool warm = argc > 1 && strcmp(argv[1], "--warm") == 0;
    struct bench bench = {0};
    enum iddpm_status status = kernels_select(argc > 1 + warm ? argv[1 + warm] : NULL);
    if (status == IDDPM_OK && !warm) status = mem_alloc(&bench.sweep, BENCH_COLD_FLOATS, sizeof(float), "sweep");
    bench.peak_gflops = status == IDDPM_OK ? bench_peak() : 0;
    for (size_t i = 0; status == IDDPM_OK && i < sizeof linears / sizeof *linears; i++)
        status = measure_linear(&bench, &linears[i]);
    for (size_t i = 0; status == IDDPM_OK && i < sizeof attentions / sizeof *attentions; i++)
        status = measure_attention(&bench, &attentions[i]);
    free(bench.sweep);
    if (status != IDDPM_OK) fprintf(stderr, "bench_products: %s\n", iddpm_error_text());
    return (int)status;
}
