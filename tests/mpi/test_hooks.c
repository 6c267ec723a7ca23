/* What is done at intervals of a training: when it is done, that it changes no bit of the training, and what follows
 * when it fails or is interrupted. */
#include "../../src/train/hooks.h"

#include "check.h"
#include "digits.h"
#include "iddpm/evaluate.h"
#include "ranks.h"
#include "scratch.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEPS = 5, CALLS_MAX = 8 };

/* A run of its own folder NAME. */
static struct config *configuration(const char *name)
{
    char data[PATH_SIZE + 64], held_out[PATH_SIZE + 64], run[PATH_SIZE + 64];
    snprintf(data, sizeof data, "data.path=%s/data", digits_folder);
    snprintf(held_out, sizeof held_out, "data.eval_path=%s/data", digits_folder);
    snprintf(run, sizeof run, "run.dir=%s/%s", digits_folder, name);
    const char *keys[] = {data,
                          held_out,
                          run,
                          "image_size=8",
                          "in_channels=1",
                          "num_channels=32",
                          "channel_mult=1",
                          "num_res_blocks=1",
                          "attention_resolutions=8",
                          "num_heads=1",
                          "dropout=0.3",
                          "diffusion_steps=8",
                          "noise_schedule=cosine",
                          "learn_sigma=true",
                          "batch_size=8",
                          "parallel.leaves=4",
                          "total_steps=5",
                          "ema_rate=0.5,0.9",
                          "log_interval=1",
                          "save_interval=100",
                          "eval_interval=2",
                          "eval_num=7",
                          "eval_strata=3",
                          "sample_interval=2",
                          "sample_num=3",
                          "sample_steps=3"};
    struct config *config;
    must(config_load(&config, NULL, sizeof keys / sizeof *keys, keys));
    return config;
}

static void path_of(const char *run, const char *name, char out[PATH_SIZE])
{
    char folder[PATH_SIZE];
    must(path_join(folder, digits_folder, run));
    must(path_join(out, folder, name));
}

/* Rank 0: whether two files are the same. */
static void same_files(const char *a, const char *b)
{
    size_t n, m;
    uint8_t *one = scratch_read(a, &n), *other = scratch_read(b, &m);
    assert_int_equal(n, m);
    assert_memory_equal(one, other, n);
    free(one);
    free(other);
}

/* ---- a hook that records its calls ------------------------------------------------------------------------------- */

struct recorder {
    int begun, ended, calls;
    int64_t first, steps[CALLS_MAX];
    bool there;    /* what begin says */
    int64_t fails; /* the step whose result cannot be made */
    int64_t stops; /* the step in which a signal comes */
};

static enum iddpm_status begin(void *context, const struct train_view *view, bool *there)
{
    struct recorder *recorder = context;
    recorder->begun++;
    recorder->first = view->step;
    *there = recorder->there;
    return IDDPM_OK;
}

/* Runs the network with the weights of an EMA, and leaves them there. */
static enum iddpm_status run(void *context, const struct train_view *view)
{
    struct recorder *recorder = context;
    assert_true(recorder->calls < CALLS_MAX);
    recorder->steps[recorder->calls++] = view->step;
    must(train_use_weights(view, "ema/0.9"));
    int n = view->plan->microbatch;
    double *timesteps = calloc((size_t)n, sizeof *timesteps);
    const struct net_run run = {.n = n, .timesteps = timesteps};
    net_forward(view->net, &run);
    free(timesteps);
    assert_int_equal(train_use_weights(view, "ema/0.7"), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "no weights \"ema/0.7\""));
    if (view->step == recorder->stops && view->parallel->rank == view->parallel->size - 1) raise(SIGUSR1);
    if (view->step == recorder->stops) return iddpm_error(IDDPM_STOPPED, "stopped");
    return view->step == recorder->fails ? iddpm_error(IDDPM_FAILED, "no space") : IDDPM_OK;
}

static void end(void *context)
{
    struct recorder *recorder = context;
    recorder->ended++;
}

static struct train_hook recorder_hook(struct recorder *recorder, int64_t interval)
{
    return (struct train_hook){"record", interval, begin, run, end, recorder};
}

static void check_calls(const struct recorder *recorder, int n, const int64_t *steps)
{
    assert_int_equal(recorder->begun, 1);
    assert_int_equal(recorder->ended, 1);
    assert_int_equal(recorder->calls, n);
    if (n > 0) assert_memory_equal(recorder->steps, steps, (size_t)n * sizeof *steps);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

/* The checkpoint is the same file; with dropout, which must not be in a hook's runs. */
static void hooks_change_no_bit(void **state)
{
    (void)state;
    struct config *config = configuration("run");
    char plain[PATH_SIZE], here[PATH_SIZE];
    path_of("run", "", here);
    path_of("plain", "", plain);
    must(train_run(&ranks, config, NULL, 0, NULL));
    parallel_barrier(&ranks);
    if (ranks.rank == 0) assert_int_equal(rename(here, plain), 0);
    parallel_barrier(&ranks);
    struct validation validation = {0};
    struct grids grids = {0};
    struct recorder recorder = {.fails = 1};
    const struct train_hook hooks[] = {validation_hook(&validation, config), grids_hook(&grids, config),
                                       recorder_hook(&recorder, 1)};
    config_destroy(config);
    config = configuration("run"); /* as it was given at first */
    must(train_run(&ranks, config, NULL, 3, hooks));
    check_calls(&recorder, STEPS, (const int64_t[]){1, 2, 3, 4, 5});
    path_of("plain", "checkpoints/step-00000005.h5", plain);
    path_of("run", "checkpoints/step-00000005.h5", here);
    if (ranks.rank == 0) same_files(plain, here);
    config_destroy(config);
}

/* The results are the same on any number of ranks, but for the seconds. */
static void results_do_not_depend_on_ranks(void **state)
{
    (void)state;
    const struct parallel alone = {MPI_COMM_SELF, 0, 1};
    struct validation validation = {0};
    struct grids grids = {0};
    char one[PATH_SIZE], all[PATH_SIZE], *texts[2], *lines[2];
    struct config *config = configuration("alone");
    const struct train_hook hooks[] = {validation_hook(&validation, config), grids_hook(&grids, config)};
    if (ranks.rank == 0) must(train_run(&alone, config, NULL, 2, hooks));
    config_destroy(config);
    parallel_barrier(&ranks);
    if (ranks.rank > 0) return;
    static const char *const pictures[] = {"samples/step-00000002-params.png", "samples/step-00000004-ema-0.5.png",
                                           "samples/step-00000005-ema-0.5.png"};
    for (int i = 0; i < 3; i++) {
        path_of("alone", pictures[i], one);
        path_of("run", pictures[i], all);
        same_files(one, all);
    }
    path_of("alone", "eval.csv", one);
    path_of("run", "eval.csv", all);
    must(path_read_text(one, 1 << 16, &texts[0]));
    must(path_read_text(all, 1 << 16, &texts[1]));
    char *rest[2] = {texts[0], texts[1]};
    int n = 0;
    for (; (lines[0] = strsep(&rest[0], "\n")) && (lines[1] = strsep(&rest[1], "\n")) && *lines[0]; n++) {
        for (int i = 0; i < 2; i++) *strrchr(lines[i], ',') = 0;
        assert_string_equal(lines[0], lines[1]);
    }
    assert_int_equal(n, 1 + 3 * 3); /* the heading; parameters and two EMAs after 2, 4 and 5 steps */
    for (int i = 0; i < 2; i++) free(texts[i]);
}

/* After the steps that the interval divides, and the last one; a result that fails is left out. */
static void they_run_at_intervals(void **state)
{
    (void)state;
    struct config *config = configuration("intervals");
    struct recorder third = {.fails = 3}, never = {0};
    const struct train_hook hooks[] = {recorder_hook(&third, 3), recorder_hook(&never, 0)};
    must(train_run(&ranks, config, NULL, 2, hooks));
    check_calls(&third, 2, (const int64_t[]){3, 5});
    assert_int_equal(never.begun + never.calls + never.ended, 0);
    config_destroy(config);
    for (int there = 0; there < 2; there++) { /* continued at a step that is due: once more only when it is missing */
        struct recorder again = {.there = there};
        const struct train_hook hook = recorder_hook(&again, 3);
        config = configuration("intervals");
        must(config_set(config, "train.total_steps", there ? "7" : "5"));
        must(train_run(&ranks, config, NULL, 1, &hook));
        assert_int_equal(again.first, STEPS);
        if (there)
            check_calls(&again, 2, (const int64_t[]){6, 7});
        else
            check_calls(&again, 1, (const int64_t[]){5});
        config_destroy(config);
    }
}

/* ---- the end of the job, which rank 0 alone knows ------------------------------------------------------------------
 */

static void job_ends_in(const struct train_view *view, double seconds)
{
    if (view->parallel->rank == 0) view->inside->trainer->ending.end = clock_seconds() + seconds;
}

static enum iddpm_status run_until_the_end(void *context, const struct train_view *view)
{
    struct recorder *recorder = context;
    recorder->steps[recorder->calls++] = view->step;
    job_ends_in(view, 10.5); /* 10 s are kept for the end */
    for (;;) {
        enum iddpm_status status = train_ends(view) ? iddpm_error(IDDPM_STOPPED, "stopped") : IDDPM_OK;
        TRY(parallel_agree(view->parallel, status));
        clock_sleep(0.01);
    }
}

static enum iddpm_status begin_at_the_end(void *context, const struct train_view *view, bool *there)
{
    job_ends_in(view, 10);
    return begin(context, view, there);
}

static void says(const char *text)
{
    if (ranks.rank == 0 && !strstr(iddpm_error_text(), text))
        fail_msg("'%s' does not say '%s'", iddpm_error_text(), text);
}

static void they_stop_before_the_job_ends(void **state)
{
    (void)state;
    struct config *config = configuration("limit");
    struct recorder recorder = {0};
    struct train_hook hook = {"record", 2, begin, run_until_the_end, end, &recorder};
    assert_int_equal(train_run(&ranks, config, NULL, 1, &hook), IDDPM_STOPPED);
    says("at step 2 of 5 with everything saved: the job ends");
    check_calls(&recorder, 1, (const int64_t[]){2});
    /* The next job cannot begin it, and would not come further if it were started again and again: no status 75. */
    recorder = (struct recorder){0};
    hook.begin = begin_at_the_end;
    assert_int_equal(train_run(&ranks, config, NULL, 1, &hook), IDDPM_FAILED);
    says("no step was done from step 2 on, and nothing is lost");
    says("a record and a checkpoint need");
    check_calls(&recorder, 0, NULL);
    config_destroy(config);
}

/* The last test: the flag of a signal stays set. */
static void a_signal_to_one_rank_stops_the_run(void **state)
{
    (void)state;
    struct config *config = configuration("signal");
    struct recorder recorder = {.stops = 3};
    const struct train_hook hook = recorder_hook(&recorder, 1);
    char checkpoint[PATH_SIZE];
    stop_install();
    assert_int_equal(train_run(&ranks, config, NULL, 1, &hook), IDDPM_STOPPED);
    check_calls(&recorder, 3, (const int64_t[]){1, 2, 3});
    path_of("signal", "checkpoints/step-00000003.h5", checkpoint);
    assert_true(path_exists(checkpoint));
    config_destroy(config);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_change_no_bit), cmocka_unit_test(results_do_not_depend_on_ranks),
        cmocka_unit_test(they_run_at_intervals), cmocka_unit_test(they_stop_before_the_job_ends),
        cmocka_unit_test(a_signal_to_one_rank_stops_the_run)};
    if (ranks_start(&argc, &argv, 120) != 0) return 1;
    log_set_quiet(true);
    return ranks_end(cmocka_run_group_tests(tests, digits_setup, digits_teardown));
}
