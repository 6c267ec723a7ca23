/* SiLU alone (time embeddings); elsewhere it is fused into group norm. */
#include "silu.h"
#include "element.h"

void silu_forward(int64_t rows, int c, const float *x, int x_pitch, float *y, int y_pitch)
{
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++)
        for (int j = 0; j < c; j += LANES) {
            int lanes = c - j < LANES ? c - j : LANES;
            vf_store_part(y + row * y_pitch + j, vf_silu(vf_load_part(x + row * x_pitch + j, lanes)), lanes);
        }
}

void silu_backward(int64_t rows, int c, const float *x, int x_pitch, const float *dy, int y_pitch, float *dx,
                   int dx_pitch, bool accumulate)
{
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++)
        for (int j = 0; j < c; j += LANES) {
            int lanes = c - j < LANES ? c - j : LANES;
            float *to = dx + row * dx_pitch + j;
            vf slope = vf_silu_slope(vf_load_part(x + row * x_pitch + j, lanes));
            vf d = vf_load_part(dy + row * y_pitch + j, lanes) * slope;
            if (accumulate) d += vf_load_part(to, lanes);
            vf_store_part(to, d, lanes);
        }
}
