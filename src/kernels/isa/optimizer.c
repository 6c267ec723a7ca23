/* The optimiser's sweep over flat parameter arrays. It reads and writes each array once, in chunks that stay in the
 * first cache while update and averages pass over them. */
#include "isa.h"

#include <math.h>

enum { CHUNK = SQUARES_BLOCK, LANES = 8 };

/* The scalars of one step, rounded once. Averages are moved by their distance, m + (1 - beta) (g - m): in float32 the
 * textbook form beta m + (1 - beta) g shrinks a slow average, because beta and 1 - beta no longer add up to 1 (by
 * 1.7e-4 at a rate of 0.9999). */
struct update {
    float toward_gradient, toward_square; /* 1 - beta1, 1 - beta2 */
    float decay, step_size;               /* lr weight_decay; lr / (1 - beta1^step) */
    float root_correction, eps;           /* 1 / sqrt(1 - beta2^step) */
};

static struct update update_of(const struct adamw *adamw)
{
    double correction1 = 1 - pow(adamw->beta1, (double)adamw->step);
    double correction2 = 1 - pow(adamw->beta2, (double)adamw->step);
    return (struct update){.toward_gradient = (float)(1 - adamw->beta1),
                           .toward_square = (float)(1 - adamw->beta2),
                           .decay = (float)(adamw->lr * adamw->weight_decay),
                           .step_size = (float)(adamw->lr / correction1),
                           .root_correction = (float)(1 / sqrt(correction2)),
                           .eps = (float)adamw->eps};
}

static void update_chunk(const struct update *u, size_t n, float *restrict p, const float *restrict g,
                         float *restrict m, float *restrict v)
{
    for (size_t i = 0; i < n; i++) {
        m[i] += u->toward_gradient * (g[i] - m[i]);
        v[i] += u->toward_square * (g[i] * g[i] - v[i]);
        float denominator = sqrtf(v[i]) * u->root_correction + u->eps;
        p[i] -= u->decay * p[i] + u->step_size * (m[i] / denominator);
    }
}

static void average_chunk(float toward, size_t n, const float *restrict p, float *restrict e)
{
    for (size_t i = 0; i < n; i++) e[i] += toward * (p[i] - e[i]);
}

void adamw_ema(const struct adamw *adamw, size_t n, float *params, const float *grad, float *exp_avg, float *exp_avg_sq,
               int n_ema, const double *rates, float *const *emas)
{
    struct update update = update_of(adamw);
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t count = n - first < CHUNK ? n - first : CHUNK;
        update_chunk(&update, count, params + first, grad + first, exp_avg + first, exp_avg_sq + first);
        for (int k = 0; k < n_ema; k++) average_chunk((float)(1 - rates[k]), count, params + first, emas[k] + first);
    }
}

static double chunk_squares(size_t n, const float *x)
{
    double lane[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (double)x[i + l] * x[i + l];
    for (; i < n; i++) sum += (double)x[i] * x[i];
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

void squares_of_blocks(size_t n, const float *x, double *sums)
{
    size_t blocks = (n + CHUNK - 1) / CHUNK;
#pragma omp parallel for schedule(static)
    for (size_t k = 0; k < blocks; k++) {
        size_t left = n - k * CHUNK;
        sums[k] = chunk_squares(left < CHUNK ? left : CHUNK, x + k * CHUNK);
    }
}
