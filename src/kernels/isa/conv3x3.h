/* Private to the 3x3 convolutions of this folder. Per algorithm two engines do the work: conv3x3_direct or
 * conv3x3_winograd for everything that looks like a forward pass (also the backward pass to the input), and
 * conv3x3_direct_weight or conv3x3_winograd_weight; conv3x3.c describes each public call to them. All are register
 * tiles of TILE rows (pixels, tiles or input channels) by 1 or 2 vectors of output channels. */
#ifndef IDDPM_KERNELS_CONV3X3_H
#define IDDPM_KERNELS_CONV3X3_H

#include "operand.h"
#include "tile.h"

#define C_BLOCK 128 /* input channels of one chain of sums (all taps), the chains are then added */
#define TAPS 9

/* Packed weights: [panel][block of C_BLOCK inputs][tap][word of inputs][1 or 2 vectors], missing ones are zero. */
static inline size_t packed_offset(int c_in, int c_out, int panel, int c_first, int tap)
{
    int width = panel_vectors(c_out, panel) * LANES, block = words_of(DEPTH, min_int(C_BLOCK, c_in - c_first));
    return (size_t)TAPS * words_of(DEPTH, c_in) * panel +
           (size_t)width * (TAPS * words_of(DEPTH, c_first) + tap * block);
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
/* pixels: of the source, of all images */
size_t conv3x3_direct_scratch(int64_t pixels, int c_in, int threads);
/* out = sweep + bias + residual; bias and residual may be NULL, residual may be out. */
void conv3x3_direct(const struct conv_sweep *sweep, const elem *in, const float *packed, const float *bias,
                    const elem *residual, int residual_pitch, elem *out, float *scratch);

/* ---- backward to the weights (conv3x3_direct_weight.c) ----------------------------------------------------------- */

size_t conv3x3_direct_weight_scratch(const struct conv_shape *shape, int threads);
void conv3x3_direct_weight(const struct conv_shape *shape, const elem *x, const elem *dy, float *dweight, float *dbias,
                           float *scratch);

/* ---- minimal filtering, F(m x m, 3 x 3) with m = 2 or 4, stride 1 (conv3x3_winograd.c, conv3x3_winograd_weight.c) -
 */

/* What looks like a forward pass. `turned`: `weight` is [c_in][c_out][3][3] and its taps are turned by 180 degrees;
 * otherwise it is [c_out][c_in][3][3]. */
struct winograd_sweep {
    int m, n, h, w;
    int c_in, in_pitch, c_out, out_pitch;
    bool turned;
};
size_t conv3x3_winograd_scratch(const struct winograd_sweep *sweep, int threads);
/* out = sweep + bias + residual; bias and residual may be NULL, residual may be out. */
void conv3x3_winograd(const struct winograd_sweep *sweep, const elem *in, const float *weight, const float *bias,
                      const elem *residual, int residual_pitch, elem *out, float *scratch);
size_t conv3x3_winograd_weight_scratch(const struct conv_shape *shape, int m, int threads);
void conv3x3_winograd_weight(const struct conv_shape *shape, int m, const elem *x, const elem *dy, float *dweight,
                             float *dbias, float *scratch);

#endif
