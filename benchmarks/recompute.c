/* What recomputation in the backward pass (use_checkpoint) saves and costs: activations, gradients and scratch without
 * and with it, multiply-adds that are done again, seconds that planning takes, and, for STEPS > 0, seconds of a forward
 * and a backward pass, both networks in turns: one JSON line.
 * usage: bench_recompute MODEL BATCH STEPS THREADS [key=value ...] */
#include "models.h"

#include "iddpm/kernels.h"
#include "iddpm/models.h"

enum { WITHOUT, WITH, BOTH };

struct side {
    struct net *net;
    double plan, seconds; /* best pass */
};

static void plan(struct side *side, struct unet_options options, bool recompute, int batch, int threads, bool allocate)
{
    options.use_checkpoint = recompute;
    bench_check(net_create(&side->net, batch, NET_TRAINING, threads));
    unet_build(side->net, &options);
    double start = clock_seconds();
    bench_check(net_finish(side->net, allocate));
    side->plan = clock_seconds() - start;
}

static void fill(struct net *net, const struct unet_options *o, int batch)
{
    size_t pixels = (size_t)batch * (size_t)o->image_size * (size_t)o->image_size;
    float *x = net_input_data(net, 0), *dy = net_output_grad(net);
    for (size_t i = 0; i < pixels * (size_t)o->in_channels; i++) x[i] = (float)((i * 2654435761u % 1000) / 500.0 - 1);
    for (size_t i = 0; i < pixels * (size_t)o->out_channels; i++) dy[i] = (float)((i * 2654435761u % 1000) / 500.0 - 1);
}

static double pass(struct side *side, const struct unet_options *o, const struct net_run *run, float *grads)
{
    double start = clock_seconds();
    net_forward(side->net, run);
    fill(side->net, o, run->n);
    net_backward(side->net, run, grads);
    return clock_seconds() - start;
}

static void measure(struct side sides[BOTH], const struct unet_options *o, int batch, int steps)
{
    float *params, *grads;
    double *timesteps;
    int64_t *labels;
    uint32_t *slots;
    size_t flat = net_flat_size(sides[0].net), n = (size_t)batch;
    bench_check(mem_alloc(&params, flat, sizeof *params, "parameters"));
    bench_check(mem_alloc(&grads, flat, sizeof *grads, "gradient"));
    bench_check(mem_alloc(&timesteps, n, sizeof *timesteps, "timesteps"));
    bench_check(mem_alloc(&labels, n, sizeof *labels, "labels"));
    bench_check(mem_alloc(&slots, n, sizeof *slots, "slots"));
    struct net_run run = {
        .n = batch, .timesteps = timesteps, .labels = labels, .seed = 1, .slots = slots, .set_grads = true};
    net_init_params(sides[0].net, 1, params);
    for (int i = 0; i < BOTH; i++) net_set_params(sides[i].net, params);
    for (int i = 0; i < BOTH; i++) fill(sides[i].net, o, batch);
    for (int step = 0; step <= steps; step++) /* the first one warms up */
        for (int i = 0; i < BOTH; i++) {
            double seconds = pass(&sides[i], o, &run, grads);
            if (step > 0 && (step == 1 || seconds < sides[i].seconds)) sides[i].seconds = seconds;
        }
    free(params);
    free(grads);
    free(timesteps);
    free(labels);
    free(slots);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: %s MODEL BATCH STEPS THREADS [key=value ...]\n", argv[0]);
        return 2;
    }
    int batch = atoi(argv[2]), steps = atoi(argv[3]), threads = atoi(argv[4]);
    const char *overrides[BENCH_OVERRIDES];
    int n = bench_model(argv[1], overrides);
    for (int i = 5; i < argc && n < BENCH_OVERRIDES; i++) overrides[n++] = argv[i];
    struct config *config;
    struct unet_options options;
    struct side sides[BOTH] = {0};
    bench_check(kernels_select(NULL));
    bench_check(config_load(&config, NULL, n, overrides));
    bench_check(unet_options_from_config(config, 0, &options));
    kernels_set_threads(threads);
    kernels_flush_denormals();
    for (int i = 0; i < BOTH; i++) plan(&sides[i], options, i == WITH, batch, threads, steps > 0);
    if (steps > 0) measure(sides, &options, batch, steps);
    size_t kept = net_arena_bytes(sides[WITHOUT].net), again = net_arena_bytes(sides[WITH].net);
    printf("{\"benchmark\": \"recompute\", \"model\": \"%s\", \"batch\": %d, \"threads\": %d, \"arena_bytes\": %zu, "
           "\"recompute_arena_bytes\": %zu, \"ratio\": %.3f, \"recomputed_forwards\": %.3f, \"plan_seconds\": %.4f",
           argv[1], batch, threads, kept, again, (double)kept / (double)again,
           (double)net_recomputed_macs(sides[WITH].net) / (double)net_macs(sides[WITH].net), sides[WITH].plan);
    if (steps > 0)
        printf(", \"seconds\": %.4f, \"recompute_seconds\": %.4f, \"slowdown\": %.3f", sides[WITHOUT].seconds,
               sides[WITH].seconds, sides[WITH].seconds / sides[WITHOUT].seconds);
    printf(", \"isa\": \"%s\"}\n", kernels_isa());
    for (int i = 0; i < BOTH; i++) net_destroy(sides[i].net);
    config_destroy(config);
    return 0;
}
