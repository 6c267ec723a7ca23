/* QKV attention of an image's head, in blocks of queries: the scores of a block against all keys are one product, so
 * that scratch grows with t and not with its square. */
#include "iddpm/kernels.h"
#include "isa/softmax.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>

enum { QUERIES = 256 }; /* of a block */

static int block_queries(const struct attention_shape *shape)
{
    return shape->t < QUERIES ? shape->t : QUERIES;
}

/* A block's weights, and in the backward pass their gradient, rounded up to a cache line. */
static size_t block_size(const struct attention_shape *shape)
{
    return ((size_t)block_queries(shape) * (size_t)shape->t + 15) / 16 * 16;
}

size_t attention_scratch_size(const struct attention_shape *shape, int threads)
{
    return (size_t)threads * 2 * block_size(shape);
}

static float *thread_scratch(const struct attention_shape *shape, float *scratch)
{
    return scratch + (size_t)omp_get_thread_num() * 2 * block_size(shape);
}

/* q and k are each scaled by c^(-1/4): their product by c^(-1/2). */
static float score_scale(const struct attention_shape *shape)
{
    return (float)(1 / sqrt(shape->c_head));
}

/* Offset of a head's q; k and v follow at c_head and 2 c_head. */
static int64_t qkv_offset(const struct attention_shape *shape, int image, int head)
{
    return (int64_t)image * shape->t * shape->qkv_pitch + (int64_t)head * 3 * shape->c_head;
}

static int64_t y_offset(const struct attention_shape *shape, int image, int head)
{
    return (int64_t)image * shape->t * shape->y_pitch + (int64_t)head * shape->c_head;
}

/* weights [queries][t] = softmax(q k'), queries from `first` on */
static void block_weights(const struct attention_shape *shape, const float *qkv, int first, int queries, float *weights)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, queries, shape->t, shape->c_head, score_scale(shape),
                qkv + (int64_t)first * shape->qkv_pitch, shape->qkv_pitch, qkv + shape->c_head, shape->qkv_pitch, 0,
                weights, shape->t);
    softmax_rows(queries, shape->t, weights, shape->t);
}

void attention_forward(const struct attention_shape *shape, const void *qkv_data, void *y_data, float *scratch)
{
    const float *qkv = qkv_data;
    float *y = y_data;
    int block = block_queries(shape);
#pragma omp parallel for collapse(3) schedule(static)
    for (int image = 0; image < shape->n; image++)
        for (int head = 0; head < shape->heads; head++)
            for (int first = 0; first < shape->t; first += block) {
                int queries = shape->t - first < block ? shape->t - first : block;
                const float *of_head = qkv + qkv_offset(shape, image, head);
                float *weights = thread_scratch(shape, scratch);
                block_weights(shape, of_head, first, queries, weights);
                cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, queries, shape->c_head, shape->t, 1, weights,
                            shape->t, of_head + 2 * shape->c_head, shape->qkv_pitch, 0,
                            y + y_offset(shape, image, head) + (int64_t)first * shape->y_pitch, shape->y_pitch);
            }
}

/* Adds what one block of queries gives to the gradients of its head; `beta_q` and `beta_kv` 0 where it is the first to
 * write them. dy and dqkv belong to the head. */
static void block_backward(const struct attention_shape *shape, const float *qkv, const float *dy, float *dqkv,
                           int first, int queries, float beta_q, float beta_kv, float *scratch)
{
    int t = shape->t, c = shape->c_head, pitch = shape->qkv_pitch;
    int64_t row = (int64_t)first * pitch;
    float *weights = scratch, *gradient = scratch + block_size(shape), scale = score_scale(shape);
    dy += (int64_t)first * shape->y_pitch;
    block_weights(shape, qkv, first, queries, weights);
    /* dv = weights' dy */
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, t, c, queries, 1, weights, t, dy, shape->y_pitch, beta_kv,
                dqkv + 2 * c, pitch);
    /* d(weights) = dy v', then through the softmax */
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, queries, t, c, 1, dy, shape->y_pitch, qkv + 2 * c, pitch, 0,
                gradient, t);
    softmax_rows_backward(queries, t, weights, gradient, t);
    /* dq = d(scores) k, dk = d(scores)' q */
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, queries, c, t, scale, gradient, t, qkv + c, pitch, beta_q,
                dqkv + row, pitch);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, t, c, queries, scale, gradient, t, qkv + row, pitch, beta_kv,
                dqkv + c, pitch);
}

void attention_backward(const struct attention_shape *shape, const void *qkv_data, const void *dy_data, void *dqkv_data,
                        bool accumulate, float *scratch)
{
    const float *qkv = qkv_data, *dy = dy_data;
    float *dqkv = dqkv_data;
    int block = block_queries(shape);
    float beta = accumulate ? 1 : 0;
#pragma omp parallel for collapse(2) schedule(static)
    for (int image = 0; image < shape->n; image++)
        for (int head = 0; head < shape->heads; head++) /* keys gather from all queries, in order */
            for (int first = 0; first < shape->t; first += block) {
                int64_t offset = qkv_offset(shape, image, head);
                block_backward(shape, qkv + offset, dy + y_offset(shape, image, head), dqkv + offset, first,
                               shape->t - first < block ? shape->t - first : block, beta, first ? 1 : beta,
                               thread_scratch(shape, scratch));
            }
}
