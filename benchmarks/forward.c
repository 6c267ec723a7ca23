/* Images per second of the network's forward pass, as likelihoods and sampling use it: one JSON line.
 * usage: bench_forward MODEL BATCH STEPS THREADS */
#include "models.h"

#include "iddpm/kernels.h"
#include "iddpm/models.h"

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
    struct net *net;
    float *params;
    double *timesteps;
    bench_check(kernels_select(NULL));
    uint64_t base = mem_peak_bytes(); /* program and libraries */
    bench_check(config_load(&config, NULL, n, overrides));
    bench_check(unet_options_from_config(config, 0, &options));
    bench_check(unet_create(&net, &options, batch, NET_INFERENCE, threads));
    bench_check(mem_alloc(&params, net_flat_size(net), sizeof *params, "parameters"));
    bench_check(mem_alloc(&timesteps, (size_t)batch, sizeof *timesteps, "timesteps"));
    kernels_set_threads(threads);
    kernels_flush_denormals();
    net_init_params(net, 1, params);
    net_set_params(net, params);
    float *x = net_input_data(net, 0);
    size_t pixels = (size_t)options.image_size * (size_t)options.image_size * (size_t)options.in_channels;
    for (size_t i = 0; i < (size_t)batch * pixels; i++) x[i] = (float)((i * 2654435761u % 1000) / 500.0 - 1);
    for (int i = 0; i < batch; i++) timesteps[i] = 10 * i;
    struct net_run run = {.n = batch, .timesteps = timesteps};
    double best = 0;
    for (int step = 0; step <= steps; step++) { /* the first one warms up */
        double start = clock_seconds();
        net_forward(net, &run);
        double seconds = clock_seconds() - start;
        if (step > 0 && (best == 0 || seconds < best)) best = seconds;
    }
    printf("{\"benchmark\": \"forward\", \"who\": \"ours\", \"model\": \"%s\", \"batch\": %d, \"threads\": %d, "
           "\"images_per_s\": %.4f, \"seconds_per_step\": %.4f, \"peak_bytes\": %llu, \"base_bytes\": %llu, "
           "\"weight_bytes\": %llu, \"arena_bytes\": %zu, \"isa\": \"%s\"}\n",
           argv[1], batch, threads, batch / best, best, (unsigned long long)mem_peak_bytes(), (unsigned long long)base,
           (unsigned long long)(net_parameters(net) * sizeof(float)), net_arena_bytes(net), kernels_isa());
    net_destroy(net);
    config_destroy(config);
    free(params);
    free(timesteps);
    return 0;
}
