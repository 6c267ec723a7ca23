/* Group norm fused with what surrounds it in a ResBlock, forward: see kernels.h. One pass for the statistics, one for
 * everything else. */
#include "group_norm.h"

#include "silu.h"

#define EPSILON 1e-5

/* ---- statistics -------------------------------------------------------------------------------------------------- */

struct moments {
    int hw, pitch;
    const elem *x;
    double sum[TILE], square[TILE];
};

/* Sums over the positions of a block of x - near and (x - near)^2 of each channel. */
static inline __attribute__((always_inline)) void block_moments(const elem *x, int pitch, int rows, int vectors,
                                                                int lanes, const float *near, float *sum, float *square)
{
    vf s[TILE_VECTORS] = {0}, q[TILE_VECTORS] = {0};
    for (int r = 0; r < rows; r++, x += pitch)
        for (int v = 0; v < vectors; v++) {
            tile_fetch(x, v, pitch);
            vf d = tile_load(x, v, lanes) - floats_load(near, v);
            s[v] += d;
            q[v] += d * d;
        }
    for (int v = 0; v < vectors; v++) {
        floats_store(sum, v, s[v]);
        floats_store(square, v, q[v]);
    }
}

/* Each channel's sum and sum of squares over all positions. The squares of a block are taken about the mean of the
 * block before (of the first, about its own) and completed in double, so nothing cancels however far the mean is from
 * zero: all of them together are at most five times those about the mean. */
static inline __attribute__((always_inline)) void tile_moments(struct moments *m, int vectors, int lanes)
{
    float near[TILE] = {0}, s[TILE], q[TILE];
    int width = (vectors - 1) * LANES + lanes, rows = smaller(BLOCK, m->hw);
    block_moments(m->x, m->pitch, rows, vectors, lanes, near, s, q);
    for (int j = 0; j < width; j++) {
        near[j] = s[j] / (float)rows;
        m->sum[j] = m->square[j] = 0;
    }
    for (int first = 0; first < m->hw; first += BLOCK) {
        rows = smaller(BLOCK, m->hw - first);
        block_moments(m->x + (int64_t)first * m->pitch, m->pitch, rows, vectors, lanes, near, s, q);
        for (int j = 0; j < width; j++) {
            m->sum[j] += s[j] + (double)rows * near[j];
            m->square[j] += q[j] + near[j] * (2 * (double)s[j] + (double)rows * near[j]);
            near[j] += s[j] / (float)rows;
        }
    }
}

/* Mean and 1/sqrt(variance + eps) of the groups in channels [first, last) of one image. */
static void span_statistics(const struct group_norm_shape *shape, int first, int last, const elem *x, const float *pre,
                            float *stats)
{
    int group = shape->c / shape->groups;
    double sum = 0, square = 0, count = (double)shape->hw * group;
    for (int c = first, width; c < last; c += width) {
        width = tile_channels(last - c);
        struct moments m = {.hw = shape->hw, .pitch = shape->x_pitch, .x = x + c};
        TILE_CALL(tile_moments, width, &m);
        for (int j = 0; j < width; j++) {
            double p = pre ? pre[c + j] : 0;
            sum += m.sum[j] + shape->hw * p;
            square += m.square[j] + p * (2 * m.sum[j] + shape->hw * p);
            if ((c + j + 1) % group == 0) {
                double mean = sum / count, variance = fmax(square / count - mean * mean, 0);
                stats[(c + j) / group * 2] = (float)mean;
                stats[(c + j) / group * 2 + 1] = (float)(1 / sqrt(variance + EPSILON));
                sum = square = 0;
            }
        }
    }
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

struct forward {
    const struct group_norm_shape *shape;
    const struct mask *mask; /* or NULL */
    int c;                   /* the tile's first channel */
    int64_t next;            /* from x to the same place in the task that follows, 0 for the last */
    const elem *x;
    elem *y;
    struct coefficients k;
};

static inline __attribute__((always_inline)) void tile_forward(const struct forward *f, int vectors, int lanes)
{
    const bool silu = f->shape->silu;
    const elem *x = f->x;
    elem *y = f->y;
    vf center[TILE_VECTORS], gain[TILE_VECTORS], offset[TILE_VECTORS];
    for (int v = 0; v < vectors; v++) {
        center[v] = floats_load(f->k.center, v);
        gain[v] = floats_load(f->k.gain, v);
        offset[v] = floats_load(f->k.offset, v);
    }
    for (int r = 0; r < f->shape->hw; r++, x += f->shape->x_pitch, y += f->shape->y_pitch) {
        vf keep[TILE_VECTORS] = {0};
        if (f->mask) mask_vectors(f->mask, (uint64_t)r * (uint64_t)f->shape->c + (uint64_t)f->c, vectors, keep);
        for (int v = 0; v < vectors; v++) {
            __builtin_prefetch(x + f->next + v * LANES, 0, 2); /* memory has little else to do meanwhile */
            vf z = gain[v] * (tile_load(x, v, lanes) - center[v]) + offset[v];
            if (silu) z = vf_silu(z);
            if (f->mask) z *= keep[v];
            tile_store(y, v, lanes, z);
        }
    }
}

static void span_forward(const struct group_norm_shape *shape, const struct norm *norm, const struct mask *mask,
                         int first, int last, int64_t next, const elem *x, elem *y)
{
    for (int c = first, width; c < last; c += width) {
        width = tile_channels(last - c);
        struct forward f = {.shape = shape, .mask = mask, .c = c, .next = next, .x = x + c, .y = y + c};
        tile_coefficients(norm, shape->c / shape->groups, c, width, &f.k);
        TILE_CALL(tile_forward, width, &f);
    }
}

/* new_stats: NULL, or `stats`, which is then filled first. */
static void forward(const struct group_norm_shape *shape, const void *x, const float *pre, const float *scale_shift,
                    const float *weight, const float *bias, const struct dropout *dropout, const float *stats,
                    float *new_stats, void *y)
{
    int span = span_channels(shape);
#pragma omp parallel for collapse(2) schedule(static)
    for (int image = 0; image < shape->n; image++)
        for (int first = 0; first < shape->c; first += span) {
            int last = smaller(first + span, shape->c);
            struct norm norm = norm_of_image(shape, image, pre, scale_shift, weight, bias, stats);
            struct mask mask;
            if (dropout) mask = mask_of_image(dropout, image);
            const elem *image_x = (const elem *)x + (int64_t)image * shape->hw * shape->x_pitch;
            if (new_stats)
                span_statistics(shape, first, last, image_x, norm.pre, new_stats + (int64_t)image * shape->groups * 2);
            int64_t next = last < shape->c        ? span
                           : image + 1 < shape->n ? (int64_t)shape->hw * shape->x_pitch - first
                                                  : 0;
            span_forward(shape, &norm, dropout ? &mask : NULL, first, last, next, image_x,
                         (elem *)y + (int64_t)image * shape->hw * shape->y_pitch);
        }
}

void group_norm_forward(const struct group_norm_shape *shape, const void *x, const float *pre, const float *scale_shift,
                        const float *weight, const float *bias, const struct dropout *dropout, float *stats, void *y)
{
    forward(shape, x, pre, scale_shift, weight, bias, dropout, stats, stats, y);
}

void group_norm_again(const struct group_norm_shape *shape, const void *x, const float *pre, const float *scale_shift,
                      const float *weight, const float *bias, const struct dropout *dropout, const float *stats,
                      void *y)
{
    forward(shape, x, pre, scale_shift, weight, bias, dropout, stats, NULL, y);
}
