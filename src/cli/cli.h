/* Floor 7: what main gives to the commands, and what they share.
 *
 * A new command is a file cmd_NAME.c, its line below, and a row of the table in main.c:
 *
 *     enum iddpm_status cmd_verify(struct cli *cli)
 *     {
 *         int64_t num = 10;
 *         const struct option options[] = {{"num", "N", "at most N files", .integer = &num, .min = 1}};
 *         const struct usage usage = {"PATH ...", "Compares every checksum of ...", 1, INT_MAX, OPTIONS(options)};
 *         bool done;
 *         TRY(options_parse(cli, &usage, &done));
 *         if (done) return IDDPM_OK;
 *         ... cli->argv[0] to cli->argv[cli->argc - 1] are the arguments that are left, num is what the user gave
 *     }
 *
 * It returns its status; main prints the error text, once, and makes the status the program's exit status. A command on
 * ranks (`on_ranks` in its row) is called by every rank with MPI started, calls cli_start before it computes, and
 * returns the same status on all ranks: parallel_agree after whatever one rank alone may fail in. */
#ifndef IDDPM_CLI_H
#define IDDPM_CLI_H

#include "iddpm/config.h"
#include "iddpm/parallel.h"
#include "options.h"

struct cli {
    const char *command; /* "train" */
    int argc;            /* what follows it; options_parse leaves only the arguments */
    char **argv;
    const char *isa;  /* IDDPM_ISA, NULL when not set */
    const char *jobs; /* IDDPM_JOBS, NULL when not set */
    int threads;      /* the first number of OMP_NUM_THREADS, 1 when not set */
    struct {
        const char *id, *cluster, *array, *task; /* SLURM_JOB_ID, ...; "" outside Slurm */
        int64_t restarts;
    } slurm;
    struct parallel parallel; /* of a command on ranks; elsewhere one rank without a communicator */
};

enum iddpm_status cmd_features(struct cli *cli);
enum iddpm_status cmd_help(struct cli *cli);
enum iddpm_status cmd_import(struct cli *cli);
enum iddpm_status cmd_info(struct cli *cli);
enum iddpm_status cmd_nll(struct cli *cli);
enum iddpm_status cmd_plot(struct cli *cli);
enum iddpm_status cmd_sample(struct cli *cli);
enum iddpm_status cmd_study(struct cli *cli);
enum iddpm_status cmd_train(struct cli *cli);
enum iddpm_status cmd_verify(struct cli *cli);

/* Collective in a command on ranks. What must stand before a kernel runs: the instruction set, the same on all ranks;
 * threads, from parallel.threads of a configuration (or NULL), else OMP_NUM_THREADS, else 1; denormals to zero. */
enum iddpm_status cli_start(const struct cli *cli, const struct config *config);

/* Versions of the program and of what it stands on, to standard output. */
enum iddpm_status cli_print_version(const struct cli *cli);

/* The commands, one a line. */
void cli_print_commands(FILE *stream);
/* Runs `argv[0]` with the arguments behind it. */
enum iddpm_status cli_run(struct cli *cli, int argc, char **argv);

#endif
