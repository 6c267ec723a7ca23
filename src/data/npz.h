/* Private: what reading and writing NPZ files share, and arrays larger than memory, piece by piece. */
#ifndef IDDPM_DATA_NPZ_H
#define IDDPM_DATA_NPZ_H

#include "iddpm/data.h"
#include "zip.h"

/* Opens the member and reads its header: name, type and shape into *array (data NULL); the array's bytes are what
 * zip_stream_read then gives. zip_stream_close also after a failure. */
enum iddpm_status npz_stream_open(struct zip_stream *stream, const struct zip *zip, const struct zip_member *member,
                                  struct npz_array *array);
size_t npz_bytes(const struct npz_array *array);

#define NPZ_MAGIC "\x93NUMPY"
const char *npz_type_name(enum store_type type); /* numpy's "descr" */

/* Images as the authors' scripts write them (npz_images.c). The member of that name, or NULL. */
const struct zip_member *npz_find(const struct zip *zip, const char *name);
/* Opens arr_0, uint8 [n][h][w][c] or grey [n][h][w], whose shape is then [n][h][w][1]. zip_stream_close also after a
 * failure. */
enum iddpm_status npz_open_images(struct zip_stream *stream, const struct zip *zip, struct npz_array *array);
/* arr_1, a label for each of so many images, into *labels (free()); NULL when there is none. */
enum iddpm_status npz_labels(const struct zip *zip, uint64_t images, int64_t **labels);

#endif
