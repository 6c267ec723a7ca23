/* Floor 4: training. What a configuration asks for (plan), the state that a checkpoint holds, one step, the loop.
 * The global batch of step s is the same images, timesteps and noise whatever the number of ranks. */
#ifndef IDDPM_TRAIN_H
#define IDDPM_TRAIN_H

#include "iddpm/data.h"
#include "iddpm/models.h"
#include "iddpm/parallel.h"

/* ---- plan.c: every check of a job, before anything is written ---------------------------------------------------- */

/* How the gradients of ranks are averaged: by MPI_Allreduce, or in a fixed tree over leaves, whose bits are the same on
 * any number of ranks (parallel.reduction). */
enum reduction { REDUCTION_MPI_ALLREDUCE, REDUCTION_REPRODUCIBLE };

struct train_plan {
    struct model_spec spec;
    struct leaves leaves;
    enum reduction reduction;
    int gradients;  /* buffers for gradients: one, and for the tree one more for each level inside a rank */
    int microbatch; /* images of one run of the network */
    int64_t total_steps;
};
/* `data` NULL: the data set is not looked at. IDDPM_USAGE with the key and what is allowed. */
enum iddpm_status train_plan(const struct config *config, const struct dataset *data, int rank, int size,
                             struct train_plan *out);

/* Puts what was found (sizes, classes, levels, leaves, steps) into the configuration, so that a checkpoint can be used
 * alone, and takes data.local out, which the next job may not have. */
enum iddpm_status train_resolve(struct config *config, const struct train_plan *plan);

/* ---- memory.c ---------------------------------------------------------------------------------------------------- */

/* Parts of the largest resident set that a rank will have, checkpoints included. */
struct train_memory {
    size_t parameters, gradients, moments, emas, packed, arena; /* bytes of the rank that needs most */
    size_t images;                                              /* a microbatch and its noise */
    size_t cache;                                               /* data set kept in memory (data.cache) */
    size_t reduction;                                           /* pieces of the gradient under way */
    size_t hooks;                                               /* what the hooks allocate while they run */
    size_t program;                                             /* code, MPI, HDF5: as seen, not computed */
    size_t total;
};
/* `net` finished, possibly without memory of its own; data NULL: no images are kept; hooks: bytes of those. */
struct train_memory train_memory(const struct config *config, const struct train_plan *plan, const struct dataset *data,
                                 const struct net *net, size_t hooks);

/* ---- open_data.c --------------------------------------------------------------------------------------------------
 */

/* Collective. dataset_open on every rank, of an index that rank 0 alone has read. */
enum iddpm_status train_open_data(const struct parallel *parallel, struct dataset **out, const char *folder);

/* ---- hooks.c: what is done with the model every so many steps, by others than training ------------------------------
 */

#define TRAIN_HOOKS_MAX 4
struct train_inside; /* private to src/train */

/* What a hook sees of a run. */
struct train_view {
    const struct parallel *parallel;
    const struct config *config; /* resolved */
    const struct train_plan *plan;
    /* The network that is trained, in training mode: runs of at most plan->microbatch images, without net_run.slots
     * (no dropout). It has the parameters of this step until train_use_weights gives it others. */
    struct net *net;
    int64_t step; /* training steps done */
    struct train_inside *inside;
};

/* All functions are collective, and return the same on all ranks. They leave the state of training alone: a run has the
 * same bits with hooks and without. */
struct train_hook {
    const char *name; /* "validation", for messages */
    int64_t interval; /* after steps that it divides and after the last one; 0: never, and nothing is called */
    /* Before training: whether everything that it needs is there. Results of steps after view->step, which a job that
     * was killed had made and lost, go. *there: view->step has its result. An error ends the job before its first step.
     */
    enum iddpm_status (*begin)(void *context, const struct train_view *view, bool *there);
    /* Makes the result of view->step, all or nothing of it. IDDPM_STOPPED when it was interrupted by a signal or by
     * train_ends: the job then stops, and the next one makes the result before its first step. After another error
     * training goes on without this result. */
    enum iddpm_status (*run)(void *context, const struct train_view *view);
    void (*end)(void *context); /* also after an error of begin */
    void *context;
};

/* The EMA whose group ("ema/RATE") is given, or "params" again, become the weights of view->net, in the memory of the
 * gradient. After a hook the loop itself goes back to the parameters. IDDPM_FAILED without such an EMA. Collective. */
enum iddpm_status train_use_weights(const struct train_view *view, const char *group);
/* Whether the job ends soon, asked between runs of the network on every rank, as stop_signal is; some rank's true is to
 * become IDDPM_STOPPED on all. Not collective. */
bool train_ends(const struct train_view *view);

/* For rank 0; each fails when another job has taken the run over. Whether files of the run may be written: */
enum iddpm_status train_may_write(const struct train_view *view);
/* A table RUN/`name` (CSV) with a first column of steps: what is there of steps after view->step goes, columns that an
 * older heading lacks at its end are added empty. heading: with its newline. *there: view->step has a line. */
enum iddpm_status train_table_begin(const struct train_view *view, const char *name, const char *heading, bool *there);
/* Appends whole lines to it, with a heading when it is new; all or nothing, on disk. */
enum iddpm_status train_table_add(const struct train_view *view, const char *name, const char *heading,
                                  const char *lines);

/* ---- loop.c ------------------------------------------------------------------------------------------------------ */

enum job_state { JOB_UNKNOWN, JOB_RUNNING, JOB_ENDED };

/* What the batch system says of this job. Only rank 0's counts. */
struct train_job {
    const char *id, *cluster, *task; /* "" for none; `task`: of a job array */
    int64_t restarts;
    double end; /* when it ends, by clock_seconds; 0: not known */
    /* What a job of this cluster does; JOB_ENDED also when it waits to be started again. NULL: it cannot be asked. */
    enum job_state (*state)(const char *id);
};

/* Collective. Trains the run of config->run.dir from its newest valid checkpoint, from train.resume_checkpoint, or from
 * the start, until total_steps. config->run.dir is made when missing; a run in it whose configuration differs in more
 * than intervals, total_steps and store is refused. Returns IDDPM_STOPPED, with a checkpoint written, after a signal,
 * or when the job ends before another step and a checkpoint would be done. A run has one owner at a time (RUN/owner):
 * IDDPM_USAGE when that is another job that lives, IDDPM_FAILED, with nothing more written, when another one has taken
 * the run over. `job` may be NULL. The hooks, at most TRAIN_HOOKS_MAX, run in their order. */
enum iddpm_status train_run(const struct parallel *parallel, struct config *config, const struct train_job *job,
                            int n_hooks, const struct train_hook *hooks);

/* IDDPM_USAGE when run.dir holds a run (*exists) whose configuration, resolved as this one must be (train_resolve),
 * differs in more than intervals, total_steps, store and what changes no result. Not collective. */
enum iddpm_status run_check(const struct config *config, bool *exists);
/* Those keys, as config_difference takes them. */
extern const char *const train_free_keys[];

/* For the configuration that a run was recorded with: a key that it lacks came later, and gets what was done before. */
enum iddpm_status run_complete_config(struct config *config);

/* Paths of a run folder: RUN/checkpoints; the newest checkpoint that opens and whose checksums agree, naming damaged
 * ones in warnings. *step -1 and path "" when there is none. Not collective. */
enum iddpm_status run_newest_checkpoint(const char *run, char *path, int64_t *step);

#endif
