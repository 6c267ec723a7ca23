/* Backward to the weights: dW[tap][ci][co] += x[pixel moved by tap][ci] dy[pixel][co], a product over pixels. A piece
 * of work is C_GROUP input channels x PANEL_GROUP output channels with all nine taps; it walks over all pixels in
 * blocks of rows, copies the block's slices of x (with borders of zeros) and dy so that tiles read them one after the
 * other, and adds each tile's sum over the block to its own part of dW. No sum is split between threads. */
#include "conv3x3.h"

#include <omp.h>
#include <string.h>

#define BLOCK_PIXELS 256        /* of a block of rows, about: its slices and the sums stay in the second-level cache */
#define C_GROUP (4 * TILE)      /* input channels of a piece of work */
#define PANEL_GROUP (2 * PANEL) /* output channels of a piece of work */

/* The division of a shape's output rows (of all images, h_out each) into blocks, and the slices' sizes. */
struct plan {
    const struct conv_shape *shape;
    int h_out, w_out;
    int block_rows;   /* output rows of a block */
    int x_cols;       /* pixels of a row of copied x, borders included */
    size_t x_row_max; /* rows of copied x of a block, at most */
};

/* A piece of work and its scratch. */
struct piece {
    int c_first, c; /* input channels */
    int o_first, o; /* output channels */
    float *sums;    /* [C_GROUP][TAPS][PANEL_GROUP] */
    float *bias;    /* [PANEL_GROUP] */
    float *x;       /* [tile][row][x_cols][tile_rows] */
    float *dy;      /* [panel][row][w_out][1 or 2 vectors] */
    int *row_start; /* [block_rows] first row of copied x that an output row reads */
};

static struct plan plan_make(const struct conv_shape *shape)
{
    struct plan plan = {.shape = shape};
    plan.h_out = ceil_div(shape->h, shape->stride);
    plan.w_out = ceil_div(shape->w, shape->stride);
    plan.block_rows = plan.w_out < BLOCK_PIXELS ? BLOCK_PIXELS / plan.w_out : 1;
    plan.x_cols = (plan.w_out - 1) * shape->stride + 3;
    plan.x_row_max = (size_t)3 * plan.block_rows;
    return plan;
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

struct tile {
    int rows, cols;
    const float *x, *dy;  /* x is at the tap */
    const int *row_start; /* of each row, in rows of x */
    size_t x_row, x_step; /* floats between rows of x, and between two outputs' sources */
    bool first;           /* the sums are to be set, not added to */
    float *sums;          /* [channel][TAPS][PANEL_GROUP], at tap and panel */
};

static inline __attribute__((always_inline)) void tile_add(const struct tile *tile, const int rows, const int vectors)
{
    vf sum[TILE][2];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = (vf){0};
    const float *dy = tile->dy;
    for (int i = 0; i < tile->rows; i++) {
        const float *x = tile->x + tile->row_start[i] * tile->x_row;
        for (int j = 0; j < tile->cols; j++, x += tile->x_step, dy += vectors * LANES) {
            vf d0 = *(const vf *)dy, d1 = vectors == 2 ? *(const vf *)(dy + LANES) : d0;
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                sum[r][0] += x[r] * d0;
                if (vectors == 2) sum[r][1] += x[r] * d1;
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            vf *total = (vf *)(tile->sums + r * TAPS * PANEL_GROUP + v * LANES);
            if (!tile->first) sum[r][v] += *total;
            *total = sum[r][v];
        }
    }
}

TILE_ADDERS(tile_add)

/* ---- copies ------------------------------------------------------------------------------------------------------ */

/* One pixel's channels to each tile of the piece, the last tile filled with zeros; pixel NULL: all zeros. */
static inline void copy_pixel(const elem *pixel, int channels, size_t tile_stride, float *x, size_t position)
{
    for (int c = 0, rows; c < channels; c += rows, x += tile_stride) {
        rows = tile_rows(channels - c);
        int there = min_int(rows, channels - c);
        float *target = x + position * rows;
        if (!pixel)
            memset(target, 0, sizeof(float) * rows);
        else if (there == TILE)
            for (int r = 0; r < TILE; r++) target[r] = elem_float(pixel[c + r]);
        else
            for (int r = 0; r < rows; r++) target[r] = r < there ? elem_float(pixel[c + r]) : 0;
    }
}

/* Copies what output rows first .. first + rows - 1 read of x, image by image with a border; sets row_start. */
static void copy_x(const struct plan *plan, const struct piece *piece, int64_t first, int rows, const elem *x)
{
    const struct conv_shape *shape = plan->shape;
    size_t tile_stride = plan->x_row_max * plan->x_cols * TILE, position = 0;
    int next = 0; /* row of copied x */
    for (int r = 0; r < rows; r++) {
        int64_t image = (first + r) / plan->h_out;
        int i = (int)((first + r) % plan->h_out), y = i * shape->stride - 1, end = y + 3;
        bool starts = r == 0 || i == 0; /* otherwise its upper rows are there from the row before */
        piece->row_start[r] = starts ? next : piece->row_start[r - 1] + shape->stride;
        for (y += starts ? 0 : 3 - shape->stride; y < end; y++, next++)
            for (int j = -1; j < plan->x_cols - 1; j++, position++) {
                bool inside = y >= 0 && y < shape->h && j >= 0 && j < shape->w;
                size_t pixel = inside ? ((size_t)image * shape->h + y) * shape->w + j : 0;
                copy_pixel(inside ? x + pixel * shape->x_pitch + piece->c_first : NULL, piece->c, tile_stride, piece->x,
                           position);
            }
    }
}

/* Copies the piece's channels of `pixels` pixels of dy, panel by panel, and adds them to the bias sums. */
static void copy_dy(const struct piece *piece, int pixels, int pitch, size_t panel_stride, const elem *dy)
{
    for (int panel = 0; panel < piece->o; panel += PANEL) {
        int vectors = panel_vectors(piece->o, panel);
        float *target = piece->dy + panel / PANEL * panel_stride;
        for (int v = 0; v < vectors; v++) {
            int first = panel + v * LANES, channels = min_int(LANES, piece->o - first);
            vf sum = {0};
            for (int p = 0; p < pixels; p++) {
                const elem *source = dy + (size_t)p * pitch + piece->o_first + first;
                vf value = {0};
                if (channels == LANES)
                    value = vf_load(source);
                else
                    for (int c = 0; c < channels; c++) value[c] = elem_float(source[c]);
                *(vf *)(target + (p * vectors + v) * LANES) = value;
                sum += value;
            }
            *(vf *)(piece->bias + first) += sum;
        }
    }
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

/* A block of output rows first .. first + rows - 1 of all images'. */
struct block {
    int64_t first;
    int rows;
    struct ahead x, dy;
};

/* Row of all images' input where output row `row` has its centre. */
static int64_t input_row(const struct plan *plan, int64_t row)
{
    return row / plan->h_out * plan->shape->h + row % plan->h_out * plan->shape->stride;
}

static struct block block_make(const struct plan *plan, const struct piece *piece, int64_t first, const elem *x,
                               const elem *dy)
{
    const struct conv_shape *shape = plan->shape;
    int64_t all = (int64_t)shape->n * plan->h_out, next = first + plan->block_rows, end = next + plan->block_rows;
    next = next < all ? next : all;
    end = end < all ? end : all;
    int tiles = ceil_div(piece->o, PANEL) * ceil_div(piece->c, TILE) * TAPS;
    int64_t in = input_row(plan, next) * shape->w, in_end = input_row(plan, end) * shape->w;
    int64_t out = next * plan->w_out, out_end = end * plan->w_out;
    return (struct block){
        .first = first,
        .rows = (int)(next - first),
        .x = ahead_make(x + in * shape->x_pitch + piece->c_first, in_end - in, shape->x_pitch, piece->c, tiles),
        .dy = ahead_make(dy + out * shape->y_pitch + piece->o_first, out_end - out, shape->y_pitch, piece->o, tiles)};
}

static void block_add(const struct plan *plan, const struct piece *piece, struct block *block)
{
    size_t tile_stride = plan->x_row_max * plan->x_cols * TILE;
    size_t panel_stride = (size_t)plan->block_rows * plan->w_out * PANEL;
    for (int panel = 0; panel < piece->o; panel += PANEL) {
        int vectors = panel_vectors(piece->o, panel);
        for (int c = 0, channels; c < piece->c; c += channels) {
            channels = tile_rows(piece->c - c);
            struct tile tile = {.rows = block->rows,
                                .cols = plan->w_out,
                                .dy = piece->dy + panel / PANEL * panel_stride,
                                .row_start = piece->row_start,
                                .x_row = (size_t)plan->x_cols * channels,
                                .x_step = (size_t)plan->shape->stride * channels,
                                .first = block->first == 0};
            for (int tap = 0; tap < TAPS; tap++) {
                ahead_fetch(&block->x);
                ahead_fetch(&block->dy);
                tile.x = piece->x + c / TILE * tile_stride + tap / 3 * tile.x_row + (size_t)(tap % 3) * channels;
                tile.sums = piece->sums + (c * TAPS + tap) * PANEL_GROUP + panel;
                tile_adders[vectors - 1][channels / 2 - 1](&tile);
            }
        }
    }
}

static void piece_run(const struct plan *plan, const struct piece *piece, const elem *x, const elem *dy, float *dweight,
                      float *dbias)
{
    const struct conv_shape *shape = plan->shape;
    size_t panel_stride = (size_t)plan->block_rows * plan->w_out * PANEL;
    int64_t all = (int64_t)shape->n * plan->h_out;
    memset(piece->bias, 0, sizeof(float) * PANEL_GROUP);
    for (int64_t row = 0; row < all; row += plan->block_rows) {
        struct block block = block_make(plan, piece, row, x, dy);
        copy_x(plan, piece, row, block.rows, x);
        copy_dy(piece, block.rows * plan->w_out, shape->y_pitch, panel_stride,
                dy + (size_t)row * plan->w_out * shape->y_pitch);
        block_add(plan, piece, &block);
    }
    size_t row = (size_t)TAPS * shape->c_in;
    add_transposed(piece->sums, PANEL_GROUP, TAPS * piece->c, piece->o,
                   dweight + piece->o_first * row + (size_t)TAPS * piece->c_first, row);
    if (dbias && piece->c_first == 0)
        for (int o = 0; o < piece->o; o++) dbias[piece->o_first + o] += piece->bias[o];
}

/* Floats of a piece's arrays, which are laid into `scratch` when there is a piece. */
static size_t piece_scratch(const struct plan *plan, struct piece *piece, float *scratch)
{
    size_t sums = whole_lines((size_t)C_GROUP * TAPS * PANEL_GROUP), bias = whole_lines(PANEL_GROUP);
    size_t x = whole_lines(plan->x_row_max * plan->x_cols * C_GROUP);
    size_t dy = whole_lines((size_t)plan->block_rows * plan->w_out * PANEL_GROUP);
    if (piece) {
        piece->sums = scratch;
        piece->bias = piece->sums + sums;
        piece->x = piece->bias + bias;
        piece->dy = piece->x + x;
        piece->row_start = (int *)(piece->dy + dy);
    }
    return sums + bias + x + dy + whole_lines(plan->block_rows);
}

size_t conv3x3_direct_weight_scratch(const struct conv_shape *shape, int threads)
{
    struct plan plan = plan_make(shape);
    return piece_scratch(&plan, NULL, NULL) * threads;
}

void conv3x3_direct_weight(const struct conv_shape *shape, const elem *x, const elem *dy, float *dweight, float *dbias,
                           float *scratch)
{
    struct plan plan = plan_make(shape);
    size_t per_thread = piece_scratch(&plan, NULL, NULL);
#pragma omp parallel
    {
        struct piece piece;
        piece_scratch(&plan, &piece, scratch + per_thread * omp_get_thread_num());
#pragma omp for collapse(2) schedule(dynamic)
        for (int o = 0; o < shape->c_out; o += PANEL_GROUP) {
            for (int c = 0; c < shape->c_in; c += C_GROUP) {
                piece.o_first = o;
                piece.o = min_int(PANEL_GROUP, shape->c_out - o);
                piece.c_first = c;
                piece.c = min_int(C_GROUP, shape->c_in - c);
                piece_run(&plan, &piece, x, dy, dweight, dbias);
            }
        }
    }
}
