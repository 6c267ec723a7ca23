/* Seconds from the start of the process to the first training step, of a new run and of one that is continued, in turns
 * with an empty MPI program: MPI_Init, MPI_Finalize. One JSON line each, and one for what training adds to it.
 * usage: bench_startup [MODEL [ROUNDS [key=value ...]]]   One rank; threads by OMP_NUM_THREADS. */
#include "models.h"
#include "support/data.h"

#include "iddpm/models.h"

#include <mpi.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EMPTY, NEW, CONTINUED, KINDS };
static const char *const names[KINDS] = {"empty MPI program", "new run", "continued run"};

/* Runs `argv` to its end. Seconds until it has said that it begins with its first step, or to its end if it says no
 * such thing. */
static double seconds_of(char *const *argv)
{
    int ends[2];
    char line[4 * PATH_SIZE];
    double began = clock_seconds(), ready = 0;
    if (pipe(ends) != 0) exit(1);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execv(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    FILE *says = fdopen(ends[0], "r");
    while (fgets(line, sizeof line, says))
        if (ready == 0 && strstr(line, "parameters, batch")) ready = clock_seconds();
    fclose(says);
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "%s failed\n", argv[0]);
        exit(1);
    }
    return (ready > 0 ? ready : clock_seconds()) - began;
}

/* Writes FOLDER/NAME.yaml. */
static void write_config(const char *folder, const char *name, int argc, char **argv)
{
    const char *overrides[BENCH_OVERRIDES];
    char run[PATH_SIZE], data[PATH_SIZE], path[PATH_SIZE], *text;
    struct config *config;
    int n = bench_model(argc > 1 ? argv[1] : "cifar10", overrides);
    snprintf(run, sizeof run, "run.dir=%s/%s", folder, name);
    snprintf(data, sizeof data, "data.path=%s/data", folder);
    overrides[n++] = run;
    overrides[n++] = data;
    overrides[n++] = "train.batch_size=8";
    overrides[n++] = "train.total_steps=1";
    for (int i = 3; i < argc && n < BENCH_OVERRIDES; i++) overrides[n++] = argv[i];
    bench_check(config_load(&config, NULL, n, overrides));
    bench_check(config_text(config, &text));
    snprintf(path, sizeof path, "%s/%s.yaml", folder, name);
    bench_check(path_write_text(path, text));
    if (!path_exists(data + strlen("data.path=")))
        bench_check(bench_data(folder, image_size_from_config(config), (int)config->model.num_classes));
    free(text);
    config_destroy(config);
}

static void measure(const char *self, const char *folder, int round, int argc, char **argv, double best[KINDS])
{
    char name[32], run[PATH_SIZE], config[PATH_SIZE], program[PATH_SIZE];
    snprintf(name, sizeof name, "run-%d", round);
    write_config(folder, name, argc, argv);
    snprintf(run, sizeof run, "%s/%s", folder, name);
    snprintf(config, sizeof config, "%s/%s.yaml", folder, name);
    snprintf(program, sizeof program, "%.*s/../iddpm", (int)(strrchr(self, '/') - self), self);
    char *const commands[KINDS][5] = {
        {(char *)self, "empty"}, {program, "train", config}, {program, "train", run, "train.total_steps=2"}};
    for (int kind = 0; kind < KINDS; kind++) {
        double seconds = seconds_of(commands[kind]);
        if (best[kind] == 0 || seconds < best[kind]) best[kind] = seconds;
        printf("{\"benchmark\": \"startup\", \"what\": \"%s\", \"model\": \"%s\", \"seconds\": %.3f}\n", names[kind],
               argc > 1 ? argv[1] : "cifar10", seconds);
    }
    bench_remove(run);
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/iddpm-bench-XXXXXX", self[PATH_SIZE];
    double best[KINDS] = {0};
    if (argc == 2 && strcmp(argv[1], "empty") == 0) return MPI_Init(&argc, &argv) || MPI_Finalize();
    if (getuid() == 0) { /* Open MPI asks root for this */
        setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
        setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    }
    if (!mkdtemp(folder) || !realpath("/proc/self/exe", self)) return 1;
    for (int round = 0; round < (argc > 2 ? atoi(argv[2]) : 3); round++) measure(self, folder, round, argc, argv, best);
    for (int kind = NEW; kind < KINDS; kind++)
        printf("{\"benchmark\": \"startup\", \"what\": \"%s, beyond an empty MPI program\", \"seconds\": %.3f}\n",
               names[kind], best[kind] - best[EMPTY]);
    bench_remove(folder);
    return 0;
}
