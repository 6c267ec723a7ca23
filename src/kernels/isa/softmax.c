/* Softmax of attention: see softmax.h. Sums and maxima run in LANES partial results, whatever the vector length. */
#include "isa.h"

#include "exp.h"

enum { LANES = 16 };

static inline float larger(float a, float b)
{
    return a > b ? a : b;
}

static float row_maximum(int c, const float *x)
{
    float lane[LANES], all = x[0];
    for (int l = 0; l < LANES; l++) lane[l] = x[0];
    int j = 0;
    for (; j + LANES <= c; j += LANES)
        for (int l = 0; l < LANES; l++) lane[l] = larger(x[j + l], lane[l]);
    for (; j < c; j++) all = larger(x[j], all);
    for (int l = 0; l < LANES; l++) all = larger(lane[l], all);
    return all;
}

/* x becomes exp(x - shift); returns the sum. */
static float row_exponentials(int c, float shift, float *x)
{
    float lane[LANES] = {0}, sum = 0;
    int j = 0;
    for (; j + LANES <= c; j += LANES)
        for (int l = 0; l < LANES; l++) {
            x[j + l] = exp_float(x[j + l] - shift);
            lane[l] += x[j + l];
        }
    for (; j < c; j++) {
        x[j] = exp_float(x[j] - shift);
        sum += x[j];
    }
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

static float row_dot(int c, const float *restrict a, const float *restrict b)
{
    float lane[LANES] = {0}, sum = 0;
    int j = 0;
    for (; j + LANES <= c; j += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += a[j + l] * b[j + l];
    for (; j < c; j++) sum += a[j] * b[j];
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

void softmax_rows(int rows, int c, float *x, int pitch)
{
    for (int row = 0; row < rows; row++, x += pitch) {
        float factor = 1 / row_exponentials(c, row_maximum(c, x), x);
        for (int j = 0; j < c; j++) x[j] *= factor;
    }
}

void softmax_rows_backward(int rows, int c, const float *restrict p, float *restrict dp, int pitch)
{
    for (int row = 0; row < rows; row++, p += pitch, dp += pitch) {
        float mean = row_dot(c, p, dp);
        for (int j = 0; j < c; j++) dp[j] = p[j] * (dp[j] - mean);
    }
}
