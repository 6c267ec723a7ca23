/* The forward engine: for blocks of PIXELS output pixels, a panel of output channels and a block of input channels,
 * register tiles add "one input pixel's value times a row of weights" over all taps. A tile finds each of its pixels'
 * sources through a pointer, so borders (a line of zeros), strides and rows cost the inner loop nothing, and there is
 * no padded copy. An output is always the same sums in the same order, whatever tile or thread it falls to. */
#include "conv3x3.h"

#include <omp.h>
#include <string.h>

#define PIXELS (56 / TILE * TILE) /* of a block: few enough that small images still make several pieces of work */
#define PANEL_GROUP 128           /* output channels of a piece of work */

/* Where a block's pixels come from and go to. Unused entries read zeros. */
struct block {
    int pixels;
    const float *source[TAPS][PIXELS];
    size_t target[PIXELS]; /* output pixel */
};

/* One tile's work: sums (a row of width floats per pixel) = (first ? 0 : sums) + taps x c products. */
struct tile {
    const float *const *source; /* of the first tap; the next is PIXELS further */
    const float *weight[TAPS];
    int taps, c_first, c;
    bool first;
    float *sums;
};

/* rows and vectors are literals where this is inlined, so that `sum` is registers. */
static inline __attribute__((always_inline)) void tile_add(const struct tile *tile, const int rows, const int vectors)
{
    vf sum[TILE][2];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = (vf){0};
    for (int t = 0; t < tile->taps; t++) {
        const float *w = tile->weight[t], *x[TILE];
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) x[r] = tile->source[t * PIXELS + r] + tile->c_first;
        for (ptrdiff_t c = 0; c < tile->c; c++, w += vectors * LANES) {
            vf w0 = *(const vf *)w, w1 = vectors == 2 ? *(const vf *)(w + LANES) : w0;
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                sum[r][0] += x[r][c] * w0;
                if (vectors == 2) sum[r][1] += x[r][c] * w1;
            }
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
static void block_fill(const struct conv_sweep *sweep, int64_t first, const float *in, const float *zeros,
                       struct block *block)
{
    int64_t points = (int64_t)sweep->rows * sweep->cols, left = sweep->n * points - first;
    block->pixels = left < PIXELS ? (int)left : PIXELS;
    int image = (int)(first / points), i = (int)(first % points / sweep->cols), j = (int)(first % sweep->cols);
    for (int p = 0; p < PIXELS; p++) {
        bool used = p < block->pixels;
        block->target[p] = ((size_t)image * sweep->out_h + i * sweep->out_step + sweep->out_y) * sweep->out_w +
                           j * sweep->out_step + sweep->out_x;
        for (int t = 0; t < sweep->taps; t++) {
            int y = i * sweep->in_step + sweep->tap[t].y, x = j * sweep->in_step + sweep->tap[t].x;
            bool inside = used && y >= 0 && y < sweep->in_h && x >= 0 && x < sweep->in_w;
            block->source[t][p] =
                inside ? in + (((size_t)image * sweep->in_h + y) * sweep->in_w + x) * sweep->in_pitch : zeros;
        }
        if (++j == sweep->cols) {
            j = 0;
            if (++i == sweep->rows) i = 0, image++;
        }
    }
}

/* The sums of one block and panel. */
static void block_sums(const struct conv_sweep *sweep, const struct block *block, const float *packed, int panel,
                       float *sums)
{
    int vectors = panel_vectors(sweep->c_out, panel);
    for (int c = 0; c < sweep->c_in; c += C_BLOCK) {
        struct tile tile = {.taps = sweep->taps, .c_first = c, .c = min_int(C_BLOCK, sweep->c_in - c), .first = c == 0};
        for (int t = 0; t < sweep->taps; t++)
            tile.weight[t] = packed + packed_offset(sweep->c_in, sweep->c_out, panel, c, sweep->tap[t].slot);
        for (int p = 0, rows; p < block->pixels; p += rows) {
            rows = tile_rows(block->pixels - p);
            tile.source = &block->source[0][p];
            tile.sums = sums + p * vectors * LANES;
            tile_adders[vectors - 1][rows / 2 - 1](&tile);
        }
    }
}

/* out = sums + bias + residual for one block and panel. */
static void block_store(const struct conv_sweep *sweep, const struct block *block, int panel, const float *sums,
                        const float *bias, const float *residual, int residual_pitch, float *out)
{
    int width = panel_vectors(sweep->c_out, panel) * LANES, channels = min_int(width, sweep->c_out - panel);
    int whole = channels / LANES * LANES;
    for (int p = 0; p < block->pixels; p++) {
        const float *sum = sums + p * width,
                    *add = residual ? residual + block->target[p] * residual_pitch + panel : NULL;
        float *y = out + block->target[p] * sweep->out_pitch + panel;
        for (int c = 0; c < whole; c += LANES) {
            vf value = *(const vf *)(sum + c);
            if (bias) value += *(const vf *)(bias + panel + c);
            if (add) value += *(const vf *)(add + c);
            *(vf *)(y + c) = value;
        }
        for (int c = whole; c < channels; c++) {
            float value = sum[c];
            if (bias) value += bias[panel + c];
            if (add) value += add[c];
            y[c] = value;
        }
    }
}

/* Per thread: a line of zeros and the sums of a block. */
static size_t thread_scratch(int c_in)
{
    return whole_lines(c_in) + whole_lines(PIXELS * PANEL);
}

size_t conv3x3_direct_scratch(int c_in, int threads)
{
    return thread_scratch(c_in) * threads;
}

void conv3x3_direct(const struct conv_sweep *sweep, const float *in, const float *packed, const float *bias,
                    const float *residual, int residual_pitch, float *out, float *scratch)
{
    int64_t points = (int64_t)sweep->n * sweep->rows * sweep->cols;
    size_t per_thread = thread_scratch(sweep->c_in);
#pragma omp parallel
    {
        float *zeros = scratch + per_thread * omp_get_thread_num(), *sums = zeros + whole_lines(sweep->c_in);
        memset(zeros, 0, sizeof(float) * sweep->c_in);
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t first = 0; first < points; first += PIXELS) {
            for (int group = 0; group < sweep->c_out; group += PANEL_GROUP) {
                struct block block;
                block_fill(sweep, first, in, zeros, &block);
                for (int panel = group; panel < min_int(group + PANEL_GROUP, sweep->c_out); panel += PANEL) {
                    block_sums(sweep, &block, packed, panel, sums);
                    block_store(sweep, &block, panel, sums, bias, residual, residual_pitch, out);
                }
            }
        }
    }
}
