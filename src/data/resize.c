/* Pillow's Image.resize on 8-bit pixels (libImaging's Resample.c), to the last bit: two passes, horizontal first, each
 * rounding to 8 bits; weights computed and normalised in double, then rounded to fixed point. */
#include "picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* 8 bits of a pixel and 2 for the overshoot of the cubic leave 22 fractional bits in 32. */
#define PRECISION (32 - 8 - 2)

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1 : 0;
}

/* Keys' cubic convolution kernel with a = -1/2. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

/* The weights that make one row or column: output pixel i is the sum over k < count[i] of weights[i * stride + k]
 * times input pixel first[i] + k. */
struct kernel {
    int stride;
    int *first, *count;
    int32_t *weights;
    double *real; /* one output pixel's weights before rounding */
};

static void kernel_free(struct kernel *kernel)
{
    free(kernel->first);
    free(kernel->count);
    free(kernel->weights);
    free(kernel->real);
}

static void kernel_pixel(struct kernel *kernel, int i, int in, double scale, double support, double (*filter)(double))
{
    double stretch = scale < 1 ? 1 : scale, center = (i + 0.5) * scale, sum = 0, inverse = 1 / stretch;
    int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
    if (first < 0) first = 0;
    if (end > in) end = in;
    for (int k = 0; k < end - first; k++) {
        kernel->real[k] = filter((k + first - center + 0.5) * inverse);
        sum += kernel->real[k];
    }
    int32_t *weights = kernel->weights + (size_t)i * (size_t)kernel->stride;
    for (int k = 0; k < end - first; k++) {
        double weight = sum != 0 ? kernel->real[k] / sum : kernel->real[k];
        weights[k] = (int32_t)((weight < 0 ? -0.5 : 0.5) + weight * (1 << PRECISION));
    }
    kernel->first[i] = first;
    kernel->count[i] = end - first;
}

static enum iddpm_status kernel_make(struct kernel *kernel, int in, int out, enum picture_filter filter)
{
    double scale = (double)in / out;
    double support = (filter == FILTER_BOX ? 0.5 : 2.0) * (scale < 1 ? 1 : scale);
    kernel->stride = (int)ceil(support) * 2 + 1;
    TRY(mem_alloc(&kernel->first, (size_t)out, sizeof(int), "resizing"));
    TRY(mem_alloc(&kernel->count, (size_t)out, sizeof(int), "resizing"));
    TRY(mem_alloc(&kernel->weights, (size_t)out * (size_t)kernel->stride, sizeof(int32_t), "resizing"));
    TRY(mem_alloc(&kernel->real, (size_t)kernel->stride, sizeof(double), "resizing"));
    for (int i = 0; i < out; i++) kernel_pixel(kernel, i, in, scale, support, filter == FILTER_BOX ? box : bicubic);
    return IDDPM_OK;
}

/* One output byte: bytes `step` apart. */
static uint8_t weigh(const uint8_t *in, size_t step, int count, const int32_t *weights)
{
    int32_t sum = 1 << (PRECISION - 1);
    for (int k = 0; k < count; k++) sum += in[(size_t)k * step] * weights[k];
    sum >>= PRECISION;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

static void horizontal(const struct picture *in, const struct kernel *kernel, struct picture *out)
{
    size_t c = (size_t)in->channels;
    for (int y = 0; y < in->height; y++) {
        const uint8_t *row = in->pixels + (size_t)y * (size_t)in->width * c;
        uint8_t *to = out->pixels + (size_t)y * (size_t)out->width * c;
        for (int x = 0; x < out->width; x++)
            for (size_t k = 0; k < c; k++)
                *to++ = weigh(row + (size_t)kernel->first[x] * c + k, c, kernel->count[x],
                              kernel->weights + (size_t)x * (size_t)kernel->stride);
    }
}

static void vertical(const struct picture *in, const struct kernel *kernel, struct picture *out)
{
    size_t pitch = (size_t)in->width * (size_t)in->channels;
    for (int y = 0; y < out->height; y++)
        for (size_t x = 0; x < pitch; x++)
            out->pixels[(size_t)y * pitch + x] =
                weigh(in->pixels + (size_t)kernel->first[y] * pitch + x, pitch, kernel->count[y],
                      kernel->weights + (size_t)y * (size_t)kernel->stride);
}

static enum iddpm_status copy(const struct picture *in, struct picture *out)
{
    TRY(picture_alloc(out, in->width, in->height, in->channels));
    memcpy(out->pixels, in->pixels, (size_t)in->width * (size_t)in->height * (size_t)in->channels);
    return IDDPM_OK;
}

/* One pass: to `size` columns, or rows when `rows`. A size that stays is copied. */
static enum iddpm_status pass(const struct picture *in, int size, bool rows, enum picture_filter filter,
                              struct picture *out)
{
    int from = rows ? in->height : in->width;
    if (from == size) return copy(in, out);
    struct kernel kernel = {0};
    enum iddpm_status status = picture_alloc(out, rows ? in->width : size, rows ? size : in->height, in->channels);
    if (status == IDDPM_OK) status = kernel_make(&kernel, from, size, filter);
    if (status == IDDPM_OK) (rows ? vertical : horizontal)(in, &kernel, out);
    kernel_free(&kernel);
    if (status != IDDPM_OK) picture_destroy(out);
    return status;
}

enum iddpm_status picture_resize(const struct picture *in, int width, int height, enum picture_filter filter,
                                 struct picture *out)
{
    struct picture wide;
    *out = (struct picture){0};
    TRY(picture_check_size(width, height));
    TRY(pass(in, width, false, filter, &wide));
    enum iddpm_status status = pass(&wide, height, true, filter, out);
    picture_destroy(&wide);
    return status;
}

static enum iddpm_status crop_centre(const struct picture *in, int size, struct picture *out)
{
    int left = (in->width - size) / 2, top = (in->height - size) / 2;
    TRY(picture_alloc(out, size, size, in->channels));
    size_t line = (size_t)size * (size_t)in->channels;
    for (int y = 0; y < size; y++)
        memcpy(out->pixels + (size_t)y * line,
               in->pixels + ((size_t)(top + y) * (size_t)in->width + (size_t)left) * (size_t)in->channels, line);
    return IDDPM_OK;
}

static int shorter_side(const struct picture *picture)
{
    return picture->width < picture->height ? picture->width : picture->height;
}

/* Resizes so that the shorter side has `size` pixels. rint halves to even, as Python's round. */
static enum iddpm_status to_shorter_side(const struct picture *in, int size, enum picture_filter filter,
                                         struct picture *out)
{
    double scale = (double)size / shorter_side(in);
    return picture_resize(in, (int)rint(in->width * scale), (int)rint(in->height * scale), filter, out);
}

enum iddpm_status picture_to_size_lsun(const struct picture *in, int size, struct picture *out)
{
    struct picture sized;
    *out = (struct picture){0};
    TRY(to_shorter_side(in, size, FILTER_BOX, &sized));
    enum iddpm_status status = crop_centre(&sized, size, out);
    picture_destroy(&sized);
    return status;
}

enum iddpm_status picture_to_size(const struct picture *in, int size, struct picture *out)
{
    struct picture now, next;
    *out = (struct picture){0};
    TRY(copy(in, &now));
    enum iddpm_status status = IDDPM_OK;
    while (status == IDDPM_OK && shorter_side(&now) >= 2 * size) {
        status = picture_resize(&now, now.width / 2, now.height / 2, FILTER_BOX, &next);
        picture_destroy(&now);
        now = next;
    }
    if (status == IDDPM_OK) {
        status = to_shorter_side(&now, size, FILTER_BICUBIC, &next);
        picture_destroy(&now);
        now = next;
    }
    if (status == IDDPM_OK) status = crop_centre(&now, size, out);
    if (status == IDDPM_OK) picture_cmyk_to_rgb(out);
    picture_destroy(&now);
    return status;
}
