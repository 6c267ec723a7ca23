/* Reads a configuration file: a mapping of groups, each a mapping of keys to a scalar or a list of scalars. More
 * structure than that is refused, so aliases cannot make it grow. */
#include "key.h"

#include <string.h>
#include <yaml.h>

#define SECOND "stands here a second time, the first is in line %d"

struct reader {
    struct config *config;
    const char *name;
    yaml_document_t *document;
};

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* The text that key_set reads, into *text; `list` has room for a joined list. */
static enum iddpm_status value_text(struct reader *reader, const struct key *key, const yaml_node_t *node,
                                    const char **text, char *list, size_t size)
{
    bool takes_list = key->type == KEY_INTEGERS || key->type == KEY_NUMBERS;
    *text = document_is_null(node) ? "" : document_found(node);
    if (node->type == YAML_SCALAR_NODE) {
        if (strlen((const char *)node->data.scalar.value) == node->data.scalar.length) return IDDPM_OK;
        return iddpm_error(IDDPM_USAGE, "found a NUL byte; allowed is printable UTF-8");
    }
    if (node->type == YAML_MAPPING_NODE || !takes_list) return key_refuse(key, document_found(node));
    *text = list;
    return document_join(reader->document, node, list, size);
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
    *name = document_found(node);
    *line = document_line(node);
    if (node->type == YAML_SCALAR_NODE) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s:%d: found %s where a name stands", reader->name, *line, *name);
}

static enum iddpm_status read_group(struct reader *reader, int group, const yaml_node_t *node)
{
    if (document_is_null(node)) return IDDPM_OK; /* all its keys are commented out */
    if (node->type != YAML_MAPPING_NODE)
        return iddpm_error(IDDPM_USAGE, "%s:%d: %s: found %.80s; a group holds indented lines 'key: value'",
                           reader->name, document_line(node), key_groups[group].name, document_found(node));
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const char *name;
        int line;
        TRY(read_name(reader, yaml_document_get_node(reader->document, pair->key), &name, &line));
        TRY(read_key(reader, group, name, line, yaml_document_get_node(reader->document, pair->value)));
    }
    return IDDPM_OK;
}

static enum iddpm_status read_root(struct reader *reader)
{
    const yaml_node_t *root = yaml_document_get_root_node(reader->document);
    int lines[KEY_GROUPS] = {0};                          /* where each group stands */
    if (!root || document_is_null(root)) return IDDPM_OK; /* empty: defaults */
    if (root->type != YAML_MAPPING_NODE)
        return iddpm_error(IDDPM_USAGE,
                           "%s:%d: found %.80s; a configuration holds groups of keys, for example 'model:' and in the "
                           "next line, indented, 'image_size: 32'",
                           reader->name, document_line(root), document_found(root));
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start; pair < root->data.mapping.pairs.top; pair++) {
        const char *name;
        int line;
        TRY(read_name(reader, yaml_document_get_node(reader->document, pair->key), &name, &line));
        int group = find_group(name);
        if (group < 0) return unknown_group(reader, name, line);
        if (lines[group]) return iddpm_error(IDDPM_USAGE, "%s:%d: %s: " SECOND, reader->name, line, name, lines[group]);
        lines[group] = line;
        TRY(read_group(reader, group, yaml_document_get_node(reader->document, pair->value)));
    }
    return IDDPM_OK;
}

enum iddpm_status config_read_yaml(struct config *config, const char *name, const char *text)
{
    struct reader reader = {.config = config, .name = name};
    TRY(document_read(&reader.document, name, text, "configuration"));
    enum iddpm_status status = read_root(&reader);
    document_destroy(reader.document);
    return status;
}
