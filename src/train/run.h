/* Private to src/train: the run folder. */
#ifndef IDDPM_TRAIN_RUN_H
#define IDDPM_TRAIN_RUN_H

#include "iddpm/train.h"

struct run_start {
    char path[PATH_SIZE]; /* of the checkpoint to start from, "" for the beginning */
    bool own;             /* it is this run's, not train.resume_checkpoint */
};
/* Collective. Looks for the run of config->run.dir and refuses a configuration that differs from that run's. */
enum iddpm_status run_find_start(const struct parallel *parallel, const struct config *config, struct run_start *start);
/* Rank 0. Makes the folders of the run and RUN/config.yaml, once the start is known to be good. */
enum iddpm_status run_write_config(const struct config *config, const char *text);

#endif
