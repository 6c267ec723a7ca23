/* JPEG by libjpeg, as Pillow reads it: baseline and progressive; grey, YCbCr or RGB, CMYK or YCCK. */
#include "picture.h"

#include <jpeglib.h>
#include <setjmp.h>
#include <stdlib.h>

#include <jerror.h> /* its list of messages depends on jpeglib.h */

struct jpeg_job {
    struct jpeg_error_mgr handlers; /* first: libjpeg gives us back a pointer to it */
    struct jpeg_decompress_struct decoder;
    jmp_buf jump;
    char reason[JMSG_LENGTH_MAX];
    uint8_t *row; /* components x width */
};

static void on_error(j_common_ptr common)
{
    struct jpeg_job *job = (struct jpeg_job *)common->err;
    common->err->format_message(common, job->reason);
    longjmp(job->jump, 1);
}

/* libjpeg goes on after missing or wrong data with grey in its place. Such warnings are errors here; those about
 * harmless oddities (stray bytes between segments, an unknown Adobe transform) stay unheard. */
static void on_message(j_common_ptr common, int level)
{
    if (level >= 0) return;
    switch (common->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_ARITH_BAD_CODE:
        on_error(common);
    }
}

/* Grey becomes RGB. CMYK is stored inverted, as Adobe does and Pillow always assumes, and stays CMYK. */
static void take_row(const uint8_t *row, int components, int width, uint8_t *out)
{
    if (components == 4)
        for (int i = 0; i < 4 * width; i++) out[i] = (uint8_t)(255 - row[i]);
    else
        for (int x = 0; x < width; x++, row += components, out += 3)
            for (int c = 0; c < 3; c++) out[c] = row[components == 3 ? c : 0];
}

static enum iddpm_status choose_colours(struct jpeg_decompress_struct *decoder)
{
    switch (decoder->num_components) {
    case 1:
        decoder->out_color_space = JCS_GRAYSCALE;
        return IDDPM_OK;
    case 3:
        decoder->out_color_space = JCS_RGB;
        return IDDPM_OK;
    case 4:
        decoder->out_color_space = JCS_CMYK;
        return IDDPM_OK;
    }
    return iddpm_error(IDDPM_FAILED, "a JPEG of %d components; 1, 3 or 4 are read", decoder->num_components);
}

/* No variable changes between setjmp and a jump back to it: all lives in *job and *out. */
static enum iddpm_status decode(struct jpeg_job *job, FILE *stream, struct picture *out)
{
    struct jpeg_decompress_struct *decoder = &job->decoder;
    if (setjmp(job->jump)) return iddpm_error(IDDPM_FAILED, "damaged JPEG: %s", job->reason);
    jpeg_create_decompress(decoder);
    jpeg_stdio_src(decoder, stream);
    jpeg_read_header(decoder, TRUE);
    TRY(choose_colours(decoder));
    TRY(picture_alloc(out, decoder->image_width, decoder->image_height, decoder->num_components == 4 ? 4 : 3));
    TRY(mem_alloc(&job->row, decoder->image_width, (size_t)decoder->num_components, "a row of a picture"));
    jpeg_start_decompress(decoder);
    while (decoder->output_scanline < decoder->output_height) {
        uint8_t *to = out->pixels + (size_t)decoder->output_scanline * decoder->image_width * (size_t)out->channels;
        jpeg_read_scanlines(decoder, &job->row, 1);
        take_row(job->row, decoder->num_components, out->width, to);
    }
    jpeg_finish_decompress(decoder); /* also looks for the end marker */
    return IDDPM_OK;
}

enum iddpm_status jpeg_decode(FILE *stream, struct picture *out)
{
    struct jpeg_job *job;
    TRY(mem_alloc(&job, 1, sizeof *job, "a JPEG decoder"));
    job->decoder.err = jpeg_std_error(&job->handlers);
    job->handlers.error_exit = on_error;
    job->handlers.emit_message = on_message;
    enum iddpm_status status = decode(job, stream, out);
    jpeg_destroy_decompress(&job->decoder);
    free(job->row);
    free(job);
    if (status != IDDPM_OK) picture_destroy(out);
    return status;
}
