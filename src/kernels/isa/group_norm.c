/* Group norm fused with what surrounds it in a ResBlock: see kernels.h. Memory is passed over as few times as possible:
 * a task is one image times a span of whole groups that stays in the second cache between its passes, and a span is
 * worked on in tiles of TILE channels whose coefficients stay in registers or the first cache. */
#include "isa.h"

#include "exp.h"

#include <omp.h>

enum {
    TILE = 64,  /* channels of a wide tile: four vectors of AVX-512 */
    STRIP = 16, /* of a narrow one, for what is left of a span */
    BLOCK = 32  /* positions summed in float32 before they are added to sums in double */
};
#define EPSILON 1e-5

static inline int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Channels of a task: whole groups, about a tile, whole vectors where the groups allow it. */
static int span_channels(const struct group_norm_shape *shape)
{
    int group = shape->c / shape->groups, span = group;
    while (span < shape->c && (span < TILE || span % 16 != 0)) span += group;
    return span;
}

/* The width of the next tile. The sweeps below are compiled for TILE and STRIP channels each. */
static int tile_width(int left)
{
    return left >= TILE ? TILE : smaller(left, STRIP);
}

/* ---- statistics -------------------------------------------------------------------------------------------------- */

/* Adds each channel's sum and sum of squares over hw positions. Within a block the squares are taken about the block's
 * own mean and completed in double, so nothing cancels however far the mean is from zero. */
static inline __attribute__((always_inline)) void tile_moments(int hw, int c, const float *restrict x, int pitch,
                                                               double *restrict sum, double *restrict square)
{
    for (int first = 0; first < hw; first += BLOCK) {
        int rows = smaller(BLOCK, hw - first);
        const float *block = x + (int64_t)first * pitch;
        float s[TILE] = {0}, mean[TILE], q[TILE] = {0};
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < c; j++) s[j] += block[(int64_t)r * pitch + j];
        for (int j = 0; j < c; j++) mean[j] = s[j] / (float)rows;
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < c; j++) {
                float d = block[(int64_t)r * pitch + j] - mean[j];
                q[j] += d * d;
            }
        for (int j = 0; j < c; j++) {
            sum[j] += s[j];
            square[j] += q[j] + (double)s[j] * s[j] / rows;
        }
    }
}

/* Mean and 1/sqrt(variance + eps) of the groups in channels [first, last) of one image. */
static void image_statistics(const struct group_norm_shape *shape, int first, int last, const float *x,
                             const float *pre, float *stats)
{
    int hw = shape->hw, group = shape->c / shape->groups;
    double sum = 0, square = 0, count = (double)hw * group;
    for (int c = first, width; c < last; c += width) {
        width = tile_width(last - c);
        double s[TILE] = {0}, q[TILE] = {0};
        if (width == TILE)
            tile_moments(hw, TILE, x + c, shape->x_pitch, s, q);
        else if (width == STRIP)
            tile_moments(hw, STRIP, x + c, shape->x_pitch, s, q);
        else
            tile_moments(hw, width, x + c, shape->x_pitch, s, q);
        for (int j = 0; j < width; j++) {
            double p = pre ? pre[c + j] : 0;
            sum += s[j] + hw * p;
            square += q[j] + p * (2 * s[j] + hw * p);
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

/* z = gain (x - center) + offset is all of norm, affine map, scale and shift. */
struct coefficients {
    float center[TILE], gain[TILE], offset[TILE];
};

/* One image's tensors of an embedding and of statistics, and the layer's parameters. */
struct norm {
    const float *pre, *scale, *shift, *weight, *bias, *stats;
};

static struct norm norm_of_image(const struct group_norm_shape *shape, int image, const float *pre,
                                 const float *scale_shift, const float *weight, const float *bias, const float *stats)
{
    const float *scale = scale_shift ? scale_shift + (int64_t)image * shape->ss_pitch : NULL;
    return (struct norm){.pre = pre ? pre + (int64_t)image * shape->pre_pitch : NULL,
                         .scale = scale,
                         .shift = scale ? scale + shape->c : NULL,
                         .weight = weight,
                         .bias = bias,
                         .stats = stats + (int64_t)image * shape->groups * 2};
}

static float scale_of(const struct norm *norm, int c)
{
    return norm->scale ? 1 + norm->scale[c] : 1;
}

static void tile_coefficients(const struct norm *norm, int group, int c, int width, struct coefficients *out)
{
    for (int j = 0; j < width; j++) {
        const float *stats = norm->stats + (c + j) / group * 2;
        float scale = scale_of(norm, c + j);
        out->center[j] = stats[0] - (norm->pre ? norm->pre[c + j] : 0);
        out->gain[j] = stats[1] * norm->weight[c + j] * scale;
        out->offset[j] = norm->bias[c + j] * scale + (norm->shift ? norm->shift[c + j] : 0);
    }
}

static inline __attribute__((always_inline)) void tile_forward(int hw, int c, bool activate,
                                                               const struct coefficients *k, const float *x,
                                                               int x_pitch, float *y, int y_pitch)
{
    for (int r = 0; r < hw; r++, x += x_pitch, y += y_pitch)
#pragma omp simd
        for (int j = 0; j < c; j++) {
            float z = k->gain[j] * (x[j] - k->center[j]) + k->offset[j];
            y[j] = activate ? silu(z) : z;
        }
}

static void span_forward(const struct group_norm_shape *shape, const struct norm *norm, int first, int last,
                         const float *x, float *y)
{
    for (int c = first, width; c < last; c += width) {
        width = tile_width(last - c);
        struct coefficients k;
        tile_coefficients(norm, shape->c / shape->groups, c, width, &k);
        if (width == TILE && shape->silu)
            tile_forward(shape->hw, TILE, true, &k, x + c, shape->x_pitch, y + c, shape->y_pitch);
        else if (width == TILE)
            tile_forward(shape->hw, TILE, false, &k, x + c, shape->x_pitch, y + c, shape->y_pitch);
        else if (width == STRIP && shape->silu)
            tile_forward(shape->hw, STRIP, true, &k, x + c, shape->x_pitch, y + c, shape->y_pitch);
        else
            tile_forward(shape->hw, width, shape->silu, &k, x + c, shape->x_pitch, y + c, shape->y_pitch);
    }
}

void group_norm_forward(const struct group_norm_shape *shape, const void *x_data, const float *pre,
                        const float *scale_shift, const float *weight, const float *bias, float *stats, void *y_data)
{
    const float *x = x_data;
    float *y = y_data;
    int span = span_channels(shape);
#pragma omp parallel for collapse(2) schedule(static)
    for (int image = 0; image < shape->n; image++)
        for (int first = 0; first < shape->c; first += span) {
            int last = smaller(first + span, shape->c);
            struct norm norm = norm_of_image(shape, image, pre, scale_shift, weight, bias, stats);
            const float *image_x = x + (int64_t)image * shape->hw * shape->x_pitch;
            image_statistics(shape, first, last, image_x, norm.pre, stats + (int64_t)image * shape->groups * 2);
            span_forward(shape, &norm, first, last, image_x, y + (int64_t)image * shape->hw * shape->y_pitch);
        }
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

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

static size_t slopes_size(const struct group_norm_shape *shape)
{
    return ((size_t)shape->hw * (size_t)span_channels(shape) + 15) / 16 * 16;
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

/* First pass: dz = dy act'(z), kept for the second, and the channel sums. */
static inline __attribute__((always_inline)) void tile_slopes(int hw, int c, bool activate,
                                                              const struct coefficients *k, const float *restrict x,
                                                              int x_pitch, const float *restrict dy, int y_pitch,
                                                              float *restrict dz, int dz_pitch, struct channel_sums out)
{
    double gradient[TILE] = {0}, product[TILE] = {0}, centered[TILE] = {0};
    for (int first = 0; first < hw; first += BLOCK) {
        float g[TILE] = {0}, p[TILE] = {0}, s[TILE] = {0};
        int rows = smaller(BLOCK, hw - first);
        for (int r = 0; r < rows; r++, x += x_pitch, dy += y_pitch, dz += dz_pitch)
            for (int j = 0; j < c; j++) {
                float d = x[j] - k->center[j];
                float slope = activate ? dy[j] * silu_slope(k->gain[j] * d + k->offset[j]) : dy[j];
                dz[j] = slope;
                g[j] += slope;
                p[j] += slope * d;
                s[j] += d;
            }
        for (int j = 0; j < c; j++) {
            gradient[j] += g[j];
            product[j] += p[j];
            centered[j] += s[j];
        }
    }
    for (int j = 0; j < c; j++) {
        out.gradient[j] = (float)gradient[j];
        out.product[j] = (float)product[j];
        out.centered[j] = (float)centered[j];
    }
}

/* Second pass: dx = gain dz - level - tilt (x - center), the gradient through the group's mean and variance. */
struct group_terms {
    float level[TILE], tilt[TILE]; /* of each channel's group */
};

static inline __attribute__((always_inline)) void tile_backward(int hw, int c, const struct coefficients *k,
                                                                const struct group_terms *terms, const float *x,
                                                                int x_pitch, const float *dz, int dz_pitch, float *dx,
                                                                bool accumulate)
{
    for (int r = 0; r < hw; r++, x += x_pitch, dz += dz_pitch, dx += x_pitch)
#pragma omp simd
        for (int j = 0; j < c; j++) {
            float d = k->gain[j] * dz[j] - (terms->level[j] + terms->tilt[j] * (x[j] - k->center[j]));
            dx[j] = accumulate ? dx[j] + d : d;
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
                       struct group_terms *out)
{
    for (int j = 0; j < width; j++)
        if (j == 0 || (c + j) % group == 0) {
            group_terms(norm, sums, (c + j) / group * group, group, hw, &out->level[j], &out->tilt[j]);
        } else {
            out->level[j] = out->level[j - 1];
            out->tilt[j] = out->tilt[j - 1];
        }
}

/* ---- one image's span -------------------------------------------------------------------------------------------- */

static void span_slopes(const struct group_norm_shape *shape, const struct norm *norm, int first, int last,
                        const float *x, const float *dy, float *dz, struct channel_sums sums)
{
    int span = last - first;
    for (int c = first, width; c < last; c += width, dz += width) {
        width = tile_width(last - c);
        struct channel_sums out = {sums.gradient + c, sums.product + c, sums.centered + c};
        struct coefficients k;
        tile_coefficients(norm, shape->c / shape->groups, c, width, &k);
        if (width == TILE && shape->silu)
            tile_slopes(shape->hw, TILE, true, &k, x + c, shape->x_pitch, dy + c, shape->y_pitch, dz, span, out);
        else if (width == STRIP && shape->silu)
            tile_slopes(shape->hw, STRIP, true, &k, x + c, shape->x_pitch, dy + c, shape->y_pitch, dz, span, out);
        else
            tile_slopes(shape->hw, width, shape->silu, &k, x + c, shape->x_pitch, dy + c, shape->y_pitch, dz, span,
                        out);
    }
}

static void span_backward(const struct group_norm_shape *shape, const struct norm *norm, int first, int last,
                          const float *x, const float *dz, struct channel_sums sums, float *dx, bool accumulate)
{
    int group = shape->c / shape->groups, span = last - first;
    for (int c = first, width; c < last; c += width, dz += width) {
        width = tile_width(last - c);
        struct coefficients k;
        struct group_terms terms;
        tile_coefficients(norm, group, c, width, &k);
        tile_terms(norm, sums, group, c, width, shape->hw, &terms);
        if (width == TILE && !accumulate)
            tile_backward(shape->hw, TILE, &k, &terms, x + c, shape->x_pitch, dz, span, dx + c, false);
        else if (width == TILE)
            tile_backward(shape->hw, TILE, &k, &terms, x + c, shape->x_pitch, dz, span, dx + c, true);
        else
            tile_backward(shape->hw, width, &k, &terms, x + c, shape->x_pitch, dz, span, dx + c, accumulate);
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

void group_norm_backward(const struct group_norm_shape *shape, const void *x_data, const float *pre,
                         const float *scale_shift, const float *weight, const float *bias, const float *stats,
                         const void *dy_data, void *dx_data, bool accumulate, float *dpre, float *dscale_shift,
                         bool accumulate_embedding, float *dweight, float *dbias, float *scratch)
{
    const float *x = x_data, *dy = dy_data;
    float *dx = dx_data;
    int span = span_channels(shape);
#pragma omp parallel for collapse(2) schedule(static)
    for (int image = 0; image < shape->n; image++)
        for (int first = 0; first < shape->c; first += span) {
            int last = smaller(first + span, shape->c);
            struct norm norm = norm_of_image(shape, image, pre, scale_shift, weight, bias, stats);
            struct channel_sums sums = sums_of_image(shape, image, scratch);
            int64_t row = (int64_t)image * shape->hw;
            const float *image_x = x + row * shape->x_pitch;
            float *dz = scratch + sums_size(shape) + (size_t)omp_get_thread_num() * slopes_size(shape);
            span_slopes(shape, &norm, first, last, image_x, dy + row * shape->y_pitch, dz, sums);
            span_backward(shape, &norm, first, last, image_x, dz, sums, dx + row * shape->x_pitch, accumulate);
            span_embedding(shape, &norm, first, last, sums, dpre ? dpre + (int64_t)image * shape->pre_pitch : NULL,
                           dscale_shift ? dscale_shift + (int64_t)image * shape->ss_pitch : NULL, accumulate_embedding);
        }
    parameter_gradients(shape, scale_shift, stats, scratch, dweight, dbias);
}
