#include "ranks.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct parallel ranks;

#ifdef __SANITIZE_ADDRESS__
/* Open MPI unloads its modules at the end, and LeakSanitizer then cannot tell whose their leaks are (tests/lsan.supp).
 */
int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
#endif

int ranks_start(int *argc, char ***argv, unsigned seconds)
{
    alarm(seconds);
    if (parallel_init(&ranks, argc, argv) == IDDPM_OK) return 0;
    fprintf(stderr, "%s\n", iddpm_error_text());
    return 1;
}

int ranks_end(int failed)
{
    parallel_finalize(&ranks);
    return failed != 0;
}

void ranks_make_folder(char *out)
{
    const char *base = getenv("TMPDIR");
    if (!base) base = path_is_folder("/dev/shm") ? "/dev/shm" : "/tmp"; /* many files, each synced */
    snprintf(out, PATH_SIZE, "%s/iddpm-test-XXXXXX", base);
    if (ranks.rank == 0 && !mkdtemp(out)) parallel_abort(&ranks, IDDPM_FAILED, "%s: cannot make this folder", out);
    parallel_broadcast(&ranks, out, PATH_SIZE);
}

/* Calls `visit` for every file; returns their number. */
static int each_file(const char *folder, void (*visit)(const char *path))
{
    int n = 0;
    DIR *open = opendir(folder);
    for (struct dirent *entry; open && (entry = readdir(open));) {
        char path[PATH_SIZE];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        n++;
        if (visit && path_join(path, folder, entry->d_name) == IDDPM_OK) visit(path);
    }
    if (open) closedir(open);
    return n;
}

static void remove_one(const char *path)
{
    unlink(path);
}

void ranks_remove_folder(const char *folder)
{
    parallel_barrier(&ranks);
    if (ranks.rank != 0) return;
    each_file(folder, remove_one);
    rmdir(folder);
}

int ranks_count_files(const char *folder)
{
    return each_file(folder, NULL);
}
