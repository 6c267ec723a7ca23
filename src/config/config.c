/* The configuration as a whole: defaults, file, overrides, where each value came from, writing and comparing. */
#include "key.h"

#include <stdlib.h>
#include <string.h>

enum source { FROM_DEFAULT, FROM_FILE, FROM_COMMAND_LINE, FROM_PROGRAM };

struct config_origin {
    char *name; /* of the file, NULL if there is none */
    struct {
        enum source source;
        int line; /* in the file; stays when an override follows */
    } of[];       /* [key_count] */
};

/* Puts where a key's value `text` comes from before the error text. */
static enum iddpm_status place(const struct config *config, int i, const char *text, enum iddpm_status status)
{
    const struct config_origin *origin = config->origin;
    const char *key = keys[i].name;
    switch (origin->of[i].source) {
    case FROM_FILE:
        return iddpm_error_context(status, "%s:%d: %s", origin->name, origin->of[i].line, key);
    case FROM_COMMAND_LINE:
        return iddpm_error_context(status, "%s=%.80s on the command line", key, text);
    case FROM_PROGRAM:
        return iddpm_error_context(status, "%s=%.80s", key, text);
    case FROM_DEFAULT:
        break;
    }
    return iddpm_error_context(status, "default of %s", key);
}

/* ---- setting ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status assign(struct config *config, int i, enum source source, const char *text)
{
    config->origin->of[i].source = source;
    enum iddpm_status status = key_set(&keys[i], config, text);
    return status == IDDPM_OK ? IDDPM_OK : place(config, i, text, status);
}

enum iddpm_status config_assign(struct config *config, int i, int line, const char *text)
{
    config->origin->of[i].line = line;
    return assign(config, i, FROM_FILE, text);
}

int config_line(const struct config *config, int i)
{
    return config->origin->of[i].line;
}

enum iddpm_status config_set(struct config *config, const char *key, const char *text)
{
    int i;
    TRY(key_find_last(key, &i));
    return assign(config, i, FROM_PROGRAM, text);
}

static enum iddpm_status override(struct config *config, const char *argument)
{
    const char *equals = strchr(argument, '=');
    char name[128];
    if (!equals || equals == argument || equals - argument >= (ptrdiff_t)sizeof name)
        return iddpm_error(IDDPM_USAGE, "%.120s: an override is written key=value, for example lr=1e-4", argument);
    memcpy(name, argument, (size_t)(equals - argument));
    name[equals - argument] = 0;
    int i;
    enum iddpm_status status = key_find_last(name, &i);
    if (status != IDDPM_OK) return iddpm_error_context(status, "on the command line");
    return assign(config, i, FROM_COMMAND_LINE, equals + 1);
}

/* ---- creating ---------------------------------------------------------------------------------------------------- */

static enum iddpm_status create(struct config **out, const char *name)
{
    struct config_origin *origin;
    size_t size = sizeof *origin + (size_t)key_count * sizeof origin->of[0];
    TRY(mem_alloc(out, 1, sizeof **out, "configuration"));
    enum iddpm_status status = mem_alloc(&origin, 1, size, "configuration");
    (*out)->origin = origin;
    if (status == IDDPM_OK && name && !(origin->name = mem_strdup(name)))
        status = iddpm_error(IDDPM_FAILED, "%s: no memory for the name", name);
    for (int i = 0; i < key_count && status == IDDPM_OK; i++) status = assign(*out, i, FROM_DEFAULT, keys[i].initial);
    return status;
}

static enum iddpm_status load(struct config **out, const char *name, const char *text, int n,
                              const char *const *overrides)
{
    enum iddpm_status status = create(out, name);
    if (status == IDDPM_OK && name) status = config_read_yaml(*out, name, text);
    for (int i = 0; i < n && status == IDDPM_OK; i++) status = override(*out, overrides[i]);
    if (status == IDDPM_OK) return IDDPM_OK;
    config_destroy(*out);
    *out = NULL;
    return status;
}

enum iddpm_status config_load(struct config **out, const char *path, int n, const char *const *overrides)
{
    return load(out, path, NULL, n, overrides);
}

enum iddpm_status config_parse(struct config **out, const char *name, const char *text, int n,
                               const char *const *overrides)
{
    return load(out, name, text, n, overrides);
}

void config_destroy(struct config *config)
{
    if (!config) return;
    for (int i = 0; i < key_count; i++) key_free(&keys[i], config);
    if (config->origin) free(config->origin->name);
    free(config->origin);
    free(config);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

enum iddpm_status config_error(const struct config *config, const char *key, const char *format, ...)
{
    char said[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(said, sizeof said, format, args);
    va_end(args);
    int i = key_find(key);
    if (i < 0) return iddpm_error(IDDPM_USAGE, "%s: %s", key, said);
    char *text;
    TRY(key_text(&keys[i], config, &text));
    enum iddpm_status status = place(config, i, text, iddpm_error(IDDPM_USAGE, "%s", said));
    free(text);
    return status;
}

bool config_is_set(const struct config *config, const char *key)
{
    int i = key_find(key);
    return i >= 0 && (config->origin->of[i].source == FROM_FILE || config->origin->of[i].source == FROM_COMMAND_LINE);
}

enum iddpm_status config_key(const char *part, const char **name)
{
    int i;
    TRY(key_find_last(part, &i));
    *name = keys[i].name;
    return IDDPM_OK;
}

enum iddpm_status config_get(const struct config *config, const char *key, char **out)
{
    int i;
    TRY(key_find_last(key, &i));
    return key_text(&keys[i], config, out);
}

/* ---- writing and comparing --------------------------------------------------------------------------------------- */

enum iddpm_status config_text(const struct config *config, char **out)
{
    *out = NULL;
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return iddpm_error(IDDPM_FAILED, "configuration: no memory for its text");
    for (int g = 0; g < KEY_GROUPS; g++) {
        fprintf(stream, "%s:\n", key_groups[g].name);
        for (int i = 0; i < key_count; i++) {
            if (!key_in_group(&keys[i], key_groups[g].name)) continue;
            fprintf(stream, "  %s: ", key_last(&keys[i]));
            key_print(&keys[i], config, true, stream);
            fputc('\n', stream);
        }
    }
    return key_stream_finish(stream, &text, out);
}

static bool is_ignored(const char *key, const char *const *ignored)
{
    for (; ignored && *ignored; ignored++) {
        size_t n = strlen(*ignored);
        bool prefix = n > 0 && (*ignored)[n - 1] == '.';
        if (prefix ? strncmp(key, *ignored, n) == 0 : strcmp(key, *ignored) == 0) return true;
    }
    return false;
}

/* Writes a line to `stream` when the key differs. */
static enum iddpm_status compare(const struct key *key, const struct config *here, const struct config *there,
                                 FILE *stream)
{
    char *a, *b;
    TRY(key_text(key, here, &a));
    enum iddpm_status status = key_text(key, there, &b);
    if (status == IDDPM_OK && strcmp(a, b) != 0)
        fprintf(stream, "%s: %s here, %s there\n", key->name, *a ? a : "nothing", *b ? b : "nothing");
    free(a);
    free(b);
    return status;
}

enum iddpm_status config_difference(const struct config *here, const struct config *there, const char *const *ignored,
                                    char **out)
{
    *out = NULL;
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return iddpm_error(IDDPM_FAILED, "configuration: no memory to compare it");
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < key_count && status == IDDPM_OK; i++)
        if (!is_ignored(keys[i].name, ignored)) status = compare(&keys[i], here, there, stream);
    TRY(key_stream_finish(stream, &text, out));
    if (status == IDDPM_OK && **out) return IDDPM_OK;
    free(*out);
    *out = NULL;
    return status;
}
