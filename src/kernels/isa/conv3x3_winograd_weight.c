/* Backward to the weights by minimal filtering, the adjoint of the forward pass: with V the transformed tiles of x and
 * D those of dy, dU = V' D per point, a product over tiles, is transformed back to dW. Tiles are taken in chunks; a
 * block of dU is C_GROUP input channels x PANEL_GROUP output channels at all points, small enough for the second-level
 * cache, and no sum is split between threads. With several chunks all of dU is kept between them. */
#include "conv3x3_winograd.h"

#include <omp.h>

#define CHUNK 160                 /* tiles, at most; fewer write and read dU more often */
#define CHUNK_FLOATS (1200 << 10) /* of V and D of one of several chunks, about: more fall out of the last cache */
#define CHUNK_MIN 64
#define C_GROUP 64
#define PANEL_GROUP (64 / PANEL * PANEL)
#define RUN 8 /* tiles whose transformation is one piece of work */

struct plan {
    const struct conv_shape *shape;
    struct tiling tiling;
    int chunk, chunks, runs; /* tiles of a chunk; runs in all chunks */
    int chunk_runs;
    int o_groups, c_groups;
    struct points v, d;
    size_t sums_stride, block; /* floats of a point, and of a block of dU */
    size_t zeros, taps;        /* sizes of the parts of scratch */
    size_t v_size, d_size, bias_size, sums_size, thread;
};

static struct plan plan_make(const struct conv_shape *shape, int m)
{
    struct plan plan = {.shape = shape, .tiling = tiling_make(m, shape->n, shape->h, shape->w)};
    size_t points = (size_t)plan.tiling.points;
    int most = CHUNK, fit = CHUNK_FLOATS / (plan.tiling.points * (shape->c_in + shape->c_out));
    if (plan.tiling.tiles > CHUNK) most = fit < CHUNK_MIN ? CHUNK_MIN : min_int(fit, CHUNK);
    plan.chunks = ceil_div(plan.tiling.tiles, most);
    plan.chunk = ceil_div(plan.tiling.tiles, plan.chunks);
    plan.chunk_runs = ceil_div(plan.chunk, RUN);
    plan.runs = plan.chunks * plan.chunk_runs;
    plan.o_groups = ceil_div(shape->c_out, PANEL_GROUP);
    plan.c_groups = ceil_div(shape->c_in, C_GROUP);
    plan.v = points_make(true, m, shape->c_in, C_GROUP, plan.chunk);
    plan.d = points_make(true, m, shape->c_out, PANEL, plan.chunk);
    plan.sums_stride = odd_lines(C_GROUP * PANEL_GROUP);
    plan.block = plan.sums_stride * points;
    plan.v_size = plan.v.stride * points;
    plan.d_size = plan.d.stride * points;
    plan.bias_size = whole_lines((size_t)plan.runs * (size_t)plan.d.channels);
    plan.sums_size = plan.chunks > 1 ? plan.block * (size_t)(plan.o_groups * plan.c_groups) : 0;
    plan.zeros = whole_lines((size_t)(shape->x_pitch > shape->y_pitch ? shape->x_pitch : shape->y_pitch) * SIDE_MAX);
    plan.taps = whole_lines(C_GROUP * TAPS * PANEL_GROUP);
    plan.thread = plan.zeros + plan.taps + (plan.chunks > 1 ? 0 : plan.block);
    return plan;
}

size_t conv3x3_winograd_weight_scratch(const struct conv_shape *shape, int m, int threads)
{
    struct plan plan = plan_make(shape, m);
    return plan.v_size + plan.d_size + plan.bias_size + plan.sums_size + plan.thread * (size_t)threads;
}

/* V, D, the bias's sums of each run [run][output channel] and dU are shared, the rest is a thread's own. */
struct arrays {
    float *v, *d, *bias, *sums;
    float *zeros, *taps, *block;
};

static struct arrays arrays_make(const struct plan *plan, float *scratch)
{
    struct arrays a = {.v = scratch};
    a.d = a.v + plan->v_size;
    a.bias = a.d + plan->d_size;
    a.sums = a.bias + plan->bias_size;
    a.zeros = a.sums + plan->sums_size + plan->thread * (size_t)omp_get_thread_num();
    a.taps = a.zeros + plan->zeros;
    a.block = a.taps + plan->taps;
    memset(a.zeros, 0, sizeof(float) * plan->zeros);
    return a;
}

/* ---- transformed tiles ------------------------------------------------------------------------------------------- */

/* Run `run` of the chunk: its tiles of x (side 0), or of dy with the sums of the bias (side 1). */
INLINE void run_transform(const int m, const struct plan *plan, int chunk, int run, int side, const elem *x,
                          const elem *dy, const struct arrays *a)
{
    const struct conv_shape *shape = plan->shape;
    const elem *zeros = (const elem *)a->zeros;
    struct image image = {x, zeros, shape->c_in, shape->x_pitch};
    if (side == 1) image = (struct image){dy, zeros, shape->c_out, shape->y_pitch};
    int start = chunk * plan->chunk, end = min_int(start + plan->chunk, plan->tiling.tiles);
    int first = start + run * RUN, last = min_int(first + RUN, end);
    float *sums = a->bias + (size_t)(chunk * plan->chunk_runs + run) * (size_t)plan->d.channels;
    if (side == 1) memset(sums, 0, sizeof(float) * (size_t)plan->d.channels);
    for (int tile = first; tile < last; tile++) {
        int place = tile - start;
        if (side == 0)
            tile_transform(LINE_INPUT, m, true, &plan->tiling, &image, tile, &plan->v, place, a->v, NULL);
        else
            tile_transform(LINE_OUTPUT_GRADIENT, m, true, &plan->tiling, &image, tile, &plan->d, place, a->d, sums);
    }
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* One register tile: sums (a row of outputs per input channel) = (first ? 0 : sums) + v' d over tiles. */
struct tile {
    int words, v_width; /* of tiles; words between rows of v */
    const float *v, *d;
    bool first;
    float *sums;
};

INLINE void tile_sum(const int depth, const struct tile *tile, const int rows, const int vectors)
{
    vf sum[TILE][2];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        sum[r][0] = sum[r][1] = (vf){0};
        const vf *before = (const vf *)(tile->sums + r * PANEL_GROUP);
#pragma GCC unroll 2
        for (int k = 0; k < vectors; k++)
            if (!tile->first) sum[r][k] = before[k];
    }
    const float *v = tile->v, *d = tile->d;
    for (int t = 0; t < tile->words; t++, v += tile->v_width, d += vectors * LANES) {
        vf d0 = *(const vf *)d, d1 = vectors == 2 ? *(const vf *)(d + LANES) : d0;
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            sum[r][0] = word_add(depth, sum[r][0], v[r], d0);
            if (vectors == 2) sum[r][1] = word_add(depth, sum[r][1], v[r], d1);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (int k = 0; k < vectors; k++) *(vf *)(tile->sums + r * PANEL_GROUP + k * LANES) = sum[r][k];
    }
}

INLINE void tile_add(const struct tile *tile, const int rows, const int vectors)
{
    tile_sum(1, tile, rows, vectors);
}

TILE_ADDERS(tile_add)

#if DEPTH > 1
INLINE void deep_tile_add(const struct tile *tile, const int rows, const int vectors)
{
    tile_sum(DEPTH, tile, rows, vectors);
}

TILE_ADDERS(deep_tile_add)
#else
#define deep_tile_adders tile_adders
#endif

/* Adds `tiles` tiles to point p of the block of dU at channels (c, o). */
static void block_multiply(const struct plan *plan, const struct arrays *a, size_t p, int c, int o, int tiles,
                           bool first, float *sums)
{
    int v_width = points_width(&plan->v, c), o_end = min_int(o + PANEL_GROUP, plan->shape->c_out);
    struct tile tile = {.words = words_of(plan->v.depth, tiles), .v_width = v_width, .first = first};
    for (int panel = o; panel < o_end; panel += PANEL) {
        int vectors = panel_vectors(plan->shape->c_out, panel);
        tile.d = a->d + p * plan->d.stride + points_offset(&plan->d, 0, panel);
        for (int row = 0, rows; row < v_width; row += rows) {
            rows = tile_rows(v_width - row);
            tile.v = a->v + p * plan->v.stride + points_offset(&plan->v, 0, c) + row;
            tile.sums = sums + p * plan->sums_stride + row * PANEL_GROUP + panel - o;
            for (int r = rows; r < min_int(rows + TILE, v_width - row); r++) /* the next tile's sums */
                for (int k = 0; k < vectors * LANES; k += 16) __builtin_prefetch(tile.sums + r * PANEL_GROUP + k);
            if (plan->v.depth == 1)
                tile_adders[vectors - 1][rows / 2 - 1](&tile);
            else
                deep_tile_adders[vectors - 1][rows / 2 - 1](&tile);
        }
    }
}

/* dweight += the block of dU, transformed back. */
static void block_finish(const struct plan *plan, const struct arrays *a, int c, int o, const float *sums,
                         float *dweight)
{
    const struct conv_shape *shape = plan->shape;
    int channels = min_int(C_GROUP, shape->c_in - c), outputs = min_int(PANEL_GROUP, shape->c_out - o);
    ptrdiff_t stride = (ptrdiff_t)plan->sums_stride;
    for (int k = 0; k < channels; k++)
        for (int v = 0; v < outputs; v += LANES) {
            struct source source = {.base = sums + k * PANEL_GROUP + v, .stride = stride};
            struct target target = {.base = a->taps + k * TAPS * PANEL_GROUP + v, .stride = PANEL_GROUP};
            if (plan->tiling.m == 2)
                transform(LINE_WEIGHT_GRADIENT, 2, source, target, NULL);
            else
                transform(LINE_WEIGHT_GRADIENT, 4, source, target, NULL);
        }
    size_t row = (size_t)TAPS * shape->c_in;
    add_transposed(a->taps, PANEL_GROUP, channels * TAPS, outputs, dweight + o * row + (size_t)TAPS * c, row);
}

/* Point p of all blocks after the tiles of `chunk` were transformed. */
static void point_run(const struct plan *plan, const struct arrays *a, int chunk, int p)
{
    int tiles = min_int(plan->chunk, plan->tiling.tiles - chunk * plan->chunk);
    float *sums = a->sums;
    for (int o = 0; o < plan->shape->c_out; o += PANEL_GROUP)
        for (int c = 0; c < plan->shape->c_in; c += C_GROUP, sums += plan->block)
            block_multiply(plan, a, (size_t)p, c, o, tiles, chunk == 0, sums);
}

/* Block `number` of dU, whose sums are there with several chunks, is made. */
static void block_run(const struct plan *plan, const struct arrays *a, int number, float *dweight)
{
    int c = number % plan->c_groups * C_GROUP, o = number / plan->c_groups * PANEL_GROUP;
    float *sums = plan->chunks > 1 ? a->sums + plan->block * (size_t)number : a->block;
    for (int p = 0; plan->chunks == 1 && p < plan->tiling.points; p++)
        block_multiply(plan, a, (size_t)p, c, o, plan->tiling.tiles, true, sums);
    block_finish(plan, a, c, o, sums, dweight);
}

void conv3x3_winograd_weight(const struct conv_shape *shape, int m, const elem *x, const elem *dy, float *dweight,
                             float *dbias, float *scratch)
{
    struct plan plan = plan_make(shape, m);
#pragma omp parallel
    {
        struct arrays a = arrays_make(&plan, scratch);
        for (int chunk = 0; chunk < plan.chunks; chunk++) {
#pragma omp for schedule(dynamic)
            for (int piece = 0; piece < 2 * plan.chunk_runs; piece++) {
                if (m == 2)
                    run_transform(2, &plan, chunk, piece / 2, piece % 2, x, dy, &a);
                else
                    run_transform(4, &plan, chunk, piece / 2, piece % 2, x, dy, &a);
            }
#pragma omp for schedule(dynamic)
            for (int p = 0; p < (plan.chunks > 1 ? plan.tiling.points : 0); p++) point_run(&plan, &a, chunk, p);
        }
#pragma omp for schedule(dynamic)
        for (int block = 0; block < plan.o_groups * plan.c_groups; block++) block_run(&plan, &a, block, dweight);
#pragma omp for
        for (int o = 0; o < shape->c_out; o++)
            for (int run = 0; dbias && run < plan.runs; run++) dbias[o] += a.bias[run * plan.d.channels + o];
    }
}
