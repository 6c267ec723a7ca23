/* Private to the minimal-filtering convolutions (conv3x3_transform.h): images as tiles, and transformed tiles. Every
 * product of a point (one of the (m + 2)^2) is a matrix product over channels or tiles in register tiles, as in the
 * direct convolution. */
#ifndef IDDPM_KERNELS_CONV3X3_WINOGRAD_H
#define IDDPM_KERNELS_CONV3X3_WINOGRAD_H

#include "conv3x3_transform.h"

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

/* Where a tile lies: image, and the pixel of its upper left output. */
struct tile_place {
    int image, y, x;
};

static inline struct tile_place tile_find(const struct tiling *t, int tile)
{
    int row = tile / t->cols;
    return (struct tile_place){row / t->rows, row % t->rows * t->m, tile % t->cols * t->m};
}

/* Images whose tiles are transformed; `zeros` are a row of pixels of a tile with its border. */
struct image {
    const elem *data, *zeros;
    int channels, pitch;
};

/* Streams that are written together must not fall into the same sets of a cache: their distance is an odd number of
 * lines. */
static inline size_t odd_lines(size_t floats)
{
    return whole_lines(floats) | (MEM_ALIGN / sizeof(float));
}

static inline int whole_vectors(int channels)
{
    return ceil_div(channels, LANES) * LANES;
}

/* Operands of a word of F(m x m). */
static inline int depth_of(int m)
{
    return m == 4 ? 1 : DEPTH;
}

/* Transformed tiles as operands, one array per point, every `stride` words: [block of channels][tile][channel of the
 * block]. The channels are whole vectors, the last block may be narrower. The operands of a word are neighbours, along
 * the channels, or with `across` along the tiles. */
struct points {
    bool across;
    int depth, channels, block;
    size_t rows, stride; /* of words; words */
};

/* Words of so many channels of a tile. */
static inline size_t points_words(const struct points *points, int channels)
{
    return (size_t)(points->across ? channels : channels / points->depth);
}

static inline struct points points_make(bool across, int m, int channels, int block, int tiles)
{
    int depth = depth_of(m);
    struct points points = {across, depth, whole_vectors(channels), block, 0, 0};
    points.rows = (size_t)(across ? words_of(depth, tiles) : tiles);
    points.stride = odd_lines(points_words(&points, points.channels) * points.rows);
    return points;
}

/* Channels of the block that c is in. */
static inline int points_width(const struct points *points, int c)
{
    return min_int(points->block, points->channels - c / points->block * points->block);
}

static inline size_t points_offset(const struct points *points, int tile, int c)
{
    int first = c / points->block * points->block, row = points->across ? tile / points->depth : tile;
    return points_words(points, first) * points->rows + (size_t)row * points_words(points, points_width(points, c)) +
           points_words(points, c - first);
}

/* Where the vector of channels from c of a transformed tile goes. `across` is that of `points`. */
INLINE struct target points_target(const int m, const bool across, const struct points *points, int tile, int c,
                                   float *to)
{
    return (struct target){.kind = operand_kind(m, across),
                           .second = tile % DEPTH,
                           .base = to + points_offset(points, tile, c),
                           .stride = (ptrdiff_t)points->stride,
                           .next = (ptrdiff_t)points_words(points, points->block)};
}

/* A tile's pixels, with a border of one for LINE_INPUT; columns outside of the image are not to be read. */
static inline struct window tile_window(const enum line line, const struct tiling *t, const struct image *image,
                                        const struct tile_place *place)
{
    struct window window = {.step = image->pitch};
    int border = line == LINE_INPUT, size = t->m + 2 * border;
    for (int i = 0; i < size; i++) {
        int y = place->y - border + i;
        bool inside = y >= 0 && y < t->h;
        int64_t pixel = ((int64_t)place->image * t->h + y) * t->w + place->x - border;
        window.row[i] = inside ? image->data + pixel * image->pitch : image->zeros;
    }
    return window;
}

/* Copies up to LANES channels from `c` of the columns x0 .. x0 + size - 1 that are inside, zeros elsewhere. */
static inline void patch_fill(const struct window *window, int size, int x0, int w, int c, int channels,
                              elem patch[POINTS_MAX][LANES])
{
    memset(patch, 0, sizeof(elem) * POINTS_MAX * LANES);
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++)
            if (x0 + j >= 0 && x0 + j < w)
                memcpy(patch[i * size + j], window->row[i] + j * window->step + c, sizeof(elem) * (size_t)channels);
}

/* The window that a patch is. */
static inline struct window patch_window(int size, elem patch[POINTS_MAX][LANES])
{
    struct window window = {.step = LANES};
    for (int i = 0; i < size; i++) window.row[i] = patch[i * size];
    return window;
}

/* The first `channels`, whole vectors, of a window. sums: NULL, or per channel the sum over the window to add to. */
INLINE void window_transform(const enum line line, const int m, const bool across, const struct window *window,
                             const bool left, const bool right, int channels, const struct points *points, int place,
                             float *to, float *sums)
{
    for (int c = 0; c < channels; c += LANES) {
        struct source source = {.window = window, .c = c, .left = left, .right = right, .fetch = line == LINE_INPUT};
        struct target target = points_target(m, across, points, place, c, to);
        if (sums) {
            vf sum = *(vf *)(sums + c);
            transform(line, m, source, target, &sum);
            *(vf *)(sums + c) = sum;
        } else {
            transform(line, m, source, target, NULL);
        }
    }
}

/* Tile `tile` of the images transformed to place `place` of `points`: LINE_INPUT with its border of one pixel,
 * LINE_OUTPUT_GRADIENT without. across: that of `points`. sums (whole vectors): as above. */
INLINE void tile_transform(const enum line line, const int m, const bool across, const struct tiling *t,
                           const struct image *image, int tile, const struct points *points, int place, float *to,
                           float *sums)
{
    const int size = line_from(line, m);
    struct tile_place at = tile_find(t, tile);
    struct window window = tile_window(line, t, image, &at);
    int x0 = at.x - (line == LINE_INPUT), whole = image->channels / LANES * LANES;
    bool left = x0 < 0, right = x0 + size == t->w + 1;
    if (x0 + size > t->w + 1) whole = 0; /* more columns than the last are outside */
    if (!left && !right)
        window_transform(line, m, across, &window, false, false, whole, points, place, to, sums);
    else if (left && !right)
        window_transform(line, m, across, &window, true, false, whole, points, place, to, sums);
    else if (!left)
        window_transform(line, m, across, &window, false, true, whole, points, place, to, sums);
    else
        window_transform(line, m, across, &window, true, true, whole, points, place, to, sums);
    for (int c = whole; c < image->channels; c += LANES) {
        elem patch[POINTS_MAX][LANES];
        patch_fill(&window, size, x0, t->w, c, min_int(LANES, image->channels - c), patch);
        struct window inner = patch_window(size, patch);
        struct source source = {.window = &inner};
        struct target target = points_target(m, across, points, place, c, to);
        target.next = 0;
        vf sum = sums ? *(vf *)(sums + c) : (vf){0};
        transform(line, m, source, target, &sum);
        if (sums) *(vf *)(sums + c) = sum;
    }
}

#endif
