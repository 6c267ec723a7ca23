/* Embeddings, sums of sums: what neither sums nor computes enough to need an instruction set of its own. */
#include "iddpm/kernels.h"

#include <math.h>
#include <string.h>

/* Fewer are not worth waking threads for: the gradients of biases come by the hundred. */
enum { WORTH_THREADS = 1 << 15, CLEAR_PIECE = 1 << 14 };

void add_floats(size_t n, const float *restrict x, float *restrict y)
{
#pragma omp parallel for schedule(static) if (n >= WORTH_THREADS)
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

void clear_floats(size_t n, float *x)
{
#pragma omp parallel for schedule(static) if (n >= WORTH_THREADS)
    for (size_t first = 0; first < n; first += CLEAR_PIECE)
        memset(x + first, 0, (n - first < CLEAR_PIECE ? n - first : CLEAR_PIECE) * sizeof *x);
}

void timestep_embedding(int n, const double *t, int dim, float *y, int y_pitch)
{
    int half = dim / 2;
    for (int image = 0; image < n; image++) {
        float *row = y + (int64_t)image * y_pitch;
        for (int i = 0; i < half; i++) {
            double angle = t[image] * exp(-log(10000) * i / half);
            row[i] = (float)cos(angle);
            row[half + i] = (float)sin(angle);
        }
        if (dim % 2) row[dim - 1] = 0;
    }
}

double sum_of_squares(size_t n, const float *x)
{
    enum { GROUP = 1024 * SQUARES_BLOCK };
    double sum = 0, blocks[GROUP / SQUARES_BLOCK];
    for (size_t first = 0; first < n; first += GROUP) {
        size_t count = n - first < GROUP ? n - first : GROUP;
        squares_of_blocks(count, x + first, blocks);
        for (size_t k = 0; k < (count + SQUARES_BLOCK - 1) / SQUARES_BLOCK; k++) sum += blocks[k];
    }
    return sum;
}
