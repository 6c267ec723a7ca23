#include "tar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK 512
#define DEPTH_MAX 4 /* of archives in archives */

struct tar {
    int fd;
    const char *path;
    enum iddpm_status (*visit)(void *context, const struct tar_member *member);
    void *context;
    int depth;
};

/* One archive: the outer one, or a file in it. */
struct range {
    const char *folder; /* in front of names: "" or with a "/" at the end */
    uint64_t at, end;
    char name[PATH_SIZE]; /* of the next member, from headers before its own; "": none */
    char link[PATH_SIZE]; /* the same, the target of a link */
    uint64_t size;        /* the same; UINT64_MAX: none */
};

static enum iddpm_status damaged(const struct tar *tar, uint64_t at, const char *what)
{
    return iddpm_error(IDDPM_FAILED, "%s: %s, at byte %llu", tar->path, what, (unsigned long long)at);
}

static enum iddpm_status read_at(const struct tar *tar, uint64_t at, void *out, size_t n)
{
    ssize_t got = pread(tar->fd, out, n, (off_t)at);
    if (got == (ssize_t)n) return IDDPM_OK;
    return damaged(tar, at, got < 0 ? strerror(errno) : "cut short");
}

/* Octal digits, or GNU's big-endian binary after a byte 0x80. False when it is neither or does not fit. */
static bool number(const uint8_t *field, int width, uint64_t *out)
{
    *out = 0;
    if (field[0] == 0x80) {
        for (int i = 1; i < width; i++) {
            if (*out >> 55) return false;
            *out = *out << 8 | field[i];
        }
        return true;
    }
    int i = 0;
    while (i < width && field[i] == ' ') i++;
    for (; i < width && field[i] >= '0' && field[i] <= '7'; i++) *out = *out * 8 + (field[i] - '0');
    return i == width || field[i] == ' ' || field[i] == 0;
}

/* The sum of a header's bytes, that of the checksum's own taken as spaces. */
static bool checksum_fits(const uint8_t *header)
{
    uint64_t noted, sum = 0;
    for (int i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? ' ' : header[i];
    return number(header + 148, 8, &noted) && noted == sum;
}

/* The name in the header itself; ustar's has its beginning in another field. */
static void header_name(const uint8_t *header, char *out)
{
    bool ustar = memcmp(header + 257, "ustar\0", 6) == 0;
    if (ustar && header[345])
        snprintf(out, PATH_SIZE, "%.155s/%.100s", (const char *)header + 345, (const char *)header);
    else
        snprintf(out, PATH_SIZE, "%.100s", (const char *)header);
}

/* Records "LENGTH key=value\n" of a pax header. */
static bool take_pax(struct range *range, char *text, size_t n)
{
    for (char *end = text + n; text < end;) {
        char *key;
        unsigned long length = strtoul(text, &key, 10);
        if (length < 5 || length > (size_t)(end - text) || *key != ' ' || text[length - 1] != '\n') return false;
        text[length - 1] = 0;
        if (strncmp(++key, "path=", 5) == 0)
            snprintf(range->name, PATH_SIZE, "%s", key + 5);
        else if (strncmp(key, "linkpath=", 9) == 0)
            snprintf(range->link, PATH_SIZE, "%s", key + 9);
        else if (strncmp(key, "size=", 5) == 0)
            range->size = strtoull(key + 5, NULL, 10);
        text += length;
    }
    return true;
}

/* A header that only tells of the next member: its data, of `size` bytes at range->at, are read. */
static enum iddpm_status take_extension(const struct tar *tar, struct range *range, char type, uint64_t size)
{
    enum { MOST = 1 << 20 };
    char *text;
    if (size > MOST) return damaged(tar, range->at, "a header of more than 1 MB");
    TRY(mem_alloc(&text, (size_t)size + 1, 1, "a header of a tar archive"));
    enum iddpm_status status = read_at(tar, range->at, text, (size_t)size);
    if (status == IDDPM_OK && type == 'L') snprintf(range->name, PATH_SIZE, "%s", text);
    if (status == IDDPM_OK && type == 'K') snprintf(range->link, PATH_SIZE, "%s", text);
    if (status == IDDPM_OK && type == 'x' && !take_pax(range, text, (size_t)size))
        status = damaged(tar, range->at, "a pax header that makes no sense");
    free(text);
    return status;
}

static enum iddpm_status walk(struct tar *tar, uint64_t at, uint64_t end, const char *folder);

static bool is_tar(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcasecmp(name + n - 4, ".tar") == 0;
}

const char *archive_plain_name(const char *name)
{
    while (*name == '/' || strncmp(name, "./", 2) == 0) name += *name == '/' ? 1 : 2;
    return name;
}

/* `name`: as in the archive; out[PATH_SIZE]: in the outermost one. */
static enum iddpm_status whole_name(const struct tar *tar, const struct range *range, const char *name, char *out)
{
    if (snprintf(out, PATH_SIZE, "%s%s", range->folder, archive_plain_name(name)) < PATH_SIZE) return IDDPM_OK;
    return damaged(tar, range->at, "a name that is too long");
}

static enum iddpm_status take_link(struct tar *tar, const struct range *range, const char *name, const uint8_t *header)
{
    char whole[PATH_SIZE], own[101], target[PATH_SIZE];
    snprintf(own, sizeof own, "%.100s", (const char *)header + 157);
    TRY(whole_name(tar, range, name, whole));
    TRY(whole_name(tar, range, *range->link ? range->link : own, target));
    return tar->visit(tar->context,
                      &(struct tar_member){.name = whole, .link = target, .symbolic = header[156] == '2'});
}

static enum iddpm_status take_file(struct tar *tar, const struct range *range, const char *name, uint64_t size)
{
    char whole[PATH_SIZE], *slash;
    TRY(whole_name(tar, range, name, whole));
    if (!is_tar(whole))
        return tar->visit(tar->context, &(struct tar_member){.name = whole, .offset = range->at, .size = size});
    if (++tar->depth > DEPTH_MAX) return damaged(tar, range->at, "archives in archives in archives without end");
    slash = strrchr(whole, '/');
    *(slash ? slash + 1 : whole) = 0;
    enum iddpm_status status = walk(tar, range->at, range->at + size, whole);
    tar->depth--;
    return status;
}

/* The member whose header stood before range->at; moves behind it. */
static enum iddpm_status take_member(struct tar *tar, struct range *range, const uint8_t *header)
{
    char type = (char)header[156], own[PATH_SIZE];
    uint64_t size;
    bool file = type == '0' || type == 0 || type == '7', extension = type != 0 && strchr("LKxgX", type) != NULL;
    if (!number(header + 124, 12, &size)) return damaged(tar, range->at, "a size that makes no sense");
    if (!extension && range->size != UINT64_MAX) size = range->size;
    if (type >= '1' && type <= '6') size = 0; /* links, folders, devices */
    if (size > range->end - range->at)
        return damaged(tar, range->at, "cut short: a file goes on behind the end of the archive");
    if (type == 'S') return damaged(tar, range->at, "a sparse file, which is not read");
    if (extension) {
        TRY(take_extension(tar, range, type, type == 'L' || type == 'K' || type == 'x' ? size : 0));
    } else {
        const char *name = *range->name ? range->name : own;
        header_name(header, own);
        if (file) TRY(take_file(tar, range, name, size));
        if (type == '1' || type == '2') TRY(take_link(tar, range, name, header));
        range->name[0] = range->link[0] = 0;
        range->size = UINT64_MAX;
    }
    range->at += (size + BLOCK - 1) / BLOCK * BLOCK;
    return IDDPM_OK;
}

/* At least one block of zeroes ends an archive; without it, it is taken for a part of a download. */
static enum iddpm_status walk(struct tar *tar, uint64_t at, uint64_t end, const char *folder)
{
    static const uint8_t zeroes[BLOCK];
    uint8_t header[BLOCK];
    char own_folder[PATH_SIZE];
    struct range range = {.folder = own_folder, .at = at, .end = end, .size = UINT64_MAX};
    snprintf(own_folder, sizeof own_folder, "%s", folder);
    for (;;) {
        if (range.at > end || end - range.at < BLOCK)
            return damaged(tar, range.at, "cut short: the archive has no end mark; fetch it again");
        TRY(read_at(tar, range.at, header, BLOCK));
        if (memcmp(header, zeroes, BLOCK) == 0) return IDDPM_OK;
        if (!checksum_fits(header))
            return damaged(tar, range.at,
                           range.at == 0 ? "not a tar archive; a compressed one is to be unpacked to .tar first"
                                         : "damaged: no header of a tar archive");
        range.at += BLOCK;
        TRY(take_member(tar, &range, header));
    }
}

enum iddpm_status tar_each(int fd, const char *path,
                           enum iddpm_status (*visit)(void *context, const struct tar_member *), void *context)
{
    struct stat info;
    struct tar tar = {fd, path, visit, context, 0};
    if (fstat(fd, &info) != 0) return iddpm_error(IDDPM_FAILED, "%s: cannot look at: %s", path, strerror(errno));
    return walk(&tar, 0, (uint64_t)info.st_size, "");
}
