#include "iddpm/base.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum iddpm_status mem_alloc(void *out, size_t count, size_t size, const char *what)
{
    void **pointer = out;
    size_t bytes;
    *pointer = NULL;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - MEM_ALIGN)
        return iddpm_error(IDDPM_FAILED, "%s: %zu x %zu bytes are more than can be addressed", what, count, size);
    bytes = (bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    void *p = aligned_alloc(MEM_ALIGN, bytes ? bytes : MEM_ALIGN);
    if (!p) return iddpm_error(IDDPM_FAILED, "%s: no memory for %zu bytes", what, bytes);
    memset(p, 0, bytes ? bytes : MEM_ALIGN);
    *pointer = p;
    return IDDPM_OK;
}

enum iddpm_status mem_grow(void *array, size_t *capacity, size_t need, size_t size, const char *what)
{
    void **pointer = array;
    if (need <= *capacity) return IDDPM_OK;
    if (need > SIZE_MAX / 2 / size)
        return iddpm_error(IDDPM_FAILED, "%s: %zu x %zu bytes are more than can be addressed", what, need, size);
    size_t room = *capacity ? *capacity : 16;
    while (room < need) room *= 2;
    void *p = realloc(*pointer, room * size);
    if (!p) return iddpm_error(IDDPM_FAILED, "%s: no memory for %zu x %zu bytes", what, room, size);
    *pointer = p;
    *capacity = room;
    return IDDPM_OK;
}

char *mem_strdup(const char *source)
{
    return source ? strdup(source) : NULL;
}

uint64_t mem_peak_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss * 1024;
}
