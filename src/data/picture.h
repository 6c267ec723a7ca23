/* Private to the picture files: the decoders, called on an open file, or bytes in memory, at the first byte. */
#ifndef IDDPM_DATA_PICTURE_H
#define IDDPM_DATA_PICTURE_H

#include "iddpm/data.h"

/* Pillow's limit against decompression bombs (twice its MAX_IMAGE_PIXELS). */
#define PICTURE_PIXELS_MAX 178956970

#define PICTURE_REASON 256 /* bytes of a reason */

/* Refuses less than one and more than PICTURE_PIXELS_MAX pixels. */
enum iddpm_status picture_check_size(int64_t width, int64_t height);
/* Room for width x height x channels, a size that is checked so. */
enum iddpm_status picture_alloc(struct picture *out, int64_t width, int64_t height, int channels);

/* Pillow's conversion of CMYK (4 channels), in place. Does nothing to others. */
void picture_cmyk_to_rgb(struct picture *picture);

/* All fill *out with RGB, or that of JPEG with CMYK, or leave it empty and set the error text to the reason alone,
 * without the file's name. */
enum iddpm_status png_decode(FILE *stream, struct picture *out);
enum iddpm_status jpeg_decode(FILE *stream, struct picture *out);
enum iddpm_status webp_decode(FILE *stream, struct picture *out);

#endif
