/* Floor 1: the configuration. One table of keys (src/config/table.c) gives each key its name, type, default, range and
 * help; the YAML reader, key=value overrides, --help, the reference page and the written-out configuration all come
 * from it. Read once into one `struct config`; nothing below src/cli changes it. */
#ifndef IDDPM_CONFIG_H
#define IDDPM_CONFIG_H

#include "iddpm/base.h"

#define CONFIG_LIST_MAX 16

struct int_list {
    int n;
    int64_t v[CONFIG_LIST_MAX];
};
struct float_list {
    int n;
    double v[CONFIG_LIST_MAX];
};

/* Names, meanings and defaults are the authors' flags (script_util.py, image_train.py) where they have one;
 * channel_mult, conv_resample, in_channels, num_classes, total_steps, ema_warmup, what is off by default and the groups
 * run, parallel and store are ours. */
struct config {
    struct {
        char *dir;    /* folder of the run */
        int64_t seed; /* of all randomness */
    } run;
    struct {
        char *path;      /* folder made by `iddpm import` */
        char *eval_path; /* held-out data, default of `iddpm nll`; "" if none */
        char *local;     /* folder on the node's own disk with copies of index and shards, read in their place; "" */
        double cache;    /* GiB per rank that may be used to keep images in memory */
    } data;
    struct {
        int64_t image_size, in_channels, num_channels, num_res_blocks, num_heads, num_heads_upsample;
        struct int_list channel_mult;          /* n = 0: the authors' for 32, 64 and 256 pixels, else an error */
        struct int_list attention_resolutions; /* in pixels, "16,8" */
        bool use_scale_shift_norm, class_cond, conv_resample;
        int64_t num_classes; /* with class_cond; 0: as many as the data set has */
        double label_dropout;
        int64_t large_size, small_size; /* of a super-resolution model; small_size 0: it is none */
        bool use_checkpoint;
        double dropout;
        char *precision; /* float32 | bf16 */
    } model;
    struct {
        bool learn_sigma, sigma_small, use_kl, predict_xstart, rescale_timesteps, rescale_learned_sigmas;
        int64_t diffusion_steps;
        double min_snr_gamma;     /* 0: no weights */
        char *noise_schedule;     /* linear | cosine */
        char *timestep_respacing; /* "", "250", "ddim25", "10,15,20" */
    } diffusion;
    struct {
        int64_t batch_size; /* global */
        int64_t microbatch; /* images of a leaf in memory at once; -1: all */
        double lr, weight_decay;
        int64_t lr_anneal_steps, total_steps; /* total_steps 0: lr_anneal_steps; both 0 is an error of `train` */
        struct float_list ema_rate;
        bool ema_warmup;
        char *schedule_sampler; /* uniform | loss-second-moment */
        bool low_discrepancy, horizontal_flip;
        int64_t log_interval, save_interval;
        struct int_list save_steps; /* ascending; checkpoints there too, which stay */
        char *resume_checkpoint;
        int64_t eval_interval, eval_num, eval_strata;
        int64_t sample_interval, sample_num;
        char *sample_steps; /* as timestep_respacing */
    } train;
    struct {
        int64_t leaves;  /* 0: the default rule */
        char *reduction; /* reproducible | mpi_allreduce */
        bool overlap;
        int64_t threads; /* OpenMP threads per rank; 0: OMP_NUM_THREADS, else 1 */
        double watchdog; /* seconds without progress after which a job ends; 0: never */
        char *kernels;   /* of 3x3 convolutions: direct | winograd | auto */
    } parallel;
    struct {
        int64_t keep;         /* newest checkpoints kept */
        int64_t keep_every;   /* and every k-th by number of saves; 0: none */
        char *hints;          /* for MPI-IO: name=value,name=value */
        int64_t alignment;    /* bytes; large arrays begin at a multiple of it; 0: anywhere */
        int64_t max_failures; /* save intervals in a row without a checkpoint before training ends */
    } store;
    struct config_origin *origin; /* private: where each key was set */
};

/* Reads `path` (NULL: defaults only), then applies the n overrides "group.key=value" (any unique last part of a name
 * will do), and checks types and ranges. Fails with IDDPM_USAGE and a text naming file, line, key, what was found, what
 * is allowed, and for an unknown key the nearest known one. Destroy with config_destroy (also after failure: *out is
 * NULL). */
enum iddpm_status config_load(struct config **out, const char *path, int n, const char *const *overrides);
/* The same from YAML text; `name` stands for the file in messages. For the configuration kept in a checkpoint. */
enum iddpm_status config_parse(struct config **out, const char *name, const char *text, int n,
                               const char *const *overrides);
void config_destroy(struct config *config);

/* The full resolved configuration as YAML with the groups in table order, which config_parse reads back to equal
 * values. free() the text. */
enum iddpm_status config_text(const struct config *config, char **out);

/* For checks of combinations, which stand beside what they protect: "FILE:LINE: group.key: <text>" (or "group.key=...
 * on the command line", or "default of group.key"). Returns IDDPM_USAGE. */
enum iddpm_status config_error(const struct config *config, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* True when the file or an override set this key. */
bool config_is_set(const struct config *config, const char *key);
/* Gives `key` the value `text`, as an override would (for values found at run time, such as num_classes); does not
 * count as set by the user. */
enum iddpm_status config_set(struct config *config, const char *key, const char *text);

/* Compares: appends to *out (free()) one line "group.key: A here, B there" for each differing key that is not in
 * `ignored`, a NULL-terminated list of keys or prefixes ("store."). *out is NULL when nothing differs. */
enum iddpm_status config_difference(const struct config *here, const struct config *there, const char *const *ignored,
                                    char **out);

/* The whole name of the one key of which `part` is the last part ("lr": "train.lr"), into *name. IDDPM_USAGE when there
 * are none or several, which are named. */
enum iddpm_status config_key(const char *part, const char **name);
/* The value of a key as an override takes it, written in one way ("1e-4": "0.0001"), into *out; free(). */
enum iddpm_status config_get(const struct config *config, const char *key, char **out);

/* The reference of all keys, made from the table: plain text for --help, Markdown for the documentation. */
void config_print_help(FILE *stream, bool markdown);

/* ---- text (text.c): what the readers of configurations and command lines share ----------------------------------- */

/* The whole of `text` as a decimal integer, or as a finite number; false when it is anything else. */
bool text_integer(const char *text, int64_t *out);
bool text_number(const char *text, double *out);
/* The shortest decimal text that reads back to the same value: "0.9999", "1.0e-05". Names an EMA in files. */
#define TEXT_NUMBER_SIZE 32
void text_from_number(double value, char out[TEXT_NUMBER_SIZE]);
/* "ema/RATE", the group of an EMA in checkpoints and its name for --weights. */
#define CONFIG_EMA_GROUP (TEXT_NUMBER_SIZE + 4)
void config_ema_group(double rate, char out[CONFIG_EMA_GROUP]);
/* Insertions, deletions, replacements and swaps of neighbours that make one name the other (first 64 letters). */
unsigned text_distance(const char *a, const char *b);

/* ---- YAML (document.c): files that are no configurations are read with it too ------------------------------------ */

struct yaml_document_s;
struct yaml_node_s; /* of <yaml.h>, which who walks through a document includes */

/* The one document of the file `name`, or of `text` when it is not NULL. `what`: such a file in messages, "study".
 * IDDPM_USAGE with file and line when it is no YAML. */
enum iddpm_status document_read(struct yaml_document_s **out, const char *name, const char *text, const char *what);
void document_destroy(struct yaml_document_s *document); /* NULL is fine */
int document_line(const struct yaml_node_s *node);
bool document_is_null(const struct yaml_node_s *node); /* nothing, or null without quotes */
/* What stands there, for "found ...": the text of a scalar, else "a list" or "nested keys". */
const char *document_found(const struct yaml_node_s *node);
/* The plain values of a list as "a,b,c", which config_set reads, into out[size]. */
enum iddpm_status document_join(struct yaml_document_s *document, const struct yaml_node_s *list, char *out,
                                size_t size);

#endif
