/* What training the paper's models costs on 1 to 4,096 ranks of a cluster: scaling/scaling.h says how it is computed.
 *
 *   mpirun -n 2 bench_scaling_model --measure >costs.jsonl    one process per core of a node; slow for large models
 *   bench_scaling_model --costs costs.jsonl --cores 64 --latency 2 --bandwidth 12.5 --disk 5
 *   bench_scaling_model --costs costs.jsonl --nodes 16 ...    the best ranks, threads and leaves of 16 nodes
 */
#include "models.h"
#include "scaling/scaling.h"
#include "support/data.h"

#include "iddpm/kernels.h"

#include <getopt.h>
#include <unistd.h>

enum { RANKS_MAX = 4096 };

/* In the order of the paper's batch sizes, which are the authors' flags. */
static const struct model {
    const char *name;
    int64_t batch;
    int microbatch; /* with which an image is measured */
} models[] = {{"cifar10", 128, 4}, {"imagenet64", 128, 1}, {"imagenet64_class", 2048, 1}, {"lsun256", 128, 1}};
enum { MODELS = sizeof models / sizeof *models };

struct options {
    bool measure, json;
    const char *only, *costs, *folder;
    int threads, ranks_per_node, nodes, microbatch;
    int64_t batch, save_interval;
    double memory; /* bytes of a node */
    struct cluster cluster;
};

static void usage(FILE *out)
{
    fputs(
        "usage: bench_scaling_model [--measure | --costs FILE] [OPTION ...]\n"
        "  --measure             measures and prints costs, one JSON line each; under mpirun by all processes at once\n"
        "  --costs FILE          lines that --measure printed; without it this machine is measured first\n"
        "  --model NAME          cifar10, imagenet64, imagenet64_class or lsun256; default all\n"
        "  --microbatch N        images of one run of the network when measuring (default 4 for cifar10, else 1)\n"
        "  --threads N           threads of a rank (1); when measuring, with how many beside 1\n"
        "  --folder DIR          on the disk for checkpoints, when measuring (.)\n"
        "  --cores N             of a node (64)         --ranks-per-node N    (cores / threads)\n"
        "  --latency US          between nodes (2)      --local-latency US    inside a node (0.5)\n"
        "  --bandwidth GB/S      of a node's link, each way (12.5)\n"
        "  --disk GB/S           of the file system for this job (5)\n"
        "  --memory GB           of a node (256): what does not fit is not recommended\n"
        "  --batch N             global batch; default the paper's, or the ranks when they are more\n"
        "  --save-interval N     steps between checkpoints (train.save_interval)\n"
        "  --nodes N             best ranks, threads and leaves of so many nodes\n"
        "  --json                JSON lines\n",
        out);
}

/* ---- a table row ------------------------------------------------------------------------------------------------- */

static void print_json(const char *model, const struct layout *l, const struct prediction *p)
{
    printf("{\"prediction\": \"%s\", \"ranks\": %d, \"ranks_per_node\": %d, \"threads\": %d, \"leaves\": %d, "
           "\"batch\": %lld, \"step_seconds\": %.5g, \"images_per_s\": %.5g, \"efficiency\": %.4f, \"compute\": %.4g, "
           "\"reduction\": %.4g, \"update\": %.4g, \"packing\": %.4g, \"agreement\": %.4g, \"rank_bytes\": %.0f, "
           "\"sent_messages\": %llu, \"sent_bytes\": %llu, \"checkpoint_seconds\": %.4g, \"checkpoint_share\": %.3g}\n",
           model, l->ranks, l->ranks_per_node, l->threads, l->leaves, (long long)l->batch, p->step,
           (double)l->batch / p->step, p->efficiency, p->compute, p->reduction, p->update, p->packing, p->agreement,
           p->memory, (unsigned long long)p->sent.messages, (unsigned long long)p->sent.bytes, p->checkpoint,
           p->checkpoint_share);
}

static void print_heading(const char *model)
{
    printf("\n%s\n%6s %6s %7s %6s %6s %9s %9s %6s | %8s %8s %8s | %8s %8s | %7s %8s\n", model, "ranks", "nodes",
           "threads", "leaves", "batch", "s/step", "images/s", "eff.", "compute", "reduce", "update", "GB/rank",
           "MB sent", "ckpt s", "ckpt %");
}

static void print_row(const struct layout *l, const struct prediction *p)
{
    printf("%6d %6d %7d %6d %6lld %9.4g %9.4g %6.3f | %8.3g %8.3g %8.3g | %8.2f %8.1f | %7.2f %8.3f\n", l->ranks,
           (l->ranks + l->ranks_per_node - 1) / l->ranks_per_node, l->threads, l->leaves, (long long)l->batch, p->step,
           (double)l->batch / p->step, p->efficiency, p->compute, p->reduction + p->agreement, p->update + p->packing,
           p->memory / 1e9, (double)p->sent.bytes / 1e6, p->checkpoint, 100 * p->checkpoint_share);
}

/* ---- a model ----------------------------------------------------------------------------------------------------- */

struct subject {
    const struct model *model;
    struct config *config;
    struct machine_costs machine;
    struct network_costs network;
    const struct options *options;
};

/* A leaf per rank: one gradient, no sums inside a rank. */
static struct layout layout_of(const struct subject *s, int ranks, int ranks_per_node, int threads)
{
    int64_t batch = s->options->batch ? s->options->batch : s->model->batch;
    if (!s->options->batch && batch < ranks) batch = ranks;
    return (struct layout){ranks, ranks_per_node, threads, ranks, batch};
}

static enum iddpm_status predict_row(const struct subject *s, const struct layout *layout, struct prediction *p)
{
    return predict(&s->machine, &s->network, &s->options->cluster, s->config, layout, p);
}

static void show(const struct subject *s, const struct layout *layout, const struct prediction *p)
{
    if (s->options->json)
        print_json(s->model->name, layout, p);
    else
        print_row(layout, p);
}

static enum iddpm_status all_ranks(const struct subject *s)
{
    const struct options *o = s->options;
    int per_node = o->ranks_per_node ? o->ranks_per_node : o->cluster.cores / o->threads;
    for (int ranks = 1; ranks <= RANKS_MAX; ranks *= 2) {
        struct layout layout = layout_of(s, ranks, per_node, o->threads);
        struct prediction p;
        if (layout.batch < ranks) break; /* every rank needs an image */
        TRY(predict_row(s, &layout, &p));
        show(s, &layout, &p);
    }
    return IDDPM_OK;
}

static int power_of_two_up_to(int64_t n)
{
    int p = 1;
    while (2 * (int64_t)p <= n) p *= 2;
    return p;
}

/* All ways to fill the nodes, ranks being a power of two; the fastest that fits their memory is named. */
static enum iddpm_status best_of_nodes(const struct subject *s)
{
    const struct options *o = s->options;
    struct layout best = {0};
    struct prediction best_p = {0};
    for (int per_node = 1; per_node <= o->cluster.cores; per_node *= 2) {
        int ranks = power_of_two_up_to((int64_t)o->nodes * per_node);
        struct layout layout = layout_of(s, ranks, per_node, o->cluster.cores / per_node);
        struct prediction p;
        if (layout.batch < ranks) break;
        TRY(predict_row(s, &layout, &p));
        show(s, &layout, &p);
        bool fits = p.memory * per_node <= o->memory;
        if (!fits || (best.ranks && (double)layout.batch / p.step <= (double)best.batch / best_p.step)) continue;
        best = layout;
        best_p = p;
    }
    if (o->json) return IDDPM_OK;
    if (s->network.threads == 1) printf("threads are taken to lose nothing: measure costs with --threads 2\n");
    if (!best.ranks)
        printf("none of them fits %.0f GB a node\n", o->memory / 1e9);
    else
        printf("best: %d nodes x %d ranks x %d threads, parallel.leaves=%d train.microbatch=%d train.batch_size=%lld: "
               "%.4g images/s, %.2f GB a node\n",
               (best.ranks + best.ranks_per_node - 1) / best.ranks_per_node, best.ranks_per_node, best.threads,
               best.leaves, s->network.microbatch, (long long)best.batch, (double)best.batch / best_p.step,
               best_p.memory * best.ranks_per_node / 1e9);
    return IDDPM_OK;
}

static enum iddpm_status tell(struct subject *s)
{
    const char *overrides[BENCH_OVERRIDES];
    int n = bench_model(s->model->name, overrides);
    char interval[64];
    overrides[n++] = "train.total_steps=1";
    overrides[n++] = "parallel.reduction=reproducible";
    snprintf(interval, sizeof interval, "train.save_interval=%lld", (long long)s->options->save_interval);
    if (s->options->save_interval) overrides[n++] = interval;
    TRY(config_load(&s->config, NULL, n, overrides));
    if (!s->options->json) print_heading(s->model->name);
    enum iddpm_status status = s->options->nodes ? best_of_nodes(s) : all_ranks(s);
    config_destroy(s->config);
    return status;
}

/* ---- costs ------------------------------------------------------------------------------------------------------- */

static bool wanted(const struct options *o, int model)
{
    return !o->only || strcmp(o->only, models[model].name) == 0;
}

/* Collective */
static enum iddpm_status measure_in(const struct parallel *parallel, const struct options *o, const char *folder,
                                    struct subject *subjects)
{
    struct machine_costs machine;
    TRY(costs_measure_machine(parallel, folder, &machine));
    if (o->measure && parallel->rank == 0) costs_print_machine(&machine);
    for (int i = 0; i < MODELS; i++) {
        if (!wanted(o, i)) continue;
        subjects[i].machine = machine;
        TRY(costs_measure_network(parallel, folder, models[i].name,
                                  o->microbatch ? o->microbatch : models[i].microbatch, o->threads,
                                  &subjects[i].network));
        if (o->measure && parallel->rank == 0) costs_print_network(&subjects[i].network);
        fflush(stdout);
    }
    return IDDPM_OK;
}

/* Collective */
static enum iddpm_status measure(const struct parallel *parallel, const struct options *o, struct subject *subjects)
{
    char folder[PATH_SIZE];
    TRY(path_join(folder, o->folder, "scaling-XXXXXX"));
    bool made = parallel->rank != 0 || mkdtemp(folder);
    TRY(parallel_agree(parallel, made ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: cannot make a folder here", folder)));
    TRY(parallel_broadcast(parallel, folder, sizeof folder));
    enum iddpm_status status = measure_in(parallel, o, folder, subjects);
    parallel_barrier(parallel);
    if (parallel->rank == 0) bench_remove(folder);
    return status;
}

static enum iddpm_status read_costs(const struct options *o, struct subject *subjects)
{
    for (int i = 0; i < MODELS; i++) {
        if (!wanted(o, i)) continue;
        TRY(costs_read_machine(o->costs, &subjects[i].machine));
        TRY(costs_read_network(o->costs, models[i].name, &subjects[i].network));
    }
    return IDDPM_OK;
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static double positive(const char *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end != text && *end == 0 && value > 0) return value;
    fprintf(stderr, "scaling_model: --%s: found '%s'; allowed is a number above 0\n", option, text);
    exit(IDDPM_USAGE);
}

/* Where an option's value goes: a flag, a text, or a number times `unit`. */
struct target {
    const char *name;
    bool *flag;
    const char **text;
    double *number, unit;
};

static void take(const struct target *target, const char *value)
{
    if (target->flag)
        *target->flag = true;
    else if (target->text)
        *target->text = value;
    else
        *target->number = positive(target->name, value) * target->unit;
}

static struct options parse(int argc, char **argv)
{
    struct options o = {.folder = ".", .memory = 256e9};
    double threads = 1, microbatch = 0, per_node = 0, nodes = 0, cores = 64, batch = 0, interval = 0;
    struct cluster *c = &o.cluster;
    *c = (struct cluster){0, 2e-6, 0.5e-6, 12.5e9, 5e9};
    const struct target targets[] = {{"measure", .flag = &o.measure},
                                     {"json", .flag = &o.json},
                                     {"model", .text = &o.only},
                                     {"costs", .text = &o.costs},
                                     {"folder", .text = &o.folder},
                                     {"microbatch", .number = &microbatch, .unit = 1},
                                     {"threads", .number = &threads, .unit = 1},
                                     {"cores", .number = &cores, .unit = 1},
                                     {"ranks-per-node", .number = &per_node, .unit = 1},
                                     {"nodes", .number = &nodes, .unit = 1},
                                     {"batch", .number = &batch, .unit = 1},
                                     {"save-interval", .number = &interval, .unit = 1},
                                     {"latency", .number = &c->latency, .unit = 1e-6},
                                     {"local-latency", .number = &c->local_latency, .unit = 1e-6},
                                     {"bandwidth", .number = &c->bandwidth, .unit = 1e9},
                                     {"disk", .number = &c->disk, .unit = 1e9},
                                     {"memory", .number = &o.memory, .unit = 1e9}};
    enum { TARGETS = sizeof targets / sizeof *targets };
    struct option names[TARGETS + 2] = {[TARGETS] = {"help", no_argument, NULL, 'h'}};
    for (int i = 0; i < TARGETS; i++)
        names[i] = (struct option){targets[i].name, targets[i].flag ? no_argument : required_argument, NULL, 0};
    for (int which, found; (found = getopt_long(argc, argv, "h", names, &which)) != -1;) {
        if (found) usage(found == 'h' ? stdout : stderr), exit(found == 'h' ? IDDPM_OK : IDDPM_USAGE);
        take(&targets[which], optarg);
    }
    o.threads = (int)threads, o.microbatch = (int)microbatch, o.ranks_per_node = (int)per_node;
    o.nodes = (int)nodes, o.cluster.cores = (int)cores, o.batch = (int64_t)batch, o.save_interval = (int64_t)interval;
    return o;
}

static enum iddpm_status run(const struct parallel *parallel, const struct options *o)
{
    struct subject subjects[MODELS] = {0};
    if (o->only) {
        const char *overrides[BENCH_OVERRIDES];
        bench_model(o->only, overrides); /* is there such a one */
    }
    TRY(o->costs ? read_costs(o, subjects) : measure(parallel, o, subjects));
    for (int i = 0; i < MODELS && !o->measure && parallel->rank == 0; i++) {
        if (!wanted(o, i)) continue;
        subjects[i].model = &models[i];
        subjects[i].options = o;
        TRY(tell(&subjects[i]));
    }
    return IDDPM_OK;
}

int main(int argc, char **argv)
{
    struct parallel parallel;
    struct options options = parse(argc, argv);
    bench_check(parallel_init(&parallel, &argc, &argv));
    bench_check(kernels_select(NULL));
    kernels_flush_denormals();
    log_set_quiet(true);
    enum iddpm_status status = run(&parallel, &options);
    if (status != IDDPM_OK && parallel.rank == 0) fprintf(stderr, "scaling_model: %s\n", iddpm_error_text());
    parallel_finalize(&parallel);
    return status;
}
