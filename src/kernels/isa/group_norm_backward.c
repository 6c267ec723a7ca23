/* Group norm backward: see group_norm.h. The first pass over a span makes d(loss)/dz and the channel sums from which
 * all gradients but that of x follow, the second the gradient of x. */
#include "group_norm.h"

#include "silu.h"

#include <omp.h>

/* Sums over one image's positions, per channel. With dz = d(loss)/dz: gradient = sum dz, product = sum dz (x - center),
 * centered = sum (x - center). All the other gradients follow from them. */
struct channel_sums {
    float *gradient, *product, *centered;
};

/* Scratch: the channel sums [n][3][c], then a span's dz [hw][span] for each thread. */
static size_t sums_size(const struct group_norm_shape *shape)
{
    return ((size_t)shape->n * 3 * (size_t)shape->c + 15) / 16 * 16;
}

/* The span's tiles one after the other, [tile][hw][channels], the last as wide as a vector. */
static size_t slopes_size(const struct group_norm_shape *shape)
{
    int vectors = (span_channels(shape) + LANES - 1) / LANES;
    return ((size_t)shape->hw * (size_t)vectors * LANES + 15) / 16 * 16;
}

size_t group_norm_scratch_size(const struct group_norm_shape *shape, int threads)
{
    return sums_size(shape) + (size_t)threads * slopes_size(shape);
}

static struct channel_sums sums_of_image(const struct group_norm_shape *shape, int image, float *scratch)
{
    float *sums = scratch + (int64_t)image * 3 * shape->c;
    return (struct channel_sums){sums, sums + shape->c, sums + 2 * shape->c};
}

/* ---- first pass -------------------------------------------------------------------------------------------------- */

struct slopes {
    const struct group_norm_shape *shape;
    const struct mask *mask; /* or NULL */
    int c;                   /* the tile's first channel */
    const elem *x, *dy;
    float *dz;
    struct coefficients k;
    double gradient[TILE], product[TILE], centered[TILE];
};

/* A block of positions: dz = dy act'(z), and the sums. */
static inline __attribute__((always_inline)) void block_slopes(struct slopes *s, int first, int rows, int vectors,
                                                               int lanes)
{
    const struct group_norm_shape *shape = s->shape;
    const elem *x = s->x + (int64_t)first * shape->x_pitch, *dy = s->dy + (int64_t)first * shape->y_pitch;
    float *dz = s->dz + (int64_t)first * vectors * LANES, sums[3][TILE];
    vf gradient[TILE_VECTORS] = {0}, product[TILE_VECTORS] = {0}, centered[TILE_VECTORS] = {0};
    for (int r = first; r < first + rows; r++, x += shape->x_pitch, dy += shape->y_pitch, dz += vectors * LANES) {
        vf keep[TILE_VECTORS] = {0};
        if (s->mask) mask_vectors(s->mask, (uint64_t)r * (uint64_t)shape->c + (uint64_t)s->c, vectors, keep);
        for (int v = 0; v < vectors; v++) {
            tile_fetch(x, v, shape->x_pitch);
            tile_fetch(dy, v, shape->y_pitch);
            vf d = tile_load(x, v, lanes) - floats_load(s->k.center, v), slope = tile_load(dy, v, lanes);
            if (s->mask) slope *= keep[v];
            if (shape->silu) slope *= vf_silu_slope(floats_load(s->k.gain, v) * d + floats_load(s->k.offset, v));
            floats_store(dz, v, slope);
            gradient[v] += slope;
            product[v] += slope * d;
            centered[v] += d;
        }
    }
    for (int v = 0; v < vectors; v++) {
        floats_store(sums[0], v, gradient[v]);
        floats_store(sums[1], v, product[v]);
        floats_store(sums[2], v, centered[v]);
    }
    for (int j = 0; j < vectors * LANES; j++) {
        s->gradient[j] += sums[0][j];
        s->product[j] += sums[1][j];
        s->centered[j] += sums[2][j];
    }
}

static inline __attribute__((always_inline)) void tile_slopes(struct slopes *s, int vectors, int lanes)
{
    for (int first = 0; first < s->shape->hw; first += BLOCK)
        block_slopes(s, first, smaller(BLOCK, s->shape->hw - first), vectors, lanes);
}

static void span_slopes(const struct group_norm_shape *shape, const struct norm *norm, const struct mask *mask,
                        int first, int last, const elem *x, const elem *dy, float *dz, struct channel_sums sums)
{
    for (int c = first, width; c < last; c += width) {
        width = tile_channels(last - c);
        struct slopes s = {.shape = shape, .mask = mask, .c = c, .x = x + c, .dy = dy + c, .dz = dz};
        tile_coefficients(norm, shape->c / shape->groups, c, width, &s.k);
        TILE_CALL(tile_slopes, width, &s);
        for (int j = 0; j < width; j++) {
            sums.gradient[c + j] = (float)s.gradient[j];
            sums.product[c + j] = (float)s.product[j];
            sums.centered[c + j] = (float)s.centered[j];
        }
        dz += (size_t)shape->hw * (size_t)(width == TILE ? TILE : LANES);
    }
}

/* ---- second pass ------------------------------------------------------------------------------------------------- */

/* dx = gain dz - level - tilt (x - center), the gradient through the group's mean and variance. */
struct back {
    const struct group_norm_shape *shape;
    bool accumulate;
    const elem *x;
    const float *dz;
    elem *dx;
    struct coefficients k;
    float level[TILE], tilt[TILE]; /* of each channel's group */
};

static inline __attribute__((always_inline)) void tile_backward(const struct back *b, int vectors, int lanes)
{
    const bool accumulate = b->accumulate;
    const elem *x = b->x;
    const float *dz = b->dz;
    elem *dx = b->dx;
    vf center[TILE_VECTORS], gain[TILE_VECTORS], level[TILE_VECTORS], tilt[TILE_VECTORS];
    for (int v = 0; v < vectors; v++) {
        center[v] = floats_load(b->k.center, v);
        gain[v] = floats_load(b->k.gain, v);
        level[v] = floats_load(b->level, v);
        tilt[v] = floats_load(b->tilt, v);
    }
    for (int r = 0; r < b->shape->hw; r++, x += b->shape->x_pitch, dz += vectors * LANES, dx += b->shape->x_pitch)
        for (int v = 0; v < vectors; v++) {
            vf d = gain[v] * floats_load(dz, v) - (level[v] + tilt[v] * (tile_load(x, v, lanes) - center[v]));
            if (accumulate) d += tile_load(dx, v, lanes);
            tile_store(dx, v, lanes, d);
        }
}

/* With d = d(loss)/d(xhat) = dz weight (1 + scale) and xhat = rstd (x - center), over the group that begins at channel
 * `first`: level = rstd mean(d), tilt = rstd^2 mean(d xhat). */
static void group_terms(const struct norm *norm, struct channel_sums sums, int first, int group, int hw, float *level,
                        float *tilt)
{
    double gradient = 0, product = 0, count = (double)hw * group, rstd = norm->stats[first / group * 2 + 1];
    for (int c = first; c < first + group; c++) {
        double factor = (double)norm->weight[c] * scale_of(norm, c);
        gradient += factor * sums.gradient[c];
        product += factor * sums.product[c];
    }
    *level = (float)(rstd * gradient / count);
    *tilt = (float)(rstd * rstd * rstd * product / count);
}

static void tile_terms(const struct norm *norm, struct channel_sums sums, int group, int c, int width, int hw,
                       struct back *out)
{
    for (int j = 0; j < width; j++)
        if (j == 0 || (c + j) % group == 0) {
            group_terms(norm, sums, (c + j) / group * group, group, hw, &out->level[j], &out->tilt[j]);
        } else {
            out->level[j] = out->level[j - 1];
            out->tilt[j] = out->tilt[j - 1];
        }
}

static void span_backward(const struct group_norm_shape *shape, const struct norm *norm, int first, int last,
                          const elem *x, const float *dz, struct channel_sums sums, elem *dx, bool accumulate)
{
    int group = shape->c / shape->groups;
    for (int c = first, width; c < last; c += width) {
        width = tile_channels(last - c);
        struct back b = {.shape = shape, .accumulate = accumulate, .x = x + c, .dz = dz, .dx = dx + c};
        tile_coefficients(norm, group, c, width, &b.k);
        tile_terms(norm, sums, group, c, width, shape->hw, &b);
        TILE_CALL(tile_backward, width, &b);
        dz += (size_t)shape->hw * (size_t)(width == TILE ? TILE : LANES);
    }
}

/* Gradients of one image's embedding: of `pre`, the sum of dx over positions; of the shift, sum dz; of the scale,
 * sum dz (weight xhat + bias). */
static void span_embedding(const struct group_norm_shape *shape, const struct norm *norm, int first, int last,
                           struct channel_sums sums, float *dpre, float *dscale_shift, bool accumulate)
{
    int group = shape->c / shape->groups;
    for (int c = first; c < last; c++) {
        float rstd = norm->stats[c / group * 2 + 1];
        if (dpre) {
            float level, tilt, gain = rstd * norm->weight[c] * scale_of(norm, c);
            group_terms(norm, sums, c / group * group, group, shape->hw, &level, &tilt);
            float d = gain * sums.gradient[c] - (float)shape->hw * level - tilt * sums.centered[c];
            dpre[c] = accumulate ? dpre[c] + d : d;
        }
        if (dscale_shift) {
            float *dscale = dscale_shift + c, *dshift = dscale + shape->c;
            float d = norm->weight[c] * rstd * sums.product[c] + norm->bias[c] * sums.gradient[c];
            *dscale = accumulate ? *dscale + d : d;
            *dshift = accumulate ? *dshift + sums.gradient[c] : sums.gradient[c];
        }
    }
}

/* ---- a whole batch ----------------------------------------------------------------------------------------------- */

/* dweight += sum dz (1 + scale) xhat and dbias += sum dz (1 + scale), images in order. */
static void parameter_gradients(const struct group_norm_shape *shape, const float *scale_shift, const float *stats,
                                float *sums, float *dweight, float *dbias)
{
    int group = shape->c / shape->groups;
    for (int image = 0; image < shape->n; image++) {
        struct norm norm = norm_of_image(shape, image, NULL, scale_shift, NULL, NULL, stats);
        struct channel_sums of_image = sums_of_image(shape, image, sums);
        for (int c = 0; c < shape->c; c++) {
            float scale = scale_of(&norm, c);
            dweight[c] += scale * norm.stats[c / group * 2 + 1] * of_image.product[c];
            dbias[c] += scale * of_image.gradient[c];
        }
    }
}

void group_norm_backward(const struct group_norm_shape *shape, const void *x, const float *pre,
                         const float *scale_shift, const float *weight, const float *bias,
                         const struct dropout *dropout, const float *stats, const void *dy, void *dx, bool accumulate,
                         float *dpre, float *dscale_shift, bool accumulate_embedding, float *dweight, float *dbias,
                         float *scratch)
{
    int span = span_channels(shape);
#pragma omp parallel for collapse(2) schedule(static)
    for (int image = 0; image < shape->n; image++)
        for (int first = 0; first < shape->c; first += span) {
            int last = smaller(first + span, shape->c);
            struct norm norm = norm_of_image(shape, image, pre, scale_shift, weight, bias, stats);
            struct channel_sums sums = sums_of_image(shape, image, scratch);
            struct mask mask;
            if (dropout) mask = mask_of_image(dropout, image);
            int64_t row = (int64_t)image * shape->hw;
            const elem *image_x = (const elem *)x + row * shape->x_pitch;
            float *dz = scratch + sums_size(shape) + (size_t)omp_get_thread_num() * slopes_size(shape);
            span_slopes(shape, &norm, dropout ? &mask : NULL, first, last, image_x,
                        (const elem *)dy + row * shape->y_pitch, dz, sums);
            span_backward(shape, &norm, first, last, image_x, dz, sums, (elem *)dx + row * shape->x_pitch, accumulate);
            span_embedding(shape, &norm, first, last, sums, dpre ? dpre + (int64_t)image * shape->pre_pitch : NULL,
                           dscale_shift ? dscale_shift + (int64_t)image * shape->ss_pitch : NULL, accumulate_embedding);
        }
    parameter_gradients(shape, scale_shift, stats, scratch, dweight, dbias);
}
