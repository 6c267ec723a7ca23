/* Values of keys: from text into struct config, and back. */
#include "key.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VALUE_MAX 4096 /* bytes; a path is no longer */

static void *field(const struct key *key, const struct config *config)
{
    return (char *)config + key->offset;
}

/* ---- what is allowed --------------------------------------------------------------------------------------------- */

static void print_limits(const struct key *key, FILE *stream)
{
    if (isinf(key->max))
        fprintf(stream, " of at least %.10g", key->min);
    else
        fprintf(stream, " from %.10g to %s%.10g", key->min, key->below ? "below " : "", key->max);
    if (key->also != 0) fprintf(stream, ", or %.10g", key->also);
    if (key->distinct) fprintf(stream, "; at least one, none twice");
    if (key->ascending) fprintf(stream, "; ascending, at most %d", CONFIG_LIST_MAX);
}

void key_print_allowed(const struct key *key, FILE *stream)
{
    static const char *const kinds[] = {
        [KEY_BOOL] = "true or false", [KEY_INTEGER] = "a whole number",           [KEY_NUMBER] = "a number",
        [KEY_TEXT] = "text",          [KEY_INTEGERS] = "a list of whole numbers", [KEY_NUMBERS] = "a list of numbers",
    };
    if (key->type == KEY_WORD) {
        for (const char *c = key->words; *c; c++) fputs(*c == '|' ? " or " : (char[2]){*c}, stream);
        return;
    }
    fputs(kinds[key->type], stream);
    if (key->type != KEY_BOOL && key->type != KEY_TEXT) print_limits(key, stream);
}

enum iddpm_status key_refuse(const struct key *key, const char *found)
{
    char allowed[256] = "";
    FILE *stream = fmemopen(allowed, sizeof allowed, "w");
    if (stream) {
        key_print_allowed(key, stream);
        fclose(stream);
    }
    return iddpm_error(IDDPM_USAGE, "found %s%.80s%s; allowed is %s", *found ? "'" : "nothing", found,
                       *found ? "'" : "", allowed);
}

static bool in_limits(const struct key *key, double value)
{
    if (key->also != 0 && value == key->also) return true;
    return value >= key->min && (key->below ? value < key->max : value <= key->max);
}

/* ---- from text --------------------------------------------------------------------------------------------------- */

static bool parse_bool(const char *text, bool *out)
{
    static const char *const words[2][6] = {{"false", "no", "n", "f", "0", "off"},
                                            {"true", "yes", "y", "t", "1", "on"}};
    for (int value = 0; value < 2; value++)
        for (int i = 0; i < 6; i++)
            if (strcasecmp(text, words[value][i]) == 0) {
                *out = value;
                return true;
            }
    return false;
}

/* One character of UTF-8 that is printable, as libyaml has it; gives its bytes, 0 for anything else. */
static int printable(const unsigned char *s)
{
    int n = s[0] < 0x80 ? 1 : (s[0] & 0xE0) == 0xC0 ? 2 : (s[0] & 0xF0) == 0xE0 ? 3 : (s[0] & 0xF8) == 0xF0 ? 4 : 0;
    if (n == 0) return 0;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7Fu >> n);
    for (int i = 1; i < n; i++) { /* a byte 0 ends this too */
        if ((s[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (s[i] & 0x3F);
    }
    static const uint32_t least[5] = {0, 0x20, 0xA0, 0x800, 0x10000}; /* control characters and overlong forms below */
    if (c < least[n] || c == 0x7F || (c >= 0xD800 && c < 0xE000) || c == 0xFEFF || c == 0xFFFE || c == 0xFFFF) return 0;
    return c <= 0x10FFFF ? n : 0;
}

static enum iddpm_status check_text(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    for (int n; *s; s += n) {
        n = printable(s);
        if (n == 0)
            return iddpm_error(IDDPM_USAGE, "found byte 0x%02X at place %zu; allowed is printable UTF-8", *s,
                               (size_t)((const char *)s - text) + 1);
    }
    return IDDPM_OK;
}

/* Cuts "a, b" or "[a, b]" into at most CONFIG_LIST_MAX items, in place; gives their number, -1 when there are more or
 * brackets do not match. */
static int cut_list(char *text, char *items[CONFIG_LIST_MAX])
{
    size_t n = strlen(text);
    if (n > 0 && (text[0] == '[' || text[n - 1] == ']')) {
        if (n < 2 || text[0] != '[' || text[n - 1] != ']') return -1;
        text[n - 1] = 0;
        text++;
    }
    text += strspn(text, " ");
    if (!*text) return 0;
    int count = 0;
    for (char *rest = text, *item; (item = strsep(&rest, ","));) {
        if (count == CONFIG_LIST_MAX) return -1;
        item += strspn(item, " ");
        for (size_t end = strlen(item); end > 0 && item[end - 1] == ' ';) item[--end] = 0;
        items[count++] = item;
    }
    return count;
}

static bool set_integers(const struct key *key, int n, char *const items[], struct int_list *list)
{
    struct int_list read = {.n = n};
    for (int i = 0; i < n; i++) {
        if (!text_integer(items[i], &read.v[i]) || !in_limits(key, (double)read.v[i])) return false;
        if (key->ascending && i > 0 && read.v[i] <= read.v[i - 1]) return false;
    }
    *list = read;
    return true;
}

static bool set_numbers(const struct key *key, int n, char *const items[], struct float_list *list)
{
    struct float_list read = {.n = n};
    if (key->distinct && n == 0) return false;
    for (int i = 0; i < n; i++) {
        if (!text_number(items[i], &read.v[i]) || !in_limits(key, read.v[i])) return false;
        for (int j = 0; j < i && key->distinct; j++)
            if (read.v[j] == read.v[i]) return false;
    }
    *list = read;
    return true;
}

static bool set_list(const struct key *key, struct config *config, const char *text)
{
    char copy[VALUE_MAX];
    char *items[CONFIG_LIST_MAX];
    strcpy(copy, text);
    int n = cut_list(copy, items);
    if (n < 0) return false;
    return key->type == KEY_INTEGERS ? set_integers(key, n, items, field(key, config))
                                     : set_numbers(key, n, items, field(key, config));
}

static bool is_word(const char *words, const char *text)
{
    size_t n = strlen(text), length;
    for (const char *word = words; *word; word += length + (word[length] == '|')) {
        length = strcspn(word, "|");
        if (length == n && strncmp(word, text, n) == 0) return true;
    }
    return false;
}

static enum iddpm_status set_text(const struct key *key, struct config *config, const char *text)
{
    TRY(check_text(text));
    char *copy = mem_strdup(text);
    if (!copy) return iddpm_error(IDDPM_FAILED, "no memory for its value");
    key_free(key, config);
    *(char **)field(key, config) = copy;
    return IDDPM_OK;
}

enum iddpm_status key_set(const struct key *key, struct config *config, const char *text)
{
    if (strlen(text) >= VALUE_MAX)
        return iddpm_error(IDDPM_USAGE, "found %zu bytes; allowed are %d", strlen(text), VALUE_MAX - 1);
    int64_t integer;
    double number;
    bool fits = false;
    switch (key->type) {
    case KEY_BOOL:
        fits = parse_bool(text, field(key, config));
        break;
    case KEY_INTEGER:
        fits = text_integer(text, &integer) && in_limits(key, (double)integer);
        if (fits) *(int64_t *)field(key, config) = integer;
        break;
    case KEY_NUMBER:
        fits = text_number(text, &number) && in_limits(key, number);
        if (fits) *(double *)field(key, config) = number;
        break;
    case KEY_INTEGERS:
    case KEY_NUMBERS:
        fits = set_list(key, config, text);
        break;
    case KEY_WORD:
        if (is_word(key->words, text)) return set_text(key, config, text);
        break;
    case KEY_TEXT:
        return set_text(key, config, text);
    }
    return fits ? IDDPM_OK : key_refuse(key, text);
}

void key_free(const struct key *key, struct config *config)
{
    if (key->type != KEY_TEXT && key->type != KEY_WORD) return;
    char **text = field(key, config);
    free(*text);
    *text = NULL;
}

/* ---- to text ----------------------------------------------------------------------------------------------------- */

static void print_number(double value, FILE *stream)
{
    char text[TEXT_NUMBER_SIZE];
    text_from_number(value, text);
    fputs(text, stream);
}

static void print_list(const struct key *key, const void *list, bool yaml, FILE *stream)
{
    const struct int_list *integers = list;
    const struct float_list *numbers = list;
    int n = key->type == KEY_INTEGERS ? integers->n : numbers->n;
    if (yaml) fputc('[', stream);
    for (int i = 0; i < n; i++) {
        if (i > 0) fputs(yaml ? ", " : ",", stream);
        if (key->type == KEY_INTEGERS)
            fprintf(stream, "%lld", (long long)integers->v[i]);
        else
            print_number(numbers->v[i], stream);
    }
    if (yaml) fputc(']', stream);
}

static void print_quoted(const char *text, FILE *stream)
{
    fputc('"', stream);
    for (; *text; text++) { /* control characters never get into a value */
        if (*text == '"' || *text == '\\') fputc('\\', stream);
        fputc(*text, stream);
    }
    fputc('"', stream);
}

void key_print(const struct key *key, const struct config *config, bool yaml, FILE *stream)
{
    const void *value = field(key, config);
    switch (key->type) {
    case KEY_BOOL:
        fputs(*(const bool *)value ? "true" : "false", stream);
        break;
    case KEY_INTEGER:
        fprintf(stream, "%lld", (long long)*(const int64_t *)value);
        break;
    case KEY_NUMBER:
        print_number(*(const double *)value, stream);
        break;
    case KEY_INTEGERS:
    case KEY_NUMBERS:
        print_list(key, value, yaml, stream);
        break;
    case KEY_TEXT:
        if (yaml)
            print_quoted(*(char *const *)value, stream);
        else
            fputs(*(char *const *)value, stream);
        break;
    case KEY_WORD:
        fputs(*(char *const *)value, stream);
        break;
    }
}

enum iddpm_status key_stream_finish(FILE *stream, char **text, char **out)
{
    *out = NULL;
    bool whole = !ferror(stream);
    if (fclose(stream) != 0 || !whole) {
        free(*text);
        return iddpm_error(IDDPM_FAILED, "configuration: no memory for its text");
    }
    *out = *text;
    return IDDPM_OK;
}

enum iddpm_status key_text(const struct key *key, const struct config *config, char **out)
{
    *out = NULL;
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return iddpm_error(IDDPM_FAILED, "%s: no memory for its text", key->name);
    key_print(key, config, false, stream);
    return key_stream_finish(stream, &text, out);
}
