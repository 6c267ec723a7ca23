/* A YAML file as one document, read by libyaml for whoever walks through its nodes. Anchors and aliases are resolved by
 * libyaml. */
#include "iddpm/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define FILE_MAX ((size_t)1 << 16) /* bytes; such a file has few thousand; libyaml is quadratic in nesting */

struct reader {
    const char *name, *what;
    yaml_parser_t parser;
    /* reading a file */
    FILE *stream;
    size_t bytes;
    int error; /* errno of a failed read */
};

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

int document_line(const yaml_node_t *node)
{
    return (int)node->start_mark.line + 1;
}

bool document_is_null(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (int i = 0; i < 5; i++)
        if (strcmp((const char *)node->data.scalar.value, words[i]) == 0) return true;
    return false;
}

const char *document_found(const yaml_node_t *node)
{
    return node->type == YAML_SEQUENCE_NODE  ? "a list"
           : node->type == YAML_MAPPING_NODE ? "nested keys"
                                             : (const char *)node->data.scalar.value;
}

enum iddpm_status document_join(yaml_document_t *document, const yaml_node_t *list, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (yaml_node_item_t *item = list->data.sequence.items.start; item < list->data.sequence.items.top; item++) {
        const yaml_node_t *element = yaml_document_get_node(document, *item);
        if (element->type != YAML_SCALAR_NODE)
            return iddpm_error(IDDPM_USAGE, "found %s in a list; allowed are plain values", document_found(element));
        int n = snprintf(out + used, size - used, "%s%s", used ? "," : "", (char *)element->data.scalar.value);
        if ((used += (size_t)n) >= size)
            return iddpm_error(IDDPM_USAGE, "found a list of more than %zu bytes", size - 1);
    }
    return IDDPM_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

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
        return iddpm_error(IDDPM_USAGE, "%s: longer than %zu bytes, so this is no %s", reader->name, FILE_MAX,
                           reader->what);
    if (parser->error == YAML_MEMORY_ERROR) return iddpm_error(IDDPM_FAILED, "%s: no memory to read it", reader->name);
    if (parser->error == YAML_READER_ERROR)
        return iddpm_error(IDDPM_USAGE, "%s: byte %zu is no text that YAML allows: %s; save the file as plain UTF-8",
                           reader->name, parser->problem_offset + 1, parser->problem);
    bool token = strstr(parser->problem, "cannot start any token");
    return iddpm_error(IDDPM_USAGE, "%s:%zu: not YAML: %s%s%s%s", reader->name, parser->problem_mark.line + 1,
                       parser->context ? parser->context : "", parser->context ? ", " : "", parser->problem,
                       token ? " (indent with spaces, not tabs; text that begins with @ ` % needs quotes)" : "");
}

/* The second document of a stream must be none. */
static enum iddpm_status expect_end(struct reader *reader)
{
    yaml_document_t more;
    if (!yaml_parser_load(&reader->parser, &more)) return not_yaml(reader);
    const yaml_node_t *root = yaml_document_get_root_node(&more);
    int line = root ? document_line(root) : 0;
    yaml_document_delete(&more);
    if (!root) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s:%d: a second document ('---') stands here; a %s is one document", reader->name,
                       line, reader->what);
}

static enum iddpm_status load(struct reader *reader, yaml_document_t *document)
{
    if (!yaml_parser_load(&reader->parser, document)) return not_yaml(reader);
    enum iddpm_status status = expect_end(reader);
    if (status != IDDPM_OK) yaml_document_delete(document);
    return status;
}

static enum iddpm_status open_and_load(struct reader *reader, const char *text, yaml_document_t *document)
{
    if (!text && !(reader->stream = fopen(reader->name, "rb")))
        return iddpm_error(IDDPM_USAGE, "%s: cannot open this %s: %s", reader->name, reader->what, strerror(errno));
    enum iddpm_status status;
    if (yaml_parser_initialize(&reader->parser)) {
        if (text)
            yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, strlen(text));
        else
            yaml_parser_set_input(&reader->parser, read_file, reader);
        status = load(reader, document);
        yaml_parser_delete(&reader->parser);
    } else {
        status = iddpm_error(IDDPM_FAILED, "%s: no memory to read it", reader->name);
    }
    if (reader->stream) fclose(reader->stream);
    return status;
}

enum iddpm_status document_read(yaml_document_t **out, const char *name, const char *text, const char *what)
{
    struct reader reader = {.name = name, .what = what};
    TRY(mem_alloc(out, 1, sizeof **out, what));
    enum iddpm_status status = open_and_load(&reader, text, *out);
    if (status == IDDPM_OK) return IDDPM_OK;
    free(*out);
    *out = NULL;
    return status;
}

void document_destroy(yaml_document_t *document)
{
    if (document) yaml_document_delete(document);
    free(document);
}
