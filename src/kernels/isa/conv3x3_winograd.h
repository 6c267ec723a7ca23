/* Private to the minimal-filtering (Winograd) convolutions: F(m x m, 3 x 3) for m = 2 and 4 (Lavin & Gray 2016), in
 * which a tile of m x m outputs costs (m + 2)^2 multiplications per pair of channels in place of 9 m^2. A line of m + 2
 * inputs d, 3 weights g and m outputs y belong together by y = A' [(G g) * (B' d)]; in two dimensions each matrix is
 * applied from both sides. The points of interpolation are 0, +-1/sqrt 2, +-sqrt 2 and infinity for m = 4 (0, +-1 and
 * +-2 would err ten times as much), 0, +-1 and infinity for m = 2. The backward passes are the exact adjoints.
 *
 * Every product of a point (one of the (m + 2)^2) is a matrix product over channels or tiles in register tiles, as in
 * the direct convolution. */
#ifndef IDDPM_KERNELS_CONV3X3_WINOGRAD_H
#define IDDPM_KERNELS_CONV3X3_WINOGRAD_H

#include "conv3x3.h"

#include <string.h>

#define SIDE_MAX 6
#define POINTS_MAX (SIDE_MAX * SIDE_MAX)
#define INLINE static inline __attribute__((always_inline))

/* ---- transforms of one line -------------------------------------------------------------------------------------- */

enum line {
    LINE_INPUT,           /* B': m + 2 inputs to points */
    LINE_OUTPUT,          /* A': points to m outputs */
    LINE_WEIGHT,          /* G: 3 weights to points */
    LINE_OUTPUT_GRADIENT, /* A: m gradients of outputs to points */
    LINE_WEIGHT_GRADIENT, /* G': points to 3 gradients of weights */
};

INLINE int line_from(const enum line line, const int m)
{
    return line == LINE_WEIGHT ? 3 : line == LINE_OUTPUT_GRADIENT ? m : m + 2;
}

INLINE int line_to(const enum line line, const int m)
{
    return line == LINE_WEIGHT_GRADIENT ? 3 : line == LINE_OUTPUT ? m : m + 2;
}

INLINE void line_2(const enum line line, const vf *in, vf *out)
{
    switch (line) {
    case LINE_INPUT:
        out[0] = in[0] - in[2];
        out[1] = in[1] + in[2];
        out[2] = in[2] - in[1];
        out[3] = in[1] - in[3];
        break;
    case LINE_OUTPUT:
        out[0] = in[0] + in[1] + in[2];
        out[1] = in[1] - in[2] - in[3];
        break;
    case LINE_WEIGHT: {
        vf even = 0.5f * (in[0] + in[2]), odd = 0.5f * in[1];
        out[0] = in[0];
        out[1] = even + odd;
        out[2] = even - odd;
        out[3] = in[2];
        break;
    }
    case LINE_OUTPUT_GRADIENT:
        out[0] = in[0];
        out[1] = in[0] + in[1];
        out[2] = in[0] - in[1];
        out[3] = -in[1];
        break;
    case LINE_WEIGHT_GRADIENT: {
        vf even = 0.5f * (in[1] + in[2]);
        out[0] = in[0] + even;
        out[1] = 0.5f * (in[1] - in[2]);
        out[2] = even + in[3];
        break;
    }
    }
}

#define NEAR 0.70710678118654752f /* 1 / sqrt 2 */
#define FAR 1.41421356237309505f  /* sqrt 2 */

INLINE void line_4(const enum line line, const vf *in, vf *out)
{
    const float third = 1 / 3.f, sixth = 1 / 6.f;
    switch (line) {
    case LINE_INPUT: {
        vf near_even = in[4] - 2.f * in[2], near_odd = NEAR * (in[3] - 2.f * in[1]);
        vf far_even = in[4] - 0.5f * in[2], far_odd = FAR * (in[3] - 0.5f * in[1]);
        out[0] = in[0] + (in[4] - 2.5f * in[2]);
        out[1] = near_even + near_odd;
        out[2] = near_even - near_odd;
        out[3] = far_even + far_odd;
        out[4] = far_even - far_odd;
        out[5] = in[5] + (in[1] - 2.5f * in[3]);
        break;
    }
    case LINE_OUTPUT: {
        vf near_sum = in[1] + in[2], near_odd = NEAR * (in[1] - in[2]);
        vf far_sum = in[3] + in[4], far_odd = FAR * (in[3] - in[4]);
        out[0] = in[0] + near_sum + far_sum;
        out[1] = near_odd + far_odd;
        out[2] = 0.5f * near_sum + 2.f * far_sum;
        out[3] = 0.5f * near_odd + 2.f * far_odd + in[5];
        break;
    }
    case LINE_WEIGHT: {
        vf near_even = -2 * third * (in[0] + 0.5f * in[2]), near_odd = 2 * third * NEAR * in[1];
        vf far_even = sixth * (in[0] + 2.f * in[2]), far_odd = sixth * FAR * in[1];
        out[0] = in[0];
        out[1] = near_even - near_odd;
        out[2] = near_even + near_odd;
        out[3] = far_even + far_odd;
        out[4] = far_even - far_odd;
        out[5] = in[2];
        break;
    }
    case LINE_OUTPUT_GRADIENT: {
        vf near_even = in[0] + 0.5f * in[2], near_odd = NEAR * (in[1] + 0.5f * in[3]);
        vf far_even = in[0] + 2.f * in[2], far_odd = FAR * (in[1] + 2.f * in[3]);
        out[0] = in[0];
        out[1] = near_even + near_odd;
        out[2] = near_even - near_odd;
        out[3] = far_even + far_odd;
        out[4] = far_even - far_odd;
        out[5] = in[3];
        break;
    }
    case LINE_WEIGHT_GRADIENT: {
        vf near_sum = in[1] + in[2], far_sum = in[3] + in[4];
        out[0] = in[0] - 2 * third * near_sum + sixth * far_sum;
        out[1] = -2 * third * NEAR * (in[1] - in[2]) + sixth * FAR * (in[3] - in[4]);
        out[2] = third * (far_sum - near_sum) + in[5];
        break;
    }
    }
}

/* Where a square of vectors is read: element p at base + p stride, or at pixel[p] + stride when there is `pixel`; then
 * what is `next` floats further is fetched, in the columns that only the next tile reads. */
struct square {
    const float *base;
    const float *const *pixel;
    ptrdiff_t stride, next;
};

/* A square of vectors, transformed from both sides and written at `to` + p to_stride. */
INLINE void transform(const enum line line, const int m, const struct square square, float *to, ptrdiff_t to_stride)
{
    const int from = line_from(line, m), side = line_to(line, m);
    vf half[SIDE_MAX][SIDE_MAX];
#pragma GCC unroll 6
    for (int j = 0; j < from; j++) {
        vf in[SIDE_MAX], out[SIDE_MAX];
#pragma GCC unroll 6
        for (int i = 0; i < from; i++) {
            const int p = i * from + j;
            const float *at = square.pixel ? square.pixel[p] + square.stride : square.base + p * square.stride;
            in[i] = *(const vf *)at;
            if (square.pixel && j >= from - m) __builtin_prefetch(at + square.next);
        }
        if (m == 2)
            line_2(line, in, out);
        else
            line_4(line, in, out);
#pragma GCC unroll 6
        for (int i = 0; i < side; i++) half[i][j] = out[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < side; i++) {
        vf out[SIDE_MAX];
        if (m == 2)
            line_2(line, half[i], out);
        else
            line_4(line, half[i], out);
#pragma GCC unroll 6
        for (int j = 0; j < side; j++) *(vf *)(to + (i * side + j) * to_stride) = out[j];
    }
}

/* ---- tiles of images --------------------------------------------------------------------------------------------- */

struct tiling {
    int m, points; /* outputs of a tile's side; (m + 2)^2 */
    int h, w, rows, cols;
    int tiles; /* of all images */
};

static inline struct tiling tiling_make(int m, int n, int h, int w)
{
    int rows = ceil_div(h, m), cols = ceil_div(w, m);
    return (struct tiling){m, (m + 2) * (m + 2), h, w, rows, cols, n * rows * cols};
}

/* The pixels of a tile with `border` pixels around it, numbered over all images; -1 outside of its image. */
static inline void tile_pixels(const struct tiling *t, int tile, int border, int64_t *pixel)
{
    int image = tile / (t->rows * t->cols), size = t->m + 2 * border;
    int y0 = tile / t->cols % t->rows * t->m - border, x0 = tile % t->cols * t->m - border;
    for (int y = y0; y < y0 + size; y++)
        for (int x = x0; x < x0 + size; x++) {
            bool inside = y >= 0 && y < t->h && x >= 0 && x < t->w;
            *pixel++ = inside ? ((int64_t)image * t->h + y) * t->w + x : -1;
        }
}

/* Images whose tiles are transformed; `zeros` are as many as there are channels. */
struct image {
    const float *data, *zeros;
    int channels, pitch;
};

/* Transformed tiles, one array per point, every `stride` floats: [block of channels][tile][channel of the block]. The
 * channels are whole vectors, the last block may be narrower. */
struct points {
    int channels, block;
    size_t tiles, stride;
};

static inline int whole_vectors(int channels)
{
    return ceil_div(channels, LANES) * LANES;
}

/* Streams that are written together must not fall into the same sets of a cache: their distance is an odd number of
 * lines. */
static inline size_t odd_lines(size_t floats)
{
    return whole_lines(floats) | (MEM_ALIGN / sizeof(float));
}

static inline struct points points_make(int channels, int block, int tiles)
{
    int whole = whole_vectors(channels);
    return (struct points){whole, block, (size_t)tiles, odd_lines((size_t)whole * (size_t)tiles)};
}

static inline int points_width(const struct points *points, int c)
{
    return min_int(points->block, points->channels - c / points->block * points->block);
}

static inline size_t points_offset(const struct points *points, size_t tile, int c)
{
    size_t first = (size_t)(c / points->block * points->block);
    return first * points->tiles + tile * (size_t)points_width(points, c) + ((size_t)c - first);
}

/* Tile `tile` of the images transformed to place `place` of `points`: LINE_INPUT with its border of one pixel,
 * LINE_OUTPUT_GRADIENT without. */
INLINE void tile_transform(const enum line line, const struct tiling *t, const struct image *image, int tile,
                           const struct points *points, size_t place, float *to)
{
    int64_t number[POINTS_MAX];
    const float *pixel[POINTS_MAX];
    int size = line_from(line, t->m), whole = image->channels / LANES * LANES, rest = image->channels - whole;
    tile_pixels(t, tile, line == LINE_INPUT, number);
    for (int p = 0; p < size * size; p++)
        pixel[p] = number[p] < 0 ? image->zeros : image->data + number[p] * image->pitch;
    float last[POINTS_MAX][LANES];
    for (int c = 0; c < points->channels; c += LANES) {
        struct square square = {.pixel = pixel, .stride = c, .next = (ptrdiff_t)t->m * image->pitch};
        if (c == whole) square.stride = square.next = 0;
        for (int p = 0; p < size * size && c == whole; p++) {
            memset(last[p], 0, sizeof last[p]);
            memcpy(last[p], pixel[p] + c, sizeof(float) * (size_t)rest);
            pixel[p] = last[p];
        }
        float *target = to + points_offset(points, place, c);
        if (t->m == 2)
            transform(line, 2, square, target, (ptrdiff_t)points->stride);
        else
            transform(line, 4, square, target, (ptrdiff_t)points->stride);
    }
}

#endif
