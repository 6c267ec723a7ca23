/* Linear layers: three matrix products. Forward and backward to the input, blocks of positions are multiplied with the
 * packed weights; backward to the weights, a block of dweight gathers from all positions. */
#include "linear.h"

#include "gemm.h"

#include <omp.h>

#define ROWS (4 * TILE)     /* positions of a block */
#define MANY_BLOCKS 16      /* from so many on, threads share out blocks alone */
#define COLUMNS (4 * PANEL) /* otherwise blocks of so many columns as well */

/* y[rows][n] = x[rows][k] b + bias + add, where b[k][n] is weight[n][k] (transposed) or weight[k][n]. */
struct sweep {
    int64_t rows;
    int k, n;
    bool transposed;
    const elem *x, *add;
    const float *weight, *bias;
    elem *y;
    int x_pitch, y_pitch, add_pitch;
    oper *packed, *rows_copy; /* all of b; a block of rows for each thread */
    elem *rounded;            /* the weights as elements */
};

static size_t rows_size(int k)
{
    return (size_t)ROWS * (size_t)rows_pitch(k);
}

static void pack_panel(const struct sweep *s, int first)
{
    int columns = min_int(PANEL, s->n - first);
    oper *to = s->packed + panel_offset(s->k, first);
    const elem *weight = sizeof(elem) == sizeof(float) ? (const elem *)s->weight : s->rounded;
    if (s->transposed)
        gemm_pack_transposed(weight + (size_t)first * (size_t)s->k, s->k, s->k, columns, to);
    else
        gemm_pack(weight + first, s->n, s->k, columns, PANEL, to);
}

/* By all threads. */
static void round_weights(const struct sweep *s)
{
    int64_t size = (int64_t)s->k * s->n, whole = size / LANES * LANES;
#pragma omp for schedule(static)
    for (int64_t i = 0; i < whole; i += LANES) vf_store(s->rounded + i, *(const vf *)(s->weight + i));
#pragma omp single
    for (int64_t i = whole; i < size; i++) s->rounded[i] = elem_of(s->weight[i]);
}

/* `copy` is room for a block's rows of x. */
static void run_block(const struct sweep *s, int64_t row, int column, int columns, struct ahead *ahead, oper *copy)
{
    int64_t left = s->rows - row;
    int rows = left < ROWS ? (int)left : ROWS;
    const elem *x = s->x + row * s->x_pitch;
    bool copied = rows_are_packed(s->k);
    if (copied) gemm_pack_rows(x, s->x_pitch, rows, s->k, copy);
    struct gemm gemm = {.rows = rows,
                        .columns = min_int(columns, s->n - column),
                        .words = words(s->k),
                        .a = copied ? copy : (const oper *)x,
                        .a_row = copied ? rows_pitch(s->k) : s->x_pitch,
                        .a_word = STEP,
                        .b = s->packed + panel_offset(s->k, column),
                        .y = s->y + row * s->y_pitch + column,
                        .y_pitch = s->y_pitch,
                        .bias = s->bias ? s->bias + column : NULL,
                        .add = s->add ? s->add + row * s->add_pitch + column : NULL,
                        .add_pitch = s->add_pitch,
                        .ahead = ahead};
    gemm_run(&gemm);
}

/* The block of positions after the one at `row`, to be fetched during its tiles. */
static struct ahead block_ahead(const struct sweep *s, int64_t row, int columns)
{
    int64_t next = row + ROWS < s->rows ? row + ROWS : s->rows, left = s->rows - next;
    return ahead_make(s->x + next * s->x_pitch, left < ROWS ? left : ROWS, s->x_pitch, s->k,
                      ceil_div(columns, PANEL) * (ROWS / TILE));
}

static void sweep_run(const struct sweep *s)
{
    int64_t blocks = (s->rows + ROWS - 1) / ROWS;
    int columns = blocks >= MANY_BLOCKS ? s->n : min_int(COLUMNS, s->n);
#pragma omp parallel
    {
        oper *copy = s->rows_copy + (size_t)omp_get_thread_num() * rows_size(s->k);
        if (sizeof(elem) != sizeof(float)) round_weights(s);
        if (blocks == 1) { /* a panel is multiplied while it is in the cache */
#pragma omp for schedule(dynamic)
            for (int column = 0; column < s->n; column += PANEL) {
                pack_panel(s, column);
                run_block(s, 0, column, PANEL, NULL, copy);
            }
        } else {
#pragma omp for schedule(static)
            for (int column = 0; column < s->n; column += PANEL) pack_panel(s, column);
#pragma omp for collapse(2) schedule(dynamic)
            for (int64_t row = 0; row < s->rows; row += ROWS)
                for (int column = 0; column < s->n; column += columns) {
                    struct ahead ahead = block_ahead(s, row, columns);
                    run_block(s, row, column, columns, &ahead, copy);
                }
        }
    }
}

/* ---- backward to the weights ------------------------------------------------------------------------------------- */

#define CHUNK 256 /* positions of one product */
#define OUTS 224  /* outputs and inputs of a piece of work, at most */
#define INS 512
#define FEW 64        /* and at least, where there would be fewer pieces than threads */
#define BIAS_BLOCK 64 /* positions summed in float32 before they are added to sums in double */

struct weight_call {
    const struct linear_shape *shape;
    const elem *x, *dy;
    float *dweight, *dbias;
};

/* Columns of all its tiles of dy: no tile is below half of the highest. */
#define PIECE_DY (ceil_div(OUTS, TILE / 2) * whole_columns(TILE))

/* A piece: dweight[out .. out + outs - 1][in .. in + ins - 1]. */
struct piece {
    int out, outs, in, ins;
    int tile;     /* outputs of a tile */
    oper *x, *dy; /* panels of x where it is not read as it is; tiles of dy */
    double bias[OUTS];
};

/* One of so many parts of a number of channels, all about the same. */
static int part(int channels, int parts)
{
    return ceil_div(channels, parts);
}

/* How many outputs and inputs a piece has. Large pieces are the fastest; what is added up is the same in all. */
static void piece_sizes(const struct linear_shape *shape, int *outs, int *ins)
{
    int rows = ceil_div(shape->c_out, OUTS), columns = ceil_div(shape->c_in, INS), threads = omp_get_max_threads();
    while (rows * columns < threads && part(shape->c_in, 2 * columns) >= FEW) columns *= 2;
    while (rows * columns < threads && part(shape->c_out, 2 * rows) >= FEW) rows *= 2;
    *outs = part(shape->c_out, rows);
    *ins = ceil_div(part(shape->c_in, columns), PANEL) * PANEL;
}

/* As high as leaves no small tile at the end. */
static int tile_outs(int outs)
{
    int tile = TILE;
    while (tile - 2 >= TILE / 2 && outs % tile && outs % tile < TILE / 2) tile -= 2;
    return tile;
}

/* Sums of the outputs' gradients over a chunk of positions. */
static void add_bias(const struct linear_shape *shape, const elem *dy, int positions, int outs, double *bias)
{
    for (int o = 0; o < outs; o += LANES)
        for (int first = 0; first < positions; first += BIAS_BLOCK) {
            int end = min_int(first + BIAS_BLOCK, positions), lanes = min_int(LANES, outs - o);
            vf sum = {0};
            for (int p = first; p < end; p++) {
                const elem *from = dy + (ptrdiff_t)p * shape->y_pitch + o;
                sum += lanes == LANES ? vf_load(from) : vf_load_part(from, lanes);
            }
            for (int k = 0; k < lanes; k++) bias[o + k] += sum[k];
        }
}

/* Adds what a chunk of positions gives. */
static void piece_chunk(const struct weight_call *call, struct piece *piece, int64_t first, struct ahead *ahead)
{
    const struct linear_shape *shape = call->shape;
    int64_t left = shape->rows - first;
    int positions = left < CHUNK ? (int)left : CHUNK;
    const elem *dy = call->dy + first * shape->y_pitch + piece->out;
    gemm_pack(dy, shape->y_pitch, positions, piece->outs, piece->tile, piece->dy);
    bool direct = sizeof(oper) == sizeof(elem) && STEP == 1 && piece->ins % LANES == 0;
    const elem *x = call->x + first * shape->x_pitch + piece->in;
    if (!direct) gemm_pack(x, shape->x_pitch, positions, piece->ins, PANEL, piece->x);
    if (call->dbias && piece->in == 0) add_bias(shape, dy, positions, piece->outs, piece->bias);
    for (int o = 0; o < piece->outs; o += piece->tile) {
        float *dweight = call->dweight + (int64_t)(piece->out + o) * shape->c_in + piece->in;
        struct gemm gemm = {.rows = min_int(piece->tile, piece->outs - o),
                            .columns = piece->ins,
                            .words = words(positions),
                            .a = piece->dy + o / piece->tile * panel_size(positions, piece->tile),
                            .a_row = STEP,
                            .a_word = whole_columns(min_int(piece->tile, piece->outs - o)) * STEP,
                            .b = direct ? (const oper *)x : piece->x,
                            .b_word = direct ? shape->x_pitch : 0,
                            .floats = true,
                            .y = dweight,
                            .y_pitch = shape->c_in,
                            .add = dweight,
                            .add_pitch = shape->c_in,
                            .ahead = ahead};
        gemm_run(&gemm);
    }
}

static void piece_run(const struct weight_call *call, struct piece *piece)
{
    const struct linear_shape *shape = call->shape;
    memset(piece->bias, 0, sizeof piece->bias);
    for (int64_t first = 0; first < shape->rows; first += CHUNK) {
        int64_t next = first + CHUNK < shape->rows ? first + CHUNK : shape->rows, left = shape->rows - next;
        struct ahead ahead =
            ahead_make(call->x + next * shape->x_pitch + piece->in, left < CHUNK ? left : CHUNK, shape->x_pitch,
                       piece->ins, ceil_div(piece->outs, piece->tile) * ceil_div(piece->ins, PANEL));
        piece_chunk(call, piece, first, &ahead);
    }
    if (call->dbias && piece->in == 0)
        for (int o = 0; o < piece->outs; o++) call->dbias[piece->out + o] += (float)piece->bias[o];
}

/* ---- scratch ----------------------------------------------------------------------------------------------------- */

/* Gives the sweep its arrays, and returns how many floats they are. */
static size_t sweep_arrays(struct sweep *s, float *scratch, int threads)
{
    struct room room = {scratch, 0};
    s->packed = room_take(&room, panel_size(s->k, s->n), sizeof(oper));
    s->rounded = room_take(&room, sizeof(elem) == sizeof(float) ? 0 : (size_t)s->k * (size_t)s->n, sizeof(elem));
    s->rows_copy = room_take(&room, rows_are_packed(s->k) ? rows_size(s->k) * (size_t)threads : 0, sizeof(oper));
    return room.used;
}

static size_t piece_arrays(struct piece *piece, float *scratch)
{
    struct room room = {scratch, 0};
    piece->x = room_take(&room, panel_size(CHUNK, INS), sizeof(oper));
    piece->dy = room_take(&room, panel_size(CHUNK, PIECE_DY), sizeof(oper));
    return room.used;
}

size_t linear_scratch_size(const struct linear_shape *shape, int threads)
{
    struct sweep forward = {.k = shape->c_in, .n = shape->c_out}, backward = {.k = shape->c_out, .n = shape->c_in};
    struct piece piece;
    size_t size = piece_arrays(&piece, NULL) * (size_t)threads, other = sweep_arrays(&forward, NULL, threads);
    size = other > size ? other : size;
    other = sweep_arrays(&backward, NULL, threads);
    return other > size ? other : size;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

void linear_forward(const struct linear_shape *shape, const void *x, const float *weight, const float *bias,
                    const void *residual, int residual_pitch, void *y, float *scratch)
{
    if (shape->rows <= FEW_ROWS) {
        linear_few_forward(shape, x, weight, bias, residual, residual_pitch, y);
        return;
    }
    struct sweep sweep = {.rows = shape->rows,
                          .k = shape->c_in,
                          .n = shape->c_out,
                          .transposed = true,
                          .x = x,
                          .weight = weight,
                          .add = residual,
                          .bias = bias,
                          .y = y,
                          .x_pitch = shape->x_pitch,
                          .y_pitch = shape->y_pitch,
                          .add_pitch = residual_pitch};
    sweep_arrays(&sweep, scratch, omp_get_max_threads());
    sweep_run(&sweep);
}

void linear_backward_input(const struct linear_shape *shape, const void *dy, const float *weight, void *dx,
                           bool accumulate, float *scratch)
{
    struct sweep sweep = {.rows = shape->rows,
                          .k = shape->c_out,
                          .n = shape->c_in,
                          .x = dy,
                          .weight = weight,
                          .add = accumulate ? dx : NULL,
                          .y = dx,
                          .x_pitch = shape->y_pitch,
                          .y_pitch = shape->x_pitch,
                          .add_pitch = shape->x_pitch};
    sweep_arrays(&sweep, scratch, omp_get_max_threads());
    sweep_run(&sweep);
}

void linear_backward_weight(const struct linear_shape *shape, const void *x, const void *dy, float *dweight,
                            float *dbias, float *scratch)
{
    const struct weight_call call = {shape, x, dy, dweight, dbias};
    int outs, ins;
    piece_sizes(shape, &outs, &ins);
    struct piece unused;
    size_t size = piece_arrays(&unused, NULL);
#pragma omp parallel
    {
        struct piece piece;
        piece_arrays(&piece, scratch + size * (size_t)omp_get_thread_num());
#pragma omp for collapse(2) schedule(dynamic)
        for (int out = 0; out < shape->c_out; out += outs)
            for (int in = 0; in < shape->c_in; in += ins) {
                piece.out = out;
                piece.outs = min_int(outs, shape->c_out - out);
                piece.in = in;
                piece.ins = min_int(ins, shape->c_in - in);
                piece.tile = tile_outs(piece.outs);
                piece_run(&call, &piece);
            }
    }
}
