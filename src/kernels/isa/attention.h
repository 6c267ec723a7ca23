/* Private to attention: what its two passes share. */
#ifndef IDDPM_KERNELS_ATTENTION_H
#define IDDPM_KERNELS_ATTENTION_H

#include "gemm.h"

#define QUERIES (28 / TILE * TILE) /* of a block */

/* Offset of a head's q, heads of all images counted; k and v follow at c_head and 2 c_head. */
static inline int64_t qkv_offset(const struct attention_shape *shape, int head)
{
    return (int64_t)(head / shape->heads) * shape->t * shape->qkv_pitch +
           (int64_t)(head % shape->heads) * 3 * shape->c_head;
}

static inline int64_t y_offset(const struct attention_shape *shape, int head)
{
    return (int64_t)(head / shape->heads) * shape->t * shape->y_pitch + (int64_t)(head % shape->heads) * shape->c_head;
}

/* Floats between rows of scores, which are whole vectors and an odd number of lines. */
static inline ptrdiff_t scores_pitch(const struct attention_shape *shape)
{
    const size_t line = MEM_ALIGN / sizeof(float);
    return (ptrdiff_t)(whole_lines((size_t)shape->t) | line);
}

/* scores[row][key] = the product of a row with a column of `panels`, [channel][key]; columns beyond t are set too.
 * `copy` has room for rows that must be packed. */
void attention_scores(const struct attention_shape *shape, int rows, const elem *from, ptrdiff_t pitch, oper *copy,
                      const oper *panels, float *scores);
/* scores become e^((score - largest of the row) / sqrt(c_head)), columns beyond t next to 0; inverse[rows] receives 1 /
 * sum. */
void attention_exponentials(const struct attention_shape *shape, int rows, float *scores, float *inverse);
/* With these exponentials and the weights' gradient: scores become the weights, the gradient that before the scale and
 * the softmax. */
void attention_softmax_backward(const struct attention_shape *shape, int rows, const float *inverse, float *scores,
                                float *gradient);

/* Scores or the like as operands of products. As rows: at a distance of scores_pitch opers, where they are or in
 * `copy`. As columns: in their place, word w of a key at w columns_pitch + key STEP opers; their number is even but for
 * a head's last. */
const oper *attention_rows(const struct attention_shape *shape, int rows, float *scores, oper *copy);
void attention_columns(const struct attention_shape *shape, int rows, float *scores);
static inline ptrdiff_t columns_pitch(const struct attention_shape *shape)
{
    return STEP * STEP * scores_pitch(shape);
}

size_t attention_backward_scratch(const struct attention_shape *shape);

#endif
