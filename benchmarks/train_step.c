/* Images per second of whole training steps, by the real loop on a data set of random pictures: one JSON line.
 * usage: bench_train_step MODEL BATCH STEPS THREADS   (under mpirun: BATCH over all ranks) */
#include "models.h"
#include "support/data.h"

#include "iddpm/kernels.h"
#include "iddpm/train.h"

#include <unistd.h>

struct step_time {
    double seconds, compute, communication; /* of the whole step, and the parts of it, mean over ranks */
};

static double number_after(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    return at ? strtod(at + strlen(key), NULL) : 0;
}

/* The fastest step in metrics.jsonl, a line a step; the first step warms up. */
static struct step_time best_step(const char *folder)
{
    char path[PATH_SIZE], *text;
    struct step_time best = {0};
    bench_check(path_join(path, folder, "run/metrics.jsonl"));
    bench_check(path_read_text(path, 1 << 24, &text));
    for (char *line = strchr(text, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
        struct step_time now = {number_after(line, "\"seconds\": "), number_after(line, "\"seconds_compute\": "),
                                number_after(line, "\"seconds_communication\": ")};
        if (best.seconds == 0 || now.seconds < best.seconds) best = now;
    }
    free(text);
    return best;
}

static struct config *configure(int argc, char **argv, const char *folder)
{
    const char *overrides[BENCH_OVERRIDES];
    char keys[5][PATH_SIZE];
    struct config *config;
    int n = bench_model(argv[1], overrides);
    snprintf(keys[0], PATH_SIZE, "run.dir=%s/run", folder);
    snprintf(keys[1], PATH_SIZE, "data.path=%s/data", folder);
    snprintf(keys[2], PATH_SIZE, "train.batch_size=%s", argv[2]);
    snprintf(keys[3], PATH_SIZE, "train.total_steps=%d", atoi(argv[3]) + 1);
    snprintf(keys[4], PATH_SIZE, "parallel.threads=%s", argv[4]);
    for (int i = 0; i < 5; i++) overrides[n++] = keys[i];
    overrides[n++] = "train.log_interval=1";
    for (int i = 5; i < argc && n < BENCH_OVERRIDES; i++) overrides[n++] = argv[i];
    bench_check(config_load(&config, NULL, n, overrides));
    return config;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: %s MODEL BATCH STEPS THREADS [key=value ...]\n", argv[0]);
        return 2;
    }
    char folder[PATH_SIZE] = "/tmp/iddpm-bench-XXXXXX";
    struct parallel parallel;
    bench_check(parallel_init(&parallel, &argc, &argv));
    bench_check(kernels_select(NULL));
    kernels_set_threads(atoi(argv[4]));
    kernels_flush_denormals();
    log_set_quiet(true);
    if (parallel.rank == 0 && !mkdtemp(folder)) return 1;
    bench_check(parallel_broadcast(&parallel, folder, sizeof folder));
    struct config *config = configure(argc, argv, folder);
    bench_check(parallel_agree(&parallel, parallel.rank == 0 ? bench_data(folder, image_size_from_config(config),
                                                                          (int)config->model.num_classes)
                                                             : IDDPM_OK));
    double base = parallel_max(&parallel, (double)mem_peak_bytes()); /* program and libraries */
    bench_check(train_run(&parallel, config, NULL, 0, NULL));
    double peak = parallel_max(&parallel, (double)mem_peak_bytes());
    if (parallel.rank == 0) {
        struct step_time best = best_step(folder);
        double batch = atof(argv[2]);
        printf("{\"benchmark\": \"train_step\", \"who\": \"ours\", \"model\": \"%s\", \"batch\": %.0f, \"ranks\": %d, "
               "\"threads\": %s, \"images_per_s\": %.4f, \"seconds_per_step\": %.4f, "
               "\"seconds_compute\": %.4f, \"seconds_communication\": %.4f, \"peak_bytes\": %.0f, \"base_bytes\": "
               "%.0f, \"isa\": \"%s\"}\n",
               argv[1], batch, parallel.size, argv[4], batch / best.seconds, best.seconds, best.compute,
               best.communication, peak, base, kernels_isa());
        bench_remove(folder);
    }
    config_destroy(config);
    parallel_finalize(&parallel);
    return 0;
}
