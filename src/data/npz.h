/* Private: reading one array of an NPZ file piece by piece, for arrays larger than memory. */
#ifndef IDDPM_DATA_NPZ_H
#define IDDPM_DATA_NPZ_H

#include "iddpm/data.h"
#include "zip.h"

/* Opens the member and reads its header: name, type and shape into *array (data NULL); the array's bytes are what
 * zip_stream_read then gives. zip_stream_close also after a failure. */
enum iddpm_status npz_stream_open(struct zip_stream *stream, const struct zip *zip, const struct zip_member *member,
                                  struct npz_array *array);
size_t npz_bytes(const struct npz_array *array);

#endif
