/* Private to src/cli: what Slurm says of jobs. It is asked by running squeue, which may be missing. */
#ifndef IDDPM_CLI_SLURM_H
#define IDDPM_CLI_SLURM_H

#include "cli.h"

#include "iddpm/train.h"

/* What a job is doing; JOB_UNKNOWN when Slurm does not answer within some seconds. */
enum job_state slurm_job_state(const char *id);

#endif
