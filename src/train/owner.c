/* One run, one writer. A job may come back on other nodes while its former processes still run beside it (a node that
 * Slurm lost sight of), and a user may start one run twice. So who writes is said by a file, RUN/owner, which is
 * replaced as a whole, under a lock file that stands only for that moment; and every writer asks it before each rename.
 */
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Seconds. Not constants for the tests' sake. */
static double lock_patience = 5;       /* the lock of a job that died holding it */
static double process_patience = 3;    /* for the end of a process that is ending */
static double heartbeat_patience = 25; /* the sign of life comes every 10 s */

static const char *const field_names[OWNER_FIELDS] = {"job",     "cluster", "array_task", "restarts", "host",
                                                      "machine", "pid",     "started",    "token",    "since"};

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* *there false: no such file, which a file that cannot be read for now is not. What cannot be understood is left empty.
 */
static enum iddpm_status read_record(const char *path, struct owner_record *out, bool *there)
{
    char text[1 << 14]; /* a loop of training comes here, which takes no memory */
    *out = (struct owner_record){0};
    enum iddpm_status status = path_read_small(path, sizeof text, text);
    *there = status == IDDPM_OK || path_exists(path);
    if (!*there) return IDDPM_OK;
    TRY(status);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        for (int i = 0; i < OWNER_FIELDS; i++) {
            size_t length = strlen(field_names[i]);
            if (strncmp(line, field_names[i], length) == 0 && strncmp(line + length, ": ", 2) == 0)
                snprintf(out->v[i], sizeof out->v[i], "%.200s", line + length + 2);
        }
    return IDDPM_OK;
}

static enum iddpm_status write_record(const struct owner *owner)
{
    char text[OWNER_FIELDS * (sizeof owner->mine.v[0] + 16)];
    size_t used = 0;
    for (int i = 0; i < OWNER_FIELDS; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s: %s\n", field_names[i], owner->mine.v[i]);
    return path_write_text(owner->path, text);
}

static bool same(const struct owner_record *a, const struct owner_record *b, enum owner_field field)
{
    return strcmp(a->v[field], b->v[field]) == 0;
}

static int64_t number(const struct owner_record *record, enum owner_field field)
{
    return strtoll(record->v[field], NULL, 10);
}

/* One task of an array has the number of the whole array, so a task is called by its place in it. */
static const char *batch_name(const struct owner_record *record)
{
    return *record->v[OWNER_TASK] ? record->v[OWNER_TASK] : record->v[OWNER_JOB];
}

/* "job 12 (restart 1), process 345 on n1, since 2026-01-02 03:04:05" */
static void describe(const struct owner_record *record, char *out, size_t size)
{
    const char *task = record->v[OWNER_TASK], *host = record->v[OWNER_HOST];
    char job[640] = "";
    if (*record->v[OWNER_JOB])
        snprintf(job, sizeof job, "job %s%s%s (restart %" PRId64 "), ", record->v[OWNER_JOB],
                 *task ? ", array task " : "", task, number(record, OWNER_RESTARTS));
    snprintf(out, size, "%sprocess %s on %s, since %s", job, *record->v[OWNER_PID] ? record->v[OWNER_PID] : "?",
             *host ? host : "an unknown host", *record->v[OWNER_SINCE] ? record->v[OWNER_SINCE] : "an unknown time");
}

/* ---- who I am ---------------------------------------------------------------------------------------------------- */

/* Start of a process in clock ticks since the boot, 0 when there is none or it has ended (a zombie): proc(5). */
static int64_t process_start(int64_t pid)
{
    enum { STATE = 3, STARTTIME = 22 };
    char path[64], text[4096];
    int64_t start = 0;
    snprintf(path, sizeof path, "/proc/%" PRId64 "/stat", pid);
    if (path_read_small(path, sizeof text, text) != IDDPM_OK) return 0;
    const char *field = strrchr(text, ')'); /* the name before it may hold anything */
    bool alive = field && strncmp(field, ") ", 2) == 0 && !strchr("ZXx", field[2]);
    for (int i = STATE - 1; field && i < STARTTIME; i++) field = strchr(field + 1, ' ');
    if (alive && field) start = strtoll(field, NULL, 10);
    return start;
}

static void describe_machine(char *out, size_t size)
{
    char space[64] = "", boot[256];
    if (readlink("/proc/self/ns/pid", space, sizeof space - 1) < 0) space[0] = 0;
    path_read_small("/proc/sys/kernel/random/boot_id", sizeof boot, boot); /* "" when it is not known */
    snprintf(out, size, "%.*s %s", (int)strcspn(boot, "\n"), boot, space);
}

static enum iddpm_status describe_me(struct owner_record *me, const struct train_job *job)
{
    const size_t size = sizeof me->v[0];
    uint64_t token;
    if (getrandom(&token, sizeof token, 0) != sizeof token)
        return iddpm_error(IDDPM_FAILED, "no random number for RUN/owner: %s", strerror(errno));
    snprintf(me->v[OWNER_TOKEN], size, "%016" PRIx64, token);
    snprintf(me->v[OWNER_JOB], size, "%.200s", job ? job->id : "");
    snprintf(me->v[OWNER_CLUSTER], size, "%.200s", job ? job->cluster : "");
    snprintf(me->v[OWNER_TASK], size, "%.200s", job ? job->task : "");
    snprintf(me->v[OWNER_RESTARTS], size, "%" PRId64, job ? job->restarts : 0);
    if (gethostname(me->v[OWNER_HOST], size - 1) != 0) me->v[OWNER_HOST][0] = 0;
    describe_machine(me->v[OWNER_MACHINE], size);
    snprintf(me->v[OWNER_PID], size, "%ld", (long)getpid());
    snprintf(me->v[OWNER_STARTED], size, "%" PRId64, process_start(getpid()));
    time_t now = time(NULL);
    struct tm local;
    strftime(me->v[OWNER_SINCE], size, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &local));
    return IDDPM_OK;
}

/* ---- who stands there -------------------------------------------------------------------------------------------- */

static bool process_ends(const struct owner_record *there)
{
    double until = clock_seconds() + process_patience;
    while (process_start(number(there, OWNER_PID)) == number(there, OWNER_STARTED)) {
        if (clock_seconds() > until) return false;
        clock_sleep(0.1);
    }
    return true;
}

/* Opened each time: that is when a network file system asks its server. *there false: no such file. */
static enum iddpm_status last_touched(const char *path, struct timespec *out, bool *there)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
    if (fd < 0 || fstat(fd, &info) != 0) error = errno;
    if (fd >= 0) close(fd);
    *there = error == 0;
    if (*there) *out = info.st_mtim;
    if (error == 0 || error == ENOENT || error == ENOTDIR) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(error));
}

static enum iddpm_status shows_life(const struct owner *owner, bool *lives)
{
    struct timespec first, now;
    bool there;
    double until = clock_seconds() + heartbeat_patience;
    *lives = false;
    TRY(last_touched(owner->path, &first, &there));
    while (there && !*lives && clock_seconds() < until) {
        clock_sleep(heartbeat_patience < 1 ? heartbeat_patience / 4 : 1);
        TRY(last_touched(owner->path, &now, &there)); /* not there: it has ended */
        *lives = there && (now.tv_sec != first.tv_sec || now.tv_nsec != first.tv_nsec);
    }
    return IDDPM_OK;
}

static enum iddpm_status refuse(const struct owner *owner, const struct owner_record *there)
{
    char who[1600], how[320];
    describe(there, who, sizeof who);
    if (*there->v[OWNER_JOB])
        snprintf(how, sizeof how, "scancel %s", batch_name(there));
    else
        snprintf(how, sizeof how, "kill %s there", there->v[OWNER_PID]);
    return iddpm_error(IDDPM_USAGE,
                       "%s is being trained by %s: wait for its end, or end it (%s), or give this one another run.dir",
                       owner->folder, who, how);
}

static enum iddpm_status superseded(const struct owner *owner, const struct owner_record *there)
{
    char who[1600];
    describe(there, who, sizeof who);
    return iddpm_error(IDDPM_FAILED, "%s was taken over by %s: this job ends and writes nothing more", owner->folder,
                       who);
}

/* IDDPM_OK: it may be taken over, for a reason in why. */
static enum iddpm_status judge(const struct owner *owner, const struct train_job *job, const struct owner_record *there,
                               const char **why)
{
    const struct owner_record *mine = &owner->mine;
    bool cluster = *there->v[OWNER_JOB] && same(mine, there, OWNER_CLUSTER);
    bool same_job = cluster && same(mine, there, OWNER_JOB);
    if (same_job && !same(mine, there, OWNER_RESTARTS)) {
        *why = "this job has been restarted since";
        return number(mine, OWNER_RESTARTS) > number(there, OWNER_RESTARTS) ? IDDPM_OK : superseded(owner, there);
    }
    if (same(mine, there, OWNER_HOST) && same(mine, there, OWNER_MACHINE)) {
        *why = "its process has ended";
        return process_ends(there) ? IDDPM_OK : refuse(owner, there);
    }
    if (cluster && !same_job && job && job->state) {
        enum job_state state = job->state(batch_name(there));
        *why = "its job does not run any more";
        if (state != JOB_UNKNOWN) return state == JOB_ENDED ? IDDPM_OK : refuse(owner, there);
    }
    log_info("%s belongs to another job: watching for its signs of life, up to %.0f s", owner->folder,
             heartbeat_patience);
    bool lives;
    *why = "it shows no sign of life";
    TRY(shows_life(owner, &lives));
    return lives ? refuse(owner, there) : IDDPM_OK;
}

/* ---- claiming ---------------------------------------------------------------------------------------------------- */

static enum iddpm_status lock(const struct owner *owner, char path[PATH_SIZE])
{
    TRY(path_join(path, owner->folder, "owner.lock"));
    double until = clock_seconds() + lock_patience;
    int fd;
    while ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) < 0) {
        if (errno != EEXIST) return iddpm_error(IDDPM_FAILED, "%s: cannot make: %s", path, strerror(errno));
        clock_sleep(0.05);
        if (clock_seconds() < until) continue;
        log_warn("%s: removed; a job that ended had left it", path);
        unlink(path);
        until = clock_seconds() + lock_patience;
    }
    close(fd);
    return IDDPM_OK;
}

/* Puts my record in the place of `expected` ("": no file), unless another one stands there by now (*done false). */
static enum iddpm_status replace(struct owner *owner, const char *expected, bool *done)
{
    struct owner_record there;
    bool exists;
    char path[PATH_SIZE];
    TRY(lock(owner, path));
    enum iddpm_status status = read_record(owner->path, &there, &exists);
    *done = status == IDDPM_OK && strcmp(there.v[OWNER_TOKEN], expected) == 0;
    if (*done) status = write_record(owner);
    if (*done && status == IDDPM_OK) {
        owner->file = open(owner->path, O_RDWR | O_CLOEXEC);
        if (owner->file < 0) status = iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", owner->path, strerror(errno));
    }
    unlink(path);
    return status;
}

static enum iddpm_status claim_file(struct owner *owner, const struct train_job *job)
{
    for (bool done = false; !done;) {
        struct owner_record there;
        bool exists;
        const char *why = "";
        TRY(read_record(owner->path, &there, &exists));
        if (exists) TRY(judge(owner, job, &there, &why));
        TRY(replace(owner, there.v[OWNER_TOKEN], &done));
        if (!done || !exists) continue;
        char who[1600];
        describe(&there, who, sizeof who);
        log_warn("%s: taken over from %s: %s", owner->folder, who, why);
    }
    return owner_check(owner); /* of two that found one lock left behind, the later has it */
}

/* Rank 0 */
static enum iddpm_status claim(struct owner *owner, const struct train_job *job, const char *run)
{
    TRY(path_join(owner->path, run, "owner"));
    snprintf(owner->folder, sizeof owner->folder, "%s", run);
    TRY(describe_me(&owner->mine, job));
    snprintf(owner->token, sizeof owner->token, "%.31s", owner->mine.v[OWNER_TOKEN]);
    owner->made_folder = !path_exists(run);
    TRY(path_make_folders(run));
    return claim_file(owner, job);
}

enum iddpm_status owner_claim(struct owner *owner, const struct parallel *parallel, const struct train_job *job,
                              const char *run)
{
    *owner = (struct owner){.parallel = parallel, .guard = {owner->token, owner_check, owner}, .file = -1};
    TRY(parallel_agree(parallel, parallel->rank == 0 ? claim(owner, job, run) : IDDPM_OK));
    return parallel_broadcast(parallel, owner->token, sizeof owner->token);
}

enum iddpm_status owner_check(void *context)
{
    struct owner *owner = context;
    struct owner_record there;
    bool exists;
    if (owner->parallel->rank != 0) return IDDPM_OK;
    TRY(read_record(owner->path, &there, &exists));
    if (exists && same(&owner->mine, &there, OWNER_TOKEN)) return IDDPM_OK;
    owner->lost = true;
    log_open(NULL);
    if (exists) return superseded(owner, &there);
    return iddpm_error(IDDPM_FAILED, "%s was removed: this job does not own the run any more, and ends", owner->path);
}

bool owner_is_lost(const struct owner *owner)
{
    return parallel_max_int(owner->parallel, owner->lost) != 0;
}

void owner_beat(void *context)
{
    const struct owner *owner = context;
    futimens(owner->file, NULL);
}

void owner_release(struct owner *owner)
{
    char path[PATH_SIZE];
    if (!*owner->path) return;
    if (owner->file >= 0 && !owner->lost && lock(owner, path) == IDDPM_OK) {
        if (owner_check(owner) == IDDPM_OK) unlink(owner->path);
        unlink(path);
    }
    if (owner->file >= 0) close(owner->file);
    owner->file = -1;
    if (owner->made_folder) rmdir(owner->folder); /* goes only when it is empty */
}
