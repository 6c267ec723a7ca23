/* The reference of all keys, made from the table. */
#include "key.h"

#include <string.h>

static void print_plain(const struct key *key, FILE *stream)
{
    fprintf(stream, "  %-24s %-14s %s", key_last(key), *key->initial ? key->initial : "-", key->help);
    if (key->type != KEY_TEXT) {
        fputs("; ", stream);
        key_print_allowed(key, stream);
    }
    fputc('\n', stream);
}

/* A bar would end the cell. */
static void print_cell(const char *text, FILE *stream)
{
    for (; *text; text++) {
        if (*text == '|') fputc('\\', stream);
        fputc(*text, stream);
    }
}

static void print_markdown(const struct key *key, FILE *stream)
{
    const char *quote = *key->initial ? "`" : "";
    fprintf(stream, "| `%s` | %s%s%s | ", key_last(key), quote, key->initial, quote);
    key_print_allowed(key, stream);
    fputs(" | ", stream);
    print_cell(key->help, stream);
    fputs(" |\n", stream);
}

static void print_group(const struct key_group *group, FILE *stream, bool markdown)
{
    if (markdown)
        fprintf(stream, "\n## %s\n\n%c%s.\n\n| key | default | allowed | meaning |\n| --- | --- | --- | --- |\n",
                group->name, group->help[0] - 'a' + 'A', group->help + 1);
    else
        fprintf(stream, "\n%s: %s\n", group->name, group->help);
    for (int i = 0; i < key_count; i++)
        if (key_in_group(&keys[i], group->name)) (markdown ? print_markdown : print_plain)(&keys[i], stream);
}

void config_print_help(FILE *stream, bool markdown)
{
    fprintf(stream,
            "%sA configuration is a YAML file of groups of keys. On the command line key=value sets a key after the\n"
            "file is read; the last part of a name is enough (lr=1e-4 is train.lr=1e-4). Lists are written 16,8 or\n"
            "[16, 8].%s\n",
            markdown ? "# Keys of a configuration\n\n" : "",
            markdown ? " This page is made by `iddpm help config --markdown` from the table in `src/config/table.c`."
                     : "");
    for (int g = 0; g < KEY_GROUPS; g++) print_group(&key_groups[g], stream, markdown);
}
