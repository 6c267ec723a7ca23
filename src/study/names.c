/* Names of points and evaluations: what is special about one, in letters that every file system and shell takes. */
#include "file.h"

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
    const char *dot = strrchr(key, '.');
    int n = snprintf(whole, sizeof whole, "%s%s%s%s%s", name, *name ? "_" : "", dot ? dot + 1 : key, *key ? "-" : "",
                     *value ? value : "none");
    if (n >= (int)sizeof whole) whole[sizeof whole - 1] = 0;
    make_safe(whole, NAME_LONGEST, name);
}
