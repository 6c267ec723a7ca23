/* Private to linear layers and attention: matrix products in register tiles. Out of the rows of one operand, a, single
 * words are multiplied with vectors of the other, b, which was packed into panels of PANEL columns. A word is what one
 * multiply-add takes of each row and column: a float32, or on AVX512-BF16 two bfloat16 that follow each other along the
 * sum. Where activations are bfloat16 and the processor lacks that, words are float32 of the rounded values. */
#ifndef IDDPM_KERNELS_GEMM_H
#define IDDPM_KERNELS_GEMM_H

#include "element.h"
#include "tile.h"

#if defined(KERNEL_BF16) && defined(__AVX512BF16__)
typedef elem oper; /* of which STEP are a word */
#define STEP 2
#else
typedef float oper;
#define STEP 1
#endif

static inline int words(int elements)
{
    return ceil_div(elements, STEP);
}

/* Vectors that hold `columns` columns; a last panel of at most LANES columns is one vector wide. */
static inline int whole_columns(int columns)
{
    return ceil_div(columns, LANES) * LANES;
}

/* Opers of one panel, and of all panels of a product over k elements with `columns` columns. */
static inline size_t panel_size(int k, int columns)
{
    return (size_t)words(k) * STEP * whole_columns(columns);
}

/* The panel that starts at column `first`. */
static inline size_t panel_offset(int k, int first)
{
    return (size_t)words(k) * STEP * first;
}

/* LANES words of a row of which `there` elements are left, the others zero. */
static inline vf row_words(const elem *from, int there)
{
#if STEP == 1
    return there >= LANES ? vf_load(from) : vf_load_part(from, there);
#else
    vf words = {0};
    memcpy(&words, from, there >= STEP * LANES ? sizeof words : (size_t)there * sizeof *from);
    return words;
#endif
}

/* LANES words of columns, each of STEP rows, of which `rows` are left, at most; `lanes` columns are there. */
static inline __attribute__((always_inline)) vf column_words(const elem *from, ptrdiff_t pitch, int rows, int lanes)
{
#if STEP == 1
    (void)pitch, (void)rows;
    return lanes >= LANES ? vf_load(from) : vf_load_part(from, lanes);
#else
    elem even[LANES] = {0}, odd[LANES] = {0};
    size_t size = (size_t)min_int(lanes, LANES) * sizeof *from;
    memcpy(even, from, lanes >= LANES ? sizeof even : size);
    if (rows > 1) memcpy(odd, from + pitch, lanes >= LANES ? sizeof odd : size);
    vu32 low = __builtin_convertvector(*(const vu16 *)even, vu32);
    return (vf)(low | (__builtin_convertvector(*(const vu16 *)odd, vu32) << 16));
#endif
}

/* Panels from rows of elements, [panel][word of the sum][column], the rest of a panel's last vector zero: b[k][column]
 * is from[column pitch + k] (transposed) or from[k pitch + column]. The latter also with panels of another width, each
 * of panel_size(k, width), as the other operand: of the last columns of such a panel, the next vector's may follow. */
void gemm_pack_transposed(const elem *from, ptrdiff_t pitch, int k, int columns, oper *panels);
void gemm_pack(const elem *from, ptrdiff_t pitch, int k, int columns, int width, oper *panels);

/* Rows for the other operand, one every rows_pitch(k) opers: an odd number of lines, so that the rows of a tile do not
 * fall into the same sets of the cache. */
static inline ptrdiff_t rows_pitch(int k)
{
    const size_t line = MEM_ALIGN / sizeof(float);
    return (ptrdiff_t)((whole_lines((size_t)words(k)) | line) * STEP);
}
/* Whether they must be packed: elements are not words as they are. */
static inline bool rows_are_packed(int k)
{
    return sizeof(oper) != sizeof(elem) || k % STEP;
}
void gemm_pack_rows(const elem *from, ptrdiff_t pitch, int rows, int k, oper *to);

/* Arrays out of one piece of scratch. */
struct room {
    float *scratch; /* NULL: only to count */
    size_t used;    /* floats */
};

static inline void *room_take(struct room *room, size_t count, size_t size)
{
    float *taken = room->scratch ? room->scratch + room->used : NULL;
    room->used += whole_lines((count * size + sizeof(float) - 1) / sizeof(float));
    return taken;
}

/* What a product gives, `scale` times, is added to `bias` and `add` and stored in `y`. */
struct gemm {
    int rows, columns, words;
    const oper *a; /* word w of row r at a + r a_row + w a_word, of which one is STEP */
    ptrdiff_t a_row, a_word;
    const oper *b; /* panels; or with b_word not 0, word w of column c at b + w b_word + c STEP, whole vectors */
    ptrdiff_t b_word;
    bool floats; /* y is float32 whatever the element is, and so is add */
    void *y;
    ptrdiff_t y_pitch;
    const float *scale; /* [rows] or NULL */
    const float *bias;  /* [columns] or NULL */
    const void *add;    /* like y, may be y; or NULL */
    ptrdiff_t add_pitch;
    struct ahead *ahead; /* NULL or what is needed next, a share of it is fetched before each tile */
};
void gemm_run(const struct gemm *gemm);

#endif
