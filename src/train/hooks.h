/* Private to src/train: the hooks of a run. */
#ifndef IDDPM_TRAIN_HOOKS_H
#define IDDPM_TRAIN_HOOKS_H

#include "owner.h"
#include "step.h"

struct train_inside {
    struct trainer *trainer;
    struct owner *owner;
    int n;
    const struct train_hook *hooks;
    int running;                   /* the number of a hook; -1 between them */
    bool ends;                     /* rank 0: it was told that the job ends */
    bool other_weights;            /* the network has those of an EMA */
    int64_t done[TRAIN_HOOKS_MAX]; /* the step whose result is there or was tried, -1 for none */
    int begun;                     /* hooks for which `begin` was called */
    struct train_view view;
};

/* All but hooks_end are collective. */

/* Once the state to start from is known. */
enum iddpm_status hooks_begin(struct train_inside *inside);
/* After a step, and before the first one: those that are due and have not made this step's result. IDDPM_STOPPED with
 * trainer->ending.near set as compute_gradient; IDDPM_FAILED when the run has another owner. *seconds: what they took.
 */
enum iddpm_status hooks_run(struct train_inside *inside, double *seconds);
/* The hook that was interrupted, or NULL. */
const char *hooks_interrupted(const struct train_inside *inside);
void hooks_end(struct train_inside *inside);

#endif
