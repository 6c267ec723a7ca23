/* Costs that scaling.h's formulas start from, measured on every rank at once and kept as JSON lines. */
#include "scaling.h"

#include "../../src/train/step.h"
#include "iddpm/kernels.h"
#include "models.h"
#include "support/data.h"

#include <math.h>
#include <time.h>
#include <unistd.h>

#define MEMORY "/dev/shm"
enum { ROUNDS = 3, COPY_BYTES = 1 << 27, STORE_BYTES = 1 << 28, MANY_ARRAYS = 1000, LINE_LIMIT = 1 << 20 };

/* ---- the machine ------------------------------------------------------------------------------------------------- */

/* Processor's time of the main thread, which other jobs on the machine change less than the clock. Where it waits for
 * other threads, it counts as long as they keep it spinning (the default; not with OMP_WAIT_POLICY=passive). */
static double work_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double least(double a, double b)
{
    return a == 0 || b < a ? b : a;
}

static enum iddpm_status measure_copy(const struct parallel *parallel, double *bytes_per_second)
{
    char *from, *to;
    double seconds = 0;
    TRY(mem_alloc(&from, COPY_BYTES, 1, "a copy"));
    TRY(mem_alloc(&to, COPY_BYTES, 1, "a copy"));
    for (int round = 0; round < ROUNDS; round++) {
        parallel_barrier(parallel);
        from[round] = 1;
        double start = work_seconds();
        memcpy(to, from, COPY_BYTES);
        seconds = least(seconds, work_seconds() - start);
    }
    *bytes_per_second = COPY_BYTES / parallel_max(parallel, seconds);
    free(from);
    free(to);
    return IDDPM_OK;
}

/* Seconds, by a clock, until a checkpoint of `n` arrays of `count` floats each stands in `folder`, written by all ranks
 * together. */
static enum iddpm_status time_checkpoint(const struct parallel *parallel, double (*seconds)(void), const char *folder,
                                         int n, uint64_t count, double *out)
{
    char path[PATH_SIZE], (*names)[32];
    float *data;
    struct store_slice *slices;
    int pid = parallel_max_int(parallel, parallel->rank == 0 ? (int)getpid() : 0); /* others may measure here too */
    snprintf(path, sizeof path, "%.4000s/scaling-%d.h5", folder, pid);
    TRY(mem_alloc(&data, count, sizeof *data, "a checkpoint"));
    TRY(mem_alloc(&names, (size_t)n, sizeof *names, "names of arrays"));
    TRY(mem_alloc(&slices, (size_t)n, sizeof *slices, "slices of arrays"));
    for (uint64_t i = 0; i < count; i++) data[i] = (float)i;
    for (int i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "params/%d", i);
        const struct store_array array = {names[i], STORE_F32, 1, {count}, data};
        slices[i] = store_equal_slice(&array, parallel->rank, parallel->size);
    }
    parallel_barrier(parallel);
    double start = seconds();
    enum iddpm_status status = checkpoint_write(parallel, path, 0, "", n, slices, NULL);
    *out = parallel_max(parallel, seconds() - start);
    if (parallel->rank == 0) unlink(path);
    free(data);
    free(names);
    free(slices);
    return status;
}

enum iddpm_status costs_measure_machine(const struct parallel *parallel, const char *folder, struct machine_costs *out)
{
    const uint64_t large = STORE_BYTES / sizeof(float);
    double memory, many, disk;
    *out = (struct machine_costs){.processes = parallel->size};
    snprintf(out->isa, sizeof out->isa, "%s", kernels_isa());
    TRY(measure_copy(parallel, &out->copy));
    TRY(time_checkpoint(parallel, work_seconds, MEMORY, 1, large, &memory));
    TRY(time_checkpoint(parallel, work_seconds, MEMORY, MANY_ARRAYS, (uint64_t)parallel->size, &many));
    TRY(time_checkpoint(parallel, clock_seconds, folder, 1, large, &disk));
    out->store = memory * parallel->size / STORE_BYTES;
    out->array = many / MANY_ARRAYS;
    out->disk = 2.0 * STORE_BYTES / (disk > memory ? disk - memory : disk);
    return IDDPM_OK;
}

/* ---- a network --------------------------------------------------------------------------------------------------- */

static enum iddpm_status configure(const char *folder, const char *model, int images, struct config **out)
{
    const char *overrides[BENCH_OVERRIDES];
    char data[PATH_SIZE + 16], batch[64], microbatch[64];
    int n = bench_model(model, overrides);
    snprintf(data, sizeof data, "data.path=%s/data", folder);
    snprintf(batch, sizeof batch, "train.batch_size=%d", images);
    snprintf(microbatch, sizeof microbatch, "train.microbatch=%d", images);
    const char *more[] = {data, batch, microbatch, "run.dir=unused", "parallel.leaves=1", "train.total_steps=100"};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) overrides[n++] = more[i];
    return config_load(out, NULL, n, overrides);
}

struct times {
    double gradient, update, packing; /* seconds, the least of several rounds */
};

/* AdamW, EMAs and the norm, as at the end of a step. */
static void update_once(struct trainer *t)
{
    struct train_state *state = t->state;
    const struct adamw adamw = {1e-4, 0, 0.9, 0.999, 1e-8, 1};
    squares_of_blocks(state->flat, t->grads[0], t->squares);
    adamw_ema(&adamw, state->flat, state->params, t->grads[0], state->exp_avg, state->exp_avg_sq, state->n_ema,
              state->ema_rates, state->emas);
}

static enum iddpm_status time_rounds(const struct parallel *all, struct trainer *t, struct times *out)
{
    for (int round = 0; round < ROUNDS; round++) {
        parallel_barrier(all);
        double start = work_seconds();
        TRY(compute_gradient(t));
        out->gradient = least(out->gradient, work_seconds() - start);
        parallel_barrier(all);
        start = work_seconds();
        update_once(t);
        out->update = least(out->update, work_seconds() - start);
        start = work_seconds();
        net_set_params(t->net, t->state->params);
        out->packing = least(out->packing, work_seconds() - start);
    }
    return IDDPM_OK;
}

/* Steps of one rank by itself, while the others do the same. */
static enum iddpm_status time_steps(const struct parallel *all, const struct config *config, int threads, size_t *flat,
                                    struct times *out)
{
    const struct parallel alone = {MPI_COMM_SELF, 0, 1};
    struct trainer t = {.parallel = &alone, .config = config};
    *out = (struct times){0};
    kernels_set_threads(threads);
    enum iddpm_status status = trainer_create(&t);
    if (status == IDDPM_OK) {
        state_begin(t.state, 1);
        net_set_params(t.net, t.state->params);
        status = train_step(&t); /* touches everything once */
    }
    if (status == IDDPM_OK) status = time_rounds(all, &t, out);
    if (status == IDDPM_OK) *flat = net_flat_size(t.net);
    trainer_destroy(&t);
    status = parallel_agree(all, status);
    double *times[] = {&out->gradient, &out->update, &out->packing};
    for (int i = 0; i < 3; i++) *times[i] = parallel_max(all, *times[i]);
    return status;
}

static enum iddpm_status time_network(const struct parallel *all, const struct config *config,
                                      struct network_costs *out)
{
    size_t flat;
    struct times one, several;
    TRY(time_steps(all, config, 1, &flat, &one));
    out->image = one.gradient / out->microbatch;
    out->pack = one.packing / (double)flat;
    out->update = one.update / (double)flat;
    if (out->threads == 1) return IDDPM_OK;
    TRY(time_steps(all, config, out->threads, &flat, &several));
    double ideal = 1.0 / out->threads, taken = several.gradient / one.gradient;
    out->serial = fmin(fmax((taken - ideal) / (1 - ideal), 0), 1);
    return IDDPM_OK;
}

enum iddpm_status costs_measure_network(const struct parallel *parallel, const char *folder, const char *model,
                                        int microbatch, int threads, struct network_costs *out)
{
    char place[PATH_SIZE];
    struct config *config;
    *out = (struct network_costs){.microbatch = microbatch, .threads = threads};
    snprintf(out->model, sizeof out->model, "%s", model);
    TRY(path_join(place, folder, model));
    TRY(configure(place, model, microbatch, &config));
    enum iddpm_status status = IDDPM_OK;
    if (parallel->rank == 0) status = path_make_folders(place);
    if (parallel->rank == 0 && status == IDDPM_OK)
        status = bench_data(place, image_size_from_config(config), (int)config->model.num_classes);
    status = parallel_agree(parallel, status);
    if (status == IDDPM_OK) status = time_network(parallel, config, out);
    config_destroy(config);
    return status;
}

/* ---- as lines ---------------------------------------------------------------------------------------------------- */

void costs_print_machine(const struct machine_costs *c)
{
    printf("{\"cost\": \"machine\", \"isa\": \"%s\", \"processes\": %d, \"copy\": %.4g, \"store\": %.4g, \"array\": "
           "%.4g, \"disk\": %.4g}\n",
           c->isa, c->processes, c->copy, c->store, c->array, c->disk);
}

void costs_print_network(const struct network_costs *c)
{
    printf("{\"cost\": \"network\", \"model\": \"%s\", \"microbatch\": %d, \"threads\": %d, \"image\": %.5g, "
           "\"serial\": %.4g, \"update\": %.4g, \"pack\": %.4g}\n",
           c->model, c->microbatch, c->threads, c->image, c->serial, c->update, c->pack);
}

/* Calls read(line, out) for each line, which says whether it was the one; the last counts. */
static enum iddpm_status read_lines(const char *path, bool (*read)(const char *line, void *out), void *out,
                                    const char *what)
{
    char *text, *rest;
    bool found = false;
    TRY(path_read_text(path, LINE_LIMIT, &text));
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) found |= read(line, out);
    free(text);
    if (found) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s: has no costs of %s: add what `scaling_model --measure` prints", path, what);
}

static bool read_machine(const char *line, void *out)
{
    struct machine_costs c;
    int n = sscanf(line,
                   "{\"cost\": \"machine\", \"isa\": \"%15[^\"]\", \"processes\": %d, \"copy\": %lf, \"store\": %lf, "
                   "\"array\": %lf, \"disk\": %lf}",
                   c.isa, &c.processes, &c.copy, &c.store, &c.array, &c.disk);
    if (n == 6) *(struct machine_costs *)out = c;
    return n == 6;
}

static bool read_network(const char *line, void *out)
{
    struct network_costs c, *wanted = out;
    int n = sscanf(line,
                   "{\"cost\": \"network\", \"model\": \"%31[^\"]\", \"microbatch\": %d, \"threads\": %d, \"image\": "
                   "%lf, \"serial\": %lf, \"update\": %lf, \"pack\": %lf}",
                   c.model, &c.microbatch, &c.threads, &c.image, &c.serial, &c.update, &c.pack);
    if (n != 7 || strcmp(c.model, wanted->model) != 0) return false;
    *wanted = c;
    return true;
}

enum iddpm_status costs_read_machine(const char *path, struct machine_costs *out)
{
    return read_lines(path, read_machine, out, "a machine");
}

enum iddpm_status costs_read_network(const char *path, const char *model, struct network_costs *out)
{
    snprintf(out->model, sizeof out->model, "%s", model);
    return read_lines(path, read_network, out, model);
}
