/* Names of points and evaluations, and what a point is called in figures and tables: what is special about one, in
 * letters that every file system and shell takes. */
#include "names.h"

#include <ctype.h>
#include <string.h>

enum { NAME_LONGEST = 120, DIGITS = 8 }; /* of a folder's name, room for what is put behind it */

static uint64_t hash(const char *text) /* FNV-1a */
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

/* Letters that cannot stand become "-"; a name that loses something by it, or is cut, ends with a sum of the whole. */
static void make_safe(const char *text, size_t longest, char out[STUDY_NAME])
{
    size_t n = 0;
    bool lost = strlen(text) > longest;
    for (const char *c = text; *c && n < longest; c++, n++) {
        bool safe = isalnum((unsigned char)*c) || strchr("._+-", *c);
        out[n] = safe ? *c : *c == ',' ? '+' : '-'; /* of lists */
        lost = lost || !(safe || *c == ',' || *c == '/');
    }
    out[n] = 0;
    if (lost) snprintf(out + n, STUDY_NAME - n, "-%08x", (unsigned)(hash(text) & 0xffffffffu));
}

void name_add(char name[STUDY_NAME], const char *key, const char *value)
{
    char whole[PATH_SIZE];
    int n = snprintf(whole, sizeof whole, "%s%s%s%s%s", name, *name ? "_" : "", key_end(key), *key ? "-" : "",
                     *value ? value : "none");
    if (n >= (int)sizeof whole) whole[sizeof whole - 1] = 0;
    make_safe(whole, NAME_LONGEST, name);
}

const char *key_end(const char *key)
{
    const char *dot = strrchr(key, '.');
    return dot ? dot + 1 : key;
}

void label_add(char *label, size_t size, const char *key, const char *value)
{
    char whole[PATH_SIZE];
    int n = snprintf(whole, sizeof whole, "%s%s%s%s%s", label, *label ? ", " : "", key, *key ? " " : "", value);
    if (n >= (int)sizeof whole) whole[n = sizeof whole - 1] = 0;
    if (n < (int)size)
        strcpy(label, whole);
    else
        snprintf(label, size, "%.*s... %08x", (int)size - 13, whole, (unsigned)(hash(whole) & 0xffffffffu));
}

const char *point_value(const struct study_point *point, const char *key)
{
    for (int i = 0; i < point->n_values; i++)
        if (strcmp(point->values[i].key, key) == 0) return point->values[i].text;
    return "";
}
