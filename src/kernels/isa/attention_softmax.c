/* Scores and softmax of a block of queries. */
#include "attention.h"
#include "silu.h"

#include <math.h>

#define LEAST -87.0f /* of an exponent: e to it is next to nothing, and still a normal float */

/* q and k are each scaled by c^(-1/4): their product by c^(-1/2). */
static float score_scale(const struct attention_shape *shape)
{
    return (float)(1 / sqrt(shape->c_head));
}

/* The lanes of x, half of them moved to the places of the others. */
static inline vf swap_lanes(vf x, int half)
{
    vi from;
    for (int i = 0; i < LANES; i++) from[i] = i ^ half;
    return __builtin_shuffle(x, from);
}

static inline float sum_of_lanes(vf x)
{
#pragma GCC unroll 4
    for (int half = LANES / 2; half; half /= 2) x += swap_lanes(x, half);
    return x[0];
}

static inline float largest_lane(vf x)
{
#pragma GCC unroll 4
    for (int half = LANES / 2; half; half /= 2) x = vf_max(swap_lanes(x, half), x);
    return x[0];
}

void attention_scores(const struct attention_shape *shape, int rows, const oper *a, const oper *panels, float *scores)
{
    struct gemm gemm = {.rows = rows,
                        .columns = whole_columns(shape->t),
                        .words = words(shape->c_head),
                        .a = a,
                        .a_row = rows_pitch(shape->c_head),
                        .a_word = STEP,
                        .b = panels,
                        .floats = true,
                        .y = scores,
                        .y_pitch = scores_pitch(shape)};
    gemm_run(&gemm);
}

void attention_exponentials(const struct attention_shape *shape, int rows, float *scores, float *inverse)
{
    int columns = whole_columns(shape->t);
    float scale = score_scale(shape);
    for (int r = 0; r < rows; r++, scores += scores_pitch(shape)) {
        vf largest = -INFINITY + (vf){0}, sum = {0};
        for (int j = shape->t; j < columns; j++) scores[j] = -INFINITY;
        for (int j = 0; j < columns; j += LANES) largest = vf_max(largest, *(const vf *)(scores + j));
        float shift = scale * largest_lane(largest);
        for (int j = 0; j < columns; j += LANES) {
            vf *x = (vf *)(scores + j);
            *x = vf_exp(vf_clamp(LEAST, -LEAST, *x * scale - shift));
            sum += *x;
        }
        inverse[r] = 1 / sum_of_lanes(sum);
    }
}

void attention_softmax_backward(const struct attention_shape *shape, int rows, const float *inverse, float *scores,
                                float *gradient)
{
    int columns = whole_columns(shape->t);
    float scale = score_scale(shape);
    for (int r = 0; r < rows; r++, scores += scores_pitch(shape), gradient += scores_pitch(shape)) {
        vf sum = {0};
        for (int j = 0; j < columns; j += LANES) sum += *(const vf *)(scores + j) * *(const vf *)(gradient + j);
        float mean = inverse[r] * sum_of_lanes(sum);
        for (int j = 0; j < columns; j += LANES) {
            vf *weights = (vf *)(scores + j), *dx = (vf *)(gradient + j);
            *weights *= inverse[r];
            *dx = (*dx - mean) * (*weights * scale);
        }
    }
}

/* ---- operands of products ---------------------------------------------------------------------------------------- */

const oper *attention_rows(const struct attention_shape *shape, int rows, float *scores, oper *copy)
{
    ptrdiff_t pitch = scores_pitch(shape);
    int columns = whole_columns(shape->t);
    for (int r = 0; r < rows && sizeof(elem) != sizeof(float); r++)
        for (int j = 0; j < columns; j += LANES) {
            elem rounded[LANES], *to = STEP == 1 ? rounded : (elem *)copy + r * pitch + j;
            vf *x = (vf *)(scores + r * pitch + j);
            vf_store(to, *x);
            if (STEP == 1) *x = vf_load(rounded);
        }
    return STEP == 1 ? (const oper *)scores : copy;
}

void attention_columns(const struct attention_shape *shape, int rows, float *scores)
{
#if STEP == 1
    attention_rows(shape, rows, scores, NULL);
#else
    ptrdiff_t pitch = scores_pitch(shape);
    for (int r = 0; r < rows; r += STEP, scores += STEP * pitch)
        for (int j = 0; j < whole_columns(shape->t); j += LANES) {
            elem pair[STEP * LANES] = {0};
            vf_store(pair, *(const vf *)(scores + j));
            if (r + 1 < rows) vf_store(pair + LANES, *(const vf *)(scores + pitch + j));
            *(vf *)(scores + j) = column_words(pair, LANES, rows - r, LANES);
        }
#endif
}
