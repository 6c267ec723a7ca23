/* Parameters: names, shapes, initialisation, packing. */
#include "graph.h"

#include "iddpm/kernels.h"

#include <math.h>

int net_param_count(const struct net *net)
{
    return (int)net->n_params;
}

const struct net_param *net_param(const struct net *net, int i)
{
    struct param *param = &net->params[i];
    param->public.name = param->name; /* the array may have moved while it grew */
    return &param->public;
}

size_t net_flat_size(const struct net *net)
{
    return net->flat_size;
}

uint64_t net_parameters(const struct net *net)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < net->n_params; i++) sum += net->params[i].public.size;
    return sum;
}

void graph_init_uniform(struct net *net, int param, double fan_in)
{
    if (param == NONE) return;
    net->params[param].init = INIT_UNIFORM;
    net->params[param].bound = 1 / sqrt(fan_in);
}

void graph_init(struct net *net, int param, int init)
{
    if (param == NONE) return;
    net->params[param].init = init;
}

static void init_normal(struct rng rng, size_t n, float *out)
{
    double values[UNIFORM_PIECE];
    for (size_t first = 0; first < n; first += UNIFORM_PIECE, rng.step++) {
        size_t count = n - first < UNIFORM_PIECE ? n - first : UNIFORM_PIECE;
        rng_normal(&rng, count, values);
        for (size_t i = 0; i < count; i++) out[first + i] = (float)values[i];
    }
}

static void init_param(const struct param *param, uint64_t seed, uint32_t index, float *out)
{
    const struct rng rng = {seed, RNG_INIT, 0, index};
    size_t n = param->public.size;
    switch (param->init) {
    case INIT_UNIFORM:
        uniform_fill(&rng, param->bound, n, out);
        break;
    case INIT_NORMAL:
        init_normal(rng, n, out);
        break;
    case INIT_ONE:
    case INIT_ZERO:
        for (size_t i = 0; i < n; i++) out[i] = param->init == INIT_ONE;
        break;
    }
}

void net_init_params(const struct net *net, uint64_t seed, float *params)
{
    for (size_t i = 0; i < net->n_params; i++)
        init_param(&net->params[i], seed, (uint32_t)i, params + net->params[i].public.offset);
}

void net_set_params(struct net *net, const float *params)
{
    net->param_values = params;
    for (size_t i = 0; i < net->n_ops; i++) {
        const struct op *op = &net->ops[i];
        if (!op->kind->pack) continue;
        for (int pass = 0; pass < PASSES; pass++)
            if (op->kind->packed_size(net, op, pass)) op->kind->pack(net, op, pass, net->packed + op->packed[pass]);
    }
}

size_t net_packed_bytes(const struct net *net)
{
    return net->packed_floats * sizeof(float);
}
