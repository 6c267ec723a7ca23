#include "index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define INDEX_FORMAT "iddpm data set 1"
#define INDEX_BYTES_MAX (256 << 20)

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Length of the well-formed UTF-8 sequence at `s` and its code point; 0 when there is none. */
static int utf8_next(const unsigned char *s, uint32_t *code)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    int n = s[0] < 0x80                   ? 1
            : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
            : (s[0] & 0xf0) == 0xe0       ? 3
            : (s[0] & 0xf8) == 0xf0       ? 4
                                          : 0;
    *code = n == 1 ? s[0] : n ? s[0] & (0x7f >> n) : 0;
    for (int i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | (s[i] & 0x3f);
    }
    return n && *code >= least[n] && *code <= 0x10ffff && (*code & ~UINT32_C(0x7ff)) != 0xd800 ? n : 0;
}

/* A JSON string. Names of files are bytes; those that are no UTF-8 become U+FFFD, and what YAML does not allow to stand
 * plainly is escaped. */
static void put_string(FILE *stream, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    fputc('"', stream);
    while (*s) {
        uint32_t code;
        int n = utf8_next(s, &code);
        if (!n)
            fputs("\\ufffd", stream);
        else if (code == '"' || code == '\\')
            fprintf(stream, "\\%c", (int)code);
        else if (code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x2028 && code <= 0x2029) ||
                 (code >= 0xfeff && code <= 0xffff))
            fprintf(stream, "\\u%04x", code);
        else
            fwrite(s, 1, (size_t)n, stream);
        s += n ? n : 1;
    }
    fputc('"', stream);
}

static void put_index(FILE *stream, const struct dataset *dataset)
{
    fprintf(stream, "{\n  \"format\": \"%s\",\n  \"images\": %llu,\n", INDEX_FORMAT,
            (unsigned long long)dataset->images);
    fprintf(stream, "  \"height\": %d,\n  \"width\": %d,\n  \"channels\": %d,\n", dataset->height, dataset->width,
            dataset->channels);
    fprintf(stream, "  \"unlabelled\": %llu,\n  \"classes\": [", (unsigned long long)dataset->unlabelled);
    for (int i = 0; i < dataset->classes; i++) {
        if (i) fputs(", ", stream);
        put_string(stream, dataset->class_names[i]);
    }
    fputs("],\n  \"source\": ", stream);
    put_string(stream, dataset->source);
    fputs(",\n  \"license\": ", stream);
    put_string(stream, dataset->license);
    fputs(",\n  \"sha256\": ", stream);
    put_string(stream, dataset->hash);
    fputs(",\n  \"shards\": [\n", stream);
    for (int s = 0; s < dataset->shards; s++)
        fprintf(stream, "    {\"file\": \"%s\", \"images\": %llu, \"crc32\": \"%08x\"}%s\n", dataset->shard_names[s],
                (unsigned long long)dataset->shard_images[s], dataset->shard_crcs[s],
                s + 1 < dataset->shards ? "," : "");
    fputs("  ]\n}\n", stream);
}

enum iddpm_status index_write(const struct dataset *dataset)
{
    char path[PATH_SIZE], *text = NULL;
    size_t length;
    TRY(path_join(path, dataset->folder, INDEX_FILE));
    FILE *stream = open_memstream(&text, &length);
    if (!stream) return iddpm_error(IDDPM_FAILED, "%s: no memory", path);
    put_index(stream, dataset);
    enum iddpm_status status =
        fclose(stream) == 0 ? path_write_text(path, text) : iddpm_error(IDDPM_FAILED, "%s: no memory", path);
    free(text);
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct reader {
    const char *path;
    yaml_document_t document;
};

static enum iddpm_status damaged(const struct reader *reader, const char *key)
{
    return iddpm_error(IDDPM_FAILED, "%s: damaged: \"%s\" is missing or makes no sense; import the data again",
                       reader->path, key);
}

static yaml_node_t *member(struct reader *reader, const yaml_node_t *mapping, const char *key, yaml_node_type_t type)
{
    if (!mapping || mapping->type != YAML_MAPPING_NODE) return NULL;
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top; pair++) {
        const yaml_node_t *name = yaml_document_get_node(&reader->document, pair->key);
        if (name->type != YAML_SCALAR_NODE || strcmp((const char *)name->data.scalar.value, key) != 0) continue;
        yaml_node_t *value = yaml_document_get_node(&reader->document, pair->value);
        return value->type == type ? value : NULL;
    }
    return NULL;
}

static enum iddpm_status get_text(struct reader *reader, const yaml_node_t *mapping, const char *key, char **out)
{
    const yaml_node_t *node = member(reader, mapping, key, YAML_SCALAR_NODE);
    if (!node) return damaged(reader, key);
    *out = mem_strdup((const char *)node->data.scalar.value);
    return *out ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: no memory", reader->path);
}

static enum iddpm_status get_number(struct reader *reader, const yaml_node_t *mapping, const char *key, int base,
                                    uint64_t least, uint64_t most, uint64_t *out)
{
    const yaml_node_t *node = member(reader, mapping, key, YAML_SCALAR_NODE);
    if (!node) return damaged(reader, key);
    const char *text = (const char *)node->data.scalar.value;
    char *end;
    errno = 0;
    *out = strtoull(text, &end, base);
    if (errno || end == text || *end || *text == '-' || *out < least || *out > most) return damaged(reader, key);
    return IDDPM_OK;
}

static enum iddpm_status get_int(struct reader *reader, const yaml_node_t *mapping, const char *key, int *out)
{
    uint64_t number;
    TRY(get_number(reader, mapping, key, 10, 1, INT32_MAX, &number));
    *out = (int)number;
    return IDDPM_OK;
}

static enum iddpm_status get_classes(struct reader *reader, const yaml_node_t *root, struct dataset *dataset)
{
    const yaml_node_t *list = member(reader, root, "classes", YAML_SEQUENCE_NODE);
    if (!list) return damaged(reader, "classes");
    size_t n = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    TRY(mem_alloc(&dataset->class_names, n, sizeof *dataset->class_names, reader->path));
    for (size_t i = 0; i < n; i++) {
        const yaml_node_t *name = yaml_document_get_node(&reader->document, list->data.sequence.items.start[i]);
        if (name->type != YAML_SCALAR_NODE) return damaged(reader, "classes");
        dataset->class_names[i] = mem_strdup((const char *)name->data.scalar.value);
        if (!dataset->class_names[i]) return iddpm_error(IDDPM_FAILED, "%s: no memory", reader->path);
        dataset->classes = (int)i + 1;
    }
    return IDDPM_OK;
}

/* The numbers of images must be those that dealing in turn gives. */
static enum iddpm_status get_shards(struct reader *reader, const yaml_node_t *root, struct dataset *dataset)
{
    const yaml_node_t *list = member(reader, root, "shards", YAML_SEQUENCE_NODE);
    if (!list) return damaged(reader, "shards");
    size_t n = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);
    if (n < 1 || n > dataset->images || n > INT32_MAX) return damaged(reader, "shards");
    TRY(dataset_reserve_shards(dataset, (int)n));
    for (size_t s = 0; s < n; s++) {
        const yaml_node_t *shard = yaml_document_get_node(&reader->document, list->data.sequence.items.start[s]);
        uint64_t dealt = (dataset->images - s + n - 1) / n, crc;
        TRY(get_text(reader, shard, "file", &dataset->shard_names[s]));
        TRY(get_number(reader, shard, "images", 10, dealt, dealt, &dataset->shard_images[s]));
        TRY(get_number(reader, shard, "crc32", 16, 0, UINT32_MAX, &crc));
        dataset->shard_crcs[s] = (uint32_t)crc;
        if (strchr(dataset->shard_names[s], '/')) return damaged(reader, "file");
    }
    return IDDPM_OK;
}

static enum iddpm_status get_all(struct reader *reader, struct dataset *dataset)
{
    char *format = NULL;
    const yaml_node_t *root = yaml_document_get_root_node(&reader->document);
    TRY(get_text(reader, root, "format", &format));
    bool known = strcmp(format, INDEX_FORMAT) == 0;
    free(format);
    if (!known) return damaged(reader, "format");
    TRY(get_number(reader, root, "images", 10, 1, UINT64_MAX, &dataset->images));
    TRY(get_int(reader, root, "height", &dataset->height));
    TRY(get_int(reader, root, "width", &dataset->width));
    TRY(get_int(reader, root, "channels", &dataset->channels));
    TRY(get_number(reader, root, "unlabelled", 10, 0, dataset->images, &dataset->unlabelled));
    TRY(get_classes(reader, root, dataset));
    TRY(get_text(reader, root, "source", &dataset->source));
    TRY(get_text(reader, root, "license", &dataset->license));
    TRY(get_text(reader, root, "sha256", &dataset->hash));
    return get_shards(reader, root, dataset);
}

static enum iddpm_status parse(struct reader *reader, const char *text, struct dataset *dataset)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return iddpm_error(IDDPM_FAILED, "%s: no memory", reader->path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    enum iddpm_status status;
    if (yaml_parser_load(&parser, &reader->document)) {
        status = get_all(reader, dataset);
        yaml_document_delete(&reader->document);
    } else {
        status = iddpm_error(IDDPM_FAILED, "%s:%zu: damaged: %s; import the data again", reader->path,
                             parser.problem_mark.line + 1, parser.problem ? parser.problem : "no memory");
    }
    yaml_parser_delete(&parser);
    return status;
}

enum iddpm_status dataset_index_text(const char *folder, char **out)
{
    char path[PATH_SIZE];
    *out = NULL;
    TRY(path_join(path, folder, INDEX_FILE));
    if (!path_is_folder(folder))
        return iddpm_error(IDDPM_FAILED, "%s: no such folder; a data set is made by `iddpm import`", folder);
    if (!path_exists(path))
        return iddpm_error(IDDPM_FAILED,
                           "%s: no data set: it has no %s, which `iddpm import` writes last; import the data (again)",
                           folder, INDEX_FILE);
    return path_read_text(path, INDEX_BYTES_MAX, out);
}

enum iddpm_status index_parse(struct dataset *dataset, const char *text)
{
    char path[PATH_SIZE];
    struct reader reader = {.path = path};
    TRY(path_join(path, dataset->folder, INDEX_FILE));
    return parse(&reader, text, dataset);
}
