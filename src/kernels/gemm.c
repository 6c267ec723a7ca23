/* Linear layers over OpenBLAS, which runs on one thread and changes bits with the shape of a product. So threads share
 * tiles whose sizes depend on the layer only. */
#include "iddpm/kernels.h"

#include <cblas.h>
#include <string.h>

enum {
    TILE_ROWS = 256, /* positions of a tile of activations */
    TILE_COLS = 256, /* channels of any tile */
    TILE_OUT = 64,   /* output channels of a tile of dweight */
    BIAS_BLOCK = 64  /* rows summed in float32 before they are added to sums in double */
};

static inline int smaller(int64_t a, int64_t b)
{
    return (int)(a < b ? a : b);
}

/* What the product is added to. */
static void start_tile(int rows, int cols, const float *bias, const float *residual, int residual_pitch, float *y,
                       int y_pitch)
{
    for (int r = 0; r < rows; r++, y += y_pitch) {
        if (residual && bias)
            for (int j = 0; j < cols; j++) y[j] = residual[j] + bias[j];
        else
            memcpy(y, residual ? residual : bias, (size_t)cols * sizeof *y);
        if (residual) residual += residual_pitch;
    }
}

void linear_forward(enum element element, int64_t rows, int c_in, int c_out, const void *x_data, int x_pitch,
                    const float *weight, const float *bias, const void *residual_data, int residual_pitch, void *y_data,
                    int y_pitch)
{
    (void)element;
    const float *x = x_data, *residual = residual_data;
    float *y = y_data;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t row = 0; row < rows; row += TILE_ROWS)
        for (int col = 0; col < c_out; col += TILE_COLS) {
            int m = smaller(TILE_ROWS, rows - row), n = smaller(TILE_COLS, c_out - col);
            float *tile = y + row * y_pitch + col;
            bool added_to = bias || residual;
            if (added_to)
                start_tile(m, n, bias ? bias + col : NULL, residual ? residual + row * residual_pitch + col : NULL,
                           residual_pitch, tile, y_pitch);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, c_in, 1, x + row * x_pitch, x_pitch,
                        weight + (int64_t)col * c_in, c_in, added_to ? 1 : 0, tile, y_pitch);
        }
}

void linear_backward_input(enum element element, int64_t rows, int c_in, int c_out, const void *dy_data, int y_pitch,
                           const float *weight, void *dx_data, int x_pitch, bool accumulate)
{
    (void)element;
    const float *dy = dy_data;
    float *dx = dx_data;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t row = 0; row < rows; row += TILE_ROWS)
        for (int col = 0; col < c_in; col += TILE_COLS)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, smaller(TILE_ROWS, rows - row),
                        smaller(TILE_COLS, c_in - col), c_out, 1, dy + row * y_pitch, y_pitch, weight + col, c_in,
                        accumulate ? 1 : 0, dx + row * x_pitch + col, x_pitch);
}

/* dbias[c] += sum over rows of dy, c at most TILE_OUT */
static void add_column_sums(int64_t rows, int c, const float *dy, int pitch, float *dbias)
{
    double total[TILE_OUT] = {0};
    for (int64_t first = 0; first < rows; first += BIAS_BLOCK) {
        float sum[TILE_OUT] = {0};
        int count = smaller(BIAS_BLOCK, rows - first);
        for (int r = 0; r < count; r++, dy += pitch)
            for (int j = 0; j < c; j++) sum[j] += dy[j];
        for (int j = 0; j < c; j++) total[j] += sum[j];
    }
    for (int j = 0; j < c; j++) dbias[j] += (float)total[j];
}

void linear_backward_weight(enum element element, int64_t rows, int c_in, int c_out, const void *x_data, int x_pitch,
                            const void *dy_data, int y_pitch, float *dweight, float *dbias)
{
    (void)element;
    const float *x = x_data, *dy = dy_data;
#pragma omp parallel for collapse(2) schedule(static)
    for (int out = 0; out < c_out; out += TILE_OUT)
        for (int col = 0; col < c_in; col += TILE_COLS) {
            int m = smaller(TILE_OUT, c_out - out);
            if (col == 0 && dbias) add_column_sums(rows, m, dy + out, y_pitch, dbias + out);
            cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m, smaller(TILE_COLS, c_in - col), (int)rows, 1,
                        dy + out, y_pitch, x + col, x_pitch, 1, dweight + (int64_t)out * c_in + col, c_in);
        }
}
