#include "iddpm/base.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define MOST_BYTES (SIZE_MAX - 2 * HUGE_PAGE) /* so that sums with what is added to them do not overflow */

static enum iddpm_status count_bytes(size_t count, size_t size, const char *what, size_t *bytes)
{
    if (!__builtin_mul_overflow(count, size, bytes) && *bytes <= MOST_BYTES) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: %zu x %zu bytes are more than can be addressed", what, count, size);
}

static enum iddpm_status no_memory(const char *what, size_t bytes)
{
    return iddpm_error(IDDPM_FAILED, "%s: no memory for %zu bytes", what, bytes);
}

enum iddpm_status mem_alloc(void *out, size_t count, size_t size, const char *what)
{
    void **pointer = out;
    size_t bytes;
    *pointer = NULL;
    TRY(count_bytes(count, size, what, &bytes));
    bytes = (bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    void *p = aligned_alloc(MEM_ALIGN, bytes ? bytes : MEM_ALIGN);
    if (!p) return no_memory(what, bytes);
    memset(p, 0, bytes ? bytes : MEM_ALIGN);
    *pointer = p;
    return IDDPM_OK;
}

#ifdef __SANITIZE_ADDRESS__ /* it sees accesses beyond an array of malloc's only */
enum iddpm_status mem_map(void *out, size_t count, size_t size, const char *what)
{
    return mem_alloc(out, count, size, what);
}

void mem_unmap(void *array)
{
    free(array);
}
#else
struct mapping { /* stands in the page before the array */
    char *base;
    size_t bytes;
};

static struct mapping *mapping_of(void *array)
{
    return (struct mapping *)((char *)array - sizeof(struct mapping));
}

enum iddpm_status mem_map(void *out, size_t count, size_t size, const char *what)
{
    void **pointer = out;
    size_t bytes, page = (size_t)sysconf(_SC_PAGESIZE);
    *pointer = NULL;
    TRY(count_bytes(count, size, what, &bytes));
    size_t room = page + HUGE_PAGE + (bytes + page - 1) / page * page;
    char *start = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) return no_memory(what, bytes);
    char *array = (char *)(((uintptr_t)start + page + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE), *base = array - page;
    if (base > start) munmap(start, (size_t)(base - start));
    size_t used = room - HUGE_PAGE, behind = room - used - (size_t)(base - start);
    if (behind) munmap(base + used, behind);
    if (used > page) madvise(array, used - page, MADV_HUGEPAGE); /* as well without */
    *mapping_of(array) = (struct mapping){base, used};
    *pointer = array;
    return IDDPM_OK;
}

void mem_unmap(void *array)
{
    if (!array) return;
    struct mapping mapping = *mapping_of(array);
    munmap(mapping.base, mapping.bytes);
}
#endif

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
