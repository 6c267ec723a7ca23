/* The clock of a convolution layer, to choose its algorithm by. */
#include "graph.h"

#include <stdlib.h>

enum { TRIES = 3 };

struct layer {
    struct conv_shape shape;
    float *x, *y, *weight, *dweight, *packed[2], *scratch;
};

static void layer_free(struct layer *layer)
{
    float *arrays[] = {layer->x,         layer->y,         layer->weight, layer->dweight,
                       layer->packed[0], layer->packed[1], layer->scratch};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
}

/* Numbers like those of a network: the clock does not see which, as long as they are not denormal. */
static enum iddpm_status filled(float **out, size_t n)
{
    TRY(mem_alloc(out, n, sizeof **out, "measurement of a convolution"));
    for (size_t i = 0; i < n; i++) (*out)[i] = (float)(i % 13) - 6;
    return IDDPM_OK;
}

static enum iddpm_status layer_make(struct layer *layer)
{
    struct conv_shape *s = &layer->shape;
    size_t pixels = (size_t)s->n * (size_t)s->h * (size_t)s->w,
           weights = (size_t)9 * (size_t)s->c_in * (size_t)s->c_out;
    s->x_pitch = s->c_in;
    s->y_pitch = s->c_out;
    TRY(filled(&layer->x, pixels * (size_t)s->c_in));
    TRY(filled(&layer->y, pixels * (size_t)s->c_out));
    TRY(filled(&layer->weight, weights));
    TRY(filled(&layer->dweight, weights));
    TRY(mem_alloc(&layer->scratch, conv3x3_scratch_size(s, kernels_threads()), sizeof(float), "measurement"));
    for (enum conv_pack pack = PACK_FORWARD; pack <= PACK_BACKWARD; pack++) {
        size_t size = conv3x3_packed_size(s, pack);
        if (size == 0) continue;
        TRY(mem_alloc(&layer->packed[pack], size, sizeof(float), "measurement"));
        conv3x3_pack(s, pack, layer->weight, layer->packed[pack]);
    }
    return IDDPM_OK;
}

static double layer_seconds(const struct layer *layer)
{
    const struct conv_shape *s = &layer->shape;
    const float *forward = layer->packed[PACK_FORWARD] ? layer->packed[PACK_FORWARD] : layer->weight;
    const float *backward = layer->packed[PACK_BACKWARD] ? layer->packed[PACK_BACKWARD] : layer->weight;
    double start = clock_seconds();
    conv3x3_forward(s, layer->x, forward, NULL, NULL, 0, layer->y, layer->scratch);
    conv3x3_backward_weight(s, layer->x, layer->y, layer->dweight, NULL, layer->scratch);
    conv3x3_backward_input(s, layer->y, backward, layer->x, false, layer->scratch);
    return clock_seconds() - start;
}

enum iddpm_status net_measure(const struct conv_shape *shape, double seconds[NET_ALGORITHMS])
{
    for (enum conv_algorithm algorithm = CONV_DIRECT; algorithm <= CONV_WINOGRAD4; algorithm++) {
        struct layer layer = {.shape = *shape};
        layer.shape.algorithm = algorithm;
        enum iddpm_status status = layer_make(&layer);
        for (int i = 0; i < TRIES && status == IDDPM_OK; i++) {
            double now = layer_seconds(&layer);
            if (i == 0 || now < seconds[algorithm]) seconds[algorithm] = now;
        }
        layer_free(&layer);
        TRY(status);
    }
    return IDDPM_OK;
}
