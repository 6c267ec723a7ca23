#include "fields.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 4096 };

enum iddpm_status source_error(const struct source *source, int line, const char *format, ...)
{
    char said[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(said, sizeof said, format, args);
    va_end(args);
    return iddpm_error(IDDPM_USAGE, "%s:%d: %s", source->name, line, said);
}

enum iddpm_status source_text(const struct source *source, const yaml_node_t *node, char **out)
{
    char text[TEXT_MAX];
    const char *value = document_is_null(node) ? "" : document_found(node);
    if (node->type == YAML_MAPPING_NODE)
        return source_error(source, document_line(node), "found nested keys; allowed is a value");
    if (node->type == YAML_SEQUENCE_NODE) {
        if (document_join(source->document, node, text, sizeof text) != IDDPM_OK)
            return source_error(source, document_line(node), "%s", iddpm_error_text());
        value = text;
    } else if (strlen((const char *)node->data.scalar.value) != node->data.scalar.length) {
        return source_error(source, document_line(node), "found a NUL byte; allowed is printable UTF-8");
    }
    *out = mem_strdup(value);
    return *out ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: no memory to read it", source->name);
}

static enum iddpm_status unknown(const struct source *source, int line, const char *where, const char *name, int n,
                                 const struct field *fields)
{
    int nearest = 0;
    for (int i = 1; i < n; i++)
        if (text_distance(name, fields[i].name) < text_distance(name, fields[nearest].name)) nearest = i;
    return source_error(source, line, "%s%.80s: unknown key; nearest is %s%s", where, name, where,
                        fields[nearest].name);
}

static bool read_flag(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (int i = 0; i < 8; i++) {
        if (strcmp(text, words[i]) != 0) continue;
        *out = i % 2;
        return true;
    }
    return false;
}

static enum iddpm_status refuse(const struct source *source, const char *where, const struct field *field,
                                const char *found)
{
    char limit[64] = "";
    if (field->max != 0)
        snprintf(limit, sizeof limit, " from %.10g to %.10g", field->min, field->max);
    else
        snprintf(limit, sizeof limit, " of at least %.10g", field->min);
    if (field->kind == FIELD_FLAG) snprintf(limit, sizeof limit, ", true or false");
    return source_error(source, field->line, "%s%s: found '%.80s'; allowed is a %s%s", where, field->name, found,
                        field->kind == FIELD_FLAG      ? "word"
                        : field->kind == FIELD_INTEGER ? "whole number"
                                                       : "number",
                        limit);
}

static enum iddpm_status read_scalar(const struct source *source, const char *where, const struct field *field,
                                     const char *text)
{
    double number = 0;
    int64_t integer = 0;
    bool flag, fits;
    if (field->kind == FIELD_FLAG) {
        if (!read_flag(text, &flag)) return refuse(source, where, field, text);
        *(bool *)field->to = flag;
        return IDDPM_OK;
    }
    fits = field->kind == FIELD_INTEGER ? text_integer(text, &integer) : text_number(text, &number);
    if (field->kind == FIELD_INTEGER) number = (double)integer;
    if (!fits || number < field->min || (field->max != 0 && number > field->max))
        return refuse(source, where, field, text);
    if (field->kind == FIELD_INTEGER)
        *(int64_t *)field->to = integer;
    else
        *(double *)field->to = number;
    return IDDPM_OK;
}

static enum iddpm_status read_field(const struct source *source, const char *where, const struct field *field,
                                    const yaml_node_t *value)
{
    if (field->kind == FIELD_NODE) {
        *(const yaml_node_t **)field->to = value;
        return IDDPM_OK;
    }
    if (value->type != YAML_SCALAR_NODE)
        return source_error(source, field->line, "%s%s: found %s; allowed is one value", where, field->name,
                            document_found(value));
    char *text;
    TRY(source_text(source, value, &text));
    if (field->kind == FIELD_TEXT) {
        free(*(char **)field->to);
        *(char **)field->to = text;
        return IDDPM_OK;
    }
    enum iddpm_status status = read_scalar(source, where, field, text);
    free(text);
    return status;
}

enum iddpm_status fields_read(const struct source *source, const yaml_node_t *mapping, const char *where, int n,
                              struct field *fields)
{
    if (mapping->type != YAML_MAPPING_NODE)
        return source_error(source, document_line(mapping), "%sfound %.80s; allowed are keys with values", where,
                            document_found(mapping));
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(source->document, pair->key);
        const char *name = document_found(key);
        int i = 0;
        while (i < n && strcmp(fields[i].name, name) != 0) i++;
        if (i == n) return unknown(source, document_line(key), where, name, n, fields);
        if (fields[i].line)
            return source_error(source, document_line(key), "%s%s: stands here a second time, the first is in line %d",
                                where, name, fields[i].line);
        fields[i].line = document_line(key);
        TRY(read_field(source, where, &fields[i], yaml_document_get_node(source->document, pair->value)));
    }
    return IDDPM_OK;
}
