/* Private to src/train: seeing the job's end coming. Rank 0's clock decides for all. */
#ifndef IDDPM_TRAIN_ENDING_H
#define IDDPM_TRAIN_ENDING_H

#include "iddpm/base.h"

/* Times are those of clock_seconds; all zero but `end` at the start. */
struct ending {
    double end;           /* of the job; 0: not known */
    double step_began;    /* 0: between two steps */
    double checked;       /* of the last ending_is_near */
    double longest_step;  /* seconds */
    double longest_piece; /* between two checks in a step */
    double work;          /* of what comes next: a piece in a step, else a step */
    double longest_save;  /* of a checkpoint, 0 before the first */
    double guessed_save;  /* what counts before the first */
    bool near;            /* on all ranks: why the last step was not finished */
};

/* Before each microbatch: whether what is left would not do for this step, or, once in it, the next piece of it, and
 * for a checkpoint afterwards. */
bool ending_is_near(struct ending *ending, double now);
void ending_step_done(struct ending *ending, double now);
void ending_saved(struct ending *ending, double seconds); /* a checkpoint took so long */
double ending_guess(double bytes);                        /* seconds for a checkpoint on a disk not seen yet */
/* Once it is near before the first step is done, which no job of that limit will come to do either: "the limit leaves
 * 78 s, a step and a checkpoint need 90 s or more: ask for a longer limit" */
void ending_too_short(const struct ending *ending, char *out, size_t size);
/* "the job ends at 12:34:56 (in 78 s)" */
void ending_text(const struct ending *ending, char *out, size_t size);

#endif
