/* WebP by libwebp, lossy and lossless, as Pillow reads it (by the same library): still pictures, alpha dropped. */
#include "picture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>

#define BYTES_MAX (256 << 20) /* of a file: above what PICTURE_PIXELS_MAX pixels take as a rule */

static enum iddpm_status read_whole(FILE *stream, uint8_t **bytes, size_t *n)
{
    if (fseek(stream, 0, SEEK_END) != 0 || ftell(stream) < 0)
        return iddpm_error(IDDPM_FAILED, "cannot read: %s", strerror(errno));
    long size = ftell(stream);
    rewind(stream);
    if (size > BYTES_MAX)
        return iddpm_error(IDDPM_FAILED, "a WebP picture of %ld bytes; at most %d are read", size, BYTES_MAX);
    *n = (size_t)size;
    TRY(mem_alloc(bytes, *n, 1, "a WebP picture"));
    if (fread(*bytes, 1, *n, stream) == *n) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "cannot read: %s", ferror(stream) ? strerror(errno) : "end of file");
}

static const char *reason(VP8StatusCode code)
{
    switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return "no memory";
    case VP8_STATUS_NOT_ENOUGH_DATA:
        return "the file is cut short";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return "a feature that libwebp does not know";
    default:
        return "the coded picture makes no sense";
    }
}

static enum iddpm_status decode(const uint8_t *bytes, size_t n, struct picture *out)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) return iddpm_error(IDDPM_FAILED, "libwebp of another version than its header");
    VP8StatusCode code = WebPGetFeatures(bytes, n, &config.input);
    if (code != VP8_STATUS_OK) return iddpm_error(IDDPM_FAILED, "damaged WebP: %s", reason(code));
    if (config.input.has_animation)
        return iddpm_error(IDDPM_FAILED, "an animated WebP picture; only still ones are read");
    TRY(picture_alloc(out, config.input.width, config.input.height, 3));
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = out->pixels;
    config.output.u.RGBA.stride = out->width * 3;
    config.output.u.RGBA.size = (size_t)out->width * (size_t)out->height * 3;
    code = WebPDecode(bytes, n, &config);
    WebPFreeDecBuffer(&config.output);
    if (code != VP8_STATUS_OK) return iddpm_error(IDDPM_FAILED, "damaged WebP: %s", reason(code));
    return IDDPM_OK;
}

enum iddpm_status webp_decode(FILE *stream, struct picture *out)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    enum iddpm_status status = read_whole(stream, &bytes, &n);
    if (status == IDDPM_OK) status = decode(bytes, n, out);
    free(bytes);
    if (status != IDDPM_OK) picture_destroy(out);
    return status;
}
