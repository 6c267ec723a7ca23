/* Respacing: which steps of a long process a shorter one keeps (respace.py, space_timesteps). */
#include "iddpm/diffusion.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY "diffusion.timestep_respacing"
#define FORMS "\"250\", \"10,15,20\" (steps kept in equal sections) or \"ddim25\""

static int divide_up(int a, int b)
{
    return (a - 1) / b + 1;
}

/* A count at *text, with spaces around it; moves *text behind it. Saturates, so that a huge one is found too large. */
static bool read_count(const char **text, int *count)
{
    while (isspace((unsigned char)**text)) ++*text;
    if (!isdigit((unsigned char)**text)) return false;
    char *end;
    errno = 0;
    long value = strtol(*text, &end, 10);
    *count = errno || value > INT_MAX ? INT_MAX : (int)value;
    while (isspace((unsigned char)*end)) end++;
    *text = end;
    return true;
}

/* Every stride-th step, with the smallest stride that leaves exactly `desired`. */
static enum iddpm_status keep_stride(int steps, const char *respacing, uint8_t *kept)
{
    const char *text = respacing + strlen("ddim");
    int desired;
    if (!read_count(&text, &desired) || *text)
        return iddpm_error(IDDPM_USAGE, KEY ": \"%s\" has no number of steps behind ddim; give for example ddim25",
                           respacing);
    int fewer = 0, more = steps; /* the counts nearest to `desired` that strides do leave */
    for (int stride = 1; stride < steps; stride++) {
        int count = divide_up(steps, stride);
        if (count == desired) {
            for (int t = 0; t < steps; t += stride) kept[t] = 1;
            return IDDPM_OK;
        }
        if (count > desired) more = count;
        if (count < desired && !fewer) fewer = count;
    }
    if (desired > steps || desired < 2)
        return iddpm_error(IDDPM_USAGE, KEY ": \"%s\" does not keep between 2 and all %d steps", respacing, steps);
    return iddpm_error(IDDPM_USAGE,
                       KEY ": no integer stride through %d steps keeps exactly %d; ddim%d and ddim%d are possible, or "
                           "\"%d\" without ddim for uneven strides",
                       steps, desired, fewer, more, desired);
}

/* `count` steps spread evenly over [start, start + size), first and last included. The running sum and rounding half
 * to even are Python's, whose choice at halves we keep. */
static void keep_section(int start, int size, int count, uint8_t *kept)
{
    double stride = count <= 1 ? 1 : (double)(size - 1) / (count - 1), at = 0;
    for (int i = 0; i < count; i++, at += stride) kept[start + (int)rint(at)] = 1;
}

static enum iddpm_status keep_sections(int steps, const char *respacing, uint8_t *kept)
{
    int sections = 1, start = 0;
    for (const char *p = respacing; *p; p++) sections += *p == ',';
    const char *text = respacing;
    for (int i = 0; i < sections; i++) {
        int size = steps / sections + (i < steps % sections), count;
        bool last = i == sections - 1;
        if (!read_count(&text, &count) || *text != (last ? '\0' : ','))
            return iddpm_error(IDDPM_USAGE, KEY ": \"%s\" is none of " FORMS, respacing);
        if (count > size)
            return iddpm_error(IDDPM_USAGE,
                               KEY
                               ": \"%s\": section %d of %d has %d of the %d steps and cannot keep %d; give at most %d",
                               respacing, i + 1, sections, size, steps, count, size);
        keep_section(start, size, count, kept);
        start += size;
        text += !last;
    }
    return IDDPM_OK;
}

enum iddpm_status space_timesteps(int steps, const char *respacing, uint8_t *kept, int *count)
{
    bool all = !respacing || !*respacing;
    memset(kept, all, (size_t)steps);
    if (!all && strncmp(respacing, "ddim", 4) == 0)
        TRY(keep_stride(steps, respacing, kept));
    else if (!all)
        TRY(keep_sections(steps, respacing, kept));
    *count = 0;
    for (int t = 0; t < steps; t++) *count += kept[t];
    return IDDPM_OK;
}
