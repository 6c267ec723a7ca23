/* The forward engine: for blocks of PIXELS output pixels, a panel of output channels and a block of input channels,
 * register tiles add "one input pixel's value times a row of weights" over all taps. A tile finds each of its pixels'
 * sources through a pointer, so borders (a line of zeros), strides and rows cost the inner loop nothing, and there is
 * no padded copy. An output is always the same sums in the same order, whatever tile or thread it falls to. */
#include "conv3x3.h"

#include <omp.h>
#include <string.h>

#define PIXELS (56 / TILE * TILE) /* of a block: few enough that small images still make several pieces of work */
#define WEIGHTS_AHEAD 4096        /* floats between the weights in use and those being fetched */
#define PANEL_GROUP 128           /* output channels of a piece of work */

/* Sources as they are multiplied: where a word is one operand, bfloat16 is made float32 for the whole call first. */
#if defined(KERNEL_BF16) && DEPTH == 1
#define CONVERTED true
typedef float source;
#else
#define CONVERTED false
typedef elem source;
#endif

/* The arguments of a call. */
struct call {
    const struct conv_sweep *sweep;
    const source *in;
    int in_pitch;
    const float *packed, *bias;
    const elem *residual;
    int residual_pitch;
    elem *out;
};

/* Where a block's pixels come from and go to. Unused entries read zeros. */
struct block {
    int pixels;
    const source *source[TAPS][PIXELS];
    size_t target[PIXELS]; /* output pixel */
    int64_t end;           /* of all images' source pixels that it reads */
};

/* One tile's work: sums (a row of width floats per pixel) = (first ? 0 : sums) + taps x c products. */
struct tile {
    const source *const *source; /* of the first tap; the next is PIXELS further */
    const float *weight[TAPS];
    int taps, c_first, c;
    bool first;
    float *sums;
};

/* The word of a pixel's channels from c DEPTH. */
static inline float source_word(const source *pixel, ptrdiff_t c)
{
    float word;
    memcpy(&word, pixel + c * DEPTH, sizeof word);
    return word;
}

/* The last word, of one channel. */
static inline float source_last(const source *pixel)
{
    float word = 0;
    memcpy(&word, pixel, sizeof *pixel);
    return word;
}

/* rows and vectors are literals where this is inlined, so that `sum` is registers. */
static inline __attribute__((always_inline)) void tile_add(const struct tile *tile, const int rows, const int vectors)
{
    vf sum[TILE][2];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = (vf){0};
    for (int t = 0; t < tile->taps; t++) {
        const float *w = tile->weight[t];
        const source *x[TILE];
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) x[r] = tile->source[t * PIXELS + r] + tile->c_first;
        for (ptrdiff_t c = 0; c < tile->c / DEPTH; c++, w += vectors * LANES) {
            __builtin_prefetch(w + WEIGHTS_AHEAD);
            if (vectors == 2) __builtin_prefetch(w + WEIGHTS_AHEAD + LANES);
            vf w0 = *(const vf *)w, w1 = vectors == 2 ? *(const vf *)(w + LANES) : w0;
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                float word = source_word(x[r], c);
                sum[r][0] = word_add(DEPTH, sum[r][0], word, w0);
                if (vectors == 2) sum[r][1] = word_add(DEPTH, sum[r][1], word, w1);
            }
        }
        if (tile->c % DEPTH == 0) continue;
        vf w0 = *(const vf *)w, w1 = vectors == 2 ? *(const vf *)(w + LANES) : w0;
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            float word = source_last(x[r] + tile->c - 1);
            sum[r][0] = word_add(DEPTH, sum[r][0], word, w0);
            if (vectors == 2) sum[r][1] = word_add(DEPTH, sum[r][1], word, w1);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            vf *total = (vf *)(tile->sums + (r * vectors + v) * LANES);
            if (!tile->first) sum[r][v] += *total;
            *total = sum[r][v];
        }
    }
}

TILE_ADDERS(tile_add)

/* Fills the block that starts at grid point `first` of all images' rows x cols. zeros: c_in of them. */
static void block_fill(const struct call *call, int64_t first, const source *zeros, struct block *block)
{
    const struct conv_sweep *sweep = call->sweep;
    int64_t points = (int64_t)sweep->rows * sweep->cols, left = sweep->n * points - first;
    block->pixels = left < PIXELS ? (int)left : PIXELS;
    block->end = 0;
    int image = (int)(first / points), i = (int)(first % points / sweep->cols), j = (int)(first % sweep->cols);
    for (int p = 0; p < PIXELS; p++) {
        bool used = p < block->pixels;
        block->target[p] = ((size_t)image * sweep->out_h + i * sweep->out_step + sweep->out_y) * sweep->out_w +
                           j * sweep->out_step + sweep->out_x;
        for (int t = 0; t < sweep->taps; t++) {
            int y = i * sweep->in_step + sweep->tap[t].y, x = j * sweep->in_step + sweep->tap[t].x;
            bool inside = used && y >= 0 && y < sweep->in_h && x >= 0 && x < sweep->in_w;
            int64_t pixel = inside ? ((int64_t)image * sweep->in_h + y) * sweep->in_w + x : -1;
            block->source[t][p] = inside ? call->in + pixel * call->in_pitch : zeros;
            block->end = pixel >= block->end ? pixel + 1 : block->end;
        }
        if (++j == sweep->cols) {
            j = 0;
            if (++i == sweep->rows) i = 0, image++;
        }
    }
}

/* What the next block reads and this one did not, to be fetched during `panels` panels. */
static struct ahead block_ahead(const struct call *call, const struct block *block, int panels)
{
    const struct conv_sweep *sweep = call->sweep;
    int64_t left = (int64_t)sweep->n * sweep->in_h * sweep->in_w - block->end;
    int64_t next = (int64_t)PIXELS * sweep->in_step * sweep->in_step;
    return ahead_make(call->in + block->end * call->in_pitch, left < next ? left : next, call->in_pitch, sweep->c_in,
                      panels * ceil_div(sweep->c_in, C_BLOCK) * ceil_div(block->pixels, TILE));
}

/* The sums of one block and panel. */
static void block_sums(const struct call *call, const struct block *block, int panel, struct ahead *ahead, float *sums)
{
    const struct conv_sweep *sweep = call->sweep;
    int vectors = panel_vectors(sweep->c_out, panel);
    for (int c = 0; c < sweep->c_in; c += C_BLOCK) {
        struct tile tile = {.taps = sweep->taps, .c_first = c, .c = min_int(C_BLOCK, sweep->c_in - c), .first = c == 0};
        for (int t = 0; t < sweep->taps; t++)
            tile.weight[t] = call->packed + packed_offset(sweep->c_in, sweep->c_out, panel, c, sweep->tap[t].slot);
        for (int p = 0, rows; p < block->pixels; p += rows) {
            rows = tile_rows(block->pixels - p);
            ahead_fetch(ahead);
            tile.source = &block->source[0][p];
            tile.sums = sums + p * vectors * LANES;
            tile_adders[vectors - 1][rows / 2 - 1](&tile);
        }
    }
}

/* out = sums + bias + residual for one block and panel. */
static void block_store(const struct call *call, const struct block *block, int panel, const float *sums)
{
    const struct conv_sweep *sweep = call->sweep;
    int width = panel_vectors(sweep->c_out, panel) * LANES, channels = min_int(width, sweep->c_out - panel);
    int whole = channels / LANES * LANES;
    const float *bias = call->bias ? call->bias + panel : NULL;
    for (int p = 0; p < block->pixels; p++) {
        const float *sum = sums + p * width;
        const elem *add = call->residual ? call->residual + block->target[p] * call->residual_pitch + panel : NULL;
        elem *out = call->out + block->target[p] * sweep->out_pitch + panel;
        for (int c = 0; c < whole; c += LANES) {
            vf value = *(const vf *)(sum + c);
            if (bias) value += *(const vf *)(bias + c);
            if (add) value += vf_load(add + c);
            vf_store(out + c, value);
        }
        for (int c = whole; c < channels; c++)
            out[c] = elem_of(sum[c] + (bias ? bias[c] : 0) + (add ? elem_float(add[c]) : 0));
    }
}

/* ---- pieces of work ---------------------------------------------------------------------------------------------- */

/* Floats of a thread's scratch: a line of zeros and the sums of a block. */
static size_t thread_scratch(int c_in)
{
    return whole_lines(c_in) + whole_lines(PIXELS * PANEL);
}

/* Floats of the converted source, which the threads share. */
static size_t converted_size(int64_t pixels, int c_in)
{
    return CONVERTED ? whole_lines((size_t)pixels * (size_t)c_in) : 0;
}

size_t conv3x3_direct_scratch(int64_t pixels, int c_in, int threads)
{
    return converted_size(pixels, c_in) + thread_scratch(c_in) * (size_t)threads;
}

/* The block at `first` and the panels of the group of output channels at `group`. */
static void piece_run(const struct call *call, int64_t first, int group, const source *zeros, float *sums)
{
    int end = min_int(group + PANEL_GROUP, call->sweep->c_out);
    struct block block;
    block_fill(call, first, zeros, &block);
    struct ahead ahead = block_ahead(call, &block, ceil_div(end - group, PANEL));
    for (int panel = group; panel < end; panel += PANEL) {
        block_sums(call, &block, panel, &ahead, sums);
        block_store(call, &block, panel, sums);
    }
}

void conv3x3_direct(const struct conv_sweep *sweep, const elem *in, const float *packed, const float *bias,
                    const elem *residual, int residual_pitch, elem *out, float *scratch)
{
    struct call call = {sweep, (const source *)in, sweep->in_pitch, packed, bias, residual, residual_pitch, out};
    int64_t points = (int64_t)sweep->n * sweep->rows * sweep->cols;
    int64_t pixels = (int64_t)sweep->n * sweep->in_h * sweep->in_w;
    size_t per_thread = thread_scratch(sweep->c_in), shared = converted_size(pixels, sweep->c_in);
    if (CONVERTED) {
        call.in = (const source *)scratch;
        call.in_pitch = sweep->c_in;
#pragma omp parallel for
        for (int64_t p = 0; p < pixels; p++)
            for (int c = 0; c < sweep->c_in; c++)
                scratch[p * sweep->c_in + c] = elem_float(in[p * sweep->in_pitch + c]);
    }
#pragma omp parallel
    {
        float *own = scratch + shared + per_thread * (size_t)omp_get_thread_num();
        float *sums = own + whole_lines(sweep->c_in);
        const source *zeros = (const source *)own;
        memset(own, 0, sizeof(float) * sweep->c_in);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t first = 0; first < points; first += PIXELS)
            for (int group = 0; group < sweep->c_out; group += PANEL_GROUP) piece_run(&call, first, group, zeros, sums);
    }
}
