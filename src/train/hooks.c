#include "hooks.h"
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what hooks are given ---------------------------------------------------------------------------------------- */

static int find_ema(const struct train_state *state, const char *group)
{
    for (int i = 0; i < state->n_ema; i++) {
        char name[CONFIG_EMA_GROUP];
        config_ema_group(state->ema_rates[i], name);
        if (strcmp(name, group) == 0) return i;
    }
    return -1;
}

enum iddpm_status train_use_weights(const struct train_view *view, const char *group)
{
    struct trainer *t = view->inside->trainer;
    const struct train_state *state = t->state;
    bool params = strcmp(group, "params") == 0;
    int ema = find_ema(state, group);
    if (!params && ema < 0) return iddpm_error(IDDPM_FAILED, "the run has no weights \"%s\"", group);
    if (params) {
        if (view->inside->other_weights) net_set_params(t->net, state->params);
    } else {
        watchdog_at("gathering the parts of an EMA", -1);
        memcpy(t->grads[0] + state->own.first, state->emas[ema], state->own.count * sizeof(float));
        parallel_gather_parts(t->parallel, t->grads[0], state->flat, NET_BLOCK, sizeof(float));
        net_set_params(t->net, t->grads[0]);
    }
    view->inside->other_weights = !params;
    return IDDPM_OK;
}

bool train_ends(const struct train_view *view)
{
    struct train_inside *inside = view->inside;
    struct trainer *t = inside->trainer;
    if (t->parallel->rank != 0 || inside->running < 0) return false;
    inside->ends |= ending_is_near(&t->ending, ENDING_HOOK + inside->running, clock_seconds());
    return inside->ends;
}

enum iddpm_status train_may_write(const struct train_view *view)
{
    return owner_check(view->inside->owner);
}

static enum iddpm_status table_path(const struct train_view *view, const char *name, char *path)
{
    return path_join(path, view->config->run.dir, name);
}

enum iddpm_status train_table_begin(const struct train_view *view, const char *name, const char *heading, bool *there)
{
    char path[PATH_SIZE];
    TRY(table_path(view, name, path));
    return lines_cut_back(view->inside->owner, path, "", heading, view->step, there);
}

static enum iddpm_status add_lines(int file, const char *path, const char *heading, const char *lines)
{
    off_t size = lseek(file, 0, SEEK_END);
    const char *texts[] = {size == 0 ? heading : "", lines};
    char *whole = NULL;
    size_t length = strlen(texts[0]) + strlen(texts[1]);
    TRY(mem_alloc(&whole, length + 1, 1, path));
    strcat(strcpy(whole, texts[0]), texts[1]);
    enum iddpm_status status = lines_append(1, &(struct lines){path, file, whole, length});
    if (status == IDDPM_OK && fsync(file) != 0)
        status = iddpm_error(IDDPM_FAILED, "%s: cannot be brought to disk: %s", path, strerror(errno));
    free(whole);
    return status;
}

enum iddpm_status train_table_add(const struct train_view *view, const char *name, const char *heading,
                                  const char *lines)
{
    char path[PATH_SIZE];
    TRY(table_path(view, name, path));
    TRY(train_may_write(view));
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file < 0) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(errno));
    enum iddpm_status status = add_lines(file, path, heading, lines);
    if (close(file) != 0 && status == IDDPM_OK)
        status = iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", path, strerror(errno));
    return status;
}

/* ---- when they run ----------------------------------------------------------------------------------------------- */

enum iddpm_status hooks_begin(struct train_inside *inside)
{
    const struct trainer *t = inside->trainer;
    inside->running = -1;
    inside->view = (struct train_view){.parallel = t->parallel,
                                       .config = t->config,
                                       .plan = &t->plan,
                                       .net = t->net,
                                       .step = t->state->step,
                                       .inside = inside};
    for (; inside->begun < inside->n; inside->begun++) {
        const struct train_hook *hook = &inside->hooks[inside->begun];
        bool there = false;
        inside->done[inside->begun] = -1;
        if (hook->interval == 0) continue;
        watchdog_at("preparing what is done at intervals", -1);
        enum iddpm_status status = hook->begin(hook->context, &inside->view, &there);
        if (there) inside->done[inside->begun] = t->state->step;
        if (status != IDDPM_OK) {
            inside->begun++;
            return status;
        }
    }
    return IDDPM_OK;
}

static bool is_due(const struct train_inside *inside, int i)
{
    const struct trainer *t = inside->trainer;
    int64_t step = t->state->step, interval = inside->hooks[i].interval;
    return interval > 0 && step > 0 && (step % interval == 0 || step == t->plan.total_steps) && inside->done[i] != step;
}

/* Collective: whether it was the job's end that has stopped it, and no signal. */
static bool stopped_by_end(const struct train_inside *inside)
{
    enum { NEITHER, END, SIGNAL };
    return parallel_max_int(inside->trainer->parallel, stop_signal() ? SIGNAL : inside->ends ? END : NEITHER) == END;
}

/* Collective. A hook whose time is known and does not fit is not begun. */
static enum iddpm_status run_one(struct train_inside *inside, int i)
{
    struct trainer *t = inside->trainer;
    const struct train_hook *hook = &inside->hooks[i];
    inside->running = i;
    inside->view.step = t->state->step;
    watchdog_at(hook->name, t->state->step);
    enum iddpm_status status = IDDPM_OK;
    if (train_ends(&inside->view) || stop_signal()) status = iddpm_error(IDDPM_STOPPED, "stopped");
    status = parallel_agree(t->parallel, status);
    if (status == IDDPM_OK) status = hook->run(hook->context, &inside->view);
    train_use_weights(&inside->view, "params");
    if (status == IDDPM_STOPPED) {
        t->ending.near = stopped_by_end(inside);
        return status;
    }
    if (status == IDDPM_OK)
        ending_done(&t->ending, ENDING_HOOK + i, clock_seconds());
    else
        ending_given_up(&t->ending);
    inside->running = -1;
    if (status != IDDPM_OK && owner_is_lost(inside->owner)) return IDDPM_FAILED;
    if (status != IDDPM_OK)
        log_warn("no %s at step %lld, training goes on: %s", hook->name, (long long)t->state->step, iddpm_error_text());
    inside->done[i] = t->state->step;
    return IDDPM_OK;
}

enum iddpm_status hooks_run(struct train_inside *inside, double *seconds)
{
    double start = clock_seconds();
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < inside->n && status == IDDPM_OK; i++)
        if (is_due(inside, i)) status = run_one(inside, i);
    *seconds = clock_seconds() - start;
    return status;
}

const char *hooks_interrupted(const struct train_inside *inside)
{
    return inside->running >= 0 ? inside->hooks[inside->running].name : NULL;
}

void hooks_end(struct train_inside *inside)
{
    for (int i = 0; i < inside->begun; i++)
        if (inside->hooks[i].interval > 0) inside->hooks[i].end(inside->hooks[i].context);
}
