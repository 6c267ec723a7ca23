/* Private to src/train: seeing the job's end coming. Rank 0's clock decides for all. */
#ifndef IDDPM_TRAIN_ENDING_H
#define IDDPM_TRAIN_ENDING_H

#include "iddpm/train.h"

/* Kinds of work that a job must not run into its end with: steps, and each of the hooks. */
enum { ENDING_STEP, ENDING_HOOK /* the first one */, ENDING_KINDS = ENDING_HOOK + TRAIN_HOOKS_MAX };

/* Times are those of clock_seconds; all zero but `end` at the start. */
struct ending {
    double end;     /* of the job; 0: not known */
    double began;   /* the work that is being done; 0: none is */
    double checked; /* of the last ending_is_near */
    struct {
        double longest;       /* seconds */
        double longest_piece; /* between two checks in it */
    } seen[ENDING_KINDS];
    double work;         /* of what comes next: a piece of the work, or, before it, the whole of it */
    double longest_save; /* of a checkpoint, 0 before the first */
    double guessed_save; /* what counts before the first */
    bool near;           /* on all ranks: why the last work was not finished */
};

/* Before each microbatch of a step, and each run of the network in a hook: whether what is left would not do for this
 * work, or, once in it, the next piece of it, and for a checkpoint afterwards. */
bool ending_is_near(struct ending *ending, int kind, double now);
void ending_done(struct ending *ending, int kind, double now); /* this work, whole */
void ending_given_up(struct ending *ending);                   /* this work */
void ending_saved(struct ending *ending, double seconds);      /* a checkpoint took so long */
double ending_guess(double bytes);                             /* seconds for a checkpoint on a disk not seen yet */
/* Once it is near before the first step is done, which no job of that limit will come to do either; `work` is what does
 * not fit: "the limit leaves 78 s, a step and a checkpoint need 90 s or more: ask for a longer limit" */
void ending_too_short(const struct ending *ending, const char *work, char *out, size_t size);
/* "the job ends at 12:34:56 (in 78 s)" */
void ending_text(const struct ending *ending, char *out, size_t size);

#endif
