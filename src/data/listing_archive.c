/* Pictures in an archive: the same data set as of the folder that it unpacks to, byte for byte. */
#include "listing.h"
#include "tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum iddpm_status add_tar_member(void *context, const struct tar_member *member)
{
    struct listing *listing = context;
    if (!member->link) return listing_add(listing, member->name, member->offset, member->size);
    if (member->symbolic)
        return listing_skip(listing, member->name, "a symbolic link, which is not followed in an archive");
    if (!listing_is_picture(member->name)) return listing_add(listing, member->name, 0, 0); /* which says so */
    struct listed_link link = {.name = listing->names_size};
    TRY(mem_grow(&listing->links, &listing->link_capacity, listing->link_count + 1, sizeof link, "the list of links"));
    TRY(listing_add_name(listing, member->name));
    link.target = listing->names_size;
    TRY(listing_add_name(listing, member->link));
    listing->links[listing->link_count++] = link;
    return IDDPM_OK;
}

static enum iddpm_status list_zip(struct listing *listing)
{
    for (size_t i = 0; i < listing->zip.count; i++) {
        const struct zip_member *member = &listing->zip.members[i];
        size_t n = strlen(member->name);
        if (n && member->name[n - 1] == '/') continue; /* a folder */
        TRY(listing_add(listing, archive_plain_name(member->name), i, member->size));
    }
    return IDDPM_OK;
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

/* As a walk through the folders: the end of a folder's name sorts before any character. */
static int compare_paths(const char *a, const char *b)
{
    for (; *a == *b && *a; a++, b++) continue;
    int x = *a == '/' ? 1 : (unsigned char)*a + (*a != 0), y = *b == '/' ? 1 : (unsigned char)*b + (*b != 0);
    return x - y;
}

static int by_path(const void *a, const void *b, void *names)
{
    const struct listed *x = a, *y = b;
    int order = compare_paths((const char *)names + x->name, (const char *)names + y->name);
    return order ? order : x->name < y->name ? -1 : x->name > y->name; /* names were added in the archive's order */
}

static void sort_files(struct listing *listing)
{
    if (listing->count) qsort_r(listing->files, listing->count, sizeof *listing->files, by_path, listing->names);
}

/* Among the first `count` files, which are sorted, the last one that the archive has by this name before the link. */
static const struct listed *find_target(const struct listing *listing, size_t count, const struct listed_link *link)
{
    size_t low = 0, high = count;
    const char *target = listing->names + link->target;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct listed *file = &listing->files[middle];
        int order = compare_paths(listing->names + file->name, target);
        if (order < 0 || (order == 0 && file->name < link->name))
            low = middle + 1;
        else
            high = middle;
    }
    if (!low || strcmp(listing_name(listing, low - 1), target) != 0) return NULL;
    return &listing->files[low - 1];
}

/* Lists each hard link as the file that it is another name of. */
static enum iddpm_status follow_links(struct listing *listing)
{
    size_t count = listing->count;
    for (size_t i = 0; i < listing->link_count; i++) {
        char name[PATH_SIZE]; /* listing->names may move */
        const struct listed *file = find_target(listing, count, &listing->links[i]);
        snprintf(name, sizeof name, "%s", listing->names + listing->links[i].name);
        if (file) {
            TRY(listing_add(listing, name, file->offset, file->size));
            listing->files[listing->count - 1].name = listing->links[i].name; /* its place among those of one name */
        } else {
            TRY(listing_skip(listing, name, "a link to what is no picture of the archive"));
        }
    }
    return IDDPM_OK;
}

/* Of several members of one name the last one is what unpacking leaves. */
static void keep_last(struct listing *listing)
{
    size_t n = 0;
    for (size_t i = 0; i < listing->count; i++) {
        if (n && strcmp(listing->names + listing->files[n - 1].name, listing_name(listing, i)) == 0) n--;
        listing->files[n++] = listing->files[i];
    }
    listing->count = n;
}

enum iddpm_status listing_archive_open(struct listing *listing)
{
    if (listing->form == LISTING_TAR) {
        TRY(tar_each(listing->archive, listing->source, add_tar_member, listing));
    } else {
        TRY(zip_open(&listing->zip, listing->source, "a ZIP archive"));
        TRY(list_zip(listing));
    }
    sort_files(listing);
    if (listing->link_count) {
        TRY(follow_links(listing));
        sort_files(listing);
    }
    keep_last(listing);
    return IDDPM_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status unzip(struct listing *listing, const struct listed *file)
{
    struct zip_stream stream;
    enum iddpm_status status = zip_stream_open(&stream, &listing->zip, &listing->zip.members[file->offset]);
    if (status == IDDPM_OK) status = zip_stream_read(&stream, listing->bytes, (size_t)file->size);
    zip_stream_close(&stream);
    return status;
}

enum iddpm_status listing_bytes(struct listing *listing, size_t i, const uint8_t **bytes, size_t *n)
{
    const struct listed *file = &listing->files[i];
    TRY(mem_grow(&listing->bytes, &listing->bytes_capacity, (size_t)file->size + 1, 1, "a picture of an archive"));
    *bytes = listing->bytes;
    *n = (size_t)file->size;
    if (listing->form == LISTING_ZIP) return unzip(listing, file);
    ssize_t got = pread(listing->archive, listing->bytes, *n, (off_t)file->offset);
    if (got == (ssize_t)*n) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "cannot read: %s", got < 0 ? strerror(errno) : "the archive became shorter");
}

void listing_expect(const struct listing *listing, size_t i)
{
    if (listing->form != LISTING_TAR) return;
    posix_fadvise(listing->archive, (off_t)listing->files[i].offset, (off_t)listing->files[i].size,
                  POSIX_FADV_WILLNEED);
}
