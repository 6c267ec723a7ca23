/* iddpm help: the commands, the help text of one, or the keys of a configuration. */
#include "cli.h"

#include <string.h>

enum iddpm_status cmd_help(struct cli *cli)
{
    bool markdown = false, done;
    const struct option options[] = {
        {"markdown", NULL, "keys of a configuration as a Markdown page", .flag = &markdown}};
    const struct usage usage = {"[COMMAND|config]",
                                "The commands, the help text of one, or all keys of a configuration.", 0, 1,
                                OPTIONS(options)};
    TRY(options_parse(cli, &usage, &done));
    if (done) return IDDPM_OK;
    bool config = cli->argc == 1 && strcmp(cli->argv[0], "config") == 0;
    if (markdown && !config) return iddpm_error(IDDPM_USAGE, "help: --markdown is for `iddpm help config`");
    if (config) {
        config_print_help(stdout, markdown);
        return IDDPM_OK;
    }
    if (cli->argc == 0) {
        cli_print_commands(stdout);
        return IDDPM_OK;
    }
    char *argv[] = {cli->argv[0], "--help", NULL};
    return cli_run(cli, 2, argv);
}
