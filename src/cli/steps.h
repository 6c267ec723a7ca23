/* Private to src/cli: a choice of checkpoints of a run. */
#ifndef IDDPM_CLI_STEPS_H
#define IDDPM_CLI_STEPS_H

#include "iddpm/parallel.h"

/* Collective. The steps of `text`, "all" (that the run has checkpoints of) or "100,200", into *steps [*n] (free()), at
 * least one. IDDPM_USAGE when it is neither, or `run` is no run folder. */
enum iddpm_status steps_read(const struct parallel *parallel, const char *run, const char *text, int64_t **steps,
                             int *n);

#endif
