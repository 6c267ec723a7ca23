/* Pictures: what Pillow 9.4 makes of the same files by convert("RGB"), written down here; damage is refused. */
#include "iddpm/data.h"
#include "reference.h"
#include "scratch.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define FOLDER "data/image-folder-awkward/"

static char folder[PATH_SIZE];

static uint32_t checksum(const struct picture *picture)
{
    return (uint32_t)crc32(0, picture->pixels, (uInt)(picture->width * picture->height * picture->channels));
}

static void test_file(char *out, const char *name)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, FOLDER "%s", name);
    tests_path(out, path);
}

/* Size, the pixel at (width / 2, height / 2), CRC-32 of all pixels, and of what the authors' loader makes at 32 pixels.
 * Values of JPEGs are those of libjpeg-turbo. */
static const struct {
    const char *name;
    int width, height;
    uint8_t middle[3];
    uint32_t crc, crc_at_32;
} good[] = {
    {"alpha_rgba.png", 64, 64, {112, 83, 74}, 0xe70b412e, 0x73410504},
    {"cat_000.png", 64, 64, {112, 83, 74}, 0xe70b412e, 0x73410504},
    {"grey_16bit.png", 64, 64, {91, 91, 91}, 0x5d249216, 0x4d51bf19},
    {"grey_8bit.png", 64, 64, {91, 91, 91}, 0x5d249216, 0x4d51bf19},
    {"mono_1bit.png", 64, 64, {255, 255, 255}, 0x8b8917bf, 0x7f5de5bf},
    {"nolabel.png", 64, 64, {141, 180, 196}, 0x1d970c0e, 0xa54b945e},
    {"palette_p.png", 64, 64, {102, 102, 51}, 0x0bd972dc, 0xfb067526},
    {"photo_600x400.png", 600, 400, {248, 250, 255}, 0xacf41373, 0x24506726},
    {"photo_cmyk.jpg", 600, 400, {249, 249, 254}, 0xb39df6a8, 0xe380cfca},
    {"photo_progressive.jpg", 600, 400, {246, 251, 247}, 0xc3ae99fa, 0x918cda8b},
    {"tiny_5x3.png", 5, 3, {95, 70, 62}, 0xadec65e3, 0x4b6a0443},
    {"wide_200x40.png", 200, 40, {213, 184, 171}, 0x8c92fd52, 0xfb2fcbed},
    {"nested/dog_000.jpg", 64, 64, {248, 222, 189}, 0x7bf82b84, 0x33a14fcc},
    {"nested/deeper/emu_000.JPEG", 64, 64, {100, 98, 101}, 0x4b1450c3, 0x9876634b},
};

static void files_read_as_pillow_reads_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char path[PATH_SIZE];
        struct picture picture, sized;
        test_file(path, good[i].name);
        if (picture_read(&picture, path) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
        assert_int_equal(picture.width, good[i].width);
        assert_int_equal(picture.height, good[i].height);
        assert_int_equal(picture.channels, 3);
        size_t middle = (size_t)(picture.height / 2 * picture.width + picture.width / 2) * 3;
        assert_memory_equal(picture.pixels + middle, good[i].middle, 3);
        if (checksum(&picture) != good[i].crc) fail_msg("%s: other pixels than Pillow's", good[i].name);
        picture_destroy(&picture);
        assert_int_equal(picture_read_stored(&picture, path), IDDPM_OK);
        assert_int_equal(picture_to_size(&picture, 32, &sized), IDDPM_OK);
        if (checksum(&sized) != good[i].crc_at_32) fail_msg("%s: another picture at 32 pixels", good[i].name);
        picture_destroy(&sized);
        picture_destroy(&picture);
    }
}

/* Pillow's, by the same libwebp: lossy, lossless, and with alpha, which is dropped. Nothing of a cut file is read. */
static void webp_reads_as_pillow_reads_it(void **state)
{
    static const struct {
        const char *name;
        int width, height;
        uint8_t middle[3];
        uint32_t crc;
    } webp[] = {{"lossy.webp", 45, 31, {255, 208, 170}, 0xe7afad78},
                {"alpha.webp", 24, 20, {155, 85, 52}, 0x74bcabe0},
                {"lossless.webp", 45, 31, {243, 222, 201}, 0xff5b4b1d}};
    (void)state;
    for (size_t i = 0; i < sizeof webp / sizeof webp[0]; i++) {
        char name[64], path[PATH_SIZE];
        struct picture picture;
        size_t n;
        snprintf(name, sizeof name, "data/webp/%s", webp[i].name);
        tests_path(path, name);
        uint8_t *bytes = scratch_read(path, &n);
        if (picture_read_bytes(&picture, bytes, n) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
        assert_int_equal(picture.width, webp[i].width);
        assert_int_equal(picture.height, webp[i].height);
        size_t middle = (size_t)(picture.height / 2 * picture.width + picture.width / 2) * 3;
        assert_memory_equal(picture.pixels + middle, webp[i].middle, 3);
        if (checksum(&picture) != webp[i].crc) fail_msg("%s: other pixels than Pillow's", webp[i].name);
        picture_destroy(&picture);
        for (size_t length = 0; length + 8 < n; length += 1 + n / 50)
            assert_int_equal(picture_read_bytes(&picture, bytes, length), IDDPM_FAILED);
        free(bytes);
    }
}

static void animations_are_refused(void **state)
{
    char path[PATH_SIZE];
    struct picture picture;
    (void)state;
    tests_path(path, "data/webp/animated.webp");
    assert_int_equal(picture_read(&picture, path), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "animated.webp: an animated WebP picture"));
}

static void broken_files_are_named_with_the_reason(void **state)
{
    static const struct {
        const char *name, *reason;
    } bad[] = {{"bad_crc.png", "damaged PNG: wrong checksum (CRC)"},
               {"bad_empty.jpg", "the file is empty"},
               {"bad_nonimage.png", "not a picture"},
               {"bad_truncated.png", "the file is cut short"},
               {"readme.txt", "not a picture"},
               {"nowhere.png", "No such file"},
               {"nested", "not a regular file"}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char path[PATH_SIZE];
        struct picture picture;
        test_file(path, bad[i].name);
        assert_int_equal(picture_read(&picture, path), IDDPM_FAILED);
        assert_null(picture.pixels);
        assert_non_null(strstr(iddpm_error_text(), bad[i].name));
        if (!strstr(iddpm_error_text(), bad[i].reason)) fail_msg("no '%s' in: %s", bad[i].reason, iddpm_error_text());
    }
}

static void other_formats_are_named(void **state)
{
    static const struct {
        const char *name, *bytes;
    } others[] = {{"a GIF picture", "GIF89a\1\0\1\0______"},
                  {"a BMP picture", "BM______________"},
                  {"damaged WebP", "RIFF____WEBPVP8 "},
                  {"a TIFF picture", "MM\0*____________"}};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char path[PATH_SIZE];
        struct picture picture;
        assert_int_equal(path_join(path, folder, "other.png"), IDDPM_OK);
        scratch_write(path, others[i].bytes, 16);
        assert_int_equal(picture_read(&picture, path), IDDPM_FAILED);
        assert_non_null(strstr(iddpm_error_text(), others[i].name));
    }
}

static void pipes_are_not_waited_for(void **state)
{
    char path[PATH_SIZE];
    struct picture picture;
    (void)state;
    assert_int_equal(path_join(path, folder, "pipe.png"), IDDPM_OK);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(picture_read(&picture, path), IDDPM_FAILED);
}

/* ---- every kind of PNG ------------------------------------------------------------------------------------------- */

/* Raw samples are bytes i * 37 + 11 of the rows in the file's own form. */
static uint8_t raw_byte(size_t i)
{
    return (uint8_t)(i * 37 + 11);
}

static size_t raw_pitch(int width, int type, int depth)
{
    static const int samples[7] = {[PNG_COLOR_TYPE_GRAY] = 1,
                                   [PNG_COLOR_TYPE_RGB] = 3,
                                   [PNG_COLOR_TYPE_PALETTE] = 1,
                                   [PNG_COLOR_TYPE_GRAY_ALPHA] = 2,
                                   [PNG_COLOR_TYPE_RGBA] = 4};
    return ((size_t)(width * samples[type] * depth) + 7) / 8;
}

static void write_png(const char *path, int width, int height, int type, int depth, int interlace, bool transparent)
{
    FILE *stream = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_color palette[256];
    png_byte alpha[2] = {0, 128};
    png_color_16 key = {.index = 0, .red = 1, .green = 2, .blue = 3, .gray = 1};
    png_init_io(png, stream);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, depth, type, interlace, 0, 0);
    png_set_gAMA_fixed(png, info, 45455); /* is not applied */
    for (int i = 0; i < 256; i++) palette[i] = (png_color){(png_byte)(255 - i), (png_byte)(i * 3), (png_byte)(i ^ 85)};
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, palette, 1 << depth);
    if (transparent) png_set_tRNS(png, info, alpha, type == PNG_COLOR_TYPE_PALETTE ? 2 : 0, &key);
    png_write_info(png, info);
    size_t pitch = raw_pitch(width, type, depth);
    uint8_t *row = malloc(pitch);
    for (int pass = png_set_interlace_handling(png); pass > 0; pass--)
        for (int y = 0; y < height; y++) {
            for (size_t i = 0; i < pitch; i++) row[i] = raw_byte((size_t)y * pitch + i);
            png_write_row(png, row);
        }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(row);
    fclose(stream);
}

/* Sample s of pixel x as a byte: the high byte of 16 bits; fewer than 8 bits stretched to 0..255 unless an index. */
static int sample(size_t row, int x, int s, int samples, int depth, bool index)
{
    int at = x * samples + s;
    if (depth == 16) return raw_byte(row + 2 * (size_t)at);
    if (depth == 8) return raw_byte(row + (size_t)at);
    int value = raw_byte(row + (size_t)(at * depth / 8)) >> (8 - depth - at * depth % 8) & ((1 << depth) - 1);
    return index ? value : value * 255 / ((1 << depth) - 1);
}

static void check_png(int width, int height, int type, int depth, const struct picture *picture)
{
    int samples = (int)raw_pitch(8, type, 8) / 8;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            size_t row = (size_t)y * raw_pitch(width, type, depth);
            int first = sample(row, x, 0, samples, depth, type == PNG_COLOR_TYPE_PALETTE);
            uint8_t want[3] = {(uint8_t)first, (uint8_t)first, (uint8_t)first};
            for (int c = 0; c < 3 && samples >= 3; c++) want[c] = (uint8_t)sample(row, x, c, samples, depth, false);
            if (type == PNG_COLOR_TYPE_PALETTE)
                memcpy(want, (uint8_t[]){(uint8_t)(255 - first), (uint8_t)(first * 3), (uint8_t)(first ^ 85)}, 3);
            if (memcmp(picture->pixels + (size_t)(y * width + x) * 3, want, 3) != 0)
                fail_msg("type %d, %d bits, pixel (%d, %d) of %d x %d", type, depth, x, y, width, height);
        }
}

static void every_kind_of_png_is_read(void **state)
{
    static const int kinds[][2] = {{0, 1}, {0, 2}, {0, 4}, {0, 8}, {0, 16}, {2, 8}, {2, 16}, {3, 1},
                                   {3, 2}, {3, 4}, {3, 8}, {4, 8}, {4, 16}, {6, 8}, {6, 16}};
    static const int sizes[][2] = {{1, 1}, {5, 3}, {17, 9}};
    char path[PATH_SIZE];
    (void)state;
    assert_int_equal(path_join(path, folder, "kind.png"), IDDPM_OK);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0] * 3 * 4; i++) {
        int type = kinds[i / 12][0], depth = kinds[i / 12][1], *size = (int *)sizes[i / 4 % 3];
        struct picture picture;
        bool transparent = i & 1 && !(type & PNG_COLOR_MASK_ALPHA);
        write_png(path, size[0], size[1], type, depth, i & 2 ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, transparent);
        if (picture_read(&picture, path) != IDDPM_OK) fail_msg("type %d, %d bits: %s", type, depth, iddpm_error_text());
        assert_int_equal(picture.width, size[0]);
        assert_int_equal(picture.height, size[1]);
        check_png(size[0], size[1], type, depth, &picture);
        picture_destroy(&picture);
    }
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

static void cut_files_are_refused(void **state)
{
    static const char *const names[] = {"cat_000.png", "nested/dog_000.jpg"};
    (void)state;
    for (int f = 0; f < 2; f++) {
        char path[PATH_SIZE], copy[PATH_SIZE];
        size_t n;
        struct picture picture;
        test_file(path, names[f]);
        assert_int_equal(path_join(copy, folder, "cut"), IDDPM_OK);
        uint8_t *bytes = scratch_read(path, &n);
        for (size_t length = n; length-- > 0; length = length + 20 < n ? length - length / 20 : length) {
            scratch_write(copy, bytes, length);
            if (picture_read(&picture, copy) == IDDPM_OK)
                fail_msg("%s is read with %zu of %zu bytes", names[f], length, n);
            if (length < 3) break;
        }
        free(bytes);
    }
}

static void read_anything(const char *path)
{
    struct picture picture;
    iddpm_error(IDDPM_OK, "%s", "");
    enum iddpm_status status = picture_read(&picture, path);
    assert_true(status == IDDPM_OK ? picture.pixels != NULL : !picture.pixels && *iddpm_error_text());
    picture_destroy(&picture);
}

static void changed_files_do_no_harm(void **state)
{
    static const char *const names[] = {"alpha_rgba.png",     "palette_p.png",  "mono_1bit.png",
                                        "nested/dog_000.jpg", "photo_cmyk.jpg", "photo_progressive.jpg"};
    (void)state;
    for (size_t f = 0; f < sizeof names / sizeof names[0]; f++) {
        char path[PATH_SIZE], copy[PATH_SIZE];
        test_file(path, names[f]);
        assert_int_equal(path_join(copy, folder, "changed"), IDDPM_OK);
        scratch_mutate(path, copy, f < 4 ? 200 : 15, read_anything);
    }
}

static void bombs_are_refused(void **state)
{
    /* a PNG's header that promises 100,000 x 100,000 pixels */
    uint8_t head[33] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\x86\xa0\0\1\x86\xa0\x08\2\0\0\0";
    uint32_t crc = (uint32_t)crc32(0, head + 12, 17);
    char path[PATH_SIZE];
    struct picture picture;
    (void)state;
    for (int i = 0; i < 4; i++) head[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    assert_int_equal(path_join(path, folder, "bomb.png"), IDDPM_OK);
    scratch_write(path, head, sizeof head);
    assert_int_equal(picture_read(&picture, path), IDDPM_FAILED);
    assert_null(picture.pixels);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void written_pictures_come_back(void **state)
{
    uint8_t colour[] = {1, 2, 3, 4, 5, 6, 255, 0, 128, 7, 8, 9, 10, 11, 12, 13, 14, 15}, grey[] = {0, 127, 255};
    char path[PATH_SIZE];
    struct picture picture;
    (void)state;
    assert_int_equal(path_join(path, folder, "written.png"), IDDPM_OK);
    assert_int_equal(picture_write_png(&(struct picture){3, 2, 3, colour}, path), IDDPM_OK);
    assert_int_equal(picture_read(&picture, path), IDDPM_OK);
    assert_int_equal(picture.width, 3);
    assert_memory_equal(picture.pixels, colour, sizeof colour);
    picture_destroy(&picture);
    assert_int_equal(picture_write_png(&(struct picture){1, 3, 1, grey}, path), IDDPM_OK); /* replaces it */
    assert_int_equal(picture_read(&picture, path), IDDPM_OK);
    assert_int_equal(picture.height, 3);
    assert_memory_equal(picture.pixels, ((uint8_t[]){0, 0, 0, 127, 127, 127, 255, 255, 255}), 9);
    picture_destroy(&picture);
    assert_int_equal(picture_write_png(&(struct picture){1, 3, 1, grey}, "/nowhere/at/all.png"), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "/nowhere/at/all.png"));
}

static void grids_are_about_square(void **state)
{
    uint8_t images[5 * 2 * 3];
    struct picture grid;
    (void)state;
    for (size_t i = 0; i < sizeof images; i++) images[i] = (uint8_t)i;
    assert_int_equal(picture_grid(5, 0, 2, 3, 1, images, &grid), IDDPM_OK); /* 3 columns, 2 rows */
    assert_int_equal(grid.width, 3 * 3 + 2);
    assert_int_equal(grid.height, 2 * 2 + 1);
    static const uint8_t want[5][11] = {{0, 1, 2, 255, 6, 7, 8, 255, 12, 13, 14},
                                        {3, 4, 5, 255, 9, 10, 11, 255, 15, 16, 17},
                                        {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
                                        {18, 19, 20, 255, 24, 25, 26, 255, 255, 255, 255},
                                        {21, 22, 23, 255, 27, 28, 29, 255, 255, 255, 255}};
    assert_memory_equal(grid.pixels, want, sizeof want);
    picture_destroy(&grid);
    assert_int_equal(picture_grid(1, 0, 1, 1, 3, images, &grid), IDDPM_OK);
    assert_int_equal(grid.width, 1);
    assert_memory_equal(grid.pixels, images, 3);
    picture_destroy(&grid);
    assert_int_equal(picture_grid(0, 0, 1, 1, 3, images, &grid), IDDPM_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_read_as_pillow_reads_them), cmocka_unit_test(broken_files_are_named_with_the_reason),
        cmocka_unit_test(other_formats_are_named),         cmocka_unit_test(pipes_are_not_waited_for),
        cmocka_unit_test(webp_reads_as_pillow_reads_it),   cmocka_unit_test(animations_are_refused),
        cmocka_unit_test(every_kind_of_png_is_read),       cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(changed_files_do_no_harm),        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(written_pictures_come_back),      cmocka_unit_test(grids_are_about_square),
    };
    scratch_make(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
