/* QKV attention of an image's head, in blocks of queries: the scores of a block with all keys are one product, so that
 * scratch grows with t and not with its square. Softmax is left without its division, which the results get. */
#include "attention.h"

#include <omp.h>

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* A thread's arrays. */
struct forward {
    oper *keys, *values; /* panels: [channel][key], [key][channel] */
    oper *queries;       /* rows of a block that must be packed */
    float *scores;       /* [query][key] */
    oper *weights;       /* the same as words, where these are not floats */
    int head;            /* whose keys and values are packed, -1 at first */
};

static size_t forward_arrays(const struct attention_shape *shape, float *scratch, struct forward *f)
{
    struct room room = {scratch, 0};
    f->keys = room_take(&room, panel_size(shape->c_head, shape->t), sizeof(oper));
    f->values = room_take(&room, panel_size(shape->t, shape->c_head), sizeof(oper));
    f->queries = room_take(&room, (size_t)QUERIES * rows_pitch(shape->c_head), sizeof(oper));
    f->scores = room_take(&room, (size_t)QUERIES * scores_pitch(shape), sizeof(float));
    f->weights = room_take(&room, STEP == 1 ? 0 : (size_t)QUERIES * scores_pitch(shape), sizeof(oper));
    f->head = -1;
    return room.used;
}

static void forward_block(const struct attention_shape *shape, const elem *qkv, elem *y, int head, int first,
                          struct forward *f)
{
    int c = shape->c_head, rows = shape->t - first < QUERIES ? shape->t - first : QUERIES;
    const elem *q = qkv + qkv_offset(shape, head);
    float inverse[QUERIES];
    if (f->head != head) {
        gemm_pack_transposed(q + c, shape->qkv_pitch, c, shape->t, f->keys);
        gemm_pack(q + 2 * c, shape->qkv_pitch, shape->t, c, PANEL, f->values);
        f->head = head;
    }
    attention_scores(shape, rows, q + (int64_t)first * shape->qkv_pitch, shape->qkv_pitch, f->queries, f->keys,
                     f->scores);
    attention_exponentials(shape, rows, f->scores, inverse);
    struct gemm gemm = {.rows = rows,
                        .columns = c,
                        .words = words(shape->t),
                        .a = attention_rows(shape, rows, f->scores, f->weights),
                        .a_row = scores_pitch(shape),
                        .a_word = STEP,
                        .b = f->values,
                        .y = y + y_offset(shape, head) + (int64_t)first * shape->y_pitch,
                        .y_pitch = shape->y_pitch,
                        .scale = inverse};
    gemm_run(&gemm);
}

void attention_forward(const struct attention_shape *shape, const void *qkv, void *y, float *scratch)
{
    int blocks = ceil_div(shape->t, QUERIES);
    int64_t pieces = (int64_t)shape->n * shape->heads * blocks;
    struct forward unused;
    size_t size = forward_arrays(shape, NULL, &unused);
#pragma omp parallel
    {
        struct forward f;
        forward_arrays(shape, scratch + size * (size_t)omp_get_thread_num(), &f);
#pragma omp for schedule(static)
        for (int64_t piece = 0; piece < pieces; piece++)
            forward_block(shape, qkv, y, (int)(piece / blocks), (int)(piece % blocks) * QUERIES, &f);
    }
}

size_t attention_scratch_size(const struct attention_shape *shape, int threads)
{
    struct forward unused;
    size_t forward = forward_arrays(shape, NULL, &unused), backward = attention_backward_scratch(shape);
    return (forward > backward ? forward : backward) * (size_t)threads;
}
