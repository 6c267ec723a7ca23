/* Where the time of a network's pass goes, and how near each kind of op is to what the machine can do: one JSON line
 * per kind, pass and size, and totals. usage: bench_roofline MODEL BATCH STEPS THREADS [--forward] [key=value ...]
 * --forward: the pass of likelihoods and sampling alone. Otherwise forward and backward of training, and the update. */
#include "models.h"
#include "support/peak.h"

#include "iddpm/kernels.h"
#include "iddpm/models.h"

#include <omp.h>

enum { OPS_MAX = 1024 };

/* The ops of a step in their order; of each the least seconds of all steps. */
struct profile {
    struct net_op_info op[OPS_MAX];
    double seconds[OPS_MAX], last;
    int n, next;
};

static void on_op(void *context, const struct net_op_info *op)
{
    struct profile *profile = context;
    double now = clock_seconds(), seconds = now - profile->last;
    int i = profile->next++;
    if (i < OPS_MAX) {
        if (i >= profile->n) {
            profile->n = i + 1;
            profile->op[i] = *op;
            profile->seconds[i] = seconds;
        } else if (seconds < profile->seconds[i]) {
            profile->seconds[i] = seconds;
        }
    }
    profile->last = clock_seconds();
}

/* What a group of ops did. `work` is in multiply-adds, `bytes` what must cross memory when no cache holds anything. */
struct sum {
    double seconds, macs, bytes;
    int count;
};

static void sum_add(struct sum *sum, const struct net_op_info *op, double seconds, int batch)
{
    double passes = op->backward ? 2 : 1;
    sum->seconds += seconds;
    sum->macs += passes * batch * (double)op->macs;
    sum->bytes += 4 * (passes * batch * (double)op->floats + passes * (double)op->params);
    sum->count++;
}

static void print_sum(const char *name, const char *pass, const char *size, const struct sum *sum, double total,
                      double peak, double bandwidth)
{
    double gflops = 2 * sum->macs / sum->seconds / 1e9, gbytes = sum->bytes / sum->seconds / 1e9;
    printf("{\"benchmark\": \"roofline\", \"op\": \"%s\", \"pass\": \"%s\", \"size\": \"%s\", \"ops\": %d, "
           "\"seconds\": %.5f, \"share\": %.4f, \"gflops\": %.1f, \"of_peak\": %.3f, \"gbytes_per_s\": %.1f, "
           "\"of_bandwidth\": %.3f}\n",
           name, pass, size, sum->count, sum->seconds, sum->seconds / total, gflops, gflops / peak, gbytes,
           gbytes / bandwidth);
}

static bool alike(const struct net_op_info *a, const struct net_op_info *b, bool size)
{
    if (strcmp(a->kind, b->kind) != 0 || a->backward != b->backward) return false;
    return !size ||
           (a->h == b->h && a->w == b->w && a->c_in == b->c_in && a->c_out == b->c_out && a->stride == b->stride);
}

static void print_groups(const struct profile *profile, bool by_size, int batch, double total, double peak,
                         double bandwidth)
{
    static bool done[OPS_MAX];
    memset(done, 0, sizeof done);
    for (int i = 0; i < profile->n; i++) {
        struct sum sum = {0};
        char size[64] = "all";
        const struct net_op_info *op = &profile->op[i];
        for (int k = i; k < profile->n; k++) {
            if (done[k] || !alike(op, &profile->op[k], by_size)) continue;
            done[k] = true;
            sum_add(&sum, &profile->op[k], profile->seconds[k], batch);
        }
        if (sum.count == 0) continue;
        if (by_size) snprintf(size, sizeof size, "%dx%d %d to %d", op->h, op->w, op->c_in, op->c_out);
        if (by_size && op->stride == 2) strcat(size, " stride 2");
        print_sum(op->kind, op->backward ? "backward" : "forward", size, &sum, total, peak, bandwidth);
    }
}

/* ---- the step ---------------------------------------------------------------------------------------------------- */

struct step {
    struct net *net;
    struct net_run run;
    float *params, *grads, *moments[3];
    bool training;
};

static void fill(size_t n, float *x)
{
    for (size_t i = 0; i < n; i++) x[i] = (float)((i * 2654435761u % 1000) / 500.0 - 1);
}

static void step_create(struct step *step, const struct config *config, int batch, int threads, bool training)
{
    struct unet_options options;
    double *timesteps;
    uint32_t *slots;
    step->training = training;
    bench_check(unet_options_from_config(config, 0, &options));
    bench_check(unet_create(&step->net, &options, batch, training ? NET_TRAINING : NET_INFERENCE, threads));
    size_t flat = net_flat_size(step->net);
    bench_check(mem_alloc(&step->params, flat, sizeof(float), "parameters"));
    bench_check(mem_alloc(&step->grads, flat, sizeof(float), "gradient"));
    for (int k = 0; k < 3; k++) bench_check(mem_alloc(&step->moments[k], flat, sizeof(float), "moments"));
    bench_check(mem_alloc(&timesteps, (size_t)batch, sizeof *timesteps, "timesteps"));
    bench_check(mem_alloc(&slots, (size_t)batch, sizeof *slots, "slots"));
    for (int i = 0; i < batch; i++) timesteps[i] = 10 * i;
    for (int i = 0; i < batch; i++) slots[i] = (uint32_t)i;
    net_init_params(step->net, 1, step->params);
    net_set_params(step->net, step->params);
    size_t pixels = (size_t)options.image_size * (size_t)options.image_size * (size_t)options.in_channels;
    fill((size_t)batch * pixels, net_input_data(step->net, 0));
    step->run = (struct net_run){.n = batch, .timesteps = timesteps, .slots = slots, .set_grads = true, .on_op = on_op};
}

/* The update of the parameters stands as an op of its own: AdamW, one EMA, packing. */
static void update(struct step *step, struct profile *profile)
{
    size_t flat = net_flat_size(step->net);
    struct adamw adamw = {1e-4, 0, 0.9, 0.999, 1e-8, 1};
    adamw_ema(&adamw, flat, step->params, step->grads, step->moments[0], step->moments[1], 1, (double[]){0.9999},
              &step->moments[2]);
    net_set_params(step->net, step->params);
    on_op(profile, &(struct net_op_info){.kind = "adamw, ema, packing", .params = 9 * flat});
}

static void step_run(struct step *step, struct profile *profile)
{
    profile->next = 0;
    profile->last = clock_seconds();
    net_forward(step->net, &step->run);
    if (!step->training) return;
    fill(1000, net_output_grad(step->net));
    profile->last = clock_seconds();
    net_backward(step->net, &step->run, step->grads);
    update(step, profile);
}

int main(int argc, char **argv)
{
    static struct profile profile;
    if (argc < 5) {
        fprintf(stderr, "usage: %s MODEL BATCH STEPS THREADS [--forward] [key=value ...]\n", argv[0]);
        return 2;
    }
    int batch = atoi(argv[2]), steps = atoi(argv[3]), threads = atoi(argv[4]);
    const char *overrides[BENCH_OVERRIDES];
    bool training = true;
    int n = bench_model(argv[1], overrides);
    for (int i = 5; i < argc && n < BENCH_OVERRIDES; i++) {
        if (strcmp(argv[i], "--forward") == 0)
            training = false;
        else
            overrides[n++] = argv[i];
    }
    struct config *config;
    struct step step = {0};
    bench_check(kernels_select(NULL));
    bench_check(config_load(&config, NULL, n, overrides));
    kernels_set_threads(threads);
    kernels_flush_denormals();
    double peak = bench_peak(), bandwidth = bench_bandwidth(), total = 0;
    step_create(&step, config, batch, threads, training);
    step.run.on_op_context = &profile;
    for (int i = 0; i < steps; i++) step_run(&step, &profile);
    for (int i = 0; i < profile.n; i++) total += profile.seconds[i];
    print_groups(&profile, true, batch, total, peak, bandwidth);
    print_groups(&profile, false, batch, total, peak, bandwidth);
    printf("{\"benchmark\": \"roofline\", \"op\": \"all\", \"model\": \"%s\", \"batch\": %d, \"threads\": %d, "
           "\"seconds\": %.5f, \"images_per_s\": %.3f, \"peak_gflops\": %.1f, \"bandwidth\": %.1f, \"isa\": \"%s\"}\n",
           argv[1], batch, threads, total, batch / total, peak, bandwidth, kernels_isa());
    net_destroy(step.net);
    config_destroy(config);
    return 0;
}
