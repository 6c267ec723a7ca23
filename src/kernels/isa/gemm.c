/* Register tiles of matrix products and the packing of operands: see gemm.h. A sum is always added up along the whole
 * product in order, whatever tile it falls to. */
#include "gemm.h"

#define B_AHEAD 16 /* words between those of b in use and those being fetched */

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

/* A tile's sums go to `y` (`scale` times them + `bias` + `add`), whole vectors of floats, when it is not NULL,
 * otherwise to `sums`. */
struct tile {
    const oper *a, *b;
    ptrdiff_t a_row, a_word, b_word;
    int words;
    float *y;
    const float *scale, *bias, *add;
    ptrdiff_t y_pitch, add_pitch;
    float *sums; /* [row][1 or 2 vectors] */
    /* rows of what is stored and what is added, to be fetched, and the bytes between them */
    const char *fetch_y, *fetch_add;
    ptrdiff_t fetch_y_step, fetch_add_step;
};

static inline __attribute__((always_inline)) vf multiply_add(vf sum, const oper *word, vf b)
{
#if STEP == 1
    return sum + *word * b;
#else
    int32_t pair;
    memcpy(&pair, word, sizeof pair);
    vf a = (vf)_mm512_set1_epi32(pair);
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); /* GCC 12 copies its intrinsic's sums to memory */
    return sum;
#endif
}

/* Fetches the next row: one a word, as all at once would hold up the products. */
static inline __attribute__((always_inline)) void fetch_row(const struct tile *tile, const char **y, const char **add)
{
    __builtin_prefetch(*y, 1);
    __builtin_prefetch(*y + MEM_ALIGN, 1);
    __builtin_prefetch(*add);
    __builtin_prefetch(*add + MEM_ALIGN);
    *y += tile->fetch_y_step;
    *add += tile->fetch_add_step;
}

static inline __attribute__((always_inline)) void tile_store(const struct tile *tile, const int rows, const int vectors,
                                                             vf sum[TILE][2])
{
    float *y = tile->y ? tile->y : tile->sums;
    const float *add = tile->add, *bias = tile->bias;
    ptrdiff_t pitch = tile->y ? tile->y_pitch : vectors * LANES;
    const vf zero = {0}, bias0 = bias ? *(const vf *)bias : zero;
    const vf bias1 = bias && vectors == 2 ? *(const vf *)(bias + LANES) : zero;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        if (tile->scale) {
            sum[r][0] *= tile->scale[r];
            if (vectors == 2) sum[r][1] *= tile->scale[r];
        }
        sum[r][0] += bias0;
        if (vectors == 2) sum[r][1] += bias1;
        if (add) {
            sum[r][0] += *(const vf *)add;
            if (vectors == 2) sum[r][1] += *(const vf *)(add + LANES);
            add += tile->add_pitch;
        }
        *(vf *)y = sum[r][0];
        if (vectors == 2) *(vf *)(y + LANES) = sum[r][1];
        y += pitch;
    }
}

/* A vector or two of b, and those B_AHEAD on the way. */
static inline __attribute__((always_inline)) void load_b(const oper *b, const ptrdiff_t width, const int vectors,
                                                         vf loaded[2])
{
#pragma GCC unroll 2
    for (int v = 0; v < vectors; v++) {
        __builtin_prefetch(b + B_AHEAD * width + v * LANES * STEP);
        loaded[v] = *(const vf *)(b + v * LANES * STEP);
    }
}

/* One word, at every third row's pointer, which moves on. */
static inline __attribute__((always_inline)) void add_row_word(const oper *a[TILE], ptrdiff_t next, const oper *b,
                                                               ptrdiff_t width, const int rows, const int vectors,
                                                               vf sum[TILE][2])
{
    vf loaded[2];
    load_b(b, width, vectors, loaded);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        const oper *word = a[r / 3 * 3] + r % 3 * next;
        sum[r][0] = multiply_add(sum[r][0], word, loaded[0]);
        if (vectors == 2) sum[r][1] = multiply_add(sum[r][1], word, loaded[1]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r += 3) a[r] += STEP;
}

/* Words of a row follow each other. Every third row has a pointer, the next two are at fixed distances: fourteen
 * pointers would not fit the registers. */
static inline __attribute__((always_inline)) void add_rows(const struct tile *tile, const int rows, const int vectors)
{
    vf sum[TILE][2];
    const oper *a[TILE], *b = tile->b, *end = b + tile->words * tile->b_word;
    const ptrdiff_t next = tile->a_row, width = tile->b_word;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = (vf){0};
#pragma GCC unroll 16
    for (int r = 0; r < rows; r += 3) {
        a[r] = tile->a + r * next;
        __asm__("" : "+r"(a[r])); /* what it was made of is forgotten */
    }
    const char *y = tile->fetch_y, *add = tile->fetch_add;
    for (int r = 0; r < rows && b != end; r++, b += width) {
        fetch_row(tile, &y, &add);
        add_row_word(a, next, b, width, rows, vectors, sum);
    }
    for (; b != end; b += width) add_row_word(a, next, b, width, rows, vectors, sum);
    tile_store(tile, rows, vectors, sum);
}

static inline __attribute__((always_inline)) void add_column_word(const oper *a, const oper *b, ptrdiff_t width,
                                                                  const int rows, const int vectors, vf sum[TILE][2])
{
    vf loaded[2];
    load_b(b, width, vectors, loaded);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        sum[r][0] = multiply_add(sum[r][0], a + r * STEP, loaded[0]);
        if (vectors == 2) sum[r][1] = multiply_add(sum[r][1], a + r * STEP, loaded[1]);
    }
}

/* The same words of all rows follow each other. */
static inline __attribute__((always_inline)) void add_columns(const struct tile *tile, const int rows,
                                                              const int vectors)
{
    vf sum[TILE][2];
    const oper *a = tile->a, *b = tile->b, *end = b + tile->words * tile->b_word;
    const ptrdiff_t width = tile->b_word;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = (vf){0};
    const char *y = tile->fetch_y, *add = tile->fetch_add;
    for (int r = 0; r < rows && b != end; r++, a += tile->a_word, b += width) {
        fetch_row(tile, &y, &add);
        add_column_word(a, b, width, rows, vectors, sum);
    }
    for (; b != end; a += tile->a_word, b += width) add_column_word(a, b, width, rows, vectors, sum);
    tile_store(tile, rows, vectors, sum);
}

/* For one row as well: every row that is read exists. */
#define ADDERS(add) TILE_ADDER(add, 1, 1) TILE_ADDER(add, 1, 2) TILE_ADDERS_OF(add, 1) TILE_ADDERS_OF(add, 2)
#define NAMES(add)                                                                                                     \
    {                                                                                                                  \
        {add##_1_1, TILE_NAMES_OF(add, 1)},                                                                            \
        {                                                                                                              \
            add##_1_2, TILE_NAMES_OF(add, 2)                                                                           \
        }                                                                                                              \
    }
ADDERS(add_rows)
ADDERS(add_columns)
static void (*const adders[2][2][TILE / 2 + 1])(const struct tile *) = {NAMES(add_rows), NAMES(add_columns)};

/* Rows of the next tile, an even number or one: what is left for the last two is halved. */
static int next_rows(int left)
{
    if (left >= 2 * TILE) return TILE;
    if (left > TILE) return (left + 3) / 4 * 2;
    return left == 1 ? 1 : left / 2 * 2;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static inline vf load_floats(const float *from, int lanes)
{
    vf x = {0};
    if (lanes == LANES) return *(const vf *)from;
    for (int k = 0; k < lanes; k++) x[k] = from[k];
    return x;
}

static inline void store_floats(float *to, vf x, int lanes)
{
    if (lanes == LANES)
        *(vf *)to = x;
    else
        for (int k = 0; k < lanes; k++) to[k] = x[k];
}

static inline vf load_elements(const elem *from, int lanes)
{
    return lanes == LANES ? vf_load(from) : vf_load_part(from, lanes);
}

/* A tile's sums, for what its own end does not do: bfloat16, columns of less than a vector. */
static void store_sums(const struct gemm *gemm, int row, int rows, int column, int vectors, const float *sums)
{
    const bool floats = gemm->floats || sizeof(elem) == sizeof(float);
    for (int r = row; r < row + rows; r++)
        for (int v = 0; v < vectors; v++, sums += LANES) {
            int c = column + v * LANES, lanes = min_int(LANES, gemm->columns - c);
            ptrdiff_t to = r * gemm->y_pitch + c, from = r * gemm->add_pitch + c;
            vf sum = *(const vf *)sums;
            if (gemm->scale) sum *= gemm->scale[r];
            if (gemm->bias) sum += load_floats(gemm->bias + c, lanes);
            if (gemm->add)
                sum += floats ? load_floats((const float *)gemm->add + from, lanes)
                              : load_elements((const elem *)gemm->add + from, lanes);
            if (floats)
                store_floats((float *)gemm->y + to, sum, lanes);
            else if (lanes == LANES)
                vf_store((elem *)gemm->y + to, sum);
            else
                vf_store_part((elem *)gemm->y + to, sum, lanes);
        }
}

static void run_tile(const struct gemm *gemm, int row, int rows, int column)
{
    float sums[TILE * PANEL] __attribute__((aligned(MEM_ALIGN)));
    int vectors = panel_vectors(gemm->columns, column);
    struct tile tile = {.a = gemm->a + row * gemm->a_row,
                        .b = gemm->b + (gemm->b_word ? column : (ptrdiff_t)panel_offset(gemm->words * STEP, column)),
                        .b_word = gemm->b_word ? gemm->b_word : vectors * LANES * STEP,
                        .a_row = gemm->a_row,
                        .a_word = gemm->a_word,
                        .words = gemm->words,
                        .sums = sums};
    bool whole = column + vectors * LANES <= gemm->columns, floats = gemm->floats || sizeof(elem) == sizeof(float);
    if (floats && whole) {
        tile.y = (float *)gemm->y + row * gemm->y_pitch + column;
        tile.y_pitch = gemm->y_pitch;
        tile.scale = gemm->scale ? gemm->scale + row : NULL;
        tile.bias = gemm->bias ? gemm->bias + column : NULL;
        tile.add = gemm->add ? (const float *)gemm->add + row * gemm->add_pitch + column : NULL;
        tile.add_pitch = gemm->add_pitch;
    }
    ptrdiff_t size = gemm->floats ? sizeof(float) : sizeof(elem);
    tile.fetch_y = (const char *)gemm->y + (row * gemm->y_pitch + column) * size;
    tile.fetch_y_step = gemm->y_pitch * size;
    tile.fetch_add = gemm->add ? (const char *)gemm->add + (row * gemm->add_pitch + column) * size : tile.fetch_y;
    tile.fetch_add_step = gemm->add ? gemm->add_pitch * size : tile.fetch_y_step;
    adders[gemm->a_row == STEP][vectors - 1][rows / 2](&tile);
    if (!tile.y) store_sums(gemm, row, rows, column, vectors, sums);
}

void gemm_run(const struct gemm *gemm)
{
    for (int column = 0; column < gemm->columns; column += PANEL)
        for (int row = 0, rows; row < gemm->rows; row += rows) {
            rows = next_rows(gemm->rows - row);
            if (gemm->ahead) ahead_fetch(gemm->ahead);
            run_tile(gemm, row, rows, column);
        }
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

/* The words w to w + LANES - 1 of up to LANES rows as columns; rows and words that are not there are zero. */
static inline void load_words(const elem *from, ptrdiff_t pitch, int k, int rows, int w, vf block[LANES])
{
    from += w * STEP;
    if (rows >= LANES && (w + LANES) * STEP <= k) {
#pragma GCC unroll 16
        for (int j = 0; j < LANES; j++) block[j] = row_words(from + j * pitch, LANES * STEP);
    } else {
        for (int j = 0; j < LANES; j++) block[j] = j < rows ? row_words(from + j * pitch, k - w * STEP) : (vf){0};
    }
    transpose(block);
}

/* One vector of a panel whose words have `width` columns. Meanwhile the LANES rows that follow are fetched, one after
 * the other (memory gives short pieces of all rows in turns at a tenth of its speed), and the next words' places. */
static void pack_vector_transposed(const elem *from, ptrdiff_t pitch, int k, int columns, int width, oper *to)
{
    int w = 0;
    vf block[LANES];
    struct ahead ahead = ahead_make(from + LANES * pitch, LANES, (int)pitch, k, ceil_div(words(k), LANES));
    for (; w + LANES <= words(k); w += LANES) {
        ahead_fetch(&ahead);
        for (int i = 0; i < LANES; i++) __builtin_prefetch(to + (w + LANES + i) * width * STEP, 1);
        load_words(from, pitch, k, columns, w, block);
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) *(vf *)(to + (w + i) * width * STEP) = block[i];
    }
    if (w < words(k)) load_words(from, pitch, k, columns, w, block);
    for (int i = 0; w + i < words(k); i++) *(vf *)(to + (w + i) * width * STEP) = block[i];
}

void gemm_pack_transposed(const elem *from, ptrdiff_t pitch, int k, int columns, oper *panel)
{
    for (int first = 0; first < columns; first += PANEL) {
        int vectors = panel_vectors(columns, first);
        for (int v = 0; v < vectors; v++) {
            int c = first + v * LANES;
            pack_vector_transposed(from + c * pitch, pitch, k, min_int(LANES, columns - c), vectors * LANES,
                                   panel + panel_offset(k, first) + v * LANES * STEP);
        }
    }
}

/* One panel, `lanes` columns wide. */
static inline __attribute__((always_inline)) void pack_panel(const elem *from, ptrdiff_t pitch, int k, int columns,
                                                             const int lanes, oper *to)
{
    for (; k > 0; k -= STEP, from += STEP * pitch, to += STEP * lanes) {
        __builtin_prefetch(from + 8 * STEP * pitch);
        __builtin_prefetch(from + 8 * STEP * pitch + lanes - 1);
        for (int c = 0; c < lanes; c += LANES) *(vf *)(to + c * STEP) = column_words(from + c, pitch, k, columns - c);
    }
}

void gemm_pack(const elem *from, ptrdiff_t pitch, int k, int columns, int width, oper *panels)
{
    for (int first = 0; first < columns; first += width, from += width, panels += panel_size(k, width)) {
        int left = columns - first, lanes = whole_columns(min_int(width, left));
        if (left >= lanes && lanes == PANEL)
            pack_panel(from, pitch, k, PANEL, PANEL, panels);
        else if (left >= lanes && lanes == LANES)
            pack_panel(from, pitch, k, LANES, LANES, panels);
        else
            pack_panel(from, pitch, k, left, lanes, panels);
    }
}

void gemm_pack_rows(const elem *from, ptrdiff_t pitch, int rows, int k, oper *to)
{
    ptrdiff_t to_pitch = rows_pitch(k);
    for (int r = 0; r < rows; r++, from += pitch, to += to_pitch)
        for (int w = 0; w < words(k); w += LANES) *(vf *)(to + w * STEP) = row_words(from + w * STEP, k - w * STEP);
}
