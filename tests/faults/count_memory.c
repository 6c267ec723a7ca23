/* Preloaded: counts the calls that ask for memory, and writes at the end of the process, into the file that the
 * variable COUNT_MEMORY names, how many came from where: lines "CALLS MODULE OFFSET", where the module is the first on
 * the way up that is not the C library; addr2line -e MODULE OFFSET names the place. Calls below one of MPI's own
 * libraries do not count. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FRAMES = 48, PLACES = 4096 };

static struct {
    const char *module;
    uintptr_t offset;
    long calls;
} places[PLACES];
static int n_places;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool counting;
static __thread bool inside;

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool begins(const char *module, const char *const *names)
{
    for (; *names; names++)
        if (strncmp(module, *names, strlen(*names)) == 0) return true;
    return false;
}

/* What was found out about an address before; asking the linker takes long. */
static struct known {
    const void *address;
    enum { PLAIN, MPI, OTHER } kind;
    const char *module;
    uintptr_t offset;
} cache[1 << 16];

static struct known *place_of(const void *address)
{
    return &cache[((uintptr_t)address >> 2) % (sizeof cache / sizeof *cache)];
}

/* The linker is asked without our lock: it has one itself, and asks for memory while it holds it. */
static struct known ask(const void *address)
{
    static const char *const mpi[] = {"libmpi", "libopen-", "mca_", "libpmix", "libevent", NULL};
    static const char *const plain[] = {"libc.", "ld-linux", "libcount_memory", NULL};
    struct known known = {address, PLAIN, "", 0};
    Dl_info info;
    if (!dladdr(address, &info) || !info.dli_fname) return known;
    const char *module = name_of(info.dli_fname);
    known.kind = begins(module, mpi) ? MPI : begins(module, plain) ? PLAIN : OTHER;
    known.module = info.dli_fname;
    known.offset = (uintptr_t)address - (uintptr_t)info.dli_fbase;
    return known;
}

static struct known look_up(const void *address)
{
    pthread_mutex_lock(&lock);
    struct known known = *place_of(address);
    pthread_mutex_unlock(&lock);
    if (known.address == address) return known;
    known = ask(address);
    pthread_mutex_lock(&lock);
    *place_of(address) = known;
    pthread_mutex_unlock(&lock);
    return known;
}

static void count_at(const struct known *caller)
{
    int i = 0;
    pthread_mutex_lock(&lock);
    while (i < n_places && (places[i].offset != caller->offset || places[i].module != caller->module)) i++;
    if (i == n_places && n_places < PLACES) {
        places[n_places].module = caller->module;
        places[n_places++].offset = caller->offset;
    }
    if (i < n_places) places[i].calls++;
    pthread_mutex_unlock(&lock);
}

static void count(void)
{
    void *frames[FRAMES];
    struct known caller = {0}, known = {0};
    if (!counting || inside) return;
    inside = true;
    int n = backtrace(frames, FRAMES);
    for (int i = 0; i < n && known.kind != MPI; i++) {
        known = look_up(frames[i]);
        if (known.kind == OTHER && !caller.address) caller = known;
    }
    if (known.kind != MPI && caller.address) count_at(&caller);
    inside = false;
}

__attribute__((constructor)) static void start(void)
{
    void *frame;
    backtrace(&frame, 1);                                                                     /* loads what it needs */
    counting = getenv("COUNT_MEMORY") && strcmp(program_invocation_short_name, "iddpm") == 0; /* MPI starts others */
}

__attribute__((destructor)) static void report(void)
{
    if (!counting) return;
    counting = false;
    FILE *stream = fopen(getenv("COUNT_MEMORY"), "w");
    for (int i = 0; stream && i < n_places; i++)
        fprintf(stream, "%ld %s %#zx\n", places[i].calls, places[i].module, (size_t)places[i].offset);
    if (stream) fclose(stream);
}

/* ---- the calls --------------------------------------------------------------------------------------------------- */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

void *malloc(size_t bytes)
{
    count();
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    count();
    return __libc_calloc(n, bytes);
}

void *realloc(void *old, size_t bytes)
{
    count();
    return __libc_realloc(old, bytes);
}

void *memalign(size_t alignment, size_t bytes)
{
    count();
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    count();
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    count();
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    count();
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}
