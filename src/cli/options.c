#include "options.h"

#include "cli.h"

#include <math.h>
#include <string.h>

bool options_ask_help(int argc, char *const *argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

static void print_default(const struct option *option)
{
    char text[TEXT_NUMBER_SIZE];
    if (option->text && *option->text) printf(" (default %s)", *option->text);
    if (option->integer) printf(" (default %lld)", (long long)*option->integer);
    if (option->number && !isnan(*option->number)) {
        text_from_number(*option->number, text);
        printf(" (default %s)", text);
    }
}

static void print_help(const struct cli *cli, const struct usage *usage)
{
    printf("usage: iddpm %s%s%s%s\n\n%s\n", cli->command, *usage->arguments ? " " : "", usage->arguments,
           usage->n > 0 ? " [options]" : "", usage->about);
    if (usage->n > 0) printf("\noptions:\n");
    for (int i = 0; i < usage->n; i++) {
        const struct option *option = &usage->options[i];
        char name[64];
        snprintf(name, sizeof name, "--%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        printf("  %-22s %s", name, option->help);
        print_default(option);
        putchar('\n');
    }
}

/* ---- parsing ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status unknown(const struct cli *cli, const struct usage *usage, const char *name, size_t length)
{
    char asked[64];
    const char *nearest = "help";
    snprintf(asked, sizeof asked, "%.*s", (int)length, name);
    unsigned least = text_distance(asked, nearest);
    for (int i = 0; i < usage->n; i++) {
        unsigned distance = text_distance(asked, usage->options[i].name);
        if (distance < least) least = distance, nearest = usage->options[i].name;
    }
    return iddpm_error(IDDPM_USAGE, "%s: unknown option --%s; nearest is --%s (see iddpm %s --help)", cli->command,
                       asked, nearest, cli->command);
}

static enum iddpm_status refuse(const struct cli *cli, const struct option *option, const char *value)
{
    char limit[64] = "";
    if (option->max != 0)
        snprintf(limit, sizeof limit, " from %.10g to %.10g", option->min, option->max);
    else
        snprintf(limit, sizeof limit, " of at least %.10g", option->min);
    return iddpm_error(IDDPM_USAGE, "%s: --%s: found '%.80s'; allowed is a %snumber%s", cli->command, option->name,
                       value, option->integer ? "whole " : "", limit);
}

static enum iddpm_status store(const struct cli *cli, const struct option *option, const char *value)
{
    double number;
    int64_t integer;
    if (option->text) {
        *option->text = value;
        return IDDPM_OK;
    }
    bool fits = option->integer ? text_integer(value, &integer) : text_number(value, &number);
    if (fits && option->integer) number = (double)integer;
    if (!fits || number < option->min || (option->max != 0 && number > option->max)) return refuse(cli, option, value);
    if (option->integer)
        *option->integer = integer;
    else
        *option->number = number;
    return IDDPM_OK;
}

/* The option at argv[*i]; moves *i on over its value. */
static enum iddpm_status read_option(const struct cli *cli, const struct usage *usage, int *i)
{
    const char *name = cli->argv[*i] + (strncmp(cli->argv[*i], "--", 2) == 0 ? 2 : 1);
    size_t length = strcspn(name, "=");
    const char *value = name[length] ? name + length + 1 : NULL;
    const struct option *option = NULL;
    for (int k = 0; k < usage->n; k++)
        if (strlen(usage->options[k].name) == length && strncmp(usage->options[k].name, name, length) == 0)
            option = &usage->options[k];
    if (!option || cli->argv[*i][1] != '-') return unknown(cli, usage, name, length);
    if (option->flag) {
        if (value) return iddpm_error(IDDPM_USAGE, "%s: --%s takes no value", cli->command, option->name);
        *option->flag = true;
        return IDDPM_OK;
    }
    if (!value && *i + 1 < cli->argc && strncmp(cli->argv[*i + 1], "--", 2) != 0) value = cli->argv[++*i];
    if (!value)
        return iddpm_error(IDDPM_USAGE, "%s: --%s needs a value: --%s %s", cli->command, option->name, option->name,
                           option->value);
    return store(cli, option, value);
}

enum iddpm_status options_parse(struct cli *cli, const struct usage *usage, bool *done)
{
    *done = options_ask_help(cli->argc, cli->argv);
    if (*done) {
        print_help(cli, usage);
        return IDDPM_OK;
    }
    int left = 0;
    bool ended = false;
    for (int i = 0; i < cli->argc; i++) {
        if (!ended && strcmp(cli->argv[i], "--") == 0)
            ended = true;
        else if (!ended && cli->argv[i][0] == '-' && cli->argv[i][1])
            TRY(read_option(cli, usage, &i));
        else
            cli->argv[left++] = cli->argv[i];
    }
    cli->argc = left;
    if (left < usage->least)
        return iddpm_error(IDDPM_USAGE, "%s: something is missing; usage: iddpm %s %s", cli->command, cli->command,
                           usage->arguments);
    if (left > usage->most)
        return iddpm_error(IDDPM_USAGE, "%s: '%.80s' is one argument too many; usage: iddpm %s %s", cli->command,
                           cli->argv[usage->most], cli->command, usage->arguments);
    return IDDPM_OK;
}
