/* iddpm study: its commands. */
#include "study.h"

#include <limits.h>
#include <string.h>

static const struct {
    const char *name, *help;
    enum iddpm_status (*run)(struct cli *cli);
} commands[] = {
    {"plan", "what the points of a study are and cost", study_cmd_plan},
    {"submit", "run what is missing: job arrays of Slurm, or here with --local RANKS", study_cmd_submit},
    {"status", "how far each point is, and why one failed", study_cmd_status},
    {"cancel", "end what is queued or running", study_cmd_cancel},
    {"collect", "results and learning curves of all runs as tables", study_cmd_collect},
    {"fit", "power laws of loss against compute, and sizes at one compute", study_cmd_fit},
    {"figures", "the paper's figures of what was collected", study_cmd_figures},
    {"report", "a page with tables, fits, figures, samples and configurations", study_cmd_report},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static enum iddpm_status unknown(const char *name)
{
    int nearest = 0;
    for (int i = 1; i < COMMANDS; i++)
        if (text_distance(name, commands[i].name) < text_distance(name, commands[nearest].name)) nearest = i;
    return iddpm_error(IDDPM_USAGE, "study: %.80s: unknown command; nearest is %s (iddpm study --help lists them)",
                       name, commands[nearest].name);
}

/* Options before any command: only --help is one. */
static enum iddpm_status options_alone(struct cli *cli)
{
    char about[2048] =
        "A study is a grid of runs. A file (jobs/studies/*.yaml) describes it: a base configuration, lists of values, "
        "budgets, what to measure. Every command may be repeated at any time and does only what is missing.\n\n";
    for (int i = 0; i < COMMANDS; i++) {
        size_t used = strlen(about);
        snprintf(about + used, sizeof about - used, "  %-10s %s\n", commands[i].name, commands[i].help);
    }
    const struct usage usage = {"COMMAND FILE|STUDY ...", about, 1, INT_MAX, 0, NULL};
    bool done;
    return options_parse(cli, &usage, &done);
}

enum iddpm_status cmd_study(struct cli *cli)
{
    static char name[64];
    if (cli->argc == 0 || cli->argv[0][0] == '-') return options_alone(cli);
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(cli->argv[0], commands[i].name) != 0) continue;
        snprintf(name, sizeof name, "study %s", commands[i].name);
        cli->command = name;
        cli->argc--;
        cli->argv++;
        return commands[i].run(cli);
    }
    return unknown(cli->argv[0]);
}
