/* Bilinear resampling of channels-last images, for the low resolution that a super-resolution model is given. Each pass
 * is split over the rows that it writes. */
#include "iddpm/kernels.h"

#include <math.h>
#include <string.h>

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
        float *low = dx + (int64_t)u.low * x_pitch, *high = dx + (int64_t)u.high * x_pitch;
        for (int k = 0; k < c; k++) low[k] += factor * (1 - u.weight) * dy[k];
        for (int k = 0; k < c; k++) high[k] += factor * u.weight * dy[k];
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
