/* Private to src/config: the table of keys, and the values that they have in a struct config. */
#ifndef IDDPM_CONFIG_KEY_H
#define IDDPM_CONFIG_KEY_H

#include "iddpm/config.h"

enum key_type { KEY_BOOL, KEY_INTEGER, KEY_NUMBER, KEY_TEXT, KEY_WORD, KEY_INTEGERS, KEY_NUMBERS };

struct key {
    const char *name; /* "group.key" */
    enum key_type type;
    size_t offset;       /* in struct config */
    const char *initial; /* default, written as an override's value */
    const char *help;    /* with the unit */
    double min, max;     /* of a number, or of each number of a list */
    bool below;          /* max itself is not allowed */
    double also;         /* a number outside the limits that is allowed, 0 if none */
    bool distinct;       /* a list of at least one number, none twice */
    bool ascending;      /* a list of whole numbers, each above the one before */
    const char *words;   /* KEY_WORD: "linear|cosine" */
};
extern const struct key keys[];
extern const int key_count;

struct key_group {
    const char *name, *help;
};
#define KEY_GROUPS 7
extern const struct key_group key_groups[KEY_GROUPS];

/* ---- names (name.c): each gives an index of `keys`, or -1 -------------------------------------------------------- */

int key_find(const char *name); /* the whole name */
bool key_in_group(const struct key *key, const char *group);
const char *key_last(const struct key *key); /* the name without its group */
/* The one key of which `part` is the last part ("lr", "train.lr"); the text lists the candidates when there are
 * several, or when only the end of a part agrees ("steps"). */
enum iddpm_status key_find_last(const char *part, int *out);
/* IDDPM_USAGE: `name` is unknown, what it is in the authors' scripts, or the nearest key. */
enum iddpm_status key_unknown(const char *name);

/* ---- values (value.c) -------------------------------------------------------------------------------------------- */

/* Reads `text` into the key's field. IDDPM_USAGE with "found '...'; allowed is ...", without the key's name; the field
 * is then as it was. */
enum iddpm_status key_set(const struct key *key, struct config *config, const char *text);
void key_free(const struct key *key, struct config *config);
/* The value as key_set reads it, or as it stands in YAML. */
void key_print(const struct key *key, const struct config *config, bool yaml, FILE *stream);
/* The value as key_set reads it, into *out; free(). */
enum iddpm_status key_text(const struct key *key, const struct config *config, char **out);
/* Ends a stream of open_memstream that writes *text: gives the text to *out, or frees it and fails. */
enum iddpm_status key_stream_finish(FILE *stream, char **text, char **out);
/* "a whole number from 1 to 4096" */
void key_print_allowed(const struct key *key, FILE *stream);
/* "found '<found>'; allowed is ..." */
enum iddpm_status key_refuse(const struct key *key, const char *found);

/* ---- YAML (yaml.c) ----------------------------------------------------------------------------------------------- */

/* Reads the file `name`, or `text` when it is not NULL; gives each key to config_assign. */
enum iddpm_status config_read_yaml(struct config *config, const char *name, const char *text);
/* Sets a key that stands in line `line` of the file. */
enum iddpm_status config_assign(struct config *config, int key, int line, const char *text);
/* Line in which the file set the key, 0 if it did not. */
int config_line(const struct config *config, int key);

#endif
