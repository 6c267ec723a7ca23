#include "listing.h"

#include "import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTES_MAX 10 /* that are printed */
#define STOP_EVERY 1024

const char *listing_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool listing_ends(const char *name, const char *ending)
{
    const char *dot = strrchr(listing_base_name(name), '.');
    return dot && strcasecmp(dot + 1, ending) == 0;
}

/* By the authors' endings, and WebP's; but "._x.png" is never a picture: macOS keeps attributes of x.png in it. */
bool listing_is_picture(const char *name)
{
    static const char *const endings[] = {"jpg", "jpeg", "png", "gif", "webp"};
    if (strncmp(listing_base_name(name), "._", 2) == 0) return false;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (listing_ends(name, endings[i])) return true;
    return false;
}

const char *listing_name(const struct listing *listing, size_t i)
{
    return listing->names + listing->files[i].name;
}

void listing_note(struct listing *listing, const char *name, const char *what)
{
    if (listing->notes++ < NOTES_MAX) log_info("%s/%s: %s", listing->source, name, what);
}

enum iddpm_status listing_add_name(struct listing *listing, const char *name)
{
    size_t n = strlen(name) + 1;
    TRY(mem_grow(&listing->names, &listing->names_capacity, listing->names_size + n, 1, "the names of pictures"));
    memcpy(listing->names + listing->names_size, name, n);
    listing->names_size += n;
    return IDDPM_OK;
}

enum iddpm_status listing_add(struct listing *listing, const char *name, uint64_t offset, uint64_t size)
{
    struct listed file = {listing->names_size, offset, size};
    if (!listing_is_picture(name)) {
        listing_note(listing, name, "left out: its name has no ending of a picture (jpg, jpeg, png, webp)");
        return IDDPM_OK;
    }
    if (*listing_base_name(name) == '.') listing_note(listing, name, "hidden, but taken as by the authors' loader");
    TRY(mem_grow(&listing->files, &listing->capacity, listing->count + 1, sizeof *listing->files,
                 "the list of pictures"));
    TRY(listing_add_name(listing, name));
    listing->files[listing->count++] = file;
    return listing->count % STOP_EVERY == 0 ? import_stopped() : IDDPM_OK;
}

enum iddpm_status listing_skip(struct listing *listing, const char *name, const char *reason)
{
    char path[PATH_SIZE];
    TRY(path_join(path, listing->source, name));
    if (listing->strict) return iddpm_error(IDDPM_FAILED, "%s: %s", path, reason);
    log_warn("skipped: %s: %s", path, reason);
    listing->skipped++;
    return IDDPM_OK;
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

/* The folders on the way down, so that a link to one of them is not followed for ever. */
struct ancestor {
    const struct ancestor *up;
    dev_t device;
    ino_t inode;
};

/* `name`: of the folder, relative to the source; "" for itself. */
static enum iddpm_status list(struct listing *listing, const char *name, const struct ancestor *up);

static enum iddpm_status add_entry(struct listing *listing, const char *name, const struct ancestor *up)
{
    struct stat info;
    char path[PATH_SIZE];
    TRY(path_join(path, listing->source, name));
    if (stat(path, &info) != 0) return listing_add(listing, name, 0, 0); /* opening it says why */
    if (!S_ISDIR(info.st_mode)) {
        const int64_t numbers[3] = {info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
        sha256_add(&listing->identity, numbers, sizeof numbers);
        return listing_add(listing, name, 0, 0);
    }
    if (*listing_base_name(name) == '.') listing_note(listing, name, "hidden, but taken as by the authors' loader");
    struct ancestor here = {up, info.st_dev, info.st_ino};
    for (; up; up = up->up)
        if (up->device == here.device && up->inode == here.inode)
            return listing_skip(listing, name, "a link to a folder that holds it");
    return list(listing, name, &here);
}

static int not_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum iddpm_status list(struct listing *listing, const char *name, const struct ancestor *up)
{
    struct dirent **entries;
    char path[PATH_SIZE], child[PATH_SIZE];
    TRY(path_join(path, listing->source, name));
    int n = scandir(path, &entries, not_dots, by_bytes);
    if (n < 0) return listing_skip(listing, name, strerror(errno));
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < n; i++) {
        if (status == IDDPM_OK && *name) status = path_join(child, name, entries[i]->d_name);
        if (status == IDDPM_OK) status = add_entry(listing, *name ? child : entries[i]->d_name, up);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* ---- all forms --------------------------------------------------------------------------------------------------- */

/* A file that begins as a ZIP archive is one; any other is to be a tar archive. */
static enum iddpm_status find_form(struct listing *listing, const char *path)
{
    char head[4] = "";
    listing->archive = open(path, O_RDONLY | O_CLOEXEC);
    if (listing->archive < 0) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(errno));
    ssize_t n = pread(listing->archive, head, sizeof head, 0);
    listing->form = n == sizeof head && memcmp(head, "PK\3\4", 4) == 0 ? LISTING_ZIP : LISTING_TAR;
    return listing_archive_open(listing);
}

enum iddpm_status listing_open(struct listing *listing, const char *source, bool strict)
{
    struct stat info;
    *listing = (struct listing){.source = source, .strict = strict, .archive = -1};
    sha256_start(&listing->identity);
    if (stat(source, &info) != 0 || (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)))
        return iddpm_error(IDDPM_FAILED, "%s: not a folder or an archive that can be opened", source);
    struct ancestor root = {NULL, info.st_dev, info.st_ino};
    TRY(S_ISREG(info.st_mode) ? find_form(listing, source) : list(listing, "", &root));
    if (listing->notes > NOTES_MAX)
        log_info("%s: %zu more files left out by their names, or hidden", source, listing->notes - NOTES_MAX);
    if (listing->count) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: holds no pictures (jpg, jpeg, png, webp)", source);
}

void listing_close(struct listing *listing)
{
    if (listing->archive >= 0) close(listing->archive);
    if (listing->form == LISTING_ZIP) zip_close(&listing->zip);
    free(listing->names);
    free(listing->files);
    free(listing->links);
    free(listing->bytes);
}
