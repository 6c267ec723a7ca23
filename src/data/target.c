/* The folder of an import: taken, cleared of what an interrupted import left, given back when the import fails. */
#include "import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_FILE "import.lock"

/* The lock goes with the process, however that ends. File systems without locks do without. */
static enum iddpm_status take_lock(struct target *target)
{
    char path[PATH_SIZE];
    TRY(path_join(path, target->path, LOCK_FILE));
    target->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (target->lock < 0)
        return iddpm_error(IDDPM_FAILED, "%s: cannot write into this folder: %s", target->path, strerror(errno));
    if (flock(target->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return iddpm_error(IDDPM_USAGE, "%s: another import is writing here", target->path);
    return IDDPM_OK;
}

static bool is_ours(const char *name)
{
    int number, end = 0;
    return (sscanf(name, TARGET_SHARD_NAME "%n", &number, &end) == 1 && end && !name[end]) ||
           strcmp(name, INDEX_FILE ".tmp") == 0 || strcmp(name, "import.tmp") == 0 || strcmp(name, LOCK_FILE) == 0;
}

/* Calls visit(folder's descriptor, name) for every entry until one fails. */
static enum iddpm_status each_entry(const struct target *target,
                                    enum iddpm_status (*visit)(const struct target *, int folder, const char *name))
{
    DIR *folder = opendir(target->path);
    if (!folder) return iddpm_error(IDDPM_FAILED, "%s: cannot read this folder: %s", target->path, strerror(errno));
    enum iddpm_status status = IDDPM_OK;
    for (struct dirent *entry; status == IDDPM_OK && (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = visit(target, dirfd(folder), entry->d_name);
    closedir(folder);
    return status;
}

static enum iddpm_status refuse_foreign(const struct target *target, int folder, const char *name)
{
    (void)folder;
    if (is_ours(name)) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s: holds other files (%s); name a new or an empty folder", target->path, name);
}

static enum iddpm_status remove_part(const struct target *target, int folder, const char *name)
{
    if (!is_ours(name) || strcmp(name, LOCK_FILE) == 0 || unlinkat(folder, name, 0) == 0) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s/%s: cannot be removed: %s", target->path, name, strerror(errno));
}

static enum iddpm_status refuse_dataset(const struct target *target)
{
    char index[PATH_SIZE];
    TRY(path_join(index, target->path, INDEX_FILE));
    if (!path_exists(index)) return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s: holds a data set already; name another folder, or remove this one",
                       target->path);
}

enum iddpm_status target_open(struct target *target, const char *path)
{
    *target = (struct target){.path = path, .made = !path_exists(path), .lock = -1};
    TRY(path_make_folders(path));
    enum iddpm_status status = refuse_dataset(target);
    if (status == IDDPM_OK) status = each_entry(target, refuse_foreign);
    if (status == IDDPM_OK) status = take_lock(target);
    if (status == IDDPM_OK) status = refuse_dataset(target); /* one that was finished meanwhile */
    if (status == IDDPM_OK) status = each_entry(target, remove_part);
    if (status != IDDPM_OK && target->lock >= 0) close(target->lock);
    return status;
}

void target_discard(struct target *target)
{
    each_entry(target, remove_part);
    target_close(target);
    if (target->made) rmdir(target->path);
}

void target_close(struct target *target)
{
    char path[PATH_SIZE];
    if (path_join(path, target->path, LOCK_FILE) == IDDPM_OK) unlink(path);
    close(target->lock);
}
