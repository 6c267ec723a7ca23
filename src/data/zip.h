/* Private: ZIP archives as far as NPZ files and pictures need them: stored or deflated members, ZIP64, no encryption.
 */
#ifndef IDDPM_DATA_ZIP_H
#define IDDPM_DATA_ZIP_H

#include "iddpm/base.h"

#include <zlib.h>

struct zip_member {
    const char *name; /* in zip->names; when writing, the caller's */
    unsigned method;  /* 0 stored, 8 deflated */
    uint32_t crc;
    uint64_t packed, size, header; /* bytes in the archive and unpacked; offset of the local header */
};

struct zip {
    const char *path, *form;
    FILE *stream;
    uint64_t size; /* of the archive */
    size_t count;
    struct zip_member *members;
    char *names;
    size_t names_size;
};

/* Opens and reads the directory. `path` and `form` must live as long; `form`, "an NPZ file", is what errors say that
 * it is not. zip_close also after a failure. */
enum iddpm_status zip_open(struct zip *zip, const char *path, const char *form);
void zip_close(struct zip *zip);

/* One member read from its beginning to its end. One at a time. */
struct zip_stream {
    const struct zip *zip;
    const struct zip_member *member;
    z_stream inflate;
    uint64_t packed_left, left;
    uint32_t crc;
    uint8_t buffer[16384];
};
enum iddpm_status zip_stream_open(struct zip_stream *stream, const struct zip *zip, const struct zip_member *member);
/* Exactly n bytes; fails when the member ends before. With the last byte of a member its checksum is compared. */
enum iddpm_status zip_stream_read(struct zip_stream *stream, void *out, size_t n);
void zip_stream_close(struct zip_stream *stream);

/* Writing: members are stored, with ZIP64 fields always, so that there is one form for every size. A member's name and
 * size are given, its bytes come in pieces, and zip_end_member writes the checksum into its header: `stream` can seek.
 */
enum iddpm_status zip_begin_member(FILE *stream, struct zip_member *member);
enum iddpm_status zip_add(FILE *stream, struct zip_member *member, const void *data, size_t n);
enum iddpm_status zip_end_member(FILE *stream, const struct zip_member *member);
enum iddpm_status zip_write_directory(FILE *stream, size_t count, const struct zip_member *members);

#endif
