/* Private: where the files of an uncompressed tar archive lie, so that they can be read in any order without unpacking.
 * Old, ustar, GNU and pax headers. libarchive reads archives from front to back only. */
#ifndef IDDPM_DATA_TAR_H
#define IDDPM_DATA_TAR_H

#include "iddpm/base.h"

struct tar_member {
    const char *name;      /* until the visitor returns */
    const char *link;      /* a link's target: of a hard link, the name of a member before it; NULL: a file */
    bool symbolic;         /* the link */
    uint64_t offset, size; /* of a file's bytes in the archive */
};

/* A member's name, of a tar or a ZIP archive, without the "/" and "./" in front that unpacking takes away. */
const char *archive_plain_name(const char *name);

/* Calls visit for every regular file and link, until one fails. Archives in the archive (*.tar) are gone through too,
 * and their files stand in the folder of the inner archive, as if it had been unpacked there and removed. Fails with
 * the place when the archive is damaged, cut short, compressed, or none. */
enum iddpm_status tar_each(int fd, const char *path,
                           enum iddpm_status (*visit)(void *context, const struct tar_member *), void *context);

#endif
