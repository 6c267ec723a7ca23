/* Numbers as text, and how alike two names are. */
#include "iddpm/config.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool text_integer(const char *text, int64_t *out)
{
    if (!*text || text[strspn(text, "+-0123456789")]) return false; /* no space, no hexadecimal */
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*end || errno) return false;
    *out = value;
    return true;
}

bool text_number(const char *text, double *out)
{
    if (!*text || text[strspn(text, "+-.eE0123456789")]) return false; /* no nan, inf, hexadecimal */
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || !isfinite(value)) return false;
    *out = value;
    return true;
}

void text_from_number(double value, char out[TEXT_NUMBER_SIZE])
{
    char text[TEXT_NUMBER_SIZE];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    char *exponent = strchr(text, 'e');
    bool pointless = exponent && !strchr(text, '.'); /* YAML 1.1 readers take 1e-05 for text, 1.0e-05 not */
    int whole = (int)(exponent ? exponent - text : (ptrdiff_t)strlen(text));
    snprintf(out, TEXT_NUMBER_SIZE, "%.*s%s%s", whole, text, pointless ? ".0" : "", text + whole);
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

unsigned text_distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    unsigned rows[3][LONGEST + 1]; /* row i % 3: distances of the first i letters of a from the first j of b */
    size_t n = strnlen(a, LONGEST), m = strnlen(b, LONGEST);
    for (size_t j = 0; j <= m; j++) rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped && above2[j - 2] + 1 < row[j]) row[j] = above2[j - 2] + 1;
        }
    }
    return rows[n % 3][m];
}

void config_ema_group(double rate, char out[CONFIG_EMA_GROUP])
{
    char number[TEXT_NUMBER_SIZE];
    text_from_number(rate, number);
    snprintf(out, CONFIG_EMA_GROUP, "ema/%s", number);
}
