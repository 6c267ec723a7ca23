/* The loop around the steps: intervals, checkpoints, signals. */
#include "choice.h"
#include "hooks.h"
#include "run.h"
#include "save.h"

#include <stdlib.h>
#include <string.h>

enum { SKIPPED_IN_ROW_MAX = 10 };

struct loop {
    struct trainer trainer;
    struct metrics metrics;
    struct log_progress progress;
    struct saver saver;
    struct owner owner;
    struct train_inside hooks;
    int64_t first_step; /* this job's */
};

static enum iddpm_status check_skipped(const struct loop *loop)
{
    const struct train_state *state = loop->trainer.state;
    if (state->skipped_in_row == 0) return IDDPM_OK;
    log_warn("step %lld: loss or gradient is not finite (gradient norm %g): step skipped, %lld in all",
             (long long)state->step, loop->trainer.grad_norm, (long long)state->skipped);
    if (state->skipped_in_row < SKIPPED_IN_ROW_MAX) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED,
                       "loss or gradient was not finite %d steps in a row, the last at step %lld: stopped; the last "
                       "checkpoint before that is of step %lld. Another run.dir with train.resume_checkpoint set to a "
                       "checkpoint and a smaller train.lr may go further",
                       SKIPPED_IN_ROW_MAX, (long long)state->step, (long long)loop->saver.step);
}

static void show(struct loop *loop)
{
    const struct trainer *t = &loop->trainer;
    double count = t->state->counts[0];
    char extra[64] = "";
    if (count > 0) snprintf(extra, sizeof extra, "loss %.4f", t->state->sums[0] / count);
    log_progress_show(&loop->progress, (double)t->state->step, extra);
}

/* Collective. A line that cannot be written ends no training: its numbers go into the next one. */
static enum iddpm_status write_metrics(struct loop *loop)
{
    struct trainer *t = &loop->trainer;
    watchdog_at("writing metrics", t->state->step);
    struct metrics_usage usage = {.ranks = t->parallel->size,
                                  .peak_bytes = parallel_max(t->parallel, (double)mem_peak_bytes())};
    for (int i = 0; i < TIME_PARTS; i++) usage.seconds[i] = t->watch.seconds[i] / t->parallel->size;
    parallel_sum_double(t->parallel, usage.seconds, TIME_PARTS);
    enum iddpm_status status = owner_check(&loop->owner);
    if (status == IDDPM_OK) status = metrics_write(&loop->metrics, t->state, t->config->train.batch_size, &usage);
    status = parallel_agree(t->parallel, status);
    if (status != IDDPM_OK && owner_is_lost(&loop->owner)) return status;
    if (status == IDDPM_OK) {
        memset(t->watch.seconds, 0, sizeof t->watch.seconds);
        metrics_begin(&loop->metrics, t->state);
    } else
        log_warn("no line of metrics at step %lld, training goes on: %s", (long long)t->state->step,
                 iddpm_error_text());
    return IDDPM_OK;
}

/* Before its first step: the next job would come no further, so that status 75 would send it round for ever. */
static enum iddpm_status too_short(const struct loop *loop)
{
    char why[160];
    const char *hook = hooks_interrupted(&loop->hooks);
    ending_too_short(&loop->trainer.ending, hook ? hook : "step", why, sizeof why);
    return iddpm_error(IDDPM_FAILED, "no step was done from step %lld on, and nothing is lost: %s",
                       (long long)loop->first_step, why);
}

/* Collective. Saves everything. */
static enum iddpm_status stop(struct loop *loop)
{
    const struct trainer *t = &loop->trainer;
    long long step = t->state->step, total = t->plan.total_steps;
    char why[64];
    if (t->ending.near && t->state->step == loop->first_step) return too_short(loop);
    TRY(save_last(&loop->saver));
    ending_text(&t->ending, why, sizeof why);
    if (t->ending.near)
        return iddpm_error(IDDPM_STOPPED,
                           "stopped at step %lld of %lld with everything saved: %s; run the same command "
                           "again to continue",
                           step, total, why);
    return iddpm_error(IDDPM_STOPPED,
                       "stopped by a signal at step %lld of %lld with everything saved; run the same "
                       "command again to continue",
                       step, total);
}

/* Collective. Behind the checkpoint of the step: whatever happens in a hook, no step is lost. Their time is in no line
 * of metrics. */
static enum iddpm_status run_hooks(struct loop *loop)
{
    double seconds;
    enum iddpm_status status = hooks_run(&loop->hooks, &seconds);
    loop->metrics.since += seconds;
    return status;
}

/* Collective. One step, and what is due after it. */
static enum iddpm_status step_on(struct loop *loop)
{
    struct trainer *t = &loop->trainer;
    int64_t total = t->plan.total_steps;
    TRY(train_step(t));
    TRY(check_skipped(loop));
    show(loop);
    int64_t step = t->state->step;
    if (step % t->config->train.log_interval == 0 || step == total) TRY(write_metrics(loop));
    TRY(step < total ? save_if_due(&loop->saver) : save_last(&loop->saver));
    return run_hooks(loop);
}

static enum iddpm_status steps(struct loop *loop)
{
    const struct trainer *t = &loop->trainer;
    enum iddpm_status status = run_hooks(loop); /* those that the last job was stopped in */
    while (status == IDDPM_OK && t->state->step < t->plan.total_steps) status = step_on(loop);
    if (status == IDDPM_STOPPED) return stop(loop);
    return status == IDDPM_OK ? save_last(&loop->saver) : status;
}

/* An error between two checkpoints leaves a whole state, on all ranks: it is saved before the run ends. */
static enum iddpm_status save_after(struct loop *loop, enum iddpm_status failure)
{
    char text[2048];
    int64_t step = loop->trainer.state->step;
    if (failure != IDDPM_FAILED || loop->saver.step == step || loop->first_step == step) return failure;
    snprintf(text, sizeof text, "%.2000s", iddpm_error_text());
    if (!owner_is_lost(&loop->owner) && save_now(&loop->saver) != IDDPM_OK) log_warn("%s", iddpm_error_text());
    return iddpm_error(failure, "%s", text);
}

/* Rank 0. The files of the run, as they are to be at the step from which it goes on. */
static enum iddpm_status open_files(struct loop *loop)
{
    const struct config *config = loop->trainer.config;
    char path[PATH_SIZE];
    TRY(owner_check(&loop->owner));
    TRY(run_write_config(config, loop->saver.config_text));
    TRY(choice_write(&loop->trainer));
    TRY(metrics_open(&loop->metrics, &loop->owner, config->run.dir, loop->trainer.state->step));
    TRY(path_join(path, config->run.dir, "log.txt"));
    return log_open(path);
}

/* Collective, before anything of the run is read or written. */
static enum iddpm_status claim(struct loop *loop, const struct train_job *job)
{
    const struct config *config = loop->trainer.config;
    const struct parallel *parallel = loop->trainer.parallel;
    if (!*config->run.dir) return config_error(config, "run.dir", "not set: give the run a folder");
    TRY(owner_claim(&loop->owner, parallel, job, config->run.dir));
    TRY(watchdog_start(parallel, config->parallel.watchdog));
    watchdog_beat_fn *beat = parallel->rank == 0 ? owner_beat : NULL;
    return parallel_agree(parallel, watchdog_serve(config->run.dir, beat, &loop->owner));
}

/* Collective: the state to start from, and the files of the run. */
static enum iddpm_status start(struct loop *loop, struct config *config)
{
    struct trainer *t = &loop->trainer;
    struct run_start from;
    enum iddpm_status status = trainer_create(t);
    if (status == IDDPM_OK) status = train_resolve(config, &t->plan);
    if (status == IDDPM_OK) status = config_text(config, &loop->saver.config_text);
    if (status == IDDPM_OK) status = path_join(loop->saver.folder, config->run.dir, "checkpoints");
    watchdog_at("waiting for all ranks to be ready", -1);
    TRY(parallel_agree(t->parallel, status));
    watchdog_at("looking for the newest checkpoint", -1);
    TRY(run_read_start(t->parallel, config, t->state, &from));
    t->ending.guessed_save = ending_guess((double)t->state->flat * sizeof(float) * (3 + t->state->n_ema));
    loop->saver.step = from.own ? t->state->step : -1;
    net_set_params(t->net, t->state->params);
    TRY(hooks_begin(&loop->hooks));
    watchdog_at("opening the files of the run", t->state->step);
    TRY(parallel_agree(t->parallel, t->parallel->rank == 0 ? open_files(loop) : IDDPM_OK));
    loop->metrics.since = loop->saver.since = clock_seconds();
    loop->metrics.since_step = loop->first_step = t->state->step;
    if (from.path[0]) log_info("continuing from %s, step %lld", from.path, (long long)t->state->step);
    log_info("%s: %llu parameters, batch %lld in %d leaves on %d rank%s, steps %lld to %lld", config->run.dir,
             (unsigned long long)net_parameters(t->net), (long long)config->train.batch_size, t->plan.leaves.total,
             t->parallel->size, t->parallel->size > 1 ? "s" : "", (long long)t->state->step,
             (long long)t->plan.total_steps);
    return IDDPM_OK;
}

enum iddpm_status train_run(const struct parallel *parallel, struct config *config, const struct train_job *job,
                            int n_hooks, const struct train_hook *hooks)
{
    struct loop loop = {.trainer = {.parallel = parallel, .config = config, .ending = {.end = job ? job->end : 0}}};
    loop.saver = (struct saver){.trainer = &loop.trainer, .metrics = &loop.metrics, .owner = &loop.owner, .step = -1};
    loop.hooks = (struct train_inside){.trainer = &loop.trainer, .owner = &loop.owner, .n = n_hooks, .hooks = hooks};
    enum iddpm_status status = claim(&loop, job);
    if (status == IDDPM_OK) status = start(&loop, config);
    if (status == IDDPM_OK) {
        log_progress_start(&loop.progress, "train", "steps", (double)loop.trainer.state->step,
                           (double)loop.trainer.plan.total_steps);
        status = save_after(&loop, steps(&loop));
    }
    hooks_end(&loop.hooks);
    metrics_close(&loop.metrics);
    watchdog_stop();
    owner_release(&loop.owner);
    trainer_destroy(&loop.trainer);
    free(loop.saver.config_text);
    return status;
}
