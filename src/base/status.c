#include "iddpm/base.h"

#include <stdio.h>
#include <string.h>

#define TEXT_SIZE 8192

static _Thread_local char text[TEXT_SIZE];

enum iddpm_status iddpm_error(enum iddpm_status status, const char *format, ...)
{
    /* through a second buffer: an argument may be the present text */
    char next[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(next, sizeof next, format, args);
    va_end(args);
    memcpy(text, next, sizeof text);
    return status;
}

enum iddpm_status iddpm_error_context(enum iddpm_status status, const char *format, ...)
{
    char next[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    int used = vsnprintf(next, sizeof next, format, args);
    va_end(args);
    if (used >= 0 && used < TEXT_SIZE) {
        int room = TEXT_SIZE - used; /* a text too long for the buffer loses its end */
        snprintf(next + used, (size_t)room, ": %.*s", room > 3 ? room - 3 : 0, text);
    }
    memcpy(text, next, sizeof text);
    return status;
}

const char *iddpm_error_text(void)
{
    return text;
}
