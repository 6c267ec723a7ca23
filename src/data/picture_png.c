/* PNG by libpng. Reading gives what Pillow's convert("RGB") gives; any damage, down to the checksum of a comment, is an
 * error, for a half picture must never become training data. */
#include "picture.h"

#include <ctype.h>
#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

struct png_job {
    png_structp png;
    png_infop info;
    png_bytep *rows;
    FILE *stream;
    char reason[PICTURE_REASON];
};

static void on_error(png_structp png, png_const_charp text)
{
    struct png_job *job = png_get_error_ptr(png);
    snprintf(job->reason, sizeof job->reason, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png, (void)text; /* odd but harmless metadata */
}

static void on_read(png_structp png, png_bytep data, size_t n)
{
    struct png_job *job = png_get_io_ptr(png);
    if (fread(data, 1, n, job->stream) != n) png_error(png, ferror(job->stream) ? strerror(errno) : "end of file");
}

static void on_write(png_structp png, png_bytep data, size_t n)
{
    struct png_job *job = png_get_io_ptr(png);
    if (fwrite(data, 1, n, job->stream) != n) png_error(png, strerror(errno));
}

static void on_flush(png_structp png)
{
    (void)png; /* path-level code flushes and syncs once */
}

/* Pillow shows indices behind the end of a short palette as grey of that level, libpng as black. */
static void lengthen_palette(struct png_job *job, int depth)
{
    png_color whole[256];
    png_colorp palette;
    int n = 0;
    png_get_PLTE(job->png, job->info, &palette, &n);
    for (int i = 0; i < 256; i++) whole[i] = i < n ? palette[i] : (png_color){(png_byte)i, (png_byte)i, (png_byte)i};
    png_set_PLTE(job->png, job->info, whole, 1 << depth);
}

/* Asks libpng for 8-bit RGB; alpha and transparent colours are dropped, not blended. */
static void want_rgb(struct png_job *job)
{
    png_byte type = png_get_color_type(job->png, job->info), depth = png_get_bit_depth(job->png, job->info);
    if (depth == 16) png_set_strip_16(job->png); /* >> 8 */
    if (type == PNG_COLOR_TYPE_PALETTE) lengthen_palette(job, depth);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(job->png);
    if (type == PNG_COLOR_TYPE_GRAY && depth < 8) png_set_expand_gray_1_2_4_to_8(job->png);
    if (!(type & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(job->png);
    png_set_strip_alpha(job->png);
    png_set_interlace_handling(job->png);
    png_read_update_info(job->png, job->info);
}

static enum iddpm_status rows_of(struct png_job *job, const struct picture *picture)
{
    TRY(mem_alloc(&job->rows, (size_t)picture->height, sizeof *job->rows, "rows of a picture"));
    size_t pitch = (size_t)picture->width * (size_t)picture->channels;
    for (int y = 0; y < picture->height; y++) job->rows[y] = picture->pixels + (size_t)y * pitch;
    return IDDPM_OK;
}

/* What is wrong with the chunk at the stream's place, NULL if nothing; its length and name go to head[8]. */
static const char *chunk_damage(FILE *stream, uint8_t *head)
{
    uint8_t buffer[4096], tail[4];
    if (fread(head, 1, 8, stream) != 8) return "the file is cut short";
    for (int i = 4; i < 8; i++)
        if (!isalpha(head[i])) return "no chunk of a PNG";
    uLong crc = crc32(0, head + 4, 4);
    for (size_t left = png_get_uint_32(head), n; left; left -= n) {
        n = left < sizeof buffer ? left : sizeof buffer;
        if (fread(buffer, 1, n, stream) != n) return "the file is cut short";
        crc = crc32(crc, buffer, (uInt)n);
    }
    if (fread(tail, 1, 4, stream) != 4) return "the file is cut short";
    return crc == png_get_uint_32(tail) ? NULL : "wrong checksum (CRC)";
}

/* Why a PNG could not be read. libpng decodes data before it has seen their checksum, so what it says of a damaged file
 * is a consequence; here the first damaged chunk is looked up. Leaves libpng's reason when all chunks are whole. */
static void find_damage(FILE *stream, char *reason)
{
    uint8_t head[8] = {0};
    fseek(stream, 8, SEEK_SET);
    while (memcmp(head + 4, "IEND", 4) != 0) {
        long at = ftell(stream);
        const char *damage = chunk_damage(stream, head);
        if (!damage) continue;
        snprintf(reason, PICTURE_REASON, "%s, in the chunk at byte %ld", damage, at);
        return;
    }
}

/* No variable changes between setjmp and a jump back to it: all lives in *job and *out. */
static enum iddpm_status decode(struct png_job *job, struct picture *out)
{
    if (setjmp(png_jmpbuf(job->png))) {
        if (!ferror(job->stream)) find_damage(job->stream, job->reason);
        return iddpm_error(IDDPM_FAILED, "damaged PNG: %s", job->reason);
    }
    png_set_read_fn(job->png, job, on_read);
    png_set_crc_action(job->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(job->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(job->png, job->info);
    TRY(picture_alloc(out, png_get_image_width(job->png, job->info), png_get_image_height(job->png, job->info), 3));
    want_rgb(job);
    if (png_get_rowbytes(job->png, job->info) != (size_t)out->width * 3) png_error(job->png, "unknown kind of pixels");
    TRY(rows_of(job, out));
    png_read_image(job->png, job->rows);
    png_read_end(job->png, NULL); /* the last data's checksum is looked at here */
    return IDDPM_OK;
}

enum iddpm_status png_decode(FILE *stream, struct picture *out)
{
    struct png_job job = {.stream = stream};
    job.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
    job.info = job.png ? png_create_info_struct(job.png) : NULL;
    enum iddpm_status status =
        job.info ? decode(&job, out) : iddpm_error(IDDPM_FAILED, "libpng cannot be started: %s", job.reason);
    png_destroy_read_struct(&job.png, &job.info, NULL);
    free(job.rows);
    if (status != IDDPM_OK) picture_destroy(out);
    return status;
}

static enum iddpm_status encode(struct png_job *job, const struct picture *picture)
{
    if (setjmp(png_jmpbuf(job->png))) return iddpm_error(IDDPM_FAILED, "%s", job->reason);
    png_set_write_fn(job->png, job, on_write, on_flush);
    png_set_IHDR(job->png, job->info, (png_uint_32)picture->width, (png_uint_32)picture->height, 8,
                 picture->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(job->png, job->info);
    TRY(rows_of(job, picture));
    png_write_image(job->png, job->rows);
    png_write_end(job->png, NULL);
    return IDDPM_OK;
}

static enum iddpm_status write_stream(FILE *stream, const struct picture *picture)
{
    struct png_job job = {.stream = stream};
    job.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning);
    job.info = job.png ? png_create_info_struct(job.png) : NULL;
    enum iddpm_status status =
        job.info ? encode(&job, picture) : iddpm_error(IDDPM_FAILED, "libpng cannot be started: %s", job.reason);
    png_destroy_write_struct(&job.png, &job.info);
    free(job.rows);
    return status;
}

/* Temporary file beside it, sync, rename: a PNG that is there is whole. */
enum iddpm_status picture_write_png(const struct picture *picture, const char *path)
{
    char temporary[PATH_SIZE + 8];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    FILE *stream = fopen(temporary, "wb");
    if (!stream) return iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", path, strerror(errno));
    enum iddpm_status status = write_stream(stream, picture);
    if (status == IDDPM_OK && (fflush(stream) != 0 || fsync(fileno(stream)) != 0))
        status = iddpm_error(IDDPM_FAILED, "%s", strerror(errno));
    if (fclose(stream) != 0 && status == IDDPM_OK) status = iddpm_error(IDDPM_FAILED, "%s", strerror(errno));
    if (status == IDDPM_OK && rename(temporary, path) != 0) status = iddpm_error(IDDPM_FAILED, "%s", strerror(errno));
    if (status == IDDPM_OK) return status;
    unlink(temporary);
    return iddpm_error_context(status, "%s: cannot write", path);
}
