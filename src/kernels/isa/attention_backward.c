/* Backward pass of attention. In blocks of queries: the weights are computed again, and their gradient; both stay in
 * scratch while queries, keys and values get what the block gives. Whole heads are shared out among threads; what is
 * left over is done by all threads together. Both ways do the same sums. */
#include "attention.h"

#include <omp.h>

#define BLOCK_MAX 128          /* queries of a block: at most, */
#define BLOCK_FLOATS (1 << 16) /* and so that their weights are so many */
#define KEYS (4 * TILE)        /* of a piece of work */

/* Threads that do the same head, and which of them this is. */
struct team {
    int rank, size;
};

static void team_wait(const struct team *team)
{
    if (team->size > 1) {
#pragma omp barrier
    }
}

struct call {
    const struct attention_shape *shape;
    const elem *qkv, *dy;
    elem *dqkv;
    bool accumulate;
    int block; /* queries */
};

/* A head's arrays, of a whole team but for the last two. */
struct arrays {
    oper *keys, *values; /* panels for scores and for the gradient of weights: [channel][key] */
    oper *key_rows;      /* panels: [key][channel] */
    oper *queries, *dy;  /* a block's, panels: [query][channel] */
    float *weights, *gradient;
    float *dkeys, *dvalues; /* [key][channel] */
    /* of a few queries; their gradients of scores, where words are not floats */
    oper *rows, *gradient_rows;
};

static int block_queries(const struct attention_shape *shape)
{
    int most = BLOCK_FLOATS / shape->t < BLOCK_MAX ? BLOCK_FLOATS / shape->t : BLOCK_MAX;
    most = most < QUERIES ? QUERIES : most;
    int blocks = ceil_div(shape->t, most);
    return ceil_div(ceil_div(shape->t, blocks), QUERIES) * QUERIES;
}

static size_t arrays_make(const struct attention_shape *shape, float *scratch, struct arrays *a)
{
    struct room room = {scratch, 0};
    int t = shape->t, c = shape->c_head, block = block_queries(shape);
    a->keys = room_take(&room, panel_size(c, t), sizeof(oper));
    a->values = room_take(&room, panel_size(c, t), sizeof(oper));
    a->key_rows = room_take(&room, panel_size(t, c), sizeof(oper));
    a->queries = room_take(&room, panel_size(block, c), sizeof(oper));
    a->dy = room_take(&room, panel_size(block, c), sizeof(oper));
    a->weights = room_take(&room, (size_t)block * scores_pitch(shape), sizeof(float));
    a->gradient = room_take(&room, (size_t)block * scores_pitch(shape), sizeof(float));
    a->dkeys = room_take(&room, (size_t)t * whole_columns(c), sizeof(float));
    a->dvalues = room_take(&room, (size_t)t * whole_columns(c), sizeof(float));
    a->rows = room_take(&room, (size_t)QUERIES * rows_pitch(c), sizeof(oper));
    a->gradient_rows = room_take(&room, STEP == 1 ? 0 : (size_t)QUERIES * scores_pitch(shape), sizeof(oper));
    return room.used;
}

size_t attention_backward_scratch(const struct attention_shape *shape)
{
    struct arrays unused;
    return arrays_make(shape, NULL, &unused);
}

/* ---- pieces of work ---------------------------------------------------------------------------------------------- */

static void pack_head(const struct call *call, int head, const struct team *team, const struct arrays *a)
{
    const struct attention_shape *shape = call->shape;
    int c = shape->c_head, pitch = shape->qkv_pitch;
    const elem *keys = call->qkv + qkv_offset(shape, head) + c;
    for (int first = team->rank * PANEL; first < shape->t; first += team->size * PANEL) {
        const elem *from = keys + (int64_t)first * pitch;
        int count = min_int(PANEL, shape->t - first);
        gemm_pack_transposed(from, pitch, c, count, a->keys + panel_offset(c, first));
        gemm_pack_transposed(from + c, pitch, c, count, a->values + panel_offset(c, first));
    }
    for (int first = team->rank * PANEL; first < c; first += team->size * PANEL)
        gemm_pack(keys + first, pitch, shape->t, min_int(PANEL, c - first), PANEL,
                  a->key_rows + panel_offset(shape->t, first));
}

static void pack_block(const struct call *call, int head, int first, int queries, const struct team *team,
                       const struct arrays *a)
{
    const struct attention_shape *shape = call->shape;
    int c = shape->c_head;
    const elem *q = call->qkv + qkv_offset(shape, head) + (int64_t)first * shape->qkv_pitch;
    const elem *dy = call->dy + y_offset(shape, head) + (int64_t)first * shape->y_pitch;
    for (int column = team->rank * PANEL; column < c; column += team->size * PANEL) {
        int columns = min_int(PANEL, c - column);
        gemm_pack(q + column, shape->qkv_pitch, queries, columns, PANEL, a->queries + panel_offset(queries, column));
        gemm_pack(dy + column, shape->y_pitch, queries, columns, PANEL, a->dy + panel_offset(queries, column));
    }
}

/* Weights, their gradient and that of the queries, for `rows` queries from `first` on, the row `at` of the block. */
static void queries_backward(const struct call *call, int head, int first, int at, int rows, const struct arrays *a)
{
    const struct attention_shape *shape = call->shape;
    int c = shape->c_head;
    int64_t offset = qkv_offset(shape, head) + (int64_t)first * shape->qkv_pitch;
    float inverse[QUERIES], *weights = a->weights + at * scores_pitch(shape);
    float *gradient = a->gradient + at * scores_pitch(shape);
    attention_scores(shape, rows, call->qkv + offset, shape->qkv_pitch, a->rows, a->keys, weights);
    attention_exponentials(shape, rows, weights, inverse);
    attention_scores(shape, rows, call->dy + y_offset(shape, head) + (int64_t)first * shape->y_pitch, shape->y_pitch,
                     a->rows, a->values, gradient);
    attention_softmax_backward(shape, rows, inverse, weights, gradient);
    struct gemm gemm = {.rows = rows,
                        .columns = c,
                        .words = words(shape->t),
                        .a = attention_rows(shape, rows, gradient, a->gradient_rows),
                        .a_row = scores_pitch(shape),
                        .a_word = STEP,
                        .b = a->key_rows,
                        .y = call->dqkv + offset,
                        .y_pitch = shape->qkv_pitch,
                        .add = call->accumulate ? call->dqkv + offset : NULL,
                        .add_pitch = shape->qkv_pitch};
    gemm_run(&gemm);
    attention_columns(shape, rows, gradient);
    attention_columns(shape, rows, weights);
}

/* sums[key][channel] = (first ? 0 : sums) + the products of weights or their gradient with a block's rows. */
static void gather(const struct attention_shape *shape, const float *weights, const oper *panels, int key, int keys,
                   int queries, bool first, float *sums)
{
    int width = whole_columns(shape->c_head);
    sums += (size_t)key * width;
    struct gemm gemm = {.rows = keys,
                        .columns = width,
                        .words = words(queries),
                        .a = (const oper *)weights + key * STEP,
                        .a_row = STEP,
                        .a_word = columns_pitch(shape),
                        .b = panels,
                        .floats = true,
                        .y = sums,
                        .y_pitch = width,
                        .add = first ? NULL : sums,
                        .add_pitch = width};
    gemm_run(&gemm);
}

/* to = (accumulate ? to : 0) + sums, of `keys` keys */
static void store_keys(const struct call *call, const float *sums, int keys, elem *to)
{
    int c = call->shape->c_head;
    for (int k = 0; k < keys; k++, sums += whole_columns(c), to += call->shape->qkv_pitch)
        for (int j = 0; j < c; j += LANES) {
            vf x = *(const vf *)(sums + j);
            if (c - j >= LANES) {
                if (call->accumulate) x += vf_load(to + j);
                vf_store(to + j, x);
            } else {
                if (call->accumulate) x += vf_load_part(to + j, c - j);
                vf_store_part(to + j, x, c - j);
            }
        }
}

/* What the block from `first` on gives to some keys and values; the last block is followed by the storing. */
static void keys_backward(const struct call *call, int head, int first, int queries, int key, const struct arrays *a)
{
    const struct attention_shape *shape = call->shape;
    int keys = min_int(KEYS, shape->t - key), c = shape->c_head;
    gather(shape, a->gradient, a->queries, key, keys, queries, first == 0, a->dkeys);
    gather(shape, a->weights, a->dy, key, keys, queries, first == 0, a->dvalues);
    if (first + queries < shape->t) return;
    elem *to = call->dqkv + qkv_offset(shape, head) + (int64_t)key * shape->qkv_pitch + c;
    store_keys(call, a->dkeys + (size_t)key * whole_columns(c), keys, to);
    store_keys(call, a->dvalues + (size_t)key * whole_columns(c), keys, to + c);
}

static void head_backward(const struct call *call, int head, const struct team *team, const struct arrays *a)
{
    int t = call->shape->t;
    pack_head(call, head, team, a);
    for (int first = 0; first < t; first += call->block) {
        int queries = min_int(call->block, t - first);
        pack_block(call, head, first, queries, team, a);
        team_wait(team);
        for (int at = team->rank * QUERIES; at < queries; at += team->size * QUERIES)
            queries_backward(call, head, first + at, at, min_int(QUERIES, queries - at), a);
        team_wait(team);
        for (int key = team->rank * KEYS; key < t; key += team->size * KEYS)
            keys_backward(call, head, first, queries, key, a);
        team_wait(team);
    }
}

void attention_backward(const struct attention_shape *shape, const void *qkv, const void *dy, void *dqkv,
                        bool accumulate, float *scratch)
{
    const struct call call = {shape, qkv, dy, dqkv, accumulate, block_queries(shape)};
    size_t size = attention_backward_scratch(shape);
    int heads = shape->n * shape->heads;
#pragma omp parallel
    {
        const struct team alone = {0, 1}, all = {omp_get_thread_num(), omp_get_num_threads()};
        struct arrays own, shared;
        arrays_make(shape, scratch + size * (size_t)all.rank, &own);
        arrays_make(shape, scratch, &shared);
        shared.rows = own.rows;
        shared.gradient_rows = own.gradient_rows;
        int each = heads / all.size;
        for (int head = all.rank * each; head < (all.rank + 1) * each; head++) head_backward(&call, head, &alone, &own);
        team_wait(&all);
        for (int head = all.size * each; head < heads; head++) head_backward(&call, head, &all, &shared);
    }
}
