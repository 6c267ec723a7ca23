/* Private to the minimal-filtering (Winograd) convolutions: F(m x m, 3 x 3) for m = 2 and 4 (Lavin & Gray 2016), in
 * which a tile of m x m outputs costs (m + 2)^2 multiplications per pair of channels in place of 9 m^2. A line of m + 2
 * inputs d, 3 weights g and m outputs y belong together by y = A' [(G g) * (B' d)]; in two dimensions each matrix is
 * applied from both sides. The points of interpolation are 0, +-1/sqrt 2, +-sqrt 2 and infinity for m = 4 (0, +-1 and
 * +-2 would err ten times as much), 0, +-1 and infinity for m = 2. The backward passes are the exact adjoints. This is
 * the arithmetic of the transforms, on vectors of channels. */
#ifndef IDDPM_KERNELS_CONV3X3_TRANSFORM_H
#define IDDPM_KERNELS_CONV3X3_TRANSFORM_H

#include "conv3x3.h"
#include "operand.h"

#define SIDE_MAX 6
#define POINTS_MAX (SIDE_MAX * SIDE_MAX)
#define INLINE static inline __attribute__((always_inline))

/* ---- transforms of one line -------------------------------------------------------------------------------------- */

enum line {
    LINE_INPUT,           /* B': m + 2 inputs to points */
    LINE_OUTPUT,          /* A': points to m outputs */
    LINE_WEIGHT,          /* G: 3 weights to points */
    LINE_OUTPUT_GRADIENT, /* A: m gradients of outputs to points */
    LINE_WEIGHT_GRADIENT, /* G': points to 3 gradients of weights */
};

INLINE int line_from(const enum line line, const int m)
{
    return line == LINE_WEIGHT ? 3 : line == LINE_OUTPUT_GRADIENT ? m : m + 2;
}

INLINE int line_to(const enum line line, const int m)
{
    return line == LINE_WEIGHT_GRADIENT ? 3 : line == LINE_OUTPUT ? m : m + 2;
}

INLINE void line_2(const enum line line, const vf *in, vf *out)
{
    switch (line) {
    case LINE_INPUT:
        out[0] = in[0] - in[2];
        out[1] = in[1] + in[2];
        out[2] = in[2] - in[1];
        out[3] = in[1] - in[3];
        break;
    case LINE_OUTPUT:
        out[0] = in[0] + in[1] + in[2];
        out[1] = in[1] - in[2] - in[3];
        break;
    case LINE_WEIGHT: {
        vf even = 0.5f * (in[0] + in[2]), odd = 0.5f * in[1];
        out[0] = in[0];
        out[1] = even + odd;
        out[2] = even - odd;
        out[3] = in[2];
        break;
    }
    case LINE_OUTPUT_GRADIENT:
        out[0] = in[0];
        out[1] = in[0] + in[1];
        out[2] = in[0] - in[1];
        out[3] = -in[1];
        break;
    case LINE_WEIGHT_GRADIENT: {
        vf even = 0.5f * (in[1] + in[2]);
        out[0] = in[0] + even;
        out[1] = 0.5f * (in[1] - in[2]);
        out[2] = even + in[3];
        break;
    }
    }
}

#define NEAR 0.70710678118654752f /* 1 / sqrt 2 */
#define FAR 1.41421356237309505f  /* sqrt 2 */

INLINE void line_4(const enum line line, const vf *in, vf *out)
{
    const float third = 1 / 3.f, sixth = 1 / 6.f;
    switch (line) {
    case LINE_INPUT: { /* the odd parts are spelt out so that half of the operations are additions, which run beside */
        vf near_even = in[4] - 2.f * in[2], near_odd = NEAR * in[3] - FAR * in[1];
        vf far_even = in[4] - 0.5f * in[2], far_odd = FAR * in[3] - NEAR * in[1];
        out[0] = in[0] + (in[4] - 2.5f * in[2]);
        out[1] = near_even + near_odd;
        out[2] = near_even - near_odd;
        out[3] = far_even + far_odd;
        out[4] = far_even - far_odd;
        out[5] = in[5] + (in[1] - 2.5f * in[3]);
        break;
    }
    case LINE_OUTPUT: {
        vf near_sum = in[1] + in[2], near_odd = NEAR * (in[1] - in[2]);
        vf far_sum = in[3] + in[4], far_odd = FAR * (in[3] - in[4]);
        out[0] = in[0] + near_sum + far_sum;
        out[1] = near_odd + far_odd;
        out[2] = 0.5f * near_sum + 2.f * far_sum;
        out[3] = 0.5f * near_odd + 2.f * far_odd + in[5];
        break;
    }
    case LINE_WEIGHT: {
        vf near_even = -2 * third * (in[0] + 0.5f * in[2]), near_odd = 2 * third * NEAR * in[1];
        vf far_even = sixth * (in[0] + 2.f * in[2]), far_odd = sixth * FAR * in[1];
        out[0] = in[0];
        out[1] = near_even - near_odd;
        out[2] = near_even + near_odd;
        out[3] = far_even + far_odd;
        out[4] = far_even - far_odd;
        out[5] = in[2];
        break;
    }
    case LINE_OUTPUT_GRADIENT: {
        vf near_even = in[0] + 0.5f * in[2], near_odd = NEAR * (in[1] + 0.5f * in[3]);
        vf far_even = in[0] + 2.f * in[2], far_odd = FAR * (in[1] + 2.f * in[3]);
        out[0] = in[0];
        out[1] = near_even + near_odd;
        out[2] = near_even - near_odd;
        out[3] = far_even + far_odd;
        out[4] = far_even - far_odd;
        out[5] = in[3];
        break;
    }
    case LINE_WEIGHT_GRADIENT: {
        vf near_sum = in[1] + in[2], far_sum = in[3] + in[4];
        out[0] = in[0] - 2 * third * near_sum + sixth * far_sum;
        out[1] = -2 * third * NEAR * (in[1] - in[2]) + sixth * FAR * (in[3] - in[4]);
        out[2] = third * (far_sum - near_sum) + in[5];
        break;
    }
    }
}

/* ---- squares of vectors, transformed from both sides ------------------------------------------------------------- */

/* Pixels of an image: (i, j) at row[i] + j step; rows outside of the image are zeros. */
struct window {
    const elem *row[SIDE_MAX];
    ptrdiff_t step;
};

/* Where a square's vectors come from: channels from `c` of a window, whose first or last column may be outside of the
 * image; without window the floats at base + (number of the element) stride. */
struct source {
    const struct window *window;
    ptrdiff_t c;
    bool left, right, fetch; /* fetch: what the next tile reads */
    const float *base;
    ptrdiff_t stride;
};

/* Where they go: to the floats or words at base + (number of the element) stride, as `kind` says, and `next` floats
 * further is fetched to be written soon; or, when there is `out`, element (i, j) to the pixel out + i row + j pitch,
 * with `bias` and the same pixel of `residual` (with its own pitches, if there is one) added. */
enum target_kind { TARGET_FLOATS, TARGET_OPERANDS, TARGET_PARTNERS };

/* Of operands of F(m x m); across: partners are not neighbours in a vector but one above the other. */
INLINE enum target_kind operand_kind(const int m, const bool across)
{
    return m == 4 ? TARGET_FLOATS : across ? TARGET_PARTNERS : TARGET_OPERANDS;
}

struct target {
    enum target_kind kind;
    int second; /* of TARGET_PARTNERS */
    float *base;
    ptrdiff_t stride, next;
    elem *out;
    ptrdiff_t row, pitch;
    vf bias;
    const elem *residual;
    ptrdiff_t residual_row, residual_pitch;
};

/* Multiples of a distance that are all one address away: of an index the processor adds 1, 2 or 4 times. Where the
 * compiler knows how addresses depend on each other it keeps dozens of them, in memory, to be read, added to and
 * written each time: `hidden`, it does not know. */
struct multiples {
    ptrdiff_t one, three, five; /* bytes */
};

INLINE ptrdiff_t hidden(ptrdiff_t x)
{
    __asm__("" : "+r"(x));
    return x;
}

INLINE struct multiples multiples_make(ptrdiff_t bytes)
{
    ptrdiff_t one = hidden(bytes);
    return (struct multiples){one, hidden(3 * one), hidden(5 * one)};
}

INLINE ptrdiff_t times(const struct multiples *multiples, const int k)
{
    return k == 3 ? multiples->three : k == 5 ? multiples->five : k * multiples->one;
}

/* Row i of a square of `size` columns. */
INLINE const char *source_row(const struct source *source, const int i, const int size)
{
    if (source->window) return (const char *)(source->window->row[i] + source->c);
    return (const char *)(source->base + i * size * source->stride);
}

INLINE vf source_load(const struct source *source, const char *row, const struct multiples *step, const int j,
                      const int size)
{
    if (!source->window) return *(const vf *)(row + times(step, j));
    if ((source->left && j == 0) || (source->right && j == size - 1)) return (vf){0};
    return vf_load((const elem *)(row + times(step, j)));
}

INLINE void target_store(const struct target *target, char *col, const struct multiples *rows, const int i, const int j,
                         vf value)
{
    if (!target->out) {
        if (target->next) __builtin_prefetch(col + target->next * (ptrdiff_t)sizeof(float) + times(rows, i), 1);
        float *to = (float *)(col + times(rows, i));
        if (target->kind == TARGET_OPERANDS)
            operands_store(to, value);
        else if (target->kind == TARGET_PARTNERS)
            partners_store(to, value, target->second);
        else
            *(vf *)to = value;
        return;
    }
    value += target->bias;
    if (target->residual) value += vf_load(target->residual + i * target->residual_row + j * target->residual_pitch);
    vf_store((elem *)(col + times(rows, i)), value);
}

/* The columns of the same rows that only the next tile of an image reads. */
INLINE void source_fetch(const char *row, const struct multiples *step, const int m, const int size)
{
    const char *next = row + m * step->one;
#pragma GCC unroll 6
    for (int j = size - m; j < size; j++) __builtin_prefetch(next + times(step, j));
}

INLINE void line_transform(const enum line line, const int m, const vf *in, vf *out)
{
    if (m == 2)
        line_2(line, in, out);
    else
        line_4(line, in, out);
}

/* Transforms a square; `sum`, unless NULL, gets the sum of its elements added. Rows are done first, and all of them
 * must be kept: those of an input of 6 x 6 in two parts, of three results each, so that the registers hold them. */
INLINE void transform(const enum line line, const int m, struct source source, struct target target, vf *sum)
{
    const int from = line_from(line, m), side = line_to(line, m);
    const int parts = line == LINE_INPUT && m == 4 ? 2 : 1, part_size = side / parts;
    const ptrdiff_t word = sizeof(float), element = sizeof(elem);
    const struct multiples step = multiples_make(source.window ? source.window->step * element : source.stride * word);
    const struct multiples rows = multiples_make(target.out ? target.row * element : side * target.stride * word);
    const ptrdiff_t apart = hidden(target.out ? target.pitch * element : target.stride * word); /* columns */
    char *col_at = target.out ? (char *)target.out : (char *)target.base;
#pragma GCC unroll 2
    for (int part = 0; part < parts; part++) {
        vf half[SIDE_MAX][SIDE_MAX];
#pragma GCC unroll 6
        for (int i = 0; i < from; i++) {
            vf in[SIDE_MAX], out[SIDE_MAX];
            const char *row = (const char *)hidden((ptrdiff_t)source_row(&source, i, from));
#pragma GCC unroll 6
            for (int j = 0; j < from; j++) {
                in[j] = source_load(&source, row, &step, j, from);
                if (sum) *sum += in[j];
            }
            if (source.fetch && part == 0) source_fetch(row, &step, m, from);
            line_transform(line, m, in, out);
#pragma GCC unroll 6
            for (int j = 0; j < part_size; j++) half[i][j] = out[part * part_size + j];
        }
#pragma GCC unroll 6
        for (int j = 0; j < part_size; j++) {
            vf in[SIDE_MAX], out[SIDE_MAX];
#pragma GCC unroll 6
            for (int i = 0; i < from; i++) in[i] = half[i][j];
            line_transform(line, m, in, out);
            const int col = part * part_size + j;
#pragma GCC unroll 6
            for (int i = 0; i < side; i++) target_store(&target, col_at, &rows, i, col, out[i]);
            col_at = (char *)hidden((ptrdiff_t)(col_at + apart));
        }
    }
}

#endif
