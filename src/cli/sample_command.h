/* Private to src/cli: iddpm sample, its options and the names of its results. */
#ifndef IDDPM_CLI_SAMPLE_COMMAND_H
#define IDDPM_CLI_SAMPLE_COMMAND_H

#include "result_name.h"

enum { SAMPLE_IMAGES = 64, SAMPLE_ROWS = 8 }; /* without --num; rows of --progressive */

struct sample_command {
    struct inference inference;
    const char *steps, *out, *base_path, *data_path;
    struct base *base;
    struct dataset *data;                                      /* of --encode */
    int64_t images, label, start, columns, save_seconds, more; /* images -1: `more`, what there is without --num; start:
                                                                * timestep, -1 for the last */
    bool ddim, npz, xstart, again;
    double eta;
    char path[PATH_SIZE]; /* of the picture, or of the latents */
    char npz_path[PATH_SIZE], record[PATH_SIZE], part[PATH_SIZE];
};

/* Sets the paths of what the command writes; the model is loaded. */
enum iddpm_status sample_name(struct sample_command *command);

#endif
