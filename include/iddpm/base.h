/* Floor 0: status and error text, memory, Philox randomness, clock, log, paths, stop flags.
 * Nothing here knows of networks, files formats or MPI. */
#ifndef IDDPM_BASE_H
#define IDDPM_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define IDDPM_VERSION "0.1.0"

/* ---- status (status.c) ------------------------------------------------------------------------------------------- */

/* What every function that can fail returns. The values are the program's exit statuses. */
enum iddpm_status {
    IDDPM_OK = 0,
    IDDPM_FAILED = 1,  /* something went wrong while working: I/O, memory, damaged data */
    IDDPM_USAGE = 2,   /* wrong use or configuration: the user must change something */
    IDDPM_STOPPED = 75 /* stopped on a signal or before a time limit, all saved; the same command continues */
};

/* Sets the calling thread's error text (printf style) and returns `status`. The text is one sentence or two: what is
 * wrong, naming the file, key or data set, and what to do about it. */
enum iddpm_status iddpm_error(enum iddpm_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts "<context>: " before the present text; returns `status` unchanged. */
enum iddpm_status iddpm_error_context(enum iddpm_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The calling thread's last error text, "" if there was none. Valid until the next error of this thread. */
const char *iddpm_error_text(void);

/* Returns from the calling function when `call` fails. */
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        enum iddpm_status try_status_ = (call);                                                                        \
        if (try_status_ != IDDPM_OK) return try_status_;                                                               \
    } while (0)

/* ---- memory (memory.c) ------------------------------------------------------------------------------------------- */

#define MEM_ALIGN 64 /* bytes; a cache line and an AVX-512 vector */

/* Zeroed memory of `count` x `size` bytes at a MEM_ALIGN boundary, into *out. Fails (IDDPM_FAILED, naming `what` and
 * the size) on overflow or when there is none; *out is then NULL. Free with free(). */
enum iddpm_status mem_alloc(void *out, size_t count, size_t size, const char *what);
/* As mem_alloc, for arrays that may be large: pages are zeroed when they are first touched, and are huge ones (2 MiB)
 * where the system has them. Free with mem_unmap. */
enum iddpm_status mem_map(void *out, size_t count, size_t size, const char *what);
void mem_unmap(void *array); /* NULL or from mem_map */
/* Resizes *array (NULL or from mem_grow, elements of `size` bytes) so that it has room for `need` elements; doubles.
 * `capacity` is kept by the caller. Free with free(). */
enum iddpm_status mem_grow(void *array, size_t *capacity, size_t need, size_t size, const char *what);
char *mem_strdup(const char *text); /* NULL when there is no memory, or text is NULL */
/* Highest resident set of this process so far, in bytes (getrusage). */
uint64_t mem_peak_bytes(void);

/* ---- randomness (philox.c) --------------------------------------------------------------------------------------- */

/* Philox4x32-10 (Salmon et al. 2011; Random123) as a function: key = seed, counter = (element / 4, slot, step,
 * purpose). Equal arguments give equal values on every rank, in every order. */
enum rng_purpose {
    RNG_INIT = 1,         /* parameter initialisation; slot = tensor */
    RNG_TIMESTEP,         /* timestep of an image in a training step; slot = image in the global batch */
    RNG_NOISE,            /* its noise */
    RNG_SHUFFLE,          /* order of images in an epoch, and the dealing of an import */
    RNG_NLL,              /* noise of a likelihood evaluation; slot = image, step = timestep */
    RNG_SAMPLE,           /* draws of a sampling chain; slot = sample, step = 0 for x_T, j + 1 for step j */
    RNG_CLASS,            /* random classes of samples; slot = sample */
    RNG_TEST,             /* tests and benchmarks */
    RNG_STRATUM,          /* timestep of a likelihood evaluation in a stratum; slot = image, step = stratum */
    RNG_FLIP,             /* whether an image of a training step is mirrored; slot = image in the global batch */
    RNG_LABEL,            /* whether it is trained without its class */
    RNG_SPREAD,           /* timesteps spread evenly over a batch: their one random number, and the order of slots */
    RNG_SAMPLE_BASE,      /* as RNG_SAMPLE, where images are enlarged: theirs may be of the same seed */
    RNG_DROPOUT = 1 << 16 /* + layer number */
};

struct rng {
    uint64_t seed;
    uint32_t purpose, step, slot;
};

void rng_uint32(const struct rng *rng, uint64_t first, size_t n, uint32_t *out); /* elements first, first + 1, ... */
void rng_uniform(const struct rng *rng, size_t n, double *out);                  /* [0, 1), 32 bits */
void rng_normal(const struct rng *rng, size_t n, double *out);                   /* N(0, 1), Box-Muller */
double rng_one_uniform(const struct rng *rng);                                   /* [0, 1), 53 bits, element 0 */
/* Element `i` of a pseudo-random permutation of 0..n-1 (a Feistel network over Philox with cycle walking): random
 * access, no state. n >= 1, i < n. */
uint64_t rng_permute(const struct rng *rng, uint64_t n, uint64_t i);

/* ---- clock and log (clock.c, log.c) ------------------------------------------------------------------------------ */

double clock_seconds(void); /* monotonic */
void clock_sleep(double seconds);

/* Lines for people go to standard output, warnings and errors to standard error; both also to the log file when one is
 * open. Ranks other than 0 are quiet (log_set_quiet) except for log_error. */
void log_set_quiet(bool quiet);
enum iddpm_status log_open(const char *path); /* append; closes a former one; NULL closes */
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A live progress line: on a terminal rewritten in place with bar, rate and time left; otherwise a plain line at most
 * every `seconds` seconds and at the end. `done` == `total` ends the line. */
struct log_progress {
    const char *what; /* "train", "nll", ... */
    const char *unit; /* "images", "steps" */
    double started, last, seconds;
    double total, first; /* `first`: units already done at the start (a continued run) */
    bool bar;            /* rewritten in place */
};
void log_progress_start(struct log_progress *progress, const char *what, const char *unit, double first, double total);
/* `extra` (may be NULL) is printed behind, for example "loss 0.0312". */
void log_progress_show(struct log_progress *progress, double done, const char *extra);

/* ---- paths (path.c) ---------------------------------------------------------------------------------------------- */

#define PATH_SIZE 4096
/* Joins into out[PATH_SIZE]; fails when it does not fit. */
enum iddpm_status path_join(char *out, const char *folder, const char *name);
enum iddpm_status path_make_folders(const char *path); /* mkdir -p */
/* False only when there is surely nothing of that name: what a disk does not answer for must not be taken as gone, and
 * whoever opens it then learns the reason. */
bool path_exists(const char *path);
bool path_is_folder(const char *path);
/* Writes `bytes` of `data`, or the whole of `text`, as `path`: temporary file beside it, fsync, rename. Nothing
 * half-written is ever seen. */
enum iddpm_status path_write(const char *path, const void *data, size_t bytes);
enum iddpm_status path_write_text(const char *path, const char *text);
/* Reads a whole text file into *out (free()); `limit` bytes at most, else an error. */
enum iddpm_status path_read_text(const char *path, size_t limit, char **out);
/* The same into out[size], at most size - 1 bytes, taking no memory; out is "" after an error. */
enum iddpm_status path_read_small(const char *path, size_t size, char *out);
enum iddpm_status path_sync_folder(const char *path); /* fsync of a folder after a rename */

/* ---- stop flags (stop.c) ----------------------------------------------------------------------------------------- */

/* After stop_install, SIGUSR1, SIGTERM and SIGINT only set a flag; a further SIGINT or SIGTERM two seconds after the
 * first of these two ends the process. (Sooner it is taken for the same request by another way.) */
void stop_install(void);
int stop_signal(void); /* the signal received, 0 if none */

#endif
