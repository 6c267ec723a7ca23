/* Linear layers of few positions (embeddings), forward: what counts is that memory gives the weights, which are read
 * once and where they are. A sum has LANES parts, each along every LANES-th input; whatever is computed beside it, they
 * are added up in the same order. */
#include "linear.h"
#include "tile.h"

#define POSITIONS (LANES < 8 ? LANES : 8) /* that share a load of weights */
#define OUTPUTS (LANES / POSITIONS)       /* that share a load of x: LANES sums altogether */
#define AHEAD 8192                        /* weights between those in use and those being fetched */

/* Lane i of the result is the sum of the lanes of sums[i]. */
static inline __attribute__((always_inline)) vf sums_of_lanes(vf sums[LANES])
{
    typedef int vi __attribute__((vector_size(4 * LANES)));
    vi low, high;
    for (int i = 0; i < LANES; i++) {
        low[i] = i / 2 + i % 2 * LANES;
        high[i] = LANES / 2 + low[i];
    }
#pragma GCC unroll 4
    for (int half = LANES / 2; half; half /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < half; i++)
            sums[i] =
                __builtin_shuffle(sums[i], sums[i + half], low) + __builtin_shuffle(sums[i], sums[i + half], high);
    return sums[0];
}

/* Rounded to elements, as they are in all products. */
static inline vf load_weights(const float *from, int lanes)
{
    float floats[LANES] = {0};
    elem rounded[LANES];
    if (lanes < LANES) from = memcpy(floats, from, (size_t)lanes * sizeof *from);
    vf_store(rounded, *(const vf *)from);
    return vf_load(rounded);
}

static inline __attribute__((always_inline)) void
add_inputs(const elem *const x[POSITIONS], const float *const weights[OUTPUTS], int k, int lanes, vf sums[LANES])
{
    vf w[OUTPUTS];
#pragma GCC unroll 2
    for (int o = 0; o < OUTPUTS; o++) {
        __builtin_prefetch(weights[o] + k + AHEAD, 0, 2);
        w[o] = load_weights(weights[o] + k, lanes);
    }
#pragma GCC unroll 8
    for (int p = 0; p < POSITIONS; p++) {
        vf inputs = vf_load_part(x[p] + k, lanes);
#pragma GCC unroll 2
        for (int o = 0; o < OUTPUTS; o++) sums[p * OUTPUTS + o] += inputs * w[o];
    }
}

/* The products of POSITIONS rows of x with OUTPUTS rows of weights, [position][output]. */
static vf products(const elem *const x[POSITIONS], const float *const weights[OUTPUTS], int c_in)
{
    vf sums[LANES];
    int k = 0;
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) sums[i] = (vf){0};
    for (; k + LANES <= c_in; k += LANES) add_inputs(x, weights, k, LANES, sums);
    const int left = c_in - k;
    if (left > 0 && left < LANES) add_inputs(x, weights, k, left, sums); /* else GCC 12 warns */
    return sums_of_lanes(sums);
}

/* Rows from `row` on, outputs from `out` on: the last ones again for those that are not there. */
static void run_block(const struct linear_shape *shape, const elem *x, const float *weight, int row, int out,
                      float sums[LANES])
{
    const elem *inputs[POSITIONS];
    const float *weights[OUTPUTS];
    for (int p = 0; p < POSITIONS; p++) {
        int there = min_int(row + p, (int)shape->rows - 1);
        inputs[p] = x + (ptrdiff_t)there * shape->x_pitch;
    }
    for (int o = 0; o < OUTPUTS; o++) {
        int there = min_int(out + o, shape->c_out - 1);
        weights[o] = weight + (ptrdiff_t)there * shape->c_in;
    }
    *(vf *)sums = products(inputs, weights, shape->c_in);
}

void linear_few_forward(const struct linear_shape *shape, const elem *x, const float *weight, const float *bias,
                        const elem *residual, int residual_pitch, elem *y)
{
    const int rows = (int)shape->rows;
#pragma omp parallel for schedule(static)
    for (int out = 0; out < shape->c_out; out += OUTPUTS)
        for (int row = 0; row < rows; row += POSITIONS) {
            float sums[LANES];
            run_block(shape, x, weight, row, out, sums);
            for (int p = 0; p < POSITIONS && row + p < rows; p++)
                for (int o = 0; o < OUTPUTS && out + o < shape->c_out; o++) {
                    ptrdiff_t r = row + p, c = out + o;
                    float sum = sums[p * OUTPUTS + o] + (bias ? bias[c] : 0);
                    if (residual) sum += elem_float(residual[r * residual_pitch + c]);
                    y[r * shape->y_pitch + c] = elem_of(sum);
                }
        }
}
