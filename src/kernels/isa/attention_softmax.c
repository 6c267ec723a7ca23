/* Scores and softmax of a block of queries. */
#include "attention.h"
#include "silu.h"

#include <math.h>

#define LEAST -126.0f /* of an exponent of 2, which is next to nothing then, and still a normal float */
#define LOG2_E 1.44269504088896341
#define ROWS 4 /* whose maxima are found together: each is a chain of comparisons */

/* q and k are each scaled by c^(-1/4): their product by c^(-1/2). */
static float score_scale(const struct attention_shape *shape)
{
    return (float)(1 / sqrt(shape->c_head));
}

/* The lanes of x, half of them moved to the places of the others. Spelled out: GCC 12 sees a constant in no other way.
 */
#define FOUR_LANES(i, half) (i) ^ (half), ((i) + 1) ^ (half), ((i) + 2) ^ (half), ((i) + 3) ^ (half)
#if LANES == 16
#define SWAP_LANES(x, half)                                                                                            \
    __builtin_shuffle(x, (vi){FOUR_LANES(0, half), FOUR_LANES(4, half), FOUR_LANES(8, half), FOUR_LANES(12, half)})
#elif LANES == 8
#define SWAP_LANES(x, half) __builtin_shuffle(x, (vi){FOUR_LANES(0, half), FOUR_LANES(4, half)})
#else
#define SWAP_LANES(x, half) __builtin_shuffle(x, (vi){FOUR_LANES(0, half)})
#endif

static inline float sum_of_lanes(vf x)
{
#if LANES == 16
    x += SWAP_LANES(x, 8);
#endif
#if LANES >= 8
    x += SWAP_LANES(x, 4);
#endif
    x += SWAP_LANES(x, 2);
    x += SWAP_LANES(x, 1);
    return x[0];
}

static inline float largest_lane(vf x)
{
#if LANES == 16
    x = vf_max(SWAP_LANES(x, 8), x);
#endif
#if LANES >= 8
    x = vf_max(SWAP_LANES(x, 4), x);
#endif
    x = vf_max(SWAP_LANES(x, 2), x);
    x = vf_max(SWAP_LANES(x, 1), x);
    return x[0];
}

void attention_scores(const struct attention_shape *shape, int rows, const elem *from, ptrdiff_t pitch, oper *copy,
                      const oper *panels, float *scores)
{
    bool packed = rows_are_packed(shape->c_head);
    if (packed) gemm_pack_rows(from, pitch, rows, shape->c_head, copy);
    struct gemm gemm = {.rows = rows,
                        .columns = whole_columns(shape->t),
                        .words = words(shape->c_head),
                        .a = packed ? copy : (const oper *)from,
                        .a_row = packed ? rows_pitch(shape->c_head) : pitch,
                        .a_word = STEP,
                        .b = panels,
                        .floats = true,
                        .y = scores,
                        .y_pitch = scores_pitch(shape)};
    gemm_run(&gemm);
}

/* The largest of each row; always inlined with a literal number of rows. */
static inline __attribute__((always_inline)) void largest_of_rows(const float *scores, ptrdiff_t pitch, int columns,
                                                                  const int rows, float *largest)
{
    vf most[ROWS];
    for (int r = 0; r < rows; r++) most[r] = *(const vf *)(scores + r * pitch);
    for (int j = LANES; j < columns; j += LANES)
        for (int r = 0; r < rows; r++) most[r] = vf_max(most[r], *(const vf *)(scores + r * pitch + j));
    for (int r = 0; r < rows; r++) largest[r] = largest_lane(most[r]);
}

void attention_exponentials(const struct attention_shape *shape, int rows, float *scores, float *inverse)
{
    int columns = whole_columns(shape->t), r = 0;
    ptrdiff_t pitch = scores_pitch(shape);
    float scale = (float)(LOG2_E / sqrt(shape->c_head)), *largest = inverse;
    for (int row = 0; row < rows && shape->t < columns; row++)
        for (int j = shape->t; j < columns; j++) scores[row * pitch + j] = -INFINITY;
    for (; r + ROWS <= rows; r += ROWS) largest_of_rows(scores + r * pitch, pitch, columns, ROWS, largest + r);
    for (; r < rows; r++) largest_of_rows(scores + r * pitch, pitch, columns, 1, largest + r);
    for (r = 0; r < rows; r++, scores += pitch) {
        float shift = scale * largest[r];
        vf sum = {0};
        for (int j = 0; j < columns; j += LANES) {
            vf *x = (vf *)(scores + j);
            *x = vf_exp2(vf_max(LEAST + (vf){0}, *x * scale - shift));
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
