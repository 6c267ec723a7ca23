/* Private to src/train: the run folder. */
#ifndef IDDPM_TRAIN_RUN_H
#define IDDPM_TRAIN_RUN_H

#include "state.h"

struct run_start {
    char path[PATH_SIZE]; /* of the checkpoint that was read, "" for the beginning */
    bool own;             /* it is this run's, not train.resume_checkpoint */
};
/* Collective. Looks for the run of config->run.dir, refuses a configuration that differs from that run's, and reads the
 * newest of its checkpoints that can be read, else train.resume_checkpoint, into `state`: each is read once, by all
 * ranks together, and its checksums are compared then. Damaged ones are named in warnings. Without either the state is
 * that of a beginning. */
enum iddpm_status run_read_start(const struct parallel *parallel, const struct config *config,
                                 struct train_state *state, struct run_start *start);
/* Rank 0. Makes the folders of the run and RUN/config.yaml, once the start is known to be good. */
enum iddpm_status run_write_config(const struct config *config, const char *text);

#endif
