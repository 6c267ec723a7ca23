/* Forward by minimal filtering, also backward to the input (the same with turned weights): the input's tiles are
 * transformed to V, the weights to U; per point M = V U; M is transformed to tiles of outputs, where bias and residual
 * are added. Weights are transformed in every call: kept, they would take four times their memory, to be read again
 * each time. The smaller of U and V is made as a whole and shared by the threads; of the other each thread makes a
 * part, small enough for its caches, and uses it at once. An output is always the same sums in the same order,
 * whichever way it is.
 */
#include "conv3x3_winograd.h"

#include <omp.h>

#define V_FLOATS (75 << 10) /* of V of a block, about, when each thread has its own */
#define U_FLOATS (75 << 10) /* of U of a chunk, about, when each thread has its own; with many tiles twice as many */
#define BLOCK_MIN 14        /* tiles of images in a block, when each thread has its own V */
#define BLOCK_MANY 64       /* tiles whose M costs more to add to than a smaller U saves */
#define BLOCK_MAX 160       /* when V is shared: M stays in the second-level cache */
#define WEIGHTS_AHEAD 1024  /* floats between the weights in use and those being fetched */

struct call {
    const struct winograd_sweep *sweep;
    struct tiling tiling;
    struct image image;
    const float *weight, *bias;
    const elem *residual;
    int residual_pitch;
    elem *out;
};

/* Tiles are taken in blocks, and where V is shared the inputs in chunks, whose products are added up in M. */
struct plan {
    bool whole_v; /* V is shared and U made panel by panel; otherwise the other way round */
    int block, blocks, panels;
    int chunk; /* inputs */
    struct points v;
    size_t u_stride, u_panel, m_stride;   /* floats */
    size_t shared, zeros, own, m, thread; /* sizes of the parts of scratch */
};

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static struct plan plan_make(const struct winograd_sweep *sweep, const struct tiling *t)
{
    struct plan plan = {.whole_v = t->tiles <= sweep->c_out, .panels = ceil_div(sweep->c_out, PANEL)};
    int channels = whole_vectors(sweep->c_in), most = BLOCK_MAX, depth = depth_of(sweep->m);
    if (!plan.whole_v) most = max_int(V_FLOATS / (t->points * words_of(depth, channels)), BLOCK_MIN);
    plan.blocks = ceil_div(t->tiles, most);
    if (!plan.whole_v && plan.blocks > 1) plan.blocks = (plan.blocks + 1) / 2 * 2; /* alike for two threads */
    plan.block = ceil_div(t->tiles, plan.blocks);
    plan.chunk = channels;
    int u_floats = plan.block > BLOCK_MANY ? 2 * U_FLOATS : U_FLOATS;
    if (plan.whole_v)
        plan.chunk = min_int(channels, max_int(u_floats / (t->points * PANEL) * depth / LANES, 1) * LANES);
    /* room for a last tile of an even number of rows, and an odd number of lines */
    plan.v = points_make(false, sweep->m, channels, LANES, ((plan.whole_v ? t->tiles : plan.block) + 1) | 1);
    plan.u_stride = odd_lines((size_t)words_of(depth, plan.chunk) * PANEL);
    plan.u_panel = plan.u_stride * (size_t)t->points;
    plan.m_stride = odd_lines((size_t)ceil_div(plan.block, 2) * 2 * PANEL);
    size_t v = plan.v.stride * (size_t)t->points;
    plan.shared = plan.whole_v ? v : plan.u_panel * (size_t)plan.panels;
    plan.own = plan.whole_v ? plan.u_panel : v;
    plan.m = plan.m_stride * (size_t)t->points;
    plan.zeros = whole_lines((size_t)sweep->in_pitch * SIDE_MAX);
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
        for (int i = 0; i < rows; i++) __builtin_prefetch(source + e + i * stride + TAPS * LANES);
        load_block(source + e, stride, rows, min_int(LANES, there - e), block);
        transpose(block);
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) *(vf *)(taps + (e + i) * LANES) = block[i];
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
#pragma GCC unroll 4
        for (int tap = 0; tap < TAPS; tap += LANES) {
            const int cols = min_int(LANES, TAPS - tap);
            /* whole vectors, which reach into the next output's weights, unless the array ends before */
            bool room = start + (size_t)(TAPS * (outputs - 1) + tap + LANES) <= end;
            vf block[LANES];
            load_block(call->weight + start + tap, TAPS, outputs, room ? LANES : cols, block);
            transpose(block);
#pragma GCC unroll 16
            for (int k = 0; k < cols; k++) *(vf *)(taps + (tap + k) * LANES) = block[k];
        }
    }
}

/* U of a panel and `chunk` inputs from `c`: [point][word of inputs][1 or 2 vectors of outputs] */
INLINE void panel_transform(const int m, const struct call *call, const struct plan *plan, int panel, int c, int chunk,
                            float *u)
{
    const struct winograd_sweep *sweep = call->sweep;
    int vectors = panel_vectors(sweep->c_out, panel), depth = depth_of(m);
    float taps[LANES * TAPS * LANES] __attribute__((aligned(MEM_ALIGN)));
    for (int k = 0; k < chunk; k += LANES) {
        for (int v = 0; v < vectors; v++) {
            (sweep->turned ? taps_turned : taps_forward)(call, panel + v * LANES, c + k, taps);
            /* turned by 180 degrees: from the last tap to the first */
            const float *base = taps + (sweep->turned ? (TAPS - 1) * LANES : 0);
            for (int i = 0; i < LANES; i++, base += TAPS * LANES) {
                struct source source = {.base = base, .stride = sweep->turned ? -LANES : LANES};
                struct target target = {.kind = operand_kind(m, true),
                                        .second = i % DEPTH,
                                        .base = u + ((k + i) / depth * vectors + v) * LANES,
                                        .stride = (ptrdiff_t)plan->u_stride};
                transform(LINE_WEIGHT, m, source, target, NULL);
            }
        }
    }
}

static void weights_transform(const struct call *call, const struct plan *plan, int panel, int c, int chunk, float *u)
{
    if (call->sweep->m == 2)
        panel_transform(2, call, plan, panel, c, chunk, u);
    else
        panel_transform(4, call, plan, panel, c, chunk, u);
}

/* What weights_transform reads, to be fetched during `tiles` tiles. */
static struct ahead weights_ahead(const struct call *call, int panel, int c, int chunk, int tiles)
{
    const struct winograd_sweep *sweep = call->sweep;
    int inputs = min_int(chunk, sweep->c_in - c), outputs = min_int(PANEL, sweep->c_out - panel);
    if (inputs <= 0 || outputs <= 0) return (struct ahead){0};
    if (sweep->turned)
        return ahead_make(call->weight + (size_t)TAPS * ((size_t)c * sweep->c_out + panel), inputs, TAPS * sweep->c_out,
                          TAPS * outputs, tiles);
    return ahead_make(call->weight + (size_t)TAPS * ((size_t)panel * sweep->c_in + c), outputs, TAPS * sweep->c_in,
                      TAPS * inputs, tiles);
}

/* ---- outputs ----------------------------------------------------------------------------------------------------- */

/* Fetches the lines of a tile's outputs, to be written, and of its residual, for a panel. Inlined always: a function
 * that only fetches has no effect that the compiler knows of, and its calls would be left out. */
INLINE void outputs_fetch(const struct call *call, int tile, int panel)
{
    const struct tiling *t = &call->tiling;
    struct tile_place at = tile_find(t, tile);
    int rows = min_int(t->m, t->h - at.y), cols = min_int(t->m, t->w - at.x);
    int channels = min_int(PANEL, call->sweep->c_out - panel);
    const int line = MEM_ALIGN / sizeof(elem);
    for (int i = 0; i < rows; i++) {
        int64_t pixel = ((int64_t)at.image * t->h + at.y + i) * t->w + at.x;
        for (int j = 0; j < cols; j++, pixel++)
            for (int c = 0; c < channels; c += line) {
                __builtin_prefetch(call->out + pixel * call->sweep->out_pitch + panel + c, 1);
                if (call->residual) __builtin_prefetch(call->residual + pixel * call->residual_pitch + panel + c, 0, 2);
            }
    }
}

/* A tile that reaches over the image's edge, or `channels` of a vector from c: by way of `value`. */
static void edge_store(const struct call *call, const struct tile_place *at, int c, int channels,
                       float value[16][LANES])
{
    const struct tiling *t = &call->tiling;
    for (int p = 0; p < t->m * t->m; p++) {
        int y = at->y + p / t->m, x = at->x + p % t->m;
        if (y >= t->h || x >= t->w) continue;
        int64_t pixel = ((int64_t)at->image * t->h + y) * t->w + x;
        const elem *add = call->residual ? call->residual + pixel * call->residual_pitch + c : NULL;
        elem *out = call->out + pixel * call->sweep->out_pitch + c;
        for (int k = 0; k < channels; k++)
            out[k] = elem_of(value[p][k] + (call->bias ? call->bias[c + k] : 0) + (add ? elem_float(add[k]) : 0));
    }
}

/* The outputs of a tile for the vector of channels from c, whose points are at m. */
INLINE void tile_store(const int side, const struct call *call, const struct plan *plan, const struct tile_place *at,
                       int c, const float *m)
{
    const struct tiling *t = &call->tiling;
    const struct winograd_sweep *sweep = call->sweep;
    struct source source = {.base = m, .stride = (ptrdiff_t)plan->m_stride};
    int channels = min_int(LANES, sweep->c_out - c);
    if (channels < LANES || at->y + side > t->h || at->x + side > t->w) {
        float value[16][LANES] __attribute__((aligned(MEM_ALIGN)));
        transform(LINE_OUTPUT, side, source, (struct target){.base = value[0], .stride = LANES}, NULL);
        edge_store(call, at, c, channels, value);
        return;
    }
    int64_t pixel = ((int64_t)at->image * t->h + at->y) * t->w + at->x;
    struct target target = {.out = call->out + pixel * sweep->out_pitch + c,
                            .row = (ptrdiff_t)t->w * sweep->out_pitch,
                            .pitch = sweep->out_pitch,
                            .bias = call->bias ? *(const vf *)(call->bias + c) : (vf){0}};
    if (!call->residual) {
        transform(LINE_OUTPUT, side, source, target, NULL);
        return;
    }
    target.residual = call->residual + pixel * call->residual_pitch + c;
    target.residual_row = (ptrdiff_t)t->w * call->residual_pitch;
    target.residual_pitch = call->residual_pitch;
    transform(LINE_OUTPUT, side, source, target, NULL);
}

/* The outputs of tiles first .. first + tiles - 1 of the images and a panel. */
static void block_store(const struct call *call, const struct plan *plan, int first, int tiles, int panel,
                        const float *m)
{
    int vectors = panel_vectors(call->sweep->c_out, panel);
    for (int tile = 0; tile < tiles; tile++) {
        struct tile_place at = tile_find(&call->tiling, first + tile);
        for (int v = 0; v < vectors; v++, m += LANES) {
            if (call->tiling.m == 2)
                tile_store(2, call, plan, &at, panel + v * LANES, m);
            else
                tile_store(4, call, plan, &at, panel + v * LANES, m);
        }
    }
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* One register tile: m (a row of outputs per row) = (first ? 0 : m) + v u over channels. */
struct tile {
    const float *v, *u;
    int blocks;        /* of LANES channels */
    ptrdiff_t v_block; /* words between them */
    bool first;
    float *m;
};

INLINE void tile_sum(const int depth, const struct tile *tile, const int rows, const int vectors)
{
    vf sum[TILE][2];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        sum[r][0] = sum[r][1] = (vf){0};
#pragma GCC unroll 2
        for (int k = 0; k < vectors; k++)
            if (!tile->first) sum[r][k] = *(const vf *)(tile->m + (r * vectors + k) * LANES);
    }
    const int width = LANES / depth; /* words of a block */
    const float *v = tile->v, *u = tile->u;
    for (int b = 0; b < tile->blocks; b++, v += tile->v_block) {
#pragma GCC unroll 4
        for (int c = 0; c < width; c++, u += vectors * LANES) {
            if (c < rows) __builtin_prefetch(v + tile->v_block + c * width); /* of the next block, row c */
            __builtin_prefetch(u + WEIGHTS_AHEAD);
            if (vectors == 2) __builtin_prefetch(u + WEIGHTS_AHEAD + LANES);
            vf u0 = *(const vf *)u, u1 = vectors == 2 ? *(const vf *)(u + LANES) : u0;
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                sum[r][0] = word_add(depth, sum[r][0], v[r * width + c], u0);
                if (vectors == 2) sum[r][1] = word_add(depth, sum[r][1], v[r * width + c], u1);
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (int k = 0; k < vectors; k++) *(vf *)(tile->m + (r * vectors + k) * LANES) = sum[r][k];
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

/* A product with U: of `inputs` inputs from c and `tiles` places of V from `place` with the panel; first: M is to be
 * set, not added to. */
struct product {
    int c, inputs, place, tiles, panel;
    bool first;
};

/* M of a panel: [point][tile][1 or 2 vectors of outputs]. Meanwhile what is `ahead` is fetched, and the lines where the
 * outputs of tile `out` and the following go. */
static void block_multiply(const struct call *call, const struct plan *plan, const float *v, const float *u,
                           const struct product *product, struct ahead *ahead, int out, float *m)
{
    const int points = call->tiling.points, vectors = panel_vectors(call->sweep->c_out, product->panel);
    const int width = LANES / plan->v.depth;
    struct tile tile = {
        .blocks = product->inputs / LANES, .v_block = (ptrdiff_t)plan->v.rows * width, .first = product->first};
    v += points_offset(&plan->v, product->place, product->c);
    for (int p = 0; p < points; p++) {
        tile.u = u + (size_t)p * plan->u_stride;
        for (int first = 0, rows; first < product->tiles; first += rows) {
            rows = tile_rows(product->tiles - first);
            ahead_fetch(ahead);
            tile.v = v + (size_t)p * plan->v.stride + (size_t)(first * width);
            tile.m = m + (size_t)p * plan->m_stride + (size_t)(first * vectors) * LANES;
            if (plan->v.depth == 1)
                tile_adders[vectors - 1][rows / 2 - 1](&tile);
            else
                deep_tile_adders[vectors - 1][rows / 2 - 1](&tile);
        }
        if (out >= 0)
            for (int k = product->tiles * p / points; k < product->tiles * (p + 1) / points; k++)
                outputs_fetch(call, out + k, product->panel);
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
    call->image.zeros = (const elem *)zeros;
    return (struct arrays){plan->whole_v ? scratch : own, plan->whole_v ? own : scratch, own + plan->own};
}

/* First tile of a block; the blocks are alike. */
static int block_first(const struct call *call, const struct plan *plan, int block)
{
    return (int)((int64_t)call->tiling.tiles * block / plan->blocks);
}

static void image_transform(const struct call *call, const struct plan *plan, int tile, int place, float *v)
{
    if (call->tiling.m == 2)
        tile_transform(LINE_INPUT, 2, false, &call->tiling, &call->image, tile, &plan->v, place, v, NULL);
    else
        tile_transform(LINE_INPUT, 4, false, &call->tiling, &call->image, tile, &plan->v, place, v, NULL);
}

/* All tiles of a panel, with V as a whole. `next`: the thread's next panel. */
static void panel_run(const struct call *call, const struct plan *plan, int panel, int next, const struct arrays *a)
{
    int inputs = plan->v.channels;
    for (int block = 0; block < plan->blocks; block++) {
        int first = block_first(call, plan, block), tiles = block_first(call, plan, block + 1) - first;
        for (int c = 0; c < inputs; c += plan->chunk) {
            struct product product = {c, min_int(plan->chunk, inputs - c), first, tiles, panel, c == 0};
            bool last = c + plan->chunk >= inputs, over = last && block == plan->blocks - 1;
            struct ahead ahead = weights_ahead(call, over ? next : panel, last ? 0 : c + plan->chunk, plan->chunk,
                                               call->tiling.points * ceil_div(tiles, TILE));
            weights_transform(call, plan, panel, c, product.inputs, a->u);
            block_multiply(call, plan, a->v, a->u, &product, &ahead, last ? first : -1, a->m);
        }
        block_store(call, plan, first, tiles, panel, a->m);
    }
}

/* First pixel of the row of tiles that `tile` is in, over all images. */
static int64_t row_start(const struct tiling *t, int tile)
{
    int row = tile / t->cols;
    return ((int64_t)(row / t->rows) * t->h + row % t->rows * t->m) * t->w;
}

/* What a block of tiles reads. */
static struct ahead block_ahead(const struct call *call, const struct plan *plan, int block)
{
    if (block >= plan->blocks) return (struct ahead){0};
    const struct tiling *t = &call->tiling;
    int from = block_first(call, plan, block), to = block_first(call, plan, block + 1);
    int64_t start = row_start(t, from), pixels = row_start(t, to) - start;
    return ahead_make(call->image.data + start * call->image.pitch, pixels, call->image.pitch, call->image.channels,
                      plan->panels * t->points * ceil_div(plan->block, TILE));
}

/* All panels of a block of tiles, with U as a whole. */
static void block_run(const struct call *call, const struct plan *plan, int block, const struct arrays *a)
{
    int first = block_first(call, plan, block), tiles = block_first(call, plan, block + 1) - first;
    struct ahead ahead = block_ahead(call, plan, block + 1);
    for (int tile = 0; tile < tiles; tile++) image_transform(call, plan, first + tile, tile, a->v);
    for (int panel = 0; panel < call->sweep->c_out; panel += PANEL) {
        struct product product = {0, plan->v.channels, 0, tiles, panel, true};
        const float *u = a->u + plan->u_panel * (size_t)(panel / PANEL);
        block_multiply(call, plan, a->v, u, &product, &ahead, first, a->m);
        block_store(call, plan, first, tiles, panel, a->m);
    }
}

void conv3x3_winograd(const struct winograd_sweep *sweep, const elem *in, const float *weight, const float *bias,
                      const elem *residual, int residual_pitch, elem *out, float *scratch)
{
    struct tiling t = tiling_make(sweep->m, sweep->n, sweep->h, sweep->w);
    struct plan plan = plan_make(sweep, &t);
    struct image image = {.data = in, .channels = sweep->c_in, .pitch = sweep->in_pitch};
#pragma omp parallel
    {
        struct call call = {sweep, t, image, weight, bias, residual, residual_pitch, out};
        struct arrays a = arrays_make(&call, &plan, scratch);
        if (plan.whole_v) {
            int apart = PANEL * omp_get_num_threads();
#pragma omp for
            for (int tile = 0; tile < t.tiles; tile++) image_transform(&call, &plan, tile, tile, a.v);
#pragma omp for schedule(static, 1)
            for (int panel = 0; panel < sweep->c_out; panel += PANEL) panel_run(&call, &plan, panel, panel + apart, &a);
        } else {
#pragma omp for
            for (int k = 0; k < plan.panels; k++)
                weights_transform(&call, &plan, k * PANEL, 0, plan.chunk, a.u + plan.u_panel * (size_t)k);
#pragma omp for schedule(dynamic)
            for (int block = 0; block < plan.blocks; block++) block_run(&call, &plan, block, &a);
        }
    }
}
