/* Private to src/cli: what the commands have in common that run a trained model. */
#ifndef IDDPM_CLI_INFERENCE_H
#define IDDPM_CLI_INFERENCE_H

#include "cli.h"
#include "iddpm/evaluate.h"

struct inference {
    const char *weights, *respacing, *noise_path;
    int64_t step, batch, seed;
    bool no_clip;
    const char *ends_path, *ends_steps; /* of an ensemble (ensemble_options); NULL: none, or the default ones */
    double guidance;                    /* model_guide; 1: none */
    const char *features;               /* of model_options; NULL: none */
    struct model *model;
    struct noise *noise; /* NULL: Philox */
};

/* Defaults, and the rows that a command's table of options ends with. The last one is for those that predict images. */
enum { INFERENCE_OPTIONS = 7 };
void inference_options(struct inference *inference, struct option rows[INFERENCE_OPTIONS]);

/* The rows of commands that can run two models in turns. */
enum { ENSEMBLE_OPTIONS = 2 };
void ensemble_options(struct inference *inference, struct option rows[ENSEMBLE_OPTIONS]);

/* Collective. Starts the kernels, then loads models and noise; `seed` is then the one to use, and signals only set
 * their flag. inference_end also after a failure. */
enum iddpm_status inference_start(struct cli *cli, const char *path, struct inference *inference);
void inference_end(struct inference *inference);

/* Collective: the folder that the result `path` goes to, made by rank 0 before the work begins. */
enum iddpm_status inference_make_folder(const struct cli *cli, const char *path);

#endif
