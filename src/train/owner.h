/* Private to src/train: RUN/owner, the one job that may write a run. Rank 0 acts for all. */
#ifndef IDDPM_TRAIN_OWNER_H
#define IDDPM_TRAIN_OWNER_H

#include "iddpm/train.h"

/* What RUN/owner says, one line "key: value" each; "" where it says nothing. */
enum owner_field {
    OWNER_JOB,      /* the batch system's number */
    OWNER_CLUSTER,  /* in which that number means something */
    OWNER_TASK,     /* of a job array */
    OWNER_RESTARTS, /* of the job */
    OWNER_HOST,
    OWNER_MACHINE, /* boot and name space that the process number means something in */
    OWNER_PID,
    OWNER_STARTED, /* clock ticks from the boot to the start of the process: numbers are used again */
    OWNER_TOKEN,   /* random, of this one claim */
    OWNER_SINCE,   /* for people */
    OWNER_FIELDS
};
struct owner_record {
    char v[OWNER_FIELDS][256];
};

struct owner {
    const struct parallel *parallel;
    char token[32];                /* the same on all ranks */
    struct checkpoint_guard guard; /* for checkpoint_write */
    /* the rest on rank 0 */
    char folder[PATH_SIZE], path[PATH_SIZE];
    struct owner_record mine;
    int file;         /* RUN/owner as this job wrote it, open for the sign of life; -1: none */
    bool made_folder; /* this job made RUN: it is removed again if nothing comes into it */
    bool lost;        /* someone else owns the run now: nothing more may be written */
};

/* Collective. Makes this job the owner of the folder `run`, which is made if it is not there. When another job owns it:
 *  - the same batch job: the one that was restarted more often has it (IDDPM_FAILED for the other);
 *  - on this host: taken over when its process is gone;
 *  - in a batch job whose state can be asked: taken over when that does not run;
 *  - else taken over when it shows no sign of life for some 25 s.
 * Otherwise IDDPM_USAGE with a text that says who it is and what to do. `job` may be NULL. */
enum iddpm_status owner_claim(struct owner *owner, const struct parallel *parallel, const struct train_job *job,
                              const char *run);
/* Not collective; always IDDPM_OK on ranks other than 0. Asks the file, as one must directly before whatever is written
 * into the run. IDDPM_FAILED when it names another job: the log file is then closed. `owner` is a struct owner. */
enum iddpm_status owner_check(void *owner);
/* Collective: whether a check of rank 0 has found another owner. */
bool owner_is_lost(const struct owner *owner);
/* Rank 0: the sign of life, every 10 s or so, from any thread. */
void owner_beat(void *owner);
/* Not collective. Removes the file if it is still this job's. After a failed claim too, and on an owner of zeroes. */
void owner_release(struct owner *owner);

#endif
