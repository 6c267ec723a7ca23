/* Private to group norm: group_norm.c (statistics, forward) and group_norm_backward.c. A task is one image times a span
 * of whole groups, small enough to stay in the second-level cache between passes over it; a pass works on tiles of up
 * to TILE_VECTORS vectors of channels, whose coefficients are registers. */
#ifndef IDDPM_KERNELS_GROUP_NORM_H
#define IDDPM_KERNELS_GROUP_NORM_H

#include "philox.h"

enum { TILE_VECTORS = 4, TILE = TILE_VECTORS * LANES };
enum {
    SPAN = 64,  /* channels of a span, at least */
    AHEAD = 32, /* positions from what is in use to what is fetched: prefetchers do not follow runs this short */
    BLOCK = 32  /* positions summed in float32 before they are added to sums in double */
};

static inline int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Channels of a task: whole groups, whole cache lines where the groups allow it. */
static inline int span_channels(const struct group_norm_shape *shape)
{
    int group = shape->c / shape->groups, span = group;
    while (span < shape->c && (span < SPAN || span % 16 != 0)) span += group;
    return span;
}

/* Channels of the next tile of a span: TILE, or up to one vector. */
static inline int tile_channels(int left)
{
    return left >= TILE ? TILE : smaller(left, LANES);
}

/* Calls function(argument, vectors, lanes) with literal numbers where the tile is whole, so that vectors are registers;
 * `lanes` are those of the last vector. */
#define TILE_CALL(function, channels, argument)                                                                        \
    ((channels) == TILE    ? function(argument, TILE_VECTORS, LANES)                                                   \
     : (channels) == LANES ? function(argument, 1, LANES)                                                              \
                           : function(argument, 1, channels))

/* Vector v of a tile's row */
static inline vf tile_load(const elem *row, int v, int lanes)
{
    return vf_load_part(row + v * LANES, lanes);
}

static inline void tile_store(elem *row, int v, int lanes, vf x)
{
    vf_store_part(row + v * LANES, x, lanes);
}

/* Vector v of the row AHEAD, for a pass that is the first to read it */
static inline void tile_fetch(const elem *row, int v, int pitch)
{
    __builtin_prefetch(row + v * LANES + (int64_t)AHEAD * pitch);
}

/* Vectors of float32 arrays that have room for whole tiles */
static inline vf floats_load(const float *row, int v)
{
    return *(const vf *)(row + v * LANES);
}

static inline void floats_store(float *row, int v, vf x)
{
    *(vf *)(row + v * LANES) = x;
}

/* One image's tensors of an embedding and of statistics, and the layer's parameters. */
struct norm {
    const float *pre, *scale, *shift, *weight, *bias, *stats;
};

static inline struct norm norm_of_image(const struct group_norm_shape *shape, int image, const float *pre,
                                        const float *scale_shift, const float *weight, const float *bias,
                                        const float *stats)
{
    const float *scale = scale_shift ? scale_shift + (int64_t)image * shape->ss_pitch : NULL;
    return (struct norm){.pre = pre ? pre + (int64_t)image * shape->pre_pitch : NULL,
                         .scale = scale,
                         .shift = scale ? scale + shape->c : NULL,
                         .weight = weight,
                         .bias = bias,
                         .stats = stats + (int64_t)image * shape->groups * 2};
}

static inline float scale_of(const struct norm *norm, int c)
{
    return norm->scale ? 1 + norm->scale[c] : 1;
}

/* z = gain (x - center) + offset is all of norm, affine map, scale and shift. */
struct coefficients {
    float center[TILE], gain[TILE], offset[TILE];
};

static inline void tile_coefficients(const struct norm *norm, int group, int c, int width, struct coefficients *out)
{
    memset(out, 0, sizeof *out);
    for (int j = 0; j < width; j++) {
        const float *stats = norm->stats + (c + j) / group * 2;
        float scale = scale_of(norm, c + j);
        out->center[j] = stats[0] - (norm->pre ? norm->pre[c + j] : 0);
        out->gain[j] = stats[1] * norm->weight[c + j] * scale;
        out->offset[j] = norm->bias[c + j] * scale + (norm->shift ? norm->shift[c + j] : 0);
    }
}

#endif
