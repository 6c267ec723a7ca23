/* Nearest, mean and bilinear resampling of channels-last images. Each pass is split over the rows that it writes. */
#include "iddpm/kernels.h"

#include <math.h>
#include <string.h>

/* to = factor from, or to += factor from */
static void put_scaled(int c, float factor, const float *from, float *to, bool accumulate)
{
    if (accumulate)
        for (int j = 0; j < c; j++) to[j] += factor * from[j];
    else
        for (int j = 0; j < c; j++) to[j] = factor * from[j];
}

/* to = factor (sum of a 2x2 block of pixels), or to += ...; `pitch` between pixels, `line` between rows of pixels */
static void put_block_sum(int c, float factor, const float *block, int pitch, int64_t line, float *to, bool accumulate)
{
    const float *p = block, *q = block + pitch, *r = block + line, *s = r + pitch;
    if (accumulate)
        for (int j = 0; j < c; j++) to[j] += factor * ((p[j] + q[j]) + (r[j] + s[j]));
    else
        for (int j = 0; j < c; j++) to[j] = factor * ((p[j] + q[j]) + (r[j] + s[j]));
}

/* ---- nearest, twice as large ------------------------------------------------------------------------------------- */

void upsample_forward(int n, int h, int w, int c, const float *x, int x_pitch, float *y, int y_pitch)
{
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < (int64_t)n * 2 * h; row++) {
        const float *from = x + row / 2 * w * x_pitch; /* 2h rows for h: the image's number halves along */
        float *to = y + row * 2 * w * y_pitch;
        for (int i = 0; i < 2 * w; i++, to += y_pitch)
            memcpy(to, from + (int64_t)(i / 2) * x_pitch, (size_t)c * sizeof *to);
    }
}

void upsample_backward(int n, int h, int w, int c, const float *dy, int y_pitch, float *dx, int x_pitch,
                       bool accumulate)
{
    int64_t line = (int64_t)2 * w * y_pitch;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < (int64_t)n * h; row++)
        for (int i = 0; i < w; i++)
            put_block_sum(c, 1, dy + 2 * row * line + (int64_t)2 * i * y_pitch, y_pitch, line,
                          dx + (row * w + i) * x_pitch, accumulate);
}

/* ---- 2x2 mean ---------------------------------------------------------------------------------------------------- */

void avg_pool_forward(int n, int h, int w, int c, const float *x, int x_pitch, float *y, int y_pitch)
{
    int h_out = h / 2, w_out = w / 2;
    int64_t line = (int64_t)w * x_pitch;
#pragma omp parallel for collapse(2) schedule(static)
    for (int image = 0; image < n; image++)
        for (int i = 0; i < h_out; i++) {
            const float *from = x + ((int64_t)image * h + 2 * i) * line;
            float *to = y + ((int64_t)image * h_out + i) * w_out * y_pitch;
            for (int j = 0; j < w_out; j++, from += 2 * x_pitch, to += y_pitch)
                put_block_sum(c, 0.25f, from, x_pitch, line, to, false);
        }
}

void avg_pool_backward(int n, int h, int w, int c, const float *dy, int y_pitch, float *dx, int x_pitch,
                       bool accumulate)
{
    int h_out = h / 2, w_out = w / 2;
#pragma omp parallel for collapse(2) schedule(static)
    for (int image = 0; image < n; image++)
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++) {
                float *to = dx + (((int64_t)image * h + i) * w + j) * x_pitch;
                if (i / 2 < h_out && j / 2 < w_out)
                    put_scaled(c, 0.25f, dy + (((int64_t)image * h_out + i / 2) * w_out + j / 2) * y_pitch, to,
                               accumulate);
                else if (!accumulate)
                    memset(to, 0, (size_t)c * sizeof *to);
            }
}

/* ---- bilinear ---------------------------------------------------------------------------------------------------- */

/* Output o lies between inputs `low` and `high`, at `weight` of the way; half-pixel centres, edges clamped. */
struct between {
    int low, high;
    float weight;
};

static struct between between_of(int o, int in, int out)
{
    double at = fmax((o + 0.5) * in / out - 0.5, 0);
    int low = (int)at < in - 1 ? (int)at : in - 1;
    return (struct between){low, low < in - 1 ? low + 1 : low, (float)(at - low)};
}

void bilinear_forward(int n, int h, int w, int h_out, int w_out, int c, const float *x, int x_pitch, float *y,
                      int y_pitch)
{
#pragma omp parallel for collapse(2) schedule(static)
    for (int image = 0; image < n; image++)
        for (int i = 0; i < h_out; i++) {
            struct between v = between_of(i, h, h_out);
            const float *upper = x + ((int64_t)image * h + v.low) * w * x_pitch;
            const float *lower = x + ((int64_t)image * h + v.high) * w * x_pitch;
            float *to = y + ((int64_t)image * h_out + i) * w_out * y_pitch;
            for (int j = 0; j < w_out; j++, to += y_pitch) {
                struct between u = between_of(j, w, w_out);
                int64_t left = (int64_t)u.low * x_pitch, right = (int64_t)u.high * x_pitch;
                for (int k = 0; k < c; k++) {
                    float top = upper[left + k] + u.weight * (upper[right + k] - upper[left + k]);
                    float bottom = lower[left + k] + u.weight * (lower[right + k] - lower[left + k]);
                    to[k] = top + v.weight * (bottom - top);
                }
            }
        }
}

/* The part of one output row's gradient, weighted by `factor`, that falls on an input row. */
static void scatter_row(int w, int w_out, int c, float factor, const float *dy, int y_pitch, float *dx, int x_pitch)
{
    for (int j = 0; j < w_out; j++, dy += y_pitch) {
        struct between u = between_of(j, w, w_out);
        put_scaled(c, factor * (1 - u.weight), dy, dx + (int64_t)u.low * x_pitch, true);
        put_scaled(c, factor * u.weight, dy, dx + (int64_t)u.high * x_pitch, true);
    }
}

void bilinear_backward(int n, int h, int w, int h_out, int w_out, int c, const float *dy, int y_pitch, float *dx,
                       int x_pitch, bool accumulate)
{
#pragma omp parallel for collapse(2) schedule(static)
    for (int image = 0; image < n; image++)
        for (int i = 0; i < h; i++) {
            float *row = dx + ((int64_t)image * h + i) * w * x_pitch;
            for (int j = 0; j < w && !accumulate; j++) memset(row + (int64_t)j * x_pitch, 0, (size_t)c * sizeof *row);
            for (int o = 0; o < h_out; o++) {
                struct between v = between_of(o, h, h_out);
                float factor = (v.low == i ? 1 - v.weight : 0) + (v.high == i ? v.weight : 0);
                if (factor > 0)
                    scatter_row(w, w_out, c, factor, dy + ((int64_t)image * h_out + o) * w_out * y_pitch, y_pitch, row,
                                x_pitch);
            }
        }
}
