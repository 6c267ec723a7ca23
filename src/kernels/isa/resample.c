/* Nearest and mean resampling of channels-last images. Each pass is split over the rows that it writes. */
#include "element.h"

/* to = factor from, or to += factor from */
static void put_scaled(int c, float factor, const elem *from, elem *to, bool accumulate)
{
#pragma omp simd
    for (int j = 0; j < c; j++) to[j] = elem_of((accumulate ? elem_float(to[j]) : 0) + factor * elem_float(from[j]));
}

/* to = factor (sum of a 2x2 block of pixels), or to += ...; `pitch` between pixels, `line` between rows of pixels */
static void put_block_sum(int c, float factor, const elem *block, int pitch, int64_t line, elem *to, bool accumulate)
{
    const elem *p = block, *q = block + pitch, *r = block + line, *s = r + pitch;
#pragma omp simd
    for (int j = 0; j < c; j++) {
        float sum = (elem_float(p[j]) + elem_float(q[j])) + (elem_float(r[j]) + elem_float(s[j]));
        to[j] = elem_of((accumulate ? elem_float(to[j]) : 0) + factor * sum);
    }
}

/* ---- nearest, twice as large ------------------------------------------------------------------------------------- */

void upsample_forward(enum element element, int n, int h, int w, int c, const void *x, int x_pitch, void *y,
                      int y_pitch)
{
    (void)element;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < (int64_t)n * 2 * h; row++) {
        const elem *from = (const elem *)x + row / 2 * w * x_pitch; /* 2h rows for h: the image's number halves along */
        elem *to = (elem *)y + row * 2 * w * y_pitch;
        for (int i = 0; i < 2 * w; i++, to += y_pitch)
            memcpy(to, from + (int64_t)(i / 2) * x_pitch, (size_t)c * sizeof *to);
    }
}

void upsample_backward(enum element element, int n, int h, int w, int c, const void *dy, int y_pitch, void *dx,
                       int x_pitch, bool accumulate)
{
    (void)element;
    int64_t line = (int64_t)2 * w * y_pitch;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < (int64_t)n * h; row++)
        for (int i = 0; i < w; i++)
            put_block_sum(c, 1, (const elem *)dy + 2 * row * line + (int64_t)2 * i * y_pitch, y_pitch, line,
                          (elem *)dx + (row * w + i) * x_pitch, accumulate);
}

/* ---- 2x2 mean ---------------------------------------------------------------------------------------------------- */

void avg_pool_forward(enum element element, int n, int h, int w, int c, const void *x, int x_pitch, void *y,
                      int y_pitch)
{
    (void)element;
    int h_out = h / 2, w_out = w / 2;
    int64_t line = (int64_t)w * x_pitch;
#pragma omp parallel for collapse(2) schedule(static)
    for (int image = 0; image < n; image++)
        for (int i = 0; i < h_out; i++) {
            const elem *from = (const elem *)x + ((int64_t)image * h + 2 * i) * line;
            elem *to = (elem *)y + ((int64_t)image * h_out + i) * w_out * y_pitch;
            for (int j = 0; j < w_out; j++, from += 2 * x_pitch, to += y_pitch)
                put_block_sum(c, 0.25f, from, x_pitch, line, to, false);
        }
}

void avg_pool_backward(enum element element, int n, int h, int w, int c, const void *dy, int y_pitch, void *dx,
                       int x_pitch, bool accumulate)
{
    (void)element;
    int h_out = h / 2, w_out = w / 2;
#pragma omp parallel for collapse(2) schedule(static)
    for (int image = 0; image < n; image++)
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++) {
                elem *to = (elem *)dx + (((int64_t)image * h + i) * w + j) * x_pitch;
                if (i / 2 < h_out && j / 2 < w_out)
                    put_scaled(c, 0.25f,
                               (const elem *)dy + (((int64_t)image * h_out + i / 2) * w_out + j / 2) * y_pitch, to,
                               accumulate);
                else if (!accumulate)
                    memset(to, 0, (size_t)c * sizeof *to);
            }
}
