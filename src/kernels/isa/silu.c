/* SiLU alone (time embeddings); elsewhere it is fused into group norm. */
#include "isa.h"

#include "exp.h"

void silu_forward(int64_t rows, int c, const float *x, int x_pitch, float *y, int y_pitch)
{
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const float *from = x + row * x_pitch;
        float *to = y + row * y_pitch;
#pragma omp simd
        for (int j = 0; j < c; j++) to[j] = silu(from[j]);
    }
}

void silu_backward(int64_t rows, int c, const float *x, int x_pitch, const float *dy, int y_pitch, float *dx,
                   int dx_pitch, bool accumulate)
{
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const float *from = x + row * x_pitch, *gradient = dy + row * y_pitch;
        float *to = dx + row * dx_pitch;
#pragma omp simd
        for (int j = 0; j < c; j++) to[j] = (accumulate ? to[j] : 0) + gradient[j] * silu_slope(from[j]);
    }
}
