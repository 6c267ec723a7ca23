/* Private to the 3x3 convolutions of this folder. Two engines do the work: conv3x3_direct for everything that looks
 * like a forward pass (also the backward pass to the input) and conv3x3_direct_weight; conv3x3.c describes each public
 * call to them. Both are register tiles of TILE rows (pixels or input channels) by 1 or 2 vectors of output channels.
 */
#ifndef IDDPM_KERNELS_CONV3X3_H
#define IDDPM_KERNELS_CONV3X3_H

#include "isa.h"

/* LANES floats are a vector; TILE x 2 accumulators, the vectors of one row of weights and a broadcast value fit the
 * registers (32, 16 and 16 of them). */
#if defined(__AVX512F__)
#define LANES 16
#define TILE 12
#elif defined(__AVX2__)
#define LANES 8
#define TILE 6
#else
#define LANES 4
#define TILE 6
#endif
#define PANEL (2 * LANES) /* output channels of a tile */
#define C_BLOCK 64        /* input channels whose weights of three taps and a panel stay in the first-level cache */
#define TAPS 9

typedef float vf __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); /* loads and stores anywhere */

static inline int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* Vectors of the panel that starts at channel `first`. */
static inline int panel_vectors(int channels, int first)
{
    return channels - first > LANES ? 2 : 1;
}

/* Tiles have TILE, 2/3 TILE or 1/3 TILE rows: the smallest that holds `rows`, or TILE. */
#define TILE_STEP (TILE / 3)
static inline int tile_rows(int rows)
{
    return rows > 2 * TILE_STEP ? TILE : rows > TILE_STEP ? 2 * TILE_STEP : TILE_STEP;
}

/* Packed weights: [panel][block of C_BLOCK inputs][tap][input][1 or 2 vectors], missing outputs are zero. */
static inline size_t packed_offset(int c_in, int c_out, int panel, int c_first, int tap)
{
    int width = panel_vectors(c_out, panel) * LANES;
    return (size_t)TAPS * c_in * panel + (size_t)width * (TAPS * c_first + tap * min_int(C_BLOCK, c_in - c_first));
}

/* Transposes a block of LANES vectors: log2(LANES) rounds of interleaving vector i with vector i + LANES / 2. */
static inline __attribute__((always_inline)) void transpose(vf block[LANES])
{
    typedef int vi __attribute__((vector_size(4 * LANES)));
    vi low, high;
    for (int i = 0; i < LANES; i++) {
        low[i] = i / 2 + i % 2 * LANES;
        high[i] = LANES / 2 + low[i];
    }
    for (int round = 1; round < LANES; round *= 2) {
        vf next[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES / 2; i++) {
            next[2 * i] = __builtin_shuffle(block[i], block[i + LANES / 2], low);
            next[2 * i + 1] = __builtin_shuffle(block[i], block[i + LANES / 2], high);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) block[i] = next[i];
    }
}

/* Copies up to LANES x LANES floats that start every `stride` floats into a block; the rest is zero. */
static inline void load_block(const float *source, size_t stride, int rows, int cols, vf block[LANES])
{
    for (int i = 0; i < LANES; i++) {
        block[i] = (vf){0};
        if (i < rows && cols >= LANES) block[i] = *(const vf *)(source + i * stride);
        for (int j = 0; i < rows && cols < LANES && j < cols; j++) block[i][j] = source[i * stride + j];
    }
}

/* ---- forward engine (conv3x3_direct.c) --------------------------------------------------------------------------- */

/* For every image, point (i, j) of a grid of rows x cols and tap t, the source pixel (i in_step + tap[t].y, j in_step
 * + tap[t].x), zero outside, times the weights of tap[t].slot is added up for output pixel (i out_step + out_y, j
 * out_step + out_x). */
struct conv_sweep {
    int n, rows, cols;
    int in_h, in_w, in_pitch, in_step, c_in;
    int out_h, out_w, out_pitch, out_step, out_y, out_x, c_out;
    int taps;
    struct conv_tap {
        int y, x, slot;
    } tap[TAPS];
};
size_t conv3x3_direct_scratch(int c_in, int threads);
/* out = sweep + bias + residual; bias and residual may be NULL, residual may be out. */
void conv3x3_direct(const struct conv_sweep *sweep, const float *in, const float *packed, const float *bias,
                    const float *residual, int residual_pitch, float *out, float *scratch);

/* ---- backward to the weights (conv3x3_direct_weight.c) ----------------------------------------------------------- */

size_t conv3x3_direct_weight_scratch(const struct conv_shape *shape, int threads);
void conv3x3_direct_weight(const struct conv_shape *shape, const float *x, const float *dy, float *dweight,
                           float *dbias, float *scratch);

#endif
