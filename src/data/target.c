/* The folder of an import: taken, cleared of what cannot go on, given back when the import fails. */
#include "draft.h"

#include "import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE "import.lock"

/* Whether the file that is locked still has its name: an import that ended meanwhile has removed it, and the next one
 * makes another. */
static bool has_name(int lock, const char *path)
{
    struct stat ours, named;
    return fstat(lock, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

/* The lock goes with the process, however that ends. File systems without locks do without. */
static enum iddpm_status take_lock(struct target *target)
{
    enum { TRIES = 100 };
    char path[PATH_SIZE];
    TRY(path_join(path, target->path, LOCK_FILE));
    for (int i = 0; i < TRIES; i++) {
        target->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (target->lock < 0)
            return iddpm_error(IDDPM_FAILED, "%s: cannot write into this folder: %s", target->path, strerror(errno));
        bool refused = flock(target->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        if (!refused && has_name(target->lock, path)) return IDDPM_OK;
        close(target->lock);
        target->lock = -1;
        if (refused) break;
    }
    return iddpm_error(IDDPM_USAGE, "%s: another import is writing here", target->path);
}

/* Of the form "shard-0012" and one of these endings. */
static bool is_shard(const char *name)
{
    static const char *const endings[] = {".h5", ".part", ".h5.tmp"};
    int number, end = 0;
    if (sscanf(name, "shard-%4d%n", &number, &end) != 1) return false;
    for (int i = 0; i < 3; i++)
        if (strcmp(name + end, endings[i]) == 0) return true;
    return false;
}

/* What an import leaves before its index is there. */
static bool is_ours(const char *name)
{
    static const char *const names[] = {INDEX_FILE ".tmp", "import.tmp", DRAFT_FILE, DRAFT_FILE ".tmp", LOCK_FILE};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return is_shard(name);
}

/* Calls visit(path, folder's descriptor, name) for every entry until one fails. */
static enum iddpm_status each_entry(const char *path,
                                    enum iddpm_status (*visit)(const char *path, int folder, const char *name))
{
    DIR *folder = opendir(path);
    if (!folder) return iddpm_error(IDDPM_FAILED, "%s: cannot read this folder: %s", path, strerror(errno));
    enum iddpm_status status = IDDPM_OK;
    for (struct dirent *entry; status == IDDPM_OK && (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = visit(path, dirfd(folder), entry->d_name);
    closedir(folder);
    return status;
}

static enum iddpm_status refuse_foreign(const char *path, int folder, const char *name)
{
    (void)folder;
    if (is_ours(name) || strcmp(name, INDEX_FILE) == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s: holds other files (%s); name a new or an empty folder", path, name);
}

static enum iddpm_status remove_part(const char *path, int folder, const char *name)
{
    if (!is_ours(name) || strcmp(name, LOCK_FILE) == 0 || unlinkat(folder, name, 0) == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s/%s: cannot be removed: %s", path, name, strerror(errno));
}

/* A file `unless` beside the index is of an import that was killed while it cleared up. */
static enum iddpm_status refuse_dataset(const struct target *target, const char *unless)
{
    char index[PATH_SIZE], left[PATH_SIZE];
    TRY(path_join(index, target->path, INDEX_FILE));
    TRY(path_join(left, target->path, unless));
    if (!path_exists(index) || path_exists(left)) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s: holds a data set already; name another folder, or remove this one",
                       target->path);
}

enum iddpm_status target_open(struct target *target, const char *path)
{
    *target = (struct target){.path = path, .made = !path_exists(path), .lock = -1};
    TRY(path_make_folders(path));
    enum iddpm_status status = refuse_dataset(target, LOCK_FILE);
    if (status == IDDPM_OK) status = each_entry(path, refuse_foreign);
    if (status == IDDPM_OK) status = take_lock(target);
    if (status != IDDPM_OK) return status;
    status = refuse_dataset(target, DRAFT_FILE); /* with it, clearing up goes on */
    if (status != IDDPM_OK) target_close(target);
    return status;
}

enum iddpm_status target_clear(const char *path)
{
    return each_entry(path, remove_part);
}

bool target_give_up(struct target *target)
{
    char draft[PATH_SIZE], index[PATH_SIZE];
    bool kept = path_join(draft, target->path, DRAFT_FILE) != IDDPM_OK || path_exists(draft) ||
                path_join(index, target->path, INDEX_FILE) != IDDPM_OK || path_exists(index);
    if (!kept) target_clear(target->path);
    target_close(target);
    if (!kept && target->made) rmdir(target->path);
    return kept;
}

void target_close(struct target *target)
{
    char path[PATH_SIZE];
    if (path_join(path, target->path, LOCK_FILE) == IDDPM_OK) unlink(path);
    close(target->lock);
}
