/* The program: finds the command, starts MPI for those on ranks, prints an error once, exits with its status. The
 * environment is read here and nowhere else. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

struct command {
    const char *name, *help;
    enum iddpm_status (*run)(struct cli *cli);
    bool on_ranks; /* every rank runs it, under mpirun or srun or alone */
};

static const struct command commands[] = {
    {"import", "a data set from pictures", cmd_import, false},
    {"train", "train a model, or continue a run", cmd_train, true},
    {"nll", "bits/dim of images under a trained model", cmd_nll, true},
    {"sample", "images from a trained model", cmd_sample, true},
    {"features", "outputs of a network's blocks for images of a data set", cmd_features, true},
    {"study", "scaling studies: plan, submit, collect, fit, draw", cmd_study, false},
    {"info", "what a configuration, run, checkpoint or data set is; every check of a job", cmd_info, false},
    {"verify", "every checksum of checkpoints and data sets", cmd_verify, false},
    {"plot", "curves of a run and terms of its bits/dim, as pictures", cmd_plot, false},
    {"help", "this list, or the help text of a command, or all keys of a configuration", cmd_help, false},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

void cli_print_commands(FILE *stream)
{
    fprintf(stream, "usage: iddpm COMMAND ...\n"
                    "       mpirun -n RANKS iddpm COMMAND ...   for the commands marked with a star\n\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(stream, "  %c %-10s %s\n", commands[i].on_ranks ? '*' : ' ', commands[i].name, commands[i].help);
    fprintf(stream,
            "\niddpm COMMAND --help says more, iddpm help config lists the keys of a configuration, iddpm "
            "--version what this\nprogram stands on. IDDPM_ISA=portable|avx2|avx512|avx512bf16 chooses an instruction "
            "set, OMP_NUM_THREADS the threads of a rank.\nExit status: 0 done; 1 failed; 2 wrong use or "
            "configuration; 75 stopped on a signal, or before a time limit, with "
            "everything saved.\n");
}

static const struct command *find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0) return &commands[i];
    return NULL;
}

static enum iddpm_status unknown(const char *name)
{
    int nearest = 0;
    for (int i = 1; i < COMMANDS; i++)
        if (text_distance(name, commands[i].name) < text_distance(name, commands[nearest].name)) nearest = i;
    return iddpm_error(IDDPM_USAGE, "%.80s: unknown command; nearest is %s (iddpm --help lists them)", name,
                       commands[nearest].name);
}

/* Prints the error text, on rank 0, and forgets it. */
static void report(const struct cli *cli, enum iddpm_status status)
{
    if (status != IDDPM_OK && *iddpm_error_text() && cli->parallel.rank == 0) log_error("%s", iddpm_error_text());
    iddpm_error(status, "%s", "");
}

enum iddpm_status cli_run(struct cli *cli, int argc, char **argv)
{
    const struct command *command = find(argv[0]);
    if (!command) return unknown(argv[0]);
    cli->command = argv[0];
    cli->argc = argc - 1;
    cli->argv = argv + 1;
    bool ranks = command->on_ranks && !options_ask_help(cli->argc, cli->argv);
    if (ranks) TRY(parallel_init(&cli->parallel, &argc, &argv));
    enum iddpm_status status = command->run(cli);
    if (!ranks) return status;
    report(cli, status); /* now: MPI_Finalize waits for all ranks */
    parallel_finalize(&cli->parallel);
    return status;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

static enum iddpm_status read_environment(struct cli *cli)
{
    cli->slurm.id = variable("SLURM_JOB_ID");
    cli->slurm.cluster = variable("SLURM_CLUSTER_NAME");
    cli->slurm.array = variable("SLURM_ARRAY_JOB_ID");
    cli->slurm.task = variable("SLURM_ARRAY_TASK_ID");
    cli->slurm.restarts = strtoll(variable("SLURM_RESTART_COUNT"), NULL, 10);
    cli->jobs = *variable("IDDPM_JOBS") ? variable("IDDPM_JOBS") : NULL;
    const char *isa = getenv("IDDPM_ISA"), *threads = getenv("OMP_NUM_THREADS");
    cli->isa = isa && *isa ? isa : NULL;
    cli->threads = 1;
    if (!threads || !*threads) return IDDPM_OK;
    char *end;
    long n = strtol(threads, &end, 10); /* "4,2" is allowed by OpenMP */
    if (end == threads || (*end && *end != ',') || n < 1 || n > 1024)
        return iddpm_error(IDDPM_USAGE, "OMP_NUM_THREADS: found '%.80s'; allowed is a whole number from 1 to 1024",
                           threads);
    cli->threads = (int)n;
    return IDDPM_OK;
}

static enum iddpm_status dispatch(struct cli *cli, int argc, char **argv)
{
    TRY(read_environment(cli));
    if (argc < 2) {
        cli_print_commands(stderr);
        return iddpm_error(IDDPM_USAGE, "%s", "");
    }
    if (strcmp(argv[1], "--version") == 0) return cli_print_version(cli);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        cli_print_commands(stdout);
        return IDDPM_OK;
    }
    return cli_run(cli, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    struct cli cli = {.parallel = {MPI_COMM_NULL, 0, 1}};
    enum iddpm_status status = dispatch(&cli, argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout))
        status = iddpm_error(status == IDDPM_OK ? IDDPM_FAILED : status, "standard output could not be written");
    report(&cli, status);
    log_open(NULL);
    return (int)status;
}
