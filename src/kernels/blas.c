/* OpenBLAS runs on one thread here and changes bits with the shape of a product. So threads share tiles whose sizes
 * depend on the layer only. */
#include "blas.h"

#include <cblas.h>

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

void blas_linear_backward_input(const struct linear_shape *shape, const float *dy, const float *weight, float *dx,
                                bool accumulate)
{
    int c_in = shape->c_in, x_pitch = shape->x_pitch, y_pitch = shape->y_pitch;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t row = 0; row < shape->rows; row += TILE_ROWS)
        for (int col = 0; col < c_in; col += TILE_COLS)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, smaller(TILE_ROWS, shape->rows - row),
                        smaller(TILE_COLS, c_in - col), shape->c_out, 1, dy + row * y_pitch, y_pitch, weight + col,
                        c_in, accumulate ? 1 : 0, dx + row * x_pitch + col, x_pitch);
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

void blas_linear_backward_weight(const struct linear_shape *shape, const float *x, const float *dy, float *dweight,
                                 float *dbias)
{
    int c_in = shape->c_in, c_out = shape->c_out, x_pitch = shape->x_pitch, y_pitch = shape->y_pitch;
#pragma omp parallel for collapse(2) schedule(static)
    for (int out = 0; out < c_out; out += TILE_OUT)
        for (int col = 0; col < c_in; col += TILE_COLS) {
            int m = smaller(TILE_OUT, c_out - out);
            if (col == 0 && dbias) add_column_sums(shape->rows, m, dy + out, y_pitch, dbias + out);
            cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m, smaller(TILE_COLS, c_in - col), (int)shape->rows, 1,
                        dy + out, y_pitch, x + col, x_pitch, 1, dweight + (int64_t)out * c_in + col, c_in);
        }
}
