/* Options of a command from a table: --name value, --name=value, --flag; --help is made from it. */
#ifndef IDDPM_CLI_OPTIONS_H
#define IDDPM_CLI_OPTIONS_H

#include "iddpm/base.h"

struct cli;

struct option {
    const char *name;  /* without the dashes */
    const char *value; /* what its value is called in the help text, NULL for a flag */
    const char *help;
    /* Where it goes: one of them. What stands there before is the default; NAN: none. */
    bool *flag;
    const char **text;
    int64_t *integer;
    double *number;
    double min, max; /* of an integer or number; max 0: no upper limit */
};

struct usage {
    const char *arguments; /* "RUN|CHECKPOINT [key=value ...]" */
    const char *about;     /* what the command does; a paragraph or two */
    int least, most;       /* number of arguments that are no options */
    int n;
    const struct option *options;
};
/* The last two members of a usage. */
#define OPTIONS(table) (int)(sizeof(table) / sizeof *(table)), table

/* Reads the options of cli->argv into their places and leaves the arguments there. *done: --help was asked for and is
 * printed. IDDPM_USAGE with the option and what it takes; an unknown one names the nearest. "--" ends options. */
enum iddpm_status options_parse(struct cli *cli, const struct usage *usage, bool *done);
bool options_ask_help(int argc, char *const *argv);

#endif
