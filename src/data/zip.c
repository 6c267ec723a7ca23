/* APPNOTE.TXT 6.3 of PKWARE; numbers in brackets are its sections. */
#include "zip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOCAL_HEADER 0x04034b50u   /* [4.3.7] */
#define CENTRAL_HEADER 0x02014b50u /* [4.3.12] */
#define END64 0x06064b50u          /* [4.3.14] */
#define LOCATOR64 0x07064b50u      /* [4.3.15] */
#define END 0x06054b50u            /* [4.3.16] */
#define LOCAL_SIZE 30
#define LOCAL_CRC 14 /* where the checksum stands in it */
#define CENTRAL_SIZE 46
#define END64_SIZE 56
#define LOCATOR64_SIZE 20
#define END_SIZE 22
#define COMMENT_MAX 65535
#define IN_ZIP64 UINT32_MAX /* a 32-bit field whose value stands in the ZIP64 extra field [4.5.3] */
#define EXTRA64 1
#define DEFLATE_RATIO_MAX 1040 /* a byte of deflate gives at most 1032 */

static uint64_t get(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    while (bytes--) value = value << 8 | at[bytes];
    return value;
}

static enum iddpm_status damaged(const struct zip *zip, const char *what)
{
    return iddpm_error(IDDPM_FAILED, "%s: not %s or damaged: %s", zip->path, zip->form, what);
}

static enum iddpm_status read_at(const struct zip *zip, uint64_t offset, void *out, size_t n)
{
    if (n > zip->size || offset > zip->size - n) return damaged(zip, "the file is cut short");
    if (fseeko(zip->stream, (off_t)offset, SEEK_SET) != 0 || fread(out, 1, n, zip->stream) != n)
        return iddpm_error(IDDPM_FAILED, "%s: cannot read: %s", zip->path,
                           ferror(zip->stream) ? strerror(errno) : "the file became shorter");
    return IDDPM_OK;
}

/* ---- the directory ----------------------------------------------------------------------------------------------- */

struct directory {
    uint64_t count, size, offset;
};

/* The end record stands before a comment of any length up to 64 KiB: the last signature whose comment fits. */
static enum iddpm_status find_end(const struct zip *zip, uint8_t *end, uint64_t *offset)
{
    uint64_t size = zip->size < END_SIZE + COMMENT_MAX ? zip->size : END_SIZE + COMMENT_MAX;
    uint8_t *tail;
    if (size < END_SIZE) return damaged(zip, "too short for a ZIP archive");
    TRY(mem_alloc(&tail, size, 1, zip->path));
    enum iddpm_status status = read_at(zip, zip->size - size, tail, size);
    uint64_t at = size - END_SIZE + 1;
    bool found = false;
    while (status == IDDPM_OK && !found && at--)
        found = get(tail + at, 4) == END && at + END_SIZE + get(tail + at + 20, 2) == size;
    if (found) memcpy(end, tail + at, END_SIZE);
    *offset = zip->size - size + at;
    free(tail);
    if (status != IDDPM_OK) return status;
    return found ? IDDPM_OK : damaged(zip, "no end of a ZIP archive is found (a copy cut short?)");
}

static enum iddpm_status find_directory(const struct zip *zip, struct directory *directory)
{
    uint8_t end[END_SIZE], locator[LOCATOR64_SIZE], end64[END64_SIZE];
    uint64_t offset = 0;
    TRY(find_end(zip, end, &offset));
    *directory = (struct directory){get(end + 10, 2), get(end + 12, 4), get(end + 16, 4)};
    if (offset >= LOCATOR64_SIZE) {
        TRY(read_at(zip, offset - LOCATOR64_SIZE, locator, LOCATOR64_SIZE));
        if (get(locator, 4) == LOCATOR64) {
            TRY(read_at(zip, get(locator + 8, 8), end64, END64_SIZE));
            if (get(end64, 4) != END64) return damaged(zip, "wrong ZIP64 end record");
            *directory = (struct directory){get(end64 + 32, 8), get(end64 + 40, 8), get(end64 + 48, 8)};
        }
    }
    if (directory->size > zip->size || directory->count > directory->size / CENTRAL_SIZE)
        return damaged(zip, "a directory longer than the file");
    return IDDPM_OK;
}

/* Takes the values that stand in the ZIP64 extra field, in this order and only if asked for, from it. */
static bool take_extra64(const uint8_t *extra, uint64_t length, uint64_t *const values[3])
{
    uint64_t at = 0;
    while (at + 4 <= length && get(extra + at, 2) != EXTRA64) at += 4 + get(extra + at + 2, 2);
    uint64_t end = at + 4 <= length ? at + 4 + get(extra + at + 2, 2) : 0;
    at += 4;
    for (int i = 0; i < 3; i++) {
        if (*values[i] != IN_ZIP64) continue;
        if (at + 8 > end || end > length) return false;
        *values[i] = get(extra + at, 8);
        at += 8;
    }
    return true;
}

/* One entry; *at moves behind it. */
static enum iddpm_status parse_entry(struct zip *zip, const uint8_t **at, uint64_t *left, struct zip_member *member)
{
    const uint8_t *entry = *at;
    if (*left < CENTRAL_SIZE || get(entry, 4) != CENTRAL_HEADER) return damaged(zip, "wrong directory entry");
    uint64_t name = get(entry + 28, 2), extra = get(entry + 30, 2),
             length = CENTRAL_SIZE + name + extra + get(entry + 32, 2);
    if (length > *left) return damaged(zip, "wrong directory entry");
    if (name >= PATH_SIZE) return damaged(zip, "a name that is too long");
    *member = (struct zip_member){.name = zip->names + zip->names_size,
                                  .method = (unsigned)get(entry + 10, 2),
                                  .crc = (uint32_t)get(entry + 16, 4),
                                  .packed = get(entry + 20, 4),
                                  .size = get(entry + 24, 4),
                                  .header = get(entry + 42, 4)};
    memcpy(zip->names + zip->names_size, entry + CENTRAL_SIZE, name);
    zip->names_size += name;
    zip->names[zip->names_size++] = 0;
    uint64_t *const values[3] = {&member->size, &member->packed, &member->header};
    if (!take_extra64(entry + CENTRAL_SIZE + name, extra, values)) return damaged(zip, "wrong ZIP64 field");
    if (get(entry + 8, 2) & 1) return damaged(zip, "it is encrypted");
    *at += length;
    *left -= length;
    return IDDPM_OK;
}

static enum iddpm_status parse_directory(struct zip *zip, const struct directory *directory, const uint8_t *bytes)
{
    uint64_t left = directory->size, room = directory->size - directory->count * (CENTRAL_SIZE - 1);
    TRY(mem_alloc(&zip->members, directory->count, sizeof *zip->members, zip->path));
    TRY(mem_alloc(&zip->names, room, 1, zip->path)); /* the names and a 0 for each, at most */
    for (; zip->count < directory->count; zip->count++) TRY(parse_entry(zip, &bytes, &left, &zip->members[zip->count]));
    return IDDPM_OK;
}

enum iddpm_status zip_open(struct zip *zip, const char *path, const char *form)
{
    struct directory directory;
    uint8_t *bytes;
    off_t size;
    *zip = (struct zip){.path = path, .form = form, .stream = fopen(path, "rb")};
    if (!zip->stream || fseeko(zip->stream, 0, SEEK_END) != 0 || (size = ftello(zip->stream)) < 0)
        return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(errno));
    zip->size = (uint64_t)size;
    TRY(find_directory(zip, &directory));
    TRY(mem_alloc(&bytes, directory.size, 1, path));
    enum iddpm_status status = read_at(zip, directory.offset, bytes, directory.size);
    if (status == IDDPM_OK) status = parse_directory(zip, &directory, bytes);
    free(bytes);
    return status;
}

void zip_close(struct zip *zip)
{
    if (zip->stream) fclose(zip->stream);
    free(zip->members);
    free(zip->names);
    *zip = (struct zip){0};
}

/* ---- members ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status member_damaged(const struct zip_stream *stream, const char *what)
{
    return iddpm_error(IDDPM_FAILED, "%s: member %s is damaged: %s", stream->zip->path, stream->member->name, what);
}

enum iddpm_status zip_stream_open(struct zip_stream *stream, const struct zip *zip, const struct zip_member *member)
{
    uint8_t header[LOCAL_SIZE];
    memset(stream, 0, sizeof *stream);
    stream->zip = zip;
    stream->member = member;
    stream->packed_left = member->packed;
    stream->left = member->size;
    if (member->method != 0 && member->method != Z_DEFLATED)
        return iddpm_error(IDDPM_FAILED, "%s: member %s is compressed by method %u; stored and deflated ones are read",
                           zip->path, member->name, member->method);
    if (member->method == 0 ? member->size != member->packed : member->size / DEFLATE_RATIO_MAX > member->packed)
        return member_damaged(stream, "impossible size");
    TRY(read_at(zip, member->header, header, LOCAL_SIZE));
    if (get(header, 4) != LOCAL_HEADER) return member_damaged(stream, "wrong header");
    uint64_t data = member->header + LOCAL_SIZE + get(header + 26, 2) + get(header + 28, 2);
    if (data > zip->size || member->packed > zip->size - data) return member_damaged(stream, "the file is cut short");
    if (fseeko(zip->stream, (off_t)data, SEEK_SET) != 0)
        return iddpm_error(IDDPM_FAILED, "%s: cannot read: %s", zip->path, strerror(errno));
    if (member->method && inflateInit2(&stream->inflate, -MAX_WBITS) != Z_OK)
        return iddpm_error(IDDPM_FAILED, "%s: no memory", zip->path);
    return IDDPM_OK;
}

void zip_stream_close(struct zip_stream *stream)
{
    inflateEnd(&stream->inflate); /* harmless when it was never started */
}

static enum iddpm_status refill(struct zip_stream *stream)
{
    size_t n = stream->packed_left < sizeof stream->buffer ? stream->packed_left : sizeof stream->buffer;
    if (!n) return member_damaged(stream, "its compressed data end too early");
    if (fread(stream->buffer, 1, n, stream->zip->stream) != n)
        return member_damaged(stream, "it cannot be read to its end");
    stream->packed_left -= n;
    stream->inflate.next_in = stream->buffer;
    stream->inflate.avail_in = (uInt)n;
    return IDDPM_OK;
}

/* At most `n` bytes, at least one. */
static enum iddpm_status inflate_some(struct zip_stream *stream, uint8_t *out, size_t n, size_t *got)
{
    z_stream *z = &stream->inflate;
    z->next_out = out;
    z->avail_out = n < 1 << 30 ? (uInt)n : 1 << 30;
    uInt asked = z->avail_out;
    while (z->avail_out == asked) {
        if (!z->avail_in) TRY(refill(stream));
        int result = inflate(z, Z_NO_FLUSH);
        if (result != Z_OK && result != Z_BUF_ERROR && (result != Z_STREAM_END || z->avail_out == asked))
            return member_damaged(stream, z->msg ? z->msg : "its compressed data end too early");
    }
    *got = asked - z->avail_out;
    return IDDPM_OK;
}

enum iddpm_status zip_stream_read(struct zip_stream *stream, void *out, size_t n)
{
    if (n > stream->left) return member_damaged(stream, "it is shorter than its contents say");
    for (uint8_t *to = out; n;) {
        size_t got = n;
        if (stream->member->method)
            TRY(inflate_some(stream, to, n, &got));
        else if (fread(to, 1, n, stream->zip->stream) != n)
            return member_damaged(stream, "it cannot be read to its end");
        stream->crc = (uint32_t)crc32_z(stream->crc, to, got);
        stream->left -= got;
        to += got;
        n -= got;
    }
    if (!stream->left && stream->crc != stream->member->crc) return member_damaged(stream, "wrong checksum (CRC)");
    return IDDPM_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Fields in little-endian order, appended to a record. */
struct record {
    uint8_t bytes[128];
    size_t n;
};

static void put(struct record *record, int bytes, uint64_t value)
{
    for (; bytes--; value >>= 8) record->bytes[record->n++] = (uint8_t)value;
}

/* What local and central header share: version 4.5, no flags, stored, 1 January 1980 for the sake of equal files. */
static void put_member(struct record *record, const struct zip_member *member, int extra)
{
    put(record, 2, 45), put(record, 2, 0), put(record, 2, 0), put(record, 2, 0), put(record, 2, 0x21);
    put(record, 4, member->crc), put(record, 4, IN_ZIP64), put(record, 4, IN_ZIP64);
    put(record, 2, strlen(member->name)), put(record, 2, (uint64_t)extra);
}

static enum iddpm_status emit(FILE *stream, const void *data, size_t n)
{
    if (n == 0 || fwrite(data, 1, n, stream) == n) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s", strerror(errno));
}

enum iddpm_status zip_begin_member(FILE *stream, struct zip_member *member)
{
    struct record record = {.n = 0}, extra = {.n = 0};
    member->header = (uint64_t)ftello(stream);
    member->packed = member->size;
    member->crc = 0;
    put(&extra, 2, EXTRA64), put(&extra, 2, 16), put(&extra, 8, member->size), put(&extra, 8, member->packed);
    put(&record, 4, LOCAL_HEADER);
    put_member(&record, member, (int)extra.n);
    TRY(emit(stream, record.bytes, record.n));
    TRY(emit(stream, member->name, strlen(member->name)));
    return emit(stream, extra.bytes, extra.n);
}

enum iddpm_status zip_add(FILE *stream, struct zip_member *member, const void *data, size_t n)
{
    if (n) member->crc = (uint32_t)crc32_z(member->crc, data, n);
    return emit(stream, data, n);
}

enum iddpm_status zip_end_member(FILE *stream, const struct zip_member *member)
{
    struct record record = {.n = 0};
    off_t end = ftello(stream);
    put(&record, 4, member->crc);
    if (fseeko(stream, (off_t)member->header + LOCAL_CRC, SEEK_SET) != 0)
        return iddpm_error(IDDPM_FAILED, "%s", strerror(errno));
    TRY(emit(stream, record.bytes, record.n));
    return fseeko(stream, end, SEEK_SET) == 0 ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s", strerror(errno));
}

static enum iddpm_status write_entry(FILE *stream, const struct zip_member *member)
{
    struct record record = {.n = 0}, extra = {.n = 0};
    put(&extra, 2, EXTRA64), put(&extra, 2, 24);
    put(&extra, 8, member->size), put(&extra, 8, member->packed), put(&extra, 8, member->header);
    put(&record, 4, CENTRAL_HEADER), put(&record, 2, 45);
    put_member(&record, member, (int)extra.n);
    put(&record, 8, 0), put(&record, 2, 0); /* comment, disk, attributes */
    put(&record, 4, IN_ZIP64);
    TRY(emit(stream, record.bytes, record.n));
    TRY(emit(stream, member->name, strlen(member->name)));
    return emit(stream, extra.bytes, extra.n);
}

enum iddpm_status zip_write_directory(FILE *stream, size_t count, const struct zip_member *members)
{
    struct record record = {.n = 0};
    uint64_t offset = (uint64_t)ftello(stream);
    for (size_t i = 0; i < count; i++) TRY(write_entry(stream, &members[i]));
    uint64_t end = (uint64_t)ftello(stream), size = end - offset;
    put(&record, 4, END64), put(&record, 8, END64_SIZE - 12), put(&record, 2, 45), put(&record, 2, 45);
    put(&record, 8, 0), put(&record, 8, count), put(&record, 8, count), put(&record, 8, size), put(&record, 8, offset);
    put(&record, 4, LOCATOR64), put(&record, 4, 0), put(&record, 8, end), put(&record, 4, 1);
    put(&record, 4, END), put(&record, 4, 0), put(&record, 2, count), put(&record, 2, count);
    put(&record, 4, IN_ZIP64), put(&record, 4, IN_ZIP64), put(&record, 2, 0);
    return emit(stream, record.bytes, record.n);
}
