/* Private to src/cli: what Slurm says of jobs. It is asked by running squeue, which may be missing. */
#ifndef IDDPM_CLI_SLURM_H
#define IDDPM_CLI_SLURM_H

#include "cli.h"

#include "iddpm/train.h"

/* A duration as Slurm writes it: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS. False for anything else. */
bool slurm_duration(const char *text, double *seconds);
/* Seconds to the time limit of a job; 0 when Slurm does not say, or there is none. */
double slurm_time_left(const char *id);
/* What a job is doing; JOB_UNKNOWN when Slurm does not answer within some seconds, or says of it neither that it runs
 * nor that it has ended. */
enum job_state slurm_job_state(const char *id);

#endif
