/* SiLU alone (time embeddings); elsewhere it is fused into group norm. */
#include "silu.h"

#include "element.h"

static inline __attribute__((always_inline)) void forward_vector(const float *x, float *y, int lanes)
{
    vf_store_part(y, vf_silu(vf_load_part(x, lanes)), lanes);
}

void silu_forward(int64_t rows, int c, const float *x, int x_pitch, float *y, int y_pitch)
{
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const float *from = x + row * x_pitch;
        float *to = y + row * y_pitch;
        int j = 0;
        for (; j + LANES <= c; j += LANES) forward_vector(from + j, to + j, LANES);
        if (j < c) forward_vector(from + j, to + j, c - j);
    }
}

static inline __attribute__((always_inline)) void backward_vector(const float *x, const float *dy, float *dx,
                                                                  bool accumulate, int lanes)
{
    vf d = vf_load_part(dy, lanes) * vf_silu_slope(vf_load_part(x, lanes));
    if (accumulate) d += vf_load_part(dx, lanes);
    vf_store_part(dx, d, lanes);
}

void silu_backward(int64_t rows, int c, const float *x, int x_pitch, const float *dy, int y_pitch, float *dx,
                   int dx_pitch, bool accumulate)
{
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const float *from = x + row * x_pitch, *gradient = dy + row * y_pitch;
        float *to = dx + row * dx_pitch;
        int j = 0;
        for (; j + LANES <= c; j += LANES) backward_vector(from + j, gradient + j, to + j, accumulate, LANES);
        if (j < c) backward_vector(from + j, gradient + j, to + j, accumulate, c - j);
    }
}
