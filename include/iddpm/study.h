/* Floor 6: scaling studies. One file describes a study, one folder holds it: a run per point, what was measured on
 * them, tables, fits and figures. Everything may be called again at any time and does only what is missing.
 *
 *     STUDY/study.yaml, base.yaml          the study as it was first submitted
 *     STUDY/lock                           held (flock) by the one who changes the study; dies with its holder
 *     STUDY/points/POINT/                  a run folder (README.md, "What a run leaves"); its results are
 *     STUDY/points/POINT/nll/EVALUATION/step-NNNNNNNN.h5         (nll_write) and
 *     STUDY/points/POINT/samples/EVALUATION/step-NNNNNNNN.png
 *     STUDY/evaluations/KIND-NAME.yaml     settings that its results were measured with
 *     STUDY/tasks/, logs/, jobs.csv        lists for job arrays, what tasks printed, what was submitted
 *     STUDY/results.csv, results.h5        collected
 *     STUDY/fits.csv, figures/, report.html
 *
 * Nothing here runs on ranks or reads the environment: training and evaluation are other processes. */
#ifndef IDDPM_STUDY_H
#define IDDPM_STUDY_H

#include "iddpm/config.h"

/* ---- the study file (file.c, evaluations.c, points.c) ------------------------------------------------------------ */

#define STUDY_NAME 160
#define STUDY_SAVES_MAX CONFIG_LIST_MAX

enum study_evaluation_kind { STUDY_NLL, STUDY_SAMPLE };

/* What is measured at checkpoints of every point. A list for respacing or weights in the file makes several. */
struct study_evaluation {
    enum study_evaluation_kind kind;
    char name[STUDY_NAME]; /* unique; with the list's value behind it where there is a list */
    char *data;            /* data set of nll; "": data.eval_path of the point */
    char *respacing;       /* NULL: the model's own */
    char *weights;         /* NULL: the first EMA */
    int64_t images;        /* 0: all (nll) */
    int64_t strata;        /* nll: 0: every timestep */
    int64_t seed;          /* -1: the run's */
    bool ddim;             /* sample */
    double eta;
    int64_t start_step;  /* sample: chains begin at this timestep; -1: at the last */
    int64_t checkpoints; /* that many of the point's saved ones, log-spaced, ending with the last; 0: all */
};

struct study_value {
    const char *key;  /* full name of a configuration key, or budget.steps, budget.images, budget.flops */
    const char *text; /* in the one spelling of config_get */
};

struct study_point {
    char name[STUDY_NAME]; /* of its folder: "num_channels-64_lr-0.0001_seed-0", the values that stand in lists; does
                              not depend on other points */
    char run[PATH_SIZE];   /* STUDY/points/NAME */
    int n_values;
    const struct study_value *values; /* of grid and zip, the seed and the budget, in the file's order */
    struct config *config;            /* whole, with run.dir, train.total_steps and train.save_steps */
    uint64_t parameters, macs;        /* macs: multiply-adds of one image's forward pass */
    int64_t steps, images;            /* of the whole training; images = steps x batch_size */
    double flops;                     /* 6 macs images */
    int n_saves;
    int64_t saves[STUDY_SAVES_MAX]; /* steps of its checkpoints, log-spaced in compute, the last is `steps` */
};

struct study_slurm {
    int64_t nodes, tasks_per_node, cpus_per_task, throttle, retries;
    double memory;                    /* GiB of a node; 0: unknown */
    char *time, *partition, *options; /* "" when not given */
};

struct study {
    char file[PATH_SIZE], folder[PATH_SIZE];
    char *title;
    char *text, *base_text; /* of the file and of its base, as they are kept in the folder */
    int n_points, n_evaluations;
    struct study_point *points;
    struct study_evaluation *evaluations;
    struct study_slurm slurm;
};

/* `path`: a study file, or the folder of a submitted study. Every key, combination and count is checked; errors name
 * file, line, key and what to do (IDDPM_USAGE). */
enum iddpm_status study_read(struct study **out, const char *path);
void study_destroy(struct study *study);
/* Steps at which a point is evaluated, ascending, into steps[STUDY_SAVES_MAX]; returns their number. */
int study_evaluation_steps(const struct study_point *point, const struct study_evaluation *evaluation, int64_t *steps);
/* Where the result of an evaluation at a step is, into out[PATH_SIZE]. */
enum iddpm_status study_result_path(const struct study_point *point, const struct study_evaluation *evaluation,
                                    int64_t step, char *out);

/* ---- what it costs (plan.c, throughput.c) ------------------------------------------------------------------------ */

struct study_cost {
    size_t rank_bytes;              /* of the training rank that needs most */
    double train_hours, eval_hours; /* hours of a node, times nodes */
    double job_hours;               /* of the training job, from its start to its end */
    double nll_hours, sample_hours; /* so of the longest job of either kind */
    char refusal[512];              /* why it cannot run in such a job; "" when it can */
};
/* Ranks that a training job of this study has: what Slurm gives, down to a power of two. */
int study_ranks(const struct study *study);
/* costs[n_points], with `flops` per second and core. `node_bytes`: memory of a node. Images of evaluations of a whole
 * data set count when it is there. */
enum iddpm_status study_costs(const struct study *study, double flops, double node_bytes, struct study_cost *costs);
/* FLOP/s of one thread in training passes of the study's smallest network: a few seconds. kernels_select before. */
enum iddpm_status study_throughput(const struct study *study, double *flops);

/* ---- running it (tasks.c, submit.c, local.c, status.c, cancel.c) ------------------------------------------------- */

struct study_tools {
    const char *program, *jobs; /* iddpm, and the folder of its job scripts */
};
/* Both keep the study's file in its folder, refuse (IDDPM_USAGE) what would change a point that has begun, and do what
 * is missing: neither there nor queued or running. `dry`: nothing is done, only the commands are printed. They hold the
 * study's lock, and wait for it up to 10 s.
 * study_submit: job arrays of Slurm, one of training and one for each evaluation, which depends on it task by task.
 * study_run: task by task on this machine with `ranks`; IDDPM_FAILED names the tasks that failed, when all are through;
 * IDDPM_STOPPED after a signal. */
enum iddpm_status study_submit(const struct study *study, const struct study_tools *tools, bool dry);
enum iddpm_status study_run(const struct study *study, const struct study_tools *tools, int ranks, bool dry);

enum study_state { STUDY_WAITING, STUDY_QUEUED, STUDY_RUNNING, STUDY_STOPPED, STUDY_FAILED, STUDY_DONE };
struct study_progress {
    enum study_state state;
    bool trained;
    int64_t step;                        /* of the training */
    double seconds_left;                 /* of the training; NAN unknown */
    int results, wanted;                 /* of evaluations */
    double bits_per_dim, standard_error; /* the last measured; NAN when there is none */
    char why[512], log[PATH_SIZE];       /* of what failed or was stopped; "" unknown */
};
/* progress[n_points]. Reads only. */
enum iddpm_status study_status(const struct study *study, struct study_progress *progress);
/* Ends what is queued or running: scancel, and SIGTERM for a study_run on this machine. Into said[size] what was done.
 */
enum iddpm_status study_cancel(const struct study *study, char *said, size_t size);

/* ---- what was collected (results*.c, collect*.c) ----------------------------------------------------------------- */

/* A row: point x checkpoint x evaluation. */
struct study_row {
    char point[STUDY_NAME], evaluation[STUDY_NAME], weights[64], respacing[64], data_hash[80];
    char objective[64];    /* L_simple | L_hybrid | L_vlb | L_vlb importance-sampled */
    int64_t step, images;  /* trained */
    double flops, seconds; /* of the training up to there; seconds NAN when unknown */
    int64_t ranks;         /* 0 when unknown */
    int64_t parameters, channels, seed, timesteps, diffusion_steps, strata, nll_seed;
    bool clip_denoised;
    double bits_per_dim, standard_error, vb, mse, prior; /* means over images; vb without the prior */
    double difference, difference_error; /* from the row before of the same point and evaluation, on the same images and
                                            noise: common random numbers; NAN for the first */
    double fid;                          /* NAN: not measured */
    int64_t n_totals;                    /* images of the evaluation */
    double *totals;                      /* [n_totals] bits/dim of each image, in the order of the data set */
    int64_t n_terms;                     /* timesteps, or strata of timesteps */
    double *term_steps, *terms; /* [n_terms] timestep (of a stratum: its middle) and mean over images of vb, bits/dim of
                                   one timestep; the last timestep first */
    int64_t file_bytes, file_time; /* private: of the file that it was read from; nanoseconds */
};

/* Learning curve of a point, from its metrics.jsonl. */
enum study_curve_column {
    CURVE_STEP,
    CURVE_IMAGES, /* trained */
    CURVE_FLOPS,
    CURVE_LOSS, /* means since the line before, as all that follow up to the noise scale */
    CURVE_MSE,
    CURVE_VB,
    CURVE_GRAD_NORM,
    CURVE_NOISE_SCALE, /* images */
    CURVE_SECONDS,     /* of training up to there, summed over continuations */
    CURVE_RANKS,
    CURVE_COLUMNS
};
struct study_curve {
    char point[STUDY_NAME];
    int64_t n;
    double *column[CURVE_COLUMNS]; /* [n] each; NAN: unknown */
    int64_t file_bytes, file_time; /* private, as those of a row */
};

struct study_results { /* owns the arrays of its rows and curves */
    int n, n_curves;
    struct study_row *rows; /* by point in the study's order, evaluation, step */
    struct study_curve *curves;
};

struct study_collected {
    int rows, added, damaged; /* damaged files are named in warnings and passed over */
};
/* Gathers all results of a study into STUDY/results.h5 and results.csv, and learning curves into metrics.csv. Files
 * that are as they were are not read again. `mixed`: different data sets or settings under one evaluation's name are
 * taken, else they are IDDPM_USAGE, naming both. */
enum iddpm_status study_collect(const struct study *study, bool mixed, struct study_collected *out);
/* What was collected; IDDPM_USAGE when nothing was. */
enum iddpm_status study_results_read(struct study_results **out, const struct study *study);
void study_results_destroy(struct study_results *results);

/* ---- fits (power_law.c, groups.c, cells.c, fit.c, sizes.c) ------------------------------------------------------- */

/* L(C) = L_inf + (C_0 / C)^alpha */
struct power_law {
    double l_inf, c_0, alpha;
    double residual; /* root mean square, bits/dim */
};
/* Least squares by cminpack from several starts, weights 1 / error^2 (error NULL: equal). l_inf NAN: fitted, else kept.
 * Needs one point more than it fits parameters, in a range of compute of 4 or more, a fall larger than its errors; else
 * IDDPM_FAILED and iddpm_error_text says what is missing. */
enum iddpm_status power_law_fit(int n, const double *compute, const double *loss, const double *error, double l_inf,
                                struct power_law *out);
double power_law_at(const struct power_law *law, double compute);
/* Points that no other beats with no more compute: indices into keep[n], ascending in compute; returns their number. */
int compute_frontier(int n, const double *compute, const double *loss, int *keep);

struct study_fit {
    char what[STUDY_NAME];                    /* "num_channels 64", "frontier", ... */
    char evaluation[STUDY_NAME], measure[16]; /* bits_per_dim | fid */
    bool fitted;
    char why[256]; /* when not */
    int n;
    struct power_law law, low, high; /* the latter: bounds of 95 % intervals by bootstrap over images and seeds */
    double held_compute, held_loss, held_predicted, held_low, held_high; /* the largest budget, predicted from the rest;
                                                                            NAN when too few are left */
};
struct study_fits {
    int n;
    struct study_fit *fits;
};
/* Of every nll evaluation: per model size (all values of a point but seed and budget), and on the compute-optimal
 * frontier of the models of one objective, schedule, number of steps and data set. The runs of several seeds count as
 * one point, their mean. l_inf NAN: fitted. Writes STUDY/fits.csv. Resamples with `seed`. */
enum iddpm_status study_fit(struct study_fits **out, const struct study *study, const struct study_results *results,
                            double l_inf, uint64_t seed);
void study_fits_destroy(struct study_fits *fits);

/* A model size at a budget: its loss there, interpolated in log compute between what was measured. */
struct study_size {
    char what[STUDY_NAME], family[STUDY_NAME], evaluation[STUDY_NAME];
    char measure[16]; /* bits_per_dim | fid */
    int64_t parameters;
    double compute, images; /* FLOPs, and images trained with them */
    double loss, low, high; /* with the 95 % interval */
    double best;            /* share of resamplings in which no other size of its family is better */
};
struct study_sizes {
    int n;
    struct study_size *sizes; /* by evaluation, family, size */
};
/* How parameters trade off against compute. `compute` NAN: of each family the largest that two sizes reach. Only sizes
 * whose curve covers that compute are there; n may be 0. Writes STUDY/sizes.csv. */
enum iddpm_status study_sizes_at(struct study_sizes **out, const struct study *study,
                                 const struct study_results *results, double compute, uint64_t seed);
void study_sizes_destroy(struct study_sizes *sizes);

/* ---- figures and report (figure_*.c, report.c) ------------------------------------------------------------------- */

/* Draws what the study's results allow into STUDY/figures: NAME.png, NAME.svg and NAME.csv, and says what it left out
 * and why. */
enum iddpm_status study_figures(const struct study *study, const struct study_results *results,
                                const struct study_fits *fits);
/* STUDY/report.html, which holds everything in itself. */
enum iddpm_status study_report(const struct study *study, const struct study_results *results,
                               const struct study_fits *fits);

/* ---- other programs (command.c) ---------------------------------------------------------------------------------- */

struct command {
    char *out, *err; /* what it prints; the end of it where that is long */
    size_t out_size, err_size;
    int status; /* its exit status; -1 when it was killed */
};
/* Runs argv[0], found on PATH, to its end, with nothing to read; what prints for longer than `seconds` is killed. False
 * when it cannot be run. Takes no memory. */
bool command_run(char *const *argv, double seconds, struct command *command);

#endif
