#include "json.h"

#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

static char *copy(const yaml_node_t *scalar)
{
    return strndup((const char *)scalar->data.scalar.value, scalar->data.scalar.length);
}

static void read_scalar(struct json *json, const yaml_node_t *node)
{
    json->text = copy(node);
    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        json->kind = JSON_STRING;
    } else if (strcmp(json->text, "null") == 0) {
        json->kind = JSON_NULL;
    } else if (strcmp(json->text, "true") == 0 || strcmp(json->text, "false") == 0) {
        json->kind = JSON_BOOL;
        json->number = json->text[0] == 't';
    } else {
        char *end;
        json->kind = JSON_NUMBER;
        json->number = strtod(json->text, &end);
        if (*end || end == json->text) fail_msg("JSON: %s is no value", json->text);
    }
}

static struct json *read_node(yaml_document_t *document, int id)
{
    yaml_node_t *node = yaml_document_get_node(document, id);
    struct json *json = calloc(1, sizeof *json);
    if (node->type == YAML_SCALAR_NODE) {
        read_scalar(json, node);
    } else if (node->type == YAML_SEQUENCE_NODE) {
        json->kind = JSON_LIST;
        json->n = (int)(node->data.sequence.items.top - node->data.sequence.items.start);
        json->items = calloc((size_t)json->n + 1, sizeof *json->items);
        for (int i = 0; i < json->n; i++) json->items[i] = read_node(document, node->data.sequence.items.start[i]);
    } else {
        json->kind = JSON_OBJECT;
        json->n = (int)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
        json->items = calloc((size_t)json->n + 1, sizeof *json->items);
        json->keys = calloc((size_t)json->n + 1, sizeof *json->keys);
        for (int i = 0; i < json->n; i++) {
            yaml_node_pair_t pair = node->data.mapping.pairs.start[i];
            json->keys[i] = copy(yaml_document_get_node(document, pair.key));
            json->items[i] = read_node(document, pair.value);
        }
    }
    return json;
}

static struct json *load(yaml_parser_t *parser, const char *name)
{
    yaml_document_t document;
    if (!yaml_parser_load(parser, &document) || !yaml_document_get_root_node(&document))
        fail_msg("%s: not JSON: %s", name, parser->problem ? parser->problem : "empty");
    struct json *json = read_node(&document, 1);
    yaml_document_delete(&document);
    return json;
}

struct json *json_parse(const char *text)
{
    yaml_parser_t parser;
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    struct json *json = load(&parser, text);
    yaml_parser_delete(&parser);
    return json;
}

struct json *json_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("%s: cannot open", path);
    yaml_parser_t parser;
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_file(&parser, file);
    struct json *json = load(&parser, path);
    yaml_parser_delete(&parser);
    fclose(file);
    return json;
}

void json_free(struct json *json)
{
    if (!json) return;
    for (int i = 0; i < json->n; i++) {
        json_free(json->items[i]);
        if (json->keys) free(json->keys[i]);
    }
    free(json->items);
    free(json->keys);
    free(json->text);
    free(json);
}

const struct json *json_get(const struct json *object, const char *key)
{
    if (object->kind != JSON_OBJECT) fail_msg("JSON: no object that could have a \"%s\"", key);
    for (int i = 0; i < object->n; i++)
        if (strcmp(object->keys[i], key) == 0) return object->items[i]->kind == JSON_NULL ? NULL : object->items[i];
    return NULL;
}

static const struct json *get_kind(const struct json *object, const char *key, enum json_kind kind)
{
    const struct json *json = json_get(object, key);
    if (json && json->kind != kind) fail_msg("JSON: \"%s\" has another type than expected", key);
    return json;
}

double json_number(const struct json *object, const char *key, double otherwise)
{
    const struct json *json = get_kind(object, key, JSON_NUMBER);
    return json ? json->number : otherwise;
}

bool json_bool(const struct json *object, const char *key, bool otherwise)
{
    const struct json *json = get_kind(object, key, JSON_BOOL);
    return json ? json->number != 0 : otherwise;
}

const char *json_string(const struct json *object, const char *key, const char *otherwise)
{
    const struct json *json = get_kind(object, key, JSON_STRING);
    return json ? json->text : otherwise;
}

int json_numbers(const struct json *object, const char *key, int room, double *out)
{
    const struct json *list = get_kind(object, key, JSON_LIST);
    if (!list) return 0;
    if (list->n > room) fail_msg("JSON: \"%s\" has %d members, more than %d", key, list->n, room);
    for (int i = 0; i < list->n; i++) {
        if (list->items[i]->kind != JSON_NUMBER) fail_msg("JSON: \"%s\" holds more than numbers", key);
        out[i] = list->items[i]->number;
    }
    return list->n;
}
