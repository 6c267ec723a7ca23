/* Forward by minimal filtering, also backward to the input (the same with turned weights): the input's tiles are
 * transformed to V, the weights to U; per point M = V U; M is transformed to tiles of outputs, where bias and residual
 * are added. Weights are transformed in every call: kept, they would take four times their memory, to be read again
 * each time. The smaller of U and V is made as a whole and shared by the threads; of the other each thread makes a
 * part, small enough for its caches, and uses it at once. An output is always the same sums in the same order,
 * whichever way it is.
 */
#include "conv3x3_winograd.h"

#include <omp.h>

#define BLOCK_MAX (5 * TILE)     /* tiles of images in a block */
#define BLOCK_FLOATS (160 << 10) /* of V of a block, about, when each thread has its own */
#define WEIGHTS_AHEAD 4096       /* floats between the weights in use and those being fetched */

struct call {
    const struct winograd_sweep *sweep;
    struct tiling tiling;
    struct image image;
    const float *weight, *bias, *residual;
    int residual_pitch;
    float *out;
};

struct plan {
    bool whole_v; /* V is shared and U made panel by panel; otherwise the other way round */
    int block, panels;
    struct points v;
    size_t u_stride, u_panel, m_stride;   /* floats */
    size_t shared, zeros, own, m, thread; /* sizes of the parts of scratch */
};

static struct plan plan_make(const struct winograd_sweep *sweep, const struct tiling *t)
{
    struct plan plan = {.whole_v = t->tiles <= sweep->c_out, .panels = ceil_div(sweep->c_out, PANEL)};
    int channels = whole_vectors(sweep->c_in), most = BLOCK_MAX;
    if (!plan.whole_v) {
        most = BLOCK_FLOATS / (t->points * channels) / TILE * TILE;
        most = most < 2 * TILE ? 2 * TILE : min_int(most, BLOCK_MAX);
    }
    int blocks = ceil_div(t->tiles, most);
    plan.block = ceil_div(ceil_div(t->tiles, blocks), TILE) * TILE;
    /* room for a last tile of an even number of rows, and an odd number of lines */
    plan.v = points_make(channels, LANES, ((plan.whole_v ? t->tiles : plan.block) + 1) | 1);
    plan.u_stride = odd_lines((size_t)channels * PANEL);
    plan.u_panel = plan.u_stride * (size_t)t->points;
    plan.m_stride = odd_lines((size_t)plan.block * PANEL);
    size_t v = plan.v.stride * (size_t)t->points;
    plan.shared = plan.whole_v ? v : plan.u_panel * (size_t)plan.panels;
    plan.own = plan.whole_v ? plan.u_panel : v;
    plan.m = plan.m_stride * (size_t)t->points;
    plan.zeros = whole_lines((size_t)sweep->c_in);
    plan.thread = plan.zeros + plan.own + plan.m;
    return plan;
}

size_t conv3x3_winograd_scratch(const struct winograd_sweep *sweep, int threads)
{
    struct tiling t = tiling_make(sweep->m, sweep->n, sweep->h, sweep->w);
    struct plan plan = plan_make(sweep, &t);
    return plan.shared + plan.thread * (size_t)threads;
}

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* The weights of LANES inputs from `c` and LANES outputs from `first`: [input][tap][output], zero where there is none.
 */
static void taps_forward(const struct call *call, int first, int c, float *taps)
{
    const struct winograd_sweep *sweep = call->sweep;
    size_t stride = (size_t)TAPS * sweep->c_in;
    int there = TAPS * min_int(LANES, sweep->c_in - c);
    const float *source = call->weight + first * stride + (size_t)TAPS * c;
    for (int e = 0; e < TAPS * LANES; e += LANES) {
        vf block[LANES];
        int rows = min_int(LANES, sweep->c_out - first);
        load_block(source + e, stride, rows, min_int(LANES, there - e), block);
        for (int i = 0; i < rows; i++) __builtin_prefetch(source + e + i * stride + TAPS * LANES);
        transpose(block);
        memcpy(taps + e * LANES, block, sizeof block);
    }
}

/* The same of [input][output][tap]. */
static void taps_turned(const struct call *call, int first, int c, float *taps)
{
    const struct winograd_sweep *sweep = call->sweep;
    size_t end = (size_t)TAPS * sweep->c_in * sweep->c_out;
    int outputs = min_int(LANES, sweep->c_out - first);
    for (int i = 0; i < LANES; i++, taps += TAPS * LANES) {
        if (c + i >= sweep->c_in) {
            memset(taps, 0, sizeof(float) * TAPS * LANES);
            continue;
        }
        size_t start = (size_t)TAPS * ((size_t)(c + i) * sweep->c_out + first);
        for (int k = 0; k < TAPS * LANES; k += 16)
            __builtin_prefetch(call->weight + start + (size_t)TAPS * 4 * sweep->c_out + k);
        for (int tap = 0; tap < TAPS; tap += LANES) {
            int cols = min_int(LANES, TAPS - tap);
            /* whole vectors, which reach into the next output's weights, unless the array ends before */
            bool room = start + (size_t)(TAPS * (outputs - 1) + tap + LANES) <= end;
            vf block[LANES];
            load_block(call->weight + start + tap, TAPS, outputs, room ? LANES : cols, block);
            transpose(block);
            memcpy(taps + tap * LANES, block, sizeof(vf) * (size_t)cols);
        }
    }
}

/* U of a panel: [point][input][1 or 2 vectors of outputs] */
static void weights_transform(const struct call *call, const struct plan *plan, int panel, float *u)
{
    const struct winograd_sweep *sweep = call->sweep;
    int vectors = panel_vectors(sweep->c_out, panel);
    float taps[LANES * TAPS * LANES] __attribute__((aligned(MEM_ALIGN)));
    for (int c = 0; c < plan->v.channels; c += LANES) {
        for (int v = 0; v < vectors; v++) {
            (sweep->turned ? taps_turned : taps_forward)(call, panel + v * LANES, c, taps);
            /* turned by 180 degrees: from the last tap to the first */
            const float *base = taps + (sweep->turned ? (TAPS - 1) * LANES : 0);
            ptrdiff_t step = sweep->turned ? -LANES : LANES;
            for (int i = 0; i < LANES; i++, base += TAPS * LANES) {
                const struct square square = {.base = base, .stride = step};
                float *to = u + ((c + i) * vectors + v) * LANES;
                if (sweep->m == 2)
                    transform(LINE_WEIGHT, 2, square, to, (ptrdiff_t)plan->u_stride);
                else
                    transform(LINE_WEIGHT, 4, square, to, (ptrdiff_t)plan->u_stride);
            }
        }
    }
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* One register tile: m (a row of outputs per row) = v u over all channels. */
struct tile {
    const float *v, *u;
    int blocks;        /* of LANES channels */
    ptrdiff_t v_block; /* floats between them */
    float *m;
};

static inline __attribute__((always_inline)) void tile_add(const struct tile *tile, const int rows, const int vectors)
{
    vf sum[TILE][2];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = (vf){0};
    const float *v = tile->v, *u = tile->u;
    for (int b = 0; b < tile->blocks; b++, v += tile->v_block) {
#pragma GCC unroll 4
        for (int c = 0; c < LANES; c++, u += vectors * LANES) {
            __builtin_prefetch(u + WEIGHTS_AHEAD);
            if (vectors == 2) __builtin_prefetch(u + WEIGHTS_AHEAD + LANES);
            vf u0 = *(const vf *)u, u1 = vectors == 2 ? *(const vf *)(u + LANES) : u0;
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                sum[r][0] += v[r * LANES + c] * u0;
                if (vectors == 2) sum[r][1] += v[r * LANES + c] * u1;
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (int k = 0; k < vectors; k++) *(vf *)(tile->m + (r * vectors + k) * LANES) = sum[r][k];
    }
}

TILE_ADDERS(tile_add)

/* M of a panel for `tiles` places of V from `place`: [point][tile][1 or 2 vectors of outputs] */
static void block_multiply(const struct call *call, const struct plan *plan, const float *v, int place, int tiles,
                           const float *u, int vectors, struct ahead *ahead, float *m)
{
    struct tile tile = {.blocks = plan->v.channels / LANES, .v_block = (ptrdiff_t)plan->v.tiles * LANES};
    for (int p = 0; p < call->tiling.points; p++) {
        tile.u = u + (size_t)p * plan->u_stride;
        for (int first = 0, rows; first < tiles; first += rows) {
            rows = tile_rows(tiles - first);
            ahead_fetch(ahead);
            tile.v = v + (size_t)p * plan->v.stride + (size_t)(place + first) * LANES;
            tile.m = m + (size_t)p * plan->m_stride + (size_t)(first * vectors) * LANES;
            tile_adders[vectors - 1][rows / 2 - 1](&tile);
        }
    }
}

/* ---- outputs ----------------------------------------------------------------------------------------------------- */

/* One vector of a tile's outputs, `channels` of it from `c`. */
static void vector_store(const struct call *call, const int64_t *pixel, int c, int channels, const vf *value)
{
    for (int p = 0; p < call->tiling.m * call->tiling.m; p++) {
        if (pixel[p] < 0) continue;
        const float *bias = call->bias ? call->bias + c : NULL;
        const float *add = call->residual ? call->residual + pixel[p] * call->residual_pitch + c : NULL;
        float *out = call->out + pixel[p] * call->sweep->out_pitch + c;
        if (channels == LANES) {
            vf sum = value[p];
            if (bias) sum += *(const vf *)bias;
            if (add) sum += *(const vf *)add;
            *(vf *)out = sum;
        } else {
            for (int k = 0; k < channels; k++) out[k] = value[p][k] + (bias ? bias[k] : 0) + (add ? add[k] : 0);
        }
    }
}

/* The outputs of tiles first .. first + tiles - 1 of the images and a panel. */
static void block_store(const struct call *call, const struct plan *plan, int first, int tiles, int panel,
                        const float *m)
{
    int vectors = panel_vectors(call->sweep->c_out, panel);
    for (int tile = 0; tile < tiles; tile++) {
        int64_t pixel[POINTS_MAX];
        tile_pixels(&call->tiling, first + tile, 0, pixel);
        for (int v = 0; v < vectors; v++, m += LANES) {
            int c = panel + v * LANES;
            const struct square square = {.base = m, .stride = (ptrdiff_t)plan->m_stride};
            vf value[16];
            if (call->tiling.m == 2)
                transform(LINE_OUTPUT, 2, square, (float *)value, LANES);
            else
                transform(LINE_OUTPUT, 4, square, (float *)value, LANES);
            vector_store(call, pixel, c, min_int(LANES, call->sweep->c_out - c), value);
        }
    }
}

/* ---- pieces of work ---------------------------------------------------------------------------------------------- */

/* A thread's arrays: of V and U one is shared. */
struct arrays {
    float *v, *u, *m;
};

static struct arrays arrays_make(struct call *call, const struct plan *plan, float *scratch)
{
    float *zeros = scratch + plan->shared + plan->thread * (size_t)omp_get_thread_num(), *own = zeros + plan->zeros;
    memset(zeros, 0, sizeof(float) * plan->zeros);
    call->image.zeros = zeros;
    return (struct arrays){plan->whole_v ? scratch : own, plan->whole_v ? own : scratch, own + plan->own};
}

/* All tiles of a panel, with V as a whole. */
static void panel_run(const struct call *call, const struct plan *plan, int panel, const struct arrays *a)
{
    struct ahead ahead = {0};
    weights_transform(call, plan, panel, a->u);
    for (int first = 0; first < call->tiling.tiles; first += plan->block) {
        int tiles = min_int(plan->block, call->tiling.tiles - first);
        block_multiply(call, plan, a->v, first, tiles, a->u, panel_vectors(call->sweep->c_out, panel), &ahead, a->m);
        block_store(call, plan, first, tiles, panel, a->m);
    }
}

/* First pixel of the row of tiles that `tile` is in, over all images. */
static int64_t row_start(const struct tiling *t, int tile)
{
    int row = tile / t->cols;
    return ((int64_t)(row / t->rows) * t->h + row % t->rows * t->m) * t->w;
}

/* What the block of tiles at `first` reads. */
static struct ahead block_ahead(const struct call *call, const struct plan *plan, int first)
{
    const struct tiling *t = &call->tiling;
    int from = min_int(first, t->tiles), to = min_int(first + plan->block, t->tiles);
    int64_t start = row_start(t, from), pixels = row_start(t, to) - start;
    return ahead_make(call->image.data + start * call->image.pitch, pixels, call->image.pitch, call->image.channels,
                      plan->panels * t->points * ceil_div(plan->block, TILE));
}

/* All panels of a block of tiles, with U as a whole. */
static void block_run(const struct call *call, const struct plan *plan, int first, const struct arrays *a)
{
    int tiles = min_int(plan->block, call->tiling.tiles - first);
    struct ahead ahead = block_ahead(call, plan, first + plan->block);
    for (int tile = 0; tile < tiles; tile++)
        tile_transform(LINE_INPUT, &call->tiling, &call->image, first + tile, &plan->v, (size_t)tile, a->v);
    for (int panel = 0; panel < call->sweep->c_out; panel += PANEL) {
        const float *u = a->u + plan->u_panel * (size_t)(panel / PANEL);
        block_multiply(call, plan, a->v, 0, tiles, u, panel_vectors(call->sweep->c_out, panel), &ahead, a->m);
        block_store(call, plan, first, tiles, panel, a->m);
    }
}

void conv3x3_winograd(const struct winograd_sweep *sweep, const float *in, const float *weight, const float *bias,
                      const float *residual, int residual_pitch, float *out, float *scratch)
{
    struct tiling t = tiling_make(sweep->m, sweep->n, sweep->h, sweep->w);
    struct plan plan = plan_make(sweep, &t);
    struct image image = {.data = in, .channels = sweep->c_in, .pitch = sweep->in_pitch};
#pragma omp parallel
    {
        struct call call = {sweep, t, image, weight, bias, residual, residual_pitch, out};
        struct arrays a = arrays_make(&call, &plan, scratch);
        if (plan.whole_v) {
#pragma omp for
            for (int tile = 0; tile < t.tiles; tile++)
                tile_transform(LINE_INPUT, &t, &call.image, tile, &plan.v, (size_t)tile, a.v);
#pragma omp for schedule(dynamic)
            for (int panel = 0; panel < sweep->c_out; panel += PANEL) panel_run(&call, &plan, panel, &a);
        } else {
#pragma omp for
            for (int k = 0; k < plan.panels; k++)
                weights_transform(&call, &plan, k * PANEL, a.u + plan.u_panel * (size_t)k);
#pragma omp for schedule(dynamic)
            for (int first = 0; first < t.tiles; first += plan.block) block_run(&call, &plan, first, &a);
        }
    }
}
