/* Private to src/train: the run folder. */
#ifndef IDDPM_TRAIN_RUN_H
#define IDDPM_TRAIN_RUN_H

#include "iddpm/train.h"

/* Collective. Makes config->run.dir or finds the run in it; refuses a configuration that differs from that run's, and
 * writes RUN/config.yaml. from[PATH_SIZE]: the checkpoint to start from ("" for the beginning). */
enum iddpm_status run_open(const struct parallel *parallel, const struct config *config, char *from);

#endif
