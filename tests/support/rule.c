#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double rule(uint32_t stream, uint64_t i)
{
    uint64_t z = (rule_seed() << 48) + ((uint64_t)stream << 32) + i + UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z = z ^ (z >> 31);
    return (double)(z >> 40) * 0x1p-23 - 1;
}

void rule_fill(uint32_t stream, double scale, double shift, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) out[i] = scale * rule(stream, i) + shift;
}

void rule_images(uint32_t stream, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) /* rule < 1, so that only 255.0 itself can be reached; rint rounds half to even */
        out[i] = fmin(rint((rule(stream, i) + 1) * 127.5), 255) / 127.5 - 1;
}

void rule_noise(uint32_t draw, size_t n, double *out)
{
    rule_fill(RULE_NOISE + draw, sqrt(3), 0, n, out);
}

void rule_integers(uint32_t stream, int count, size_t n, int64_t *out)
{
    for (size_t i = 0; i < n; i++) out[i] = (int64_t)floor((rule(stream, i) + 1) * count / 2);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

void rule_parameter(uint32_t j, const char *name, int ndim, const uint64_t *dims, float *out)
{
    double fan_in = 1;
    size_t size = (size_t)dims[0];
    for (int d = 1; d < ndim; d++) fan_in *= (double)dims[d], size *= (size_t)dims[d];
    double scale = 0.1, shift = 0; /* a bias */
    if (ends_with(name, "label_emb.weight"))
        scale = 1;
    else if (ndim >= 2)
        scale = sqrt(3 / fan_in);
    else if (ends_with(name, "weight")) /* of a group norm */
        scale = 0.25, shift = 1;
    for (size_t i = 0; i < size; i++) out[i] = (float)(scale * rule(j, i) + shift);
}

double rule_dot(uint32_t stream, size_t n, const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * rule(stream, i);
    return sum;
}

double rule_dot_float(uint32_t stream, size_t n, const float *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * rule(stream, i);
    return sum;
}

double norm(size_t n, const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

double norm_float(size_t n, const float *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sqrt(sum);
}

/* One body for four element types: out[image][position][channel] or the reverse. */
#define TRANSPOSE(name, in_type, out_type, from, to)                                                                   \
    void name(int n, int c, size_t hw, const in_type *in, out_type *out)                                               \
    {                                                                                                                  \
        for (size_t image = 0; image < (size_t)n; image++)                                                             \
            for (size_t channel = 0; channel < (size_t)c; channel++)                                                   \
                for (size_t position = 0; position < hw; position++) {                                                 \
                    size_t first = (image * (size_t)c + channel) * hw + position;                                      \
                    size_t last = (image * hw + position) * (size_t)c + channel;                                       \
                    out[to] = (out_type)in[from];                                                                      \
                }                                                                                                      \
    }

TRANSPOSE(channels_last, double, double, first, last)
TRANSPOSE(channels_last_float, double, float, first, last)
TRANSPOSE(channels_first, double, double, last, first)
TRANSPOSE(channels_first_float, float, double, last, first)
