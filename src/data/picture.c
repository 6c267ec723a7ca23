/* Pictures in memory: reading by content, grids. */
#include "picture.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void picture_destroy(struct picture *picture)
{
    free(picture->pixels);
    *picture = (struct picture){0};
}

enum iddpm_status picture_check_size(int64_t width, int64_t height)
{
    if (width >= 1 && height >= 1 && width <= PICTURE_PIXELS_MAX / height) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%lld x %lld pixels; at most %d in all are possible", (long long)width,
                       (long long)height, PICTURE_PIXELS_MAX);
}

enum iddpm_status picture_alloc(struct picture *out, int64_t width, int64_t height, int channels)
{
    *out = (struct picture){0};
    TRY(picture_check_size(width, height));
    uint8_t *pixels = malloc((size_t)(width * height * channels));
    if (!pixels)
        return iddpm_error(IDDPM_FAILED, "no memory for %lld x %lld pixels", (long long)width, (long long)height);
    *out = (struct picture){(int)width, (int)height, channels, pixels};
    return IDDPM_OK;
}

/* What a file is by its first bytes, as far as people put it into picture folders under a picture's name. */
static const char *content_name(const uint8_t *head, size_t n)
{
    static const struct {
        const char *name, *magic;
        size_t offset, length;
    } known[] = {
        {"PNG", "\x89PNG\r\n\x1a\n", 0, 8},
        {"JPEG", "\xff\xd8\xff", 0, 3},
        {"GIF", "GIF8", 0, 4},
        {"WebP", "WEBP", 8, 4},
        {"BMP", "BM", 0, 2},
        {"TIFF", "II*\0", 0, 4},
        {"TIFF", "MM\0*", 0, 4},
        {"AVIF", "ftypavif", 4, 8},
        {"HEIC", "ftypheic", 4, 8},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (n >= known[i].offset + known[i].length &&
            memcmp(head + known[i].offset, known[i].magic, known[i].length) == 0)
            return known[i].name;
    return NULL;
}

static enum iddpm_status decode(FILE *stream, struct picture *out)
{
    uint8_t head[16];
    size_t n = fread(head, 1, sizeof head, stream);
    if (ferror(stream)) return iddpm_error(IDDPM_FAILED, "cannot read: %s", strerror(errno));
    if (n == 0) return iddpm_error(IDDPM_FAILED, "the file is empty");
    rewind(stream);
    const char *name = content_name(head, n);
    if (!name) return iddpm_error(IDDPM_FAILED, "not a picture: neither PNG, JPEG nor WebP by its content");
    if (strcmp(name, "PNG") == 0) return png_decode(stream, out);
    if (strcmp(name, "JPEG") == 0) return jpeg_decode(stream, out);
    if (strcmp(name, "WebP") == 0) return webp_decode(stream, out);
    return iddpm_error(IDDPM_FAILED, "a %s picture; only PNG, JPEG and WebP are read, so convert it first", name);
}

/* (255 - K) - C (255 - K) / 255 with Pillow's rounded division. */
void picture_cmyk_to_rgb(struct picture *picture)
{
    if (picture->channels != 4) return;
    const uint8_t *ink = picture->pixels;
    uint8_t *rgb = picture->pixels;
    for (size_t n = (size_t)picture->width * (size_t)picture->height; n; n--, ink += 4, rgb += 3) {
        int white = 255 - ink[3];
        for (int c = 0; c < 3; c++) {
            int product = ink[c] * white + 128;
            rgb[c] = (uint8_t)(white - (((product >> 8) + product) >> 8));
        }
    }
    picture->channels = 3;
}

enum iddpm_status picture_read(struct picture *out, const char *path)
{
    TRY(picture_read_stored(out, path));
    picture_cmyk_to_rgb(out);
    return IDDPM_OK;
}

enum iddpm_status picture_read_bytes(struct picture *out, const void *bytes, size_t n)
{
    TRY(picture_read_stored_bytes(out, bytes, n));
    picture_cmyk_to_rgb(out);
    return IDDPM_OK;
}

enum iddpm_status picture_read_stored(struct picture *out, const char *path)
{
    struct stat info;
    *out = (struct picture){0};
    if (stat(path, &info) != 0) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) /* opening a pipe would wait for its writer */
        return iddpm_error(IDDPM_FAILED, "%s: not a regular file", path);
    FILE *stream = fopen(path, "rb");
    if (!stream) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(errno));
    enum iddpm_status status = decode(stream, out);
    fclose(stream);
    return status == IDDPM_OK ? status : iddpm_error_context(status, "%s", path);
}

enum iddpm_status picture_read_stored_bytes(struct picture *out, const void *bytes, size_t n)
{
    *out = (struct picture){0};
    if (!n) return iddpm_error(IDDPM_FAILED, "the file is empty"); /* fmemopen refuses it */
    FILE *stream = fmemopen((void *)(uintptr_t)bytes, n, "rb");
    if (!stream) return iddpm_error(IDDPM_FAILED, "cannot read: %s", strerror(errno));
    enum iddpm_status status = decode(stream, out);
    fclose(stream);
    return status;
}

enum iddpm_status picture_grid(int n, int columns, int h, int w, int c, const uint8_t *images, struct picture *out)
{
    *out = (struct picture){0};
    if (n < 1) return iddpm_error(IDDPM_USAGE, "a grid needs at least one picture");
    if (columns == 0) columns = (int)ceil(sqrt(n));
    int rows = (n + columns - 1) / columns;
    TRY(picture_alloc(out, columns * (w + INT64_C(1)) - 1, rows * (h + INT64_C(1)) - 1, c));
    size_t pitch = (size_t)out->width * (size_t)c, line = (size_t)w * (size_t)c;
    memset(out->pixels, 255, pitch * (size_t)out->height);
    for (int i = 0; i < n; i++)
        for (int y = 0; y < h; y++)
            memcpy(out->pixels + (size_t)(i / columns * (h + 1) + y) * pitch + (size_t)(i % columns) * (line + c),
                   images + ((size_t)i * h + y) * line, line);
    return IDDPM_OK;
}
