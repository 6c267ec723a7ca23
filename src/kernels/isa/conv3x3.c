/* The public 3x3 convolutions: the choice of algorithm, packed weights, and each pass described to the engine that does
 * it. */
#include "conv3x3.h"

/* Outputs of the side of a tile; 0 for the direct algorithm. */
static int winograd_tile(const struct conv_shape *shape)
{
    return shape->algorithm == CONV_WINOGRAD4 ? 4 : shape->algorithm == CONV_WINOGRAD2 ? 2 : 0;
}

/* What CONV_CHOICE_AUTO takes as too small for minimal filtering, as measured with batches of 8 (benchmarks/README.md):
 * the transforms cost more than they save. */
#if defined(__AVX2__)
#define SIDE_MIN 3     /* pixels */
#define CHANNELS_MIN 8 /* of the input */
#else
#define SIDE_MIN 2
#define CHANNELS_MIN 2
#endif

/* Multiplications of an image per pair of channels. */
static int64_t winograd_points(const struct conv_shape *shape, int m)
{
    return (int64_t)ceil_div(shape->h, m) * ceil_div(shape->w, m) * (m + 2) * (m + 2);
}

/* Bfloat16 operands make F(2x2) faster than F(4x4), which keeps float32. */
#if DEPTH > 1
#define BEST CONV_WINOGRAD2
#else
#define BEST CONV_WINOGRAD4
#endif

enum conv_algorithm conv3x3_algorithm(enum conv_choice choice, const struct conv_shape *shape)
{
    if (choice == CONV_CHOICE_DIRECT || shape->stride != 1) return CONV_DIRECT;
    if (choice == CONV_CHOICE_WINOGRAD) return CONV_WINOGRAD4;
    if (min_int(shape->h, shape->w) < SIDE_MIN || shape->c_in < CHANNELS_MIN) return CONV_DIRECT;
    return winograd_points(shape, 2) <= winograd_points(shape, 4) ? CONV_WINOGRAD2 : BEST;
}

/* ---- packed weights ---------------------------------------------------------------------------------------------- */

size_t conv3x3_packed_size(const struct conv_shape *shape, enum conv_pack pack)
{
    if (shape->algorithm != CONV_DIRECT) return 0;
    int c_in = shape->c_in, c_out = shape->c_out;
    int inputs = pack == PACK_FORWARD ? c_in : c_out, outputs = pack == PACK_FORWARD ? c_out : c_in;
    return (size_t)TAPS * words_of(DEPTH, inputs) * ((outputs + LANES - 1) / LANES * LANES);
}

/* Where the words of (input, tap) are for the vector that starts at output `first`. */
static float *packed_row(float *packed, int inputs, int outputs, int first, int input, int tap)
{
    int panel = first / PANEL * PANEL, block = input / C_BLOCK * C_BLOCK;
    int width = panel_vectors(outputs, panel) * LANES;
    return packed + packed_offset(inputs, outputs, panel, block, tap) + (size_t)((input - block) / DEPTH) * width +
           first - panel;
}

/* [c_out][c_in 9] is transposed in blocks of LANES x LANES. */
static void pack_forward(int c_in, int c_out, int first, const float *weight, float *packed)
{
    size_t stride = (size_t)TAPS * c_in;
    for (int r0 = 0; r0 < TAPS * c_in; r0 += LANES) {
        int rows = min_int(LANES, TAPS * c_in - r0);
        vf block[LANES];
        load_block(weight + first * stride + r0, stride, min_int(LANES, c_out - first), rows, block);
        transpose(block);
        for (int r = 0; r < rows; r++)
            partners_store(packed_row(packed, c_in, c_out, first, (r0 + r) / TAPS, (r0 + r) % TAPS), block[r],
                           (r0 + r) / TAPS % DEPTH);
    }
}

/* Inputs and outputs exchanged, taps turned by 180 degrees. */
static void pack_backward(int c_in, int c_out, int first, const float *weight, float *packed)
{
    int width = min_int(LANES, c_in - first);
    for (int co = 0; co < c_out; co++) {
        const float *source = weight + ((size_t)co * c_in + first) * TAPS;
        for (int tap = 0; tap < TAPS; tap++) {
            vf row = {0};
            for (int i = 0; i < width; i++) row[i] = source[i * TAPS + tap];
            partners_store(packed_row(packed, c_out, c_in, first, co, TAPS - 1 - tap), row, co % DEPTH);
        }
    }
}

void conv3x3_pack(const struct conv_shape *shape, enum conv_pack pack, const float *weight, float *packed)
{
    if (shape->algorithm != CONV_DIRECT) return;
    int c_in = shape->c_in, c_out = shape->c_out;
    int outputs = pack == PACK_FORWARD ? c_out : c_in;
#pragma omp parallel for
    for (int first = 0; first < outputs; first += LANES) {
        if (pack == PACK_FORWARD)
            pack_forward(c_in, c_out, first, weight, packed);
        else
            pack_backward(c_in, c_out, first, weight, packed);
    }
}

/* ---- passes ------------------------------------------------------------------------------------------------------ */

static struct winograd_sweep winograd_forward(const struct conv_shape *shape, int m)
{
    return (struct winograd_sweep){
        m, shape->n, shape->h, shape->w, shape->c_in, shape->x_pitch, shape->c_out, shape->y_pitch, .turned = false};
}

static struct winograd_sweep winograd_backward(const struct conv_shape *shape, int m)
{
    return (struct winograd_sweep){m,           shape->n,       shape->h,      shape->w, shape->c_out, shape->y_pitch,
                                   shape->c_in, shape->x_pitch, .turned = true};
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Fewer images are divided in other ways, which may take more. */
static size_t winograd_scratch(const struct conv_shape *shape, int m, int threads)
{
    size_t most = 0;
    struct conv_shape part = *shape;
    for (part.n = 1; part.n <= shape->n; part.n++) {
        struct winograd_sweep forward = winograd_forward(&part, m), backward = winograd_backward(&part, m);
        most = max_size(most, conv3x3_winograd_scratch(&forward, threads));
        most = max_size(most, conv3x3_winograd_scratch(&backward, threads));
        most = max_size(most, conv3x3_winograd_weight_scratch(&part, m, threads));
    }
    return most;
}

size_t conv3x3_scratch_size(const struct conv_shape *shape, int threads)
{
    int m = winograd_tile(shape);
    if (m) return winograd_scratch(shape, m, threads);
    int64_t in = (int64_t)shape->n * shape->h * shape->w;
    int64_t out = (int64_t)shape->n * ceil_div(shape->h, shape->stride) * ceil_div(shape->w, shape->stride);
    size_t forward = conv3x3_direct_scratch(in, shape->c_in, threads);
    size_t backward = conv3x3_direct_scratch(out, shape->c_out, threads);
    return max_size(max_size(forward, backward), conv3x3_direct_weight_scratch(shape, threads));
}

void conv3x3_forward(const struct conv_shape *shape, const void *x, const float *packed, const float *bias,
                     const void *residual, int residual_pitch, void *y, float *scratch)
{
    int m = winograd_tile(shape);
    if (m) {
        struct winograd_sweep sweep = winograd_forward(shape, m);
        conv3x3_winograd(&sweep, x, packed, bias, residual, residual_pitch, y, scratch);
        return;
    }
    int h_out = ceil_div(shape->h, shape->stride), w_out = ceil_div(shape->w, shape->stride);
    struct conv_sweep sweep = {.n = shape->n,
                               .rows = h_out,
                               .cols = w_out,
                               .in_h = shape->h,
                               .in_w = shape->w,
                               .in_pitch = shape->x_pitch,
                               .in_step = shape->stride,
                               .c_in = shape->c_in,
                               .out_h = h_out,
                               .out_w = w_out,
                               .out_pitch = shape->y_pitch,
                               .out_step = 1,
                               .c_out = shape->c_out,
                               .taps = TAPS};
    for (int t = 0; t < TAPS; t++) sweep.tap[t] = (struct conv_tap){.y = t / 3 - 1, .x = t % 3 - 1, .slot = t};
    conv3x3_direct(&sweep, x, packed, bias, residual, residual_pitch, y, scratch);
}

/* The taps (of turned weights) that reach input rows i stride + phase from output rows i + at[k]: all three at stride
 * 1; at stride 2 the middle one for even rows, the outer two for odd rows. Returns their number. */
static int phase_taps(int stride, int phase, int at[3], int turned[3])
{
    int n = 0;
    for (int k = 0; k < 3; k++) {
        int shift = phase + k - 1; /* of the output row, in input rows */
        if (shift % stride != 0) continue;
        at[n] = shift / stride;
        turned[n++] = k;
    }
    return n;
}

/* The input's gradient is a sweep over dy for each phase of the stride: 1 or 4 of them. */
void conv3x3_backward_input(const struct conv_shape *shape, const void *dy, const float *packed, void *dx,
                            bool accumulate, float *scratch)
{
    int m = winograd_tile(shape);
    if (m) {
        struct winograd_sweep sweep = winograd_backward(shape, m);
        conv3x3_winograd(&sweep, dy, packed, NULL, accumulate ? dx : NULL, shape->x_pitch, dx, scratch);
        return;
    }
    int stride = shape->stride;
    for (int phase = 0; phase < stride * stride; phase++) {
        int y0 = phase / stride, x0 = phase % stride;
        struct conv_sweep sweep = {.n = shape->n,
                                   .rows = (shape->h - y0 + stride - 1) / stride,
                                   .cols = (shape->w - x0 + stride - 1) / stride,
                                   .in_h = ceil_div(shape->h, stride),
                                   .in_w = ceil_div(shape->w, stride),
                                   .in_pitch = shape->y_pitch,
                                   .in_step = 1,
                                   .c_in = shape->c_out,
                                   .out_h = shape->h,
                                   .out_w = shape->w,
                                   .out_pitch = shape->x_pitch,
                                   .out_step = stride,
                                   .out_y = y0,
                                   .out_x = x0,
                                   .c_out = shape->c_in};
        int y_at[3], y_tap[3], x_at[3], x_tap[3];
        int y_taps = phase_taps(stride, y0, y_at, y_tap), x_taps = phase_taps(stride, x0, x_at, x_tap);
        for (int i = 0; i < y_taps; i++)
            for (int j = 0; j < x_taps; j++)
                sweep.tap[sweep.taps++] =
                    (struct conv_tap){.y = y_at[i], .x = x_at[j], .slot = 3 * y_tap[i] + x_tap[j]};
        conv3x3_direct(&sweep, dy, packed, NULL, accumulate ? dx : NULL, shape->x_pitch, dx, scratch);
    }
}

void conv3x3_backward_weight(const struct conv_shape *shape, const void *x, const void *dy, float *dweight,
                             float *dbias, float *scratch)
{
    int m = winograd_tile(shape);
    if (m)
        conv3x3_winograd_weight(shape, m, x, dy, dweight, dbias, scratch);
    else
        conv3x3_direct_weight(shape, x, dy, dweight, dbias, scratch);
}
