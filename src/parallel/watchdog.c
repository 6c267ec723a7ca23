/* Nothing waits for ever. A rank that hangs, or is gone without a word, leaves the others waiting inside MPI, from
 * where no status returns; so each rank has a thread that knows when its main thread last said where it is. Once that
 * is too long ago the thread says so, meets with the threads of the other ranks over files (MPI is not for it), and the
 * first whose patience ends tells which ranks have not come. Then each ends its process, and the launcher the rest. */
#include "iddpm/parallel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    NAME_SIZE = 64,
    LINE_SIZE = 512,
    LINES_MAX = 16 /* ranks that each say a line of their own, beside the one that tells of all */
};

#define BEAT_SECONDS 10 /* between signs of life */
#define OLD_SECONDS 600 /* far longer than a meeting lasts */

static struct {
    /* where the main thread is */
    _Atomic(const char *) place;
    _Atomic int64_t step;
    _Atomic uint64_t reports;
    /* what the thread needs, set before it starts */
    double seconds, tick;
    int rank, size;
    char (*hosts)[NAME_SIZE]; /* of each rank */
    uint64_t token;           /* the same on all ranks */
    pthread_t thread;
    bool started;
    /* a thread of its own gives the sign of life: on a disk that is gone it hangs, and nobody would watch */
    pthread_t beater;
    bool beats;
    watchdog_beat_fn *beat;
    void *context;
    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop, stop_beating;
    char folder[PATH_SIZE];
} dog = {.lock = PTHREAD_MUTEX_INITIALIZER};

void watchdog_at(const char *place, int64_t step)
{
    atomic_store_explicit(&dog.place, place, memory_order_relaxed);
    if (step >= 0) atomic_store_explicit(&dog.step, step, memory_order_relaxed);
    atomic_fetch_add_explicit(&dog.reports, 1, memory_order_relaxed);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

/* One write: stdio's locks may be held by the thread that hangs. */
static void say(const char *text)
{
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t n = write(STDERR_FILENO, text, length);
        if (n < 0 && errno != EINTR) return;
        if (n > 0) text += n, length -= (size_t)n;
    }
}

static void describe_place(char *out, size_t size)
{
    const char *place = atomic_load_explicit(&dog.place, memory_order_relaxed);
    int64_t step = atomic_load_explicit(&dog.step, memory_order_relaxed);
    if (step >= 0)
        snprintf(out, size, "%s of step %" PRId64, place, step);
    else
        snprintf(out, size, "%s", place);
}

/* ---- the meeting ------------------------------------------------------------------------------------------------- */

/* Seconds: how much later than this rank another may be to notice. */
static double patience(void)
{
    double tenth = dog.seconds / 10;
    return tenth < 3 ? 3 : tenth > 60 ? 60 : tenth;
}

static void rank_path(int rank, char out[PATH_SIZE + NAME_SIZE])
{
    snprintf(out, PATH_SIZE + NAME_SIZE, "%s/rank-%d", dog.folder, rank);
}

/* False when that cannot be: this rank is then one that does not answer. */
static bool leave_word(const char *place)
{
    char path[PATH_SIZE + NAME_SIZE];
    mkdir(dog.folder, 0777);
    rank_path(dog.rank, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    bool written = write(fd, place, strlen(place)) == (ssize_t)strlen(place);
    close(fd);
    return written;
}

static void read_word(int rank, char *out, size_t size)
{
    char path[PATH_SIZE + NAME_SIZE];
    rank_path(rank, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : 0;
    out[n > 0 ? n : 0] = 0;
    if (fd >= 0) close(fd);
}

/* "ranks 0-2, 5" of those whose word is that of `first`, and marks them as told. */
static void list_equal(const char (*words)[LINE_SIZE], bool *told, int first, char *out, size_t size)
{
    size_t used = 0;
    int n = 0;
    for (int rank = first; rank < dog.size; rank++) n += strcmp(words[rank], words[first]) == 0;
    used += (size_t)snprintf(out, size, "%s", n > 1 ? "ranks" : "rank");
    for (int rank = first, last; rank < dog.size; rank = last + 1) {
        last = rank;
        if (strcmp(words[rank], words[first]) != 0) continue;
        while (last + 1 < dog.size && strcmp(words[last + 1], words[first]) == 0) last++;
        for (int i = rank; i <= last; i++) told[i] = true;
        if (used + 32 > size) continue; /* more than fits on a line */
        used += (size_t)snprintf(out + used, size - used, "%s %d", rank > first ? "," : "", rank);
        if (last > rank) used += (size_t)snprintf(out + used, size - used, "-%d", last);
    }
}

/* Who stands where, equal places together. */
static void tell_all(void)
{
    char(*words)[LINE_SIZE] = calloc((size_t)dog.size, sizeof *words);
    bool *told = calloc((size_t)dog.size, sizeof *told);
    for (int rank = 0; words && told && rank < dog.size; rank++) read_word(rank, words[rank], sizeof words[rank]);
    for (int rank = 0; words && told && rank < dog.size; rank++) {
        char ranks[LINE_SIZE], line[3 * LINE_SIZE];
        if (told[rank]) continue;
        list_equal((const char(*)[LINE_SIZE])words, told, rank, ranks, sizeof ranks);
        bool several = strncmp(ranks, "ranks", 5) == 0;
        if (*words[rank])
            snprintf(line, sizeof line, "iddpm: no progress: %s: %s\n", ranks, words[rank]);
        else
            snprintf(line, sizeof line, "iddpm: %s on %s%s %s not answer: stopped, or the node is lost\n", ranks,
                     dog.hosts[rank], several ? ", ..." : "", several ? "do" : "does");
        say(line);
    }
    free(words);
    free(told);
}

/* False when no files can be made there, and so nobody told of this rank. */
static bool meet(const char *place)
{
    char path[PATH_SIZE + NAME_SIZE];
    if (!leave_word(place)) return false;
    clock_sleep(patience());
    snprintf(path, sizeof path, "%s/told", dog.folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno != EEXIST) return false;
    if (fd >= 0) {
        close(fd);
        tell_all();
    } else /* another tells, and needs time to read; the first end of a rank brings the launcher's end of all */
        clock_sleep(3 + dog.size / 100.0);
    return true;
}

_Noreturn static void end_process(void)
{
    char place[LINE_SIZE / 2], line[LINE_SIZE];
    bool few = dog.size <= LINES_MAX;
    /* The thread may come to hang too: on a file system, or on a pipe that nobody reads. */
    signal(SIGALRM, SIG_DFL);
    alarm((unsigned)(2 * patience() + dog.size / 100.0) + 30);
    describe_place(place, sizeof place);
    snprintf(line, sizeof line, "iddpm: rank %d on %s: no progress for %.0f s: %s\n", dog.rank, dog.hosts[dog.rank],
             dog.seconds, place);
    if (few) say(line);
    bool met = dog.size > 1 && *dog.folder && meet(place);
    if (!few && !met) say(line);
    if (dog.size > 1 && !met) clock_sleep(patience()); /* for the lines of the others */
    _exit(IDDPM_FAILED);                               /* exit would wait for MPI */
}

/* ---- the threads ------------------------------------------------------------------------------------------------- */

/* False when *stop has been set. The lock is held. */
static bool wait_for(double seconds, const bool *stop)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    double end = (double)until.tv_nsec * 1e-9 + seconds;
    until.tv_sec += (time_t)end;
    until.tv_nsec = (long)((end - (double)(time_t)end) * 1e9);
    while (!*stop && pthread_cond_timedwait(&dog.wake, &dog.lock, &until) == 0) continue;
    return !*stop;
}

static void *watch(void *unused)
{
    (void)unused;
    double last = clock_seconds(), idle = 0;
    uint64_t seen = 0;
    pthread_mutex_lock(&dog.lock);
    while (wait_for(dog.tick, &dog.stop)) {
        double now = clock_seconds(), passed = now - last;
        uint64_t reports = atomic_load_explicit(&dog.reports, memory_order_relaxed);
        last = now;
        if (passed > 2 * dog.tick) passed = 2 * dog.tick; /* the process was stopped, not idle */
        idle = reports != seen ? 0 : idle + passed;
        seen = reports;
        if (dog.seconds > 0 && idle >= dog.seconds) end_process();
    }
    pthread_mutex_unlock(&dog.lock);
    return NULL;
}

static void *keep_beating(void *unused)
{
    (void)unused;
    bool goes_on = true;
    while (goes_on) {
        dog.beat(dog.context);
        pthread_mutex_lock(&dog.lock);
        goes_on = wait_for(BEAT_SECONDS, &dog.stop_beating);
        pthread_mutex_unlock(&dog.lock);
    }
    return NULL;
}

static void prepare_wake(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&dog.wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* A signal must find the main thread: it is that one whose calls it shall interrupt. */
static int create_thread(pthread_t *thread, void *(*run)(void *), const char *name)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error) pthread_setname_np(*thread, name); /* for who looks at threads */
    return error;
}

static void end_thread(pthread_t thread, bool *stop)
{
    pthread_mutex_lock(&dog.lock);
    *stop = true;
    pthread_cond_broadcast(&dog.wake);
    pthread_mutex_unlock(&dog.lock);
    pthread_join(thread, NULL);
}

static void stop_beating(void)
{
    if (dog.beats) end_thread(dog.beater, &dog.stop_beating);
    dog.beats = dog.stop_beating = false;
}

enum iddpm_status watchdog_start(const struct parallel *parallel, double seconds)
{
    char host[NAME_SIZE] = "";
    enum iddpm_status status = mem_alloc(&dog.hosts, (size_t)parallel->size, NAME_SIZE, "names of hosts");
    TRY(parallel_agree(parallel, status));
    if (gethostname(host, sizeof host - 1) != 0) strcpy(host, "unknown host");
    TRY(parallel_gather(parallel, host, sizeof host, dog.hosts));
    if (getrandom(&dog.token, sizeof dog.token, 0) != sizeof dog.token) dog.token = (uint64_t)getpid();
    TRY(parallel_broadcast(parallel, &dog.token, sizeof dog.token));
    dog.rank = parallel->rank;
    dog.size = parallel->size;
    dog.seconds = seconds;
    dog.tick = seconds > 0 && seconds < 4 ? seconds / 4 : 1;
    dog.stop = false;
    atomic_store(&dog.step, -1);
    watchdog_at("start", -1);
    prepare_wake();
    int error = create_thread(&dog.thread, watch, "watchdog");
    dog.started = error == 0;
    if (error) status = iddpm_error(IDDPM_FAILED, "the watchdog's thread cannot start: %s", strerror(error));
    return parallel_agree(parallel, status);
}

/* Removes what the ranks of an earlier job left there. */
static void clear(const char *folder)
{
    char path[PATH_SIZE];
    DIR *open = opendir(folder);
    if (!open) return;
    for (struct dirent *entry; (entry = readdir(open));)
        if ((strncmp(entry->d_name, "rank-", 5) == 0 || strcmp(entry->d_name, "told") == 0) &&
            path_join(path, folder, entry->d_name) == IDDPM_OK)
            unlink(path);
    closedir(open);
    rmdir(folder);
}

static const char meeting_name[] = "stalled-";

/* Not those of a job that may be meeting at this time: one whose run was taken over, or that samples from it. */
static void clear_old(const char *folder)
{
    const size_t length = strlen(meeting_name);
    char path[PATH_SIZE];
    struct stat info;
    DIR *open = opendir(folder);
    if (!open) return;
    for (struct dirent *entry; (entry = readdir(open));) {
        const char *name = entry->d_name;
        if (strncmp(name, meeting_name, length) != 0 || strspn(name + length, "0123456789abcdef") != 16 ||
            name[length + 16])
            continue;
        if (path_join(path, folder, name) == IDDPM_OK && stat(path, &info) == 0 &&
            difftime(time(NULL), info.st_mtime) > OLD_SECONDS)
            clear(path);
    }
    closedir(open);
}

enum iddpm_status watchdog_serve(const char *folder, watchdog_beat_fn *beat, void *context)
{
    char name[NAME_SIZE], path[PATH_SIZE] = "";
    snprintf(name, sizeof name, "%s%016" PRIx64, meeting_name, dog.token);
    if (*folder) TRY(path_join(path, folder, name));
    if (*folder && dog.rank == 0) clear_old(folder);
    pthread_mutex_lock(&dog.lock);
    memcpy(dog.folder, path, sizeof path);
    pthread_mutex_unlock(&dog.lock);
    stop_beating();
    dog.beat = beat;
    dog.context = context;
    int error = beat ? create_thread(&dog.beater, keep_beating, "sign of life") : 0;
    dog.beats = beat && error == 0;
    if (!error) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "the thread for signs of life cannot start: %s", strerror(error));
}

void watchdog_stop(void)
{
    watchdog_at("waiting for the last sign of life", -1);
    stop_beating(); /* watched: it may hang */
    if (dog.started) {
        end_thread(dog.thread, &dog.stop);
        pthread_cond_destroy(&dog.wake);
    }
    dog.started = false;
    dog.folder[0] = 0;
    free(dog.hosts);
    dog.hosts = NULL;
}
