/* Reads a configuration file with libyaml: a mapping of groups, each a mapping of keys to a scalar or a list of
 * scalars. Anchors and aliases are resolved by libyaml; more structure than that is refused, so they cannot grow. */
#include "key.h"

#include <errno.h>
#include <string.h>
#include <yaml.h>

#define FILE_MAX ((size_t)1 << 16) /* bytes; a configuration has few thousand; libyaml is quadratic in nesting */
#define SECOND "stands here a second time, the first is in line %d"

struct reader {
    struct config *config;
    const char *name;
    yaml_parser_t parser;
    yaml_document_t document;
    /* reading a file */
    FILE *stream;
    size_t bytes;
    int error; /* errno of a failed read */
};

static int line_of(const yaml_node_t *node)
{
    return (int)node->start_mark.line + 1;
}

static bool is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (int i = 0; i < 5; i++)
        if (strcmp((const char *)node->data.scalar.value, words[i]) == 0) return true;
    return false;
}

/* What stands there, for "found ...". */
static const char *found(const yaml_node_t *node)
{
    return node->type == YAML_SEQUENCE_NODE  ? "a list"
           : node->type == YAML_MAPPING_NODE ? "nested keys"
                                             : (const char *)node->data.scalar.value;
}

/* ---- libyaml ----------------------------------------------------------------------------------------------------- */

static int read_file(void *data, unsigned char *buffer, size_t size, size_t *size_read)
{
    struct reader *reader = data;
    *size_read = fread(buffer, 1, size, reader->stream);
    if (ferror(reader->stream)) reader->error = errno ? errno : EIO;
    reader->bytes += *size_read;
    return !reader->error && reader->bytes <= FILE_MAX;
}

static enum iddpm_status not_yaml(const struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    if (reader->error) return iddpm_error(IDDPM_USAGE, "%s: cannot read: %s", reader->name, strerror(reader->error));
    if (reader->bytes > FILE_MAX)
        return iddpm_error(IDDPM_USAGE, "%s: longer than %zu bytes, so this is no configuration", reader->name,
                           FILE_MAX);
    if (parser->error == YAML_MEMORY_ERROR) return iddpm_error(IDDPM_FAILED, "%s: no memory to read it", reader->name);
    if (parser->error == YAML_READER_ERROR)
        return iddpm_error(IDDPM_USAGE, "%s: byte %zu is no text that YAML allows: %s; save the file as plain UTF-8",
                           reader->name, parser->problem_offset + 1, parser->problem);
    bool token = strstr(parser->problem, "cannot start any token");
    return iddpm_error(IDDPM_USAGE, "%s:%zu: not YAML: %s%s%s%s", reader->name, parser->problem_mark.line + 1,
                       parser->context ? parser->context : "", parser->context ? ", " : "", parser->problem,
                       token ? " (indent with spaces, not tabs; text that begins with @ ` % needs quotes)" : "");
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* A list as "a,b,c", which key_set reads. */
static enum iddpm_status join(struct reader *reader, const yaml_node_t *node, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        const yaml_node_t *element = yaml_document_get_node(&reader->document, *item);
        if (element->type != YAML_SCALAR_NODE)
            return iddpm_error(IDDPM_USAGE, "found %s in a list; allowed are plain values", found(element));
        int n = snprintf(out + used, size - used, "%s%s", used ? "," : "", (char *)element->data.scalar.value);
        if ((used += (size_t)n) >= size)
            return iddpm_error(IDDPM_USAGE, "found a list of more than %zu bytes", size - 1);
    }
    return IDDPM_OK;
}

/* The text that key_set reads, into *text; `list` has room for a joined list. */
static enum iddpm_status value_text(struct reader *reader, const struct key *key, const yaml_node_t *node,
                                    const char **text, char *list, size_t size)
{
    bool takes_list = key->type == KEY_INTEGERS || key->type == KEY_NUMBERS;
    *text = is_null(node) ? "" : found(node);
    if (node->type == YAML_SCALAR_NODE) {
        if (strlen((const char *)node->data.scalar.value) == node->data.scalar.length) return IDDPM_OK;
        return iddpm_error(IDDPM_USAGE, "found a NUL byte; allowed is printable UTF-8");
    }
    if (node->type == YAML_MAPPING_NODE || !takes_list) return key_refuse(key, found(node));
    *text = list;
    return join(reader, node, list, size);
}

static enum iddpm_status read_key(struct reader *reader, int group, const char *last, int line,
                                  const yaml_node_t *value)
{
    char name[256], list[1024];
    const char *text;
    snprintf(name, sizeof name, "%s.%s", key_groups[group].name, last);
    int i = key_find(name);
    if (i < 0) return iddpm_error_context(key_unknown(name), "%s:%d", reader->name, line);
    int first = config_line(reader->config, i);
    if (first) return iddpm_error(IDDPM_USAGE, "%s:%d: %s: " SECOND, reader->name, line, name, first);
    enum iddpm_status status = value_text(reader, &keys[i], value, &text, list, sizeof list);
    if (status != IDDPM_OK) return iddpm_error_context(status, "%s:%d: %s", reader->name, line, name);
    return config_assign(reader->config, i, line, text);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static int find_group(const char *name)
{
    for (int g = 0; g < KEY_GROUPS; g++)
        if (strcmp(name, key_groups[g].name) == 0) return g;
    return -1;
}

static enum iddpm_status unknown_group(const struct reader *reader, const char *name, int line)
{
    for (int i = 0; i < key_count; i++) { /* a key without its group, or with a dot */
        const char *last = key_last(&keys[i]);
        if (strcmp(name, keys[i].name) == 0 || strcmp(name, last) == 0)
            return iddpm_error(IDDPM_USAGE,
                               "%s:%d: %s: a key stands below its group: write '%.*s:' and in the next line, indented, "
                               "'%s: ...'",
                               reader->name, line, name, (int)(last - 1 - keys[i].name), keys[i].name, last);
    }
    int nearest = 0;
    unsigned least = ~0u;
    for (int g = 0; g < KEY_GROUPS; g++) {
        unsigned distance = text_distance(name, key_groups[g].name);
        if (distance < least) least = distance, nearest = g;
    }
    return iddpm_error(IDDPM_USAGE, "%s:%d: %.120s: unknown group; nearest is %s", reader->name, line, name,
                       key_groups[nearest].name);
}

/* A name of a group or key: its text and line. */
static enum iddpm_status read_name(const struct reader *reader, const yaml_node_t *node, const char **name, int *line)
{
    *name = found(node);
    *line = line_of(node);
    if (node->type == YAML_SCALAR_NODE) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s:%d: found %s where a name stands", reader->name, *line, *name);
}

static enum iddpm_status read_group(struct reader *reader, int group, const yaml_node_t *node)
{
    if (is_null(node)) return IDDPM_OK; /* all its keys are commented out */
    if (node->type != YAML_MAPPING_NODE)
        return iddpm_error(IDDPM_USAGE, "%s:%d: %s: found %.80s; a group holds indented lines 'key: value'",
                           reader->name, line_of(node), key_groups[group].name, found(node));
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const char *name;
        int line;
        TRY(read_name(reader, yaml_document_get_node(&reader->document, pair->key), &name, &line));
        TRY(read_key(reader, group, name, line, yaml_document_get_node(&reader->document, pair->value)));
    }
    return IDDPM_OK;
}

static enum iddpm_status read_root(struct reader *reader)
{
    const yaml_node_t *root = yaml_document_get_root_node(&reader->document);
    int lines[KEY_GROUPS] = {0};                 /* where each group stands */
    if (!root || is_null(root)) return IDDPM_OK; /* empty: defaults */
    if (root->type != YAML_MAPPING_NODE)
        return iddpm_error(IDDPM_USAGE,
                           "%s:%d: found %.80s; a configuration holds groups of keys, for example 'model:' and in the "
                           "next line, indented, 'image_size: 32'",
                           reader->name, line_of(root), found(root));
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start; pair < root->data.mapping.pairs.top; pair++) {
        const char *name;
        int line;
        TRY(read_name(reader, yaml_document_get_node(&reader->document, pair->key), &name, &line));
        int group = find_group(name);
        if (group < 0) return unknown_group(reader, name, line);
        if (lines[group]) return iddpm_error(IDDPM_USAGE, "%s:%d: %s: " SECOND, reader->name, line, name, lines[group]);
        lines[group] = line;
        TRY(read_group(reader, group, yaml_document_get_node(&reader->document, pair->value)));
    }
    return IDDPM_OK;
}

/* ---- the stream -------------------------------------------------------------------------------------------------- */

static enum iddpm_status read_document(struct reader *reader)
{
    if (!yaml_parser_load(&reader->parser, &reader->document)) return not_yaml(reader);
    enum iddpm_status status = read_root(reader);
    yaml_document_delete(&reader->document);
    return status;
}

static enum iddpm_status read_stream(struct reader *reader)
{
    TRY(read_document(reader));
    if (!yaml_parser_load(&reader->parser, &reader->document)) return not_yaml(reader);
    const yaml_node_t *root = yaml_document_get_root_node(&reader->document);
    int line = root ? line_of(root) : 0;
    yaml_document_delete(&reader->document);
    if (!root) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s:%d: a second document ('---') stands here; a configuration is one document",
                       reader->name, line);
}

enum iddpm_status config_read_yaml(struct config *config, const char *name, const char *text)
{
    struct reader reader = {.config = config, .name = name};
    if (!text && !(reader.stream = fopen(name, "rb")))
        return iddpm_error(IDDPM_USAGE, "%s: cannot open this configuration: %s", name, strerror(errno));
    enum iddpm_status status;
    if (yaml_parser_initialize(&reader.parser)) {
        if (text)
            yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, strlen(text));
        else
            yaml_parser_set_input(&reader.parser, read_file, &reader);
        status = read_stream(&reader);
        yaml_parser_delete(&reader.parser);
    } else {
        status = iddpm_error(IDDPM_FAILED, "%s: no memory to read it", name);
    }
    if (reader.stream) fclose(reader.stream);
    return status;
}
