#include "save.h"

#include <sys/stat.h>

enum { PAUSE_MAX = 8 }; /* seconds */

static void report(struct saver *saver, const char *path, double start)
{
    struct stat file = {0};
    double now = clock_seconds();
    saver->seconds = now - start;
    ending_saved(&saver->trainer->ending, saver->seconds);
    if (saver->trainer->parallel->rank == 0) stat(path, &file); /* of no use but for this line */
    double bytes = (double)file.st_size;
    log_info("saved %s: %.1f MB in %.2f s, %.2f GB/s, %.1f %% of the time since the last one", path, 1e-6 * bytes,
             saver->seconds, 1e-9 * bytes / saver->seconds, 100 * saver->seconds / (now - saver->since));
    saver->since = now;
}

static enum iddpm_status save(struct saver *saver)
{
    const struct trainer *t = saver->trainer;
    const struct config *config = t->config;
    char path[PATH_SIZE];
    double start = clock_seconds();
    watchdog_at("bringing metrics to disk", t->state->step);
    TRY(parallel_agree(t->parallel, metrics_sync(saver->metrics)));
    TRY(checkpoint_path(path, saver->folder, t->state->step));
    const struct checkpoint_options options = {config->store.hints, (uint64_t)config->store.alignment,
                                               &saver->owner->guard};
    TRY(state_write(t->state, t->parallel, path, saver->config_text, &options));
    watchdog_at("clearing old checkpoints away", t->state->step);
    saver->step = t->state->step;
    report(saver, path, start);
    const struct checkpoint_kept kept = {.newest = (int)config->store.keep,
                                         .period = config->store.keep_every * config->train.save_interval,
                                         .n_steps = config->train.save_steps.n,
                                         .steps = config->train.save_steps.v};
    if (t->parallel->rank == 0 &&
        (owner_check(saver->owner) != IDDPM_OK || checkpoint_prune(saver->folder, saver->step, &kept) != IDDPM_OK))
        log_warn("%s", iddpm_error_text());
    return IDDPM_OK;
}

enum iddpm_status save_now(struct saver *saver)
{
    stopwatch_start(&saver->trainer->watch);
    enum iddpm_status status = save(saver);
    stopwatch_mark(&saver->trainer->watch, TIME_STORE);
    return status;
}

/* The first step after `step` with a checkpoint, by train.save_interval or train.save_steps. */
static int64_t next_due(const struct config *config, int64_t step)
{
    const struct int_list *steps = &config->train.save_steps;
    int64_t next = step - step % config->train.save_interval + config->train.save_interval;
    for (int i = 0; i < steps->n; i++)
        if (steps->v[i] > step && steps->v[i] < next) next = steps->v[i];
    return next;
}

enum iddpm_status save_if_due(struct saver *saver)
{
    const struct config *config = saver->trainer->config;
    int64_t step = saver->trainer->state->step;
    bool due = next_due(config, step - 1) == step, regular = step % config->train.save_interval == 0;
    if (!due && step != saver->retry) return IDDPM_OK;
    if (save_now(saver) == IDDPM_OK) {
        saver->failures = 0;
        saver->retry = 0;
        return IDDPM_OK;
    }
    if (owner_is_lost(saver->owner)) return IDDPM_FAILED;
    if (regular) saver->failures++;
    if (saver->failures >= config->store.max_failures)
        return iddpm_error_context(IDDPM_FAILED, "no checkpoint since step %lld, %d intervals in a row: ended",
                                   (long long)(saver->step < 0 ? 0 : saver->step), saver->failures);
    saver->wait = due ? config->train.log_interval : 2 * saver->wait;
    saver->retry = step + saver->wait;
    int64_t next = next_due(config, step);
    log_warn("no checkpoint at step %lld (interval %d of %lld in a row, store.max_failures), training goes on, next "
             "try at step %lld: %s",
             (long long)step, saver->failures, (long long)config->store.max_failures,
             (long long)(saver->retry < next ? saver->retry : next), iddpm_error_text());
    return IDDPM_OK;
}

enum iddpm_status save_last(struct saver *saver)
{
    const struct trainer *t = saver->trainer;
    if (saver->step == t->state->step) return IDDPM_OK;
    enum iddpm_status status = save_now(saver);
    int tries = (int)t->config->store.max_failures;
    for (int tried = 1, pause = 1; status == IDDPM_FAILED && tried < tries && !owner_is_lost(saver->owner); tried++) {
        log_warn("no checkpoint at step %lld (try %d of %d, store.max_failures), next try in %d s: %s",
                 (long long)t->state->step, tried, tries, pause, iddpm_error_text());
        watchdog_at("waiting to write the last checkpoint again", t->state->step);
        clock_sleep(pause);
        pause = 2 * pause < PAUSE_MAX ? 2 * pause : PAUSE_MAX;
        status = save_now(saver);
    }
    return status;
}
