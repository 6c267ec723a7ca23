/* Private to src/train: when a run writes a checkpoint, and what follows when it cannot. */
#ifndef IDDPM_TRAIN_SAVE_H
#define IDDPM_TRAIN_SAVE_H

#include "metrics.h"
#include "owner.h"
#include "step.h"

struct saver {
    struct trainer *trainer;
    struct metrics *metrics;
    struct owner *owner;
    char *config_text, folder[PATH_SIZE]; /* RUN/checkpoints */
    int64_t step;                         /* of the newest checkpoint, -1 before the first */
    double since;                         /* clock when it was written, or when the run began */
    double seconds;                       /* that the last one took, 0 before the first */
    int failures;                         /* intervals in a row without a checkpoint */
    int64_t retry, wait; /* the step of the next try after a failure, and the steps up to it; 0: none */
};

/* All of these are collective. */

/* One try: writes a checkpoint of this step, says what it cost, and clears old ones away. */
enum iddpm_status save_now(struct saver *saver);
/* After a step: writes a checkpoint when one is due, by train.save_interval, train.save_steps, or because one has
 * failed. Training goes on without it: it is tried again log_interval, then twice as many steps later, and so on, and
 * when the next is due. Fails when store.max_failures intervals in a row have ended so. */
enum iddpm_status save_if_due(struct saver *saver);
/* The last checkpoint of a run, if this step has none yet. Nothing is left to train meanwhile, so up to
 * store.max_failures tries follow each other with pauses. */
enum iddpm_status save_last(struct saver *saver);

#endif
