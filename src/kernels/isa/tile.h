/* What products in registers share: tiles of TILE rows by 1 or 2 vectors, the functions that hold them, transposition
 * and prefetching. */
#ifndef IDDPM_KERNELS_TILE_H
#define IDDPM_KERNELS_TILE_H

#include "isa.h"
#include "vector.h"

/* TILE x 2 accumulators, the vectors of one row of weights and a broadcast value fit the registers (32, 16 and 16 of
 * them). */
#if LANES == 16
#define TILE 14
#else
#define TILE 6
#endif
#define PANEL (2 * LANES) /* columns of a tile */

static inline int min_int(int a, int b)
{
    return a < b ? a : b;
}

static inline int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

/* Scratch arrays are whole cache lines. */
static inline size_t whole_lines(size_t floats)
{
    const size_t line = MEM_ALIGN / sizeof(float);
    return (floats + line - 1) / line * line;
}

/* Vectors of the panel that starts at channel `first`. */
static inline int panel_vectors(int channels, int first)
{
    return channels - first > LANES ? 2 : 1;
}

/* Tiles have an even number of rows: as many as are left, at most TILE. */
static inline int tile_rows(int rows)
{
    return rows >= TILE ? TILE : (rows + 1) / 2 * 2;
}

/* Of a function tile_add(tile, rows, vectors) defines tile_adders[vectors - 1][rows / 2 - 1], each the function inlined
 * with literal numbers: only then are its sums registers. */
#define TILE_ADDER(add, rows, vectors)                                                                                 \
    static void add##_##rows##_##vectors(const struct tile *tile)                                                      \
    {                                                                                                                  \
        add(tile, rows, vectors);                                                                                      \
    }
#define TILE_ADDERS_6(add, vectors) TILE_ADDER(add, 2, vectors) TILE_ADDER(add, 4, vectors) TILE_ADDER(add, 6, vectors)
#define TILE_NAMES_6(add, vectors) add##_2_##vectors, add##_4_##vectors, add##_6_##vectors
#if TILE == 14
#define TILE_ADDERS_OF(add, vectors)                                                                                   \
    TILE_ADDERS_6(add, vectors)                                                                                        \
    TILE_ADDER(add, 8, vectors)                                                                                        \
    TILE_ADDER(add, 10, vectors) TILE_ADDER(add, 12, vectors) TILE_ADDER(add, 14, vectors)
#define TILE_NAMES_OF(add, vectors)                                                                                    \
    TILE_NAMES_6(add, vectors), add##_8_##vectors, add##_10_##vectors, add##_12_##vectors, add##_14_##vectors
#else
#define TILE_ADDERS_OF TILE_ADDERS_6
#define TILE_NAMES_OF TILE_NAMES_6
#endif
#define TILE_ADDERS(add)                                                                                               \
    TILE_ADDERS_OF(add, 1)                                                                                             \
    TILE_ADDERS_OF(add, 2)                                                                                             \
    static void (*const add##ers[2][TILE / 2])(const struct tile *) = {{TILE_NAMES_OF(add, 1)},                        \
                                                                       {TILE_NAMES_OF(add, 2)}};

/* Channels of a run of pixels that are needed soon. They are fetched into the second-level cache while tiles compute, a
 * share with each of them: the processor's own prefetchers do not follow short runs that lie far apart. */
struct ahead {
    const char *from;
    int64_t pixels, share;
    ptrdiff_t pitch, size; /* bytes */
};

static inline struct ahead ahead_of(const void *from, size_t element, int64_t pixels, int pitch, int channels,
                                    int tiles)
{
    return (struct ahead){from, pixels, (pixels + tiles - 1) / tiles, pitch * (ptrdiff_t)element,
                          channels * (ptrdiff_t)element};
}
/* `from` points to elements, in which pitch and channels are counted. */
#define ahead_make(from, pixels, pitch, channels, tiles) ahead_of(from, sizeof *(from), pixels, pitch, channels, tiles)

static inline void ahead_fetch(struct ahead *ahead)
{
    for (int64_t i = 0; i < ahead->share && ahead->pixels > 0; i++, ahead->pixels--, ahead->from += ahead->pitch) {
        for (ptrdiff_t byte = 0; byte < ahead->size; byte += MEM_ALIGN) __builtin_prefetch(ahead->from + byte, 0, 2);
        __builtin_prefetch(ahead->from + ahead->size - 1, 0, 2);
    }
}

/* Transposes a block of LANES vectors: log2(LANES) rounds of interleaving vector i with vector i + LANES / 2. */
static inline __attribute__((always_inline)) void transpose(vf block[LANES])
{
    typedef int vi __attribute__((vector_size(4 * LANES)));
    vi low, high;
    for (int i = 0; i < LANES; i++) {
        low[i] = i / 2 + i % 2 * LANES;
        high[i] = LANES / 2 + low[i];
    }
    for (int round = 1; round < LANES; round *= 2) {
        vf next[LANES];
#pragma GCC unroll 16
        for (int i = 0; i < LANES / 2; i++) {
            next[2 * i] = __builtin_shuffle(block[i], block[i + LANES / 2], low);
            next[2 * i + 1] = __builtin_shuffle(block[i], block[i + LANES / 2], high);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) block[i] = next[i];
    }
}

/* Copies up to LANES x LANES floats that start every `stride` floats into a block; the rest is zero. */
static inline __attribute__((always_inline)) void load_block(const float *source, size_t stride, int rows, int cols,
                                                             vf block[LANES])
{
    if (rows >= LANES && cols >= LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++) block[i] = *(const vf *)(source + i * stride);
        return;
    }
    for (int i = 0; i < LANES; i++) {
        block[i] = (vf){0};
        for (int j = 0; i < rows && j < min_int(cols, LANES); j++) block[i][j] = source[i * stride + j];
    }
}

/* target[o stride + e] += sums[e pitch + o] for all entries e and outputs o, in blocks of LANES x LANES. */
static inline void add_transposed(const float *sums, size_t pitch, int entries, int outputs, float *target,
                                  size_t stride)
{
    for (int o = 0; o < outputs; o += LANES) {
        int lanes = min_int(LANES, outputs - o);
        for (int e = 0; e < entries; e += LANES) {
            int there = min_int(LANES, entries - e);
            vf block[LANES];
            load_block(sums + e * pitch + o, pitch, there, LANES, block);
            transpose(block);
            float *to = target + o * stride + e;
            for (int i = 0; i < lanes; i++, to += stride) {
                __builtin_prefetch(to + 4 * LANES, 1); /* short rows far apart, as in struct ahead */
                if (there == LANES)
                    *(vf *)to += block[i];
                else
                    for (int k = 0; k < there; k++) to[k] += block[i][k];
            }
        }
    }
}

#endif
