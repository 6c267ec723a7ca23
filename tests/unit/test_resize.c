/* Resizing to the bit as Pillow 9.4, and the authors' loader. Expected values were computed by them. */
#include "check.h"
#include "iddpm/data.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* High bytes of a linear congruential generator that starts at 1000 width + height. */
static struct picture pattern(int width, int height, int channels)
{
    struct picture picture = {width, height, channels, malloc((size_t)(width * height * channels))};
    uint32_t x = (uint32_t)(width * 1000 + height);
    for (int i = 0; i < width * height * channels; i++) {
        x = x * 1664525 + 1013904223;
        picture.pixels[i] = (uint8_t)(x >> 24);
    }
    return picture;
}

static uint32_t checksum(const struct picture *picture)
{
    return (uint32_t)crc32(0, picture->pixels, (uInt)(picture->width * picture->height * picture->channels));
}

static void a_row_is_weighed_as_by_pillow(void **state)
{
    static const struct {
        enum picture_filter filter;
        int from, to;
        uint8_t row[8], want[5];
    } rows[] = {
        {FILTER_BOX, 4, 2, {0, 100, 200, 50}, {50, 125}},
        {FILTER_BOX, 4, 3, {0, 100, 200, 50}, {0, 150, 50}},
        {FILTER_BOX, 4, 5, {0, 100, 200, 50}, {0, 100, 200, 200, 50}},
        {FILTER_BICUBIC, 2, 4, {0, 255}, {0, 53, 202, 255}}, /* overshoots, and is clipped */
        {FILTER_BICUBIC, 2, 5, {0, 255}, {0, 17, 128, 238, 255}},
        {FILTER_BICUBIC, 8, 3, {10, 20, 30, 40, 50, 60, 70, 80}, {19, 45, 71}},
        {FILTER_BICUBIC, 8, 5, {10, 20, 30, 40, 50, 60, 70, 80}, {13, 29, 45, 61, 77}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int upright = 0; upright < 2; upright++) {
            int from = rows[i].from, to = rows[i].to;
            struct picture in = {upright ? 1 : from, upright ? from : 1, 1, (uint8_t *)rows[i].row}, out;
            assert_int_equal(picture_resize(&in, upright ? 1 : to, upright ? to : 1, rows[i].filter, &out), IDDPM_OK);
            assert_memory_equal(out.pixels, rows[i].want, (size_t)to);
            picture_destroy(&out);
        }
}

static void pictures_are_resized_as_by_pillow(void **state)
{
    static const struct {
        int width, height, channels, to_width, to_height;
        uint32_t box, bicubic;
    } cases[] = {
        {1, 1, 3, 1, 1, 0xbe40c395, 0xbe40c395},     {1, 1, 3, 7, 5, 0xd4b1da9d, 0xd4b1da9d},
        {7, 5, 3, 1, 1, 0x8425659f, 0x486e2aa0},     {64, 48, 3, 32, 24, 0x51472e0e, 0x946cc99c},
        {33, 17, 3, 16, 8, 0x672c0355, 0xef9db6f3},  {16, 8, 3, 33, 17, 0xde8b63fb, 0x0d28b581},
        {100, 3, 3, 10, 30, 0x1ca89988, 0x00536f79}, {50, 50, 1, 49, 51, 0x0039acad, 0xa3cf0d8b},
        {13, 29, 1, 29, 13, 0x6f7592a5, 0xbc4e31bd}, {40, 20, 3, 40, 7, 0xe55742aa, 0x25f97882},
        {40, 20, 3, 9, 20, 0x62168c1c, 0x4eaa6f2c},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct picture in = pattern(cases[i].width, cases[i].height, cases[i].channels), out;
        for (int f = 0; f < 2; f++) {
            assert_int_equal(
                picture_resize(&in, cases[i].to_width, cases[i].to_height, f ? FILTER_BICUBIC : FILTER_BOX, &out),
                IDDPM_OK);
            assert_int_equal(out.width, cases[i].to_width);
            assert_int_equal(out.height, cases[i].to_height);
            if (checksum(&out) != (f ? cases[i].bicubic : cases[i].box)) fail_msg("case %zu, filter %d", i, f);
            picture_destroy(&out);
        }
        picture_destroy(&in);
    }
}

static void sizes_are_reached_as_by_the_authors(void **state)
{
    static const struct {
        int width, height, size;
        uint32_t crc;
    } cases[] = {
        {3, 2, 3, 0x02a6c024}, /* 4.5 pixels wide are 4, */
        {5, 2, 3, 0x7742792e}, /* 7.5 are 8: round half to even */
        {2, 3, 3, 0x7bc92f6b},     {64, 64, 64, 0x356bb68f}, {63, 64, 32, 0xcdfdb770}, {127, 255, 32, 0x2bd2e4b1},
        {128, 64, 32, 0x123a7a2e}, {9, 200, 16, 0xf0e6e9a5}, {31, 17, 40, 0xb57a0bfa},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct picture in = pattern(cases[i].width, cases[i].height, 3), out;
        assert_int_equal(picture_to_size(&in, cases[i].size, &out), IDDPM_OK);
        assert_int_equal(out.width, cases[i].size);
        assert_int_equal(out.height, cases[i].size);
        if (checksum(&out) != cases[i].crc) fail_msg("%d x %d to %d", in.width, in.height, cases[i].size);
        picture_destroy(&out);
        picture_destroy(&in);
    }
}

static void too_long_pictures_are_refused(void **state)
{
    struct picture in = pattern(60000, 1, 1), out;
    (void)state;
    assert_int_equal(picture_to_size(&in, 256, &out), IDDPM_FAILED); /* would be 15,360,000 x 256 on the way */
    assert_null(out.pixels);
    assert_non_null(strstr(iddpm_error_text(), "15360000 x "));
    picture_destroy(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_weighed_as_by_pillow),
        cmocka_unit_test(pictures_are_resized_as_by_pillow),
        cmocka_unit_test(sizes_are_reached_as_by_the_authors),
        cmocka_unit_test(too_long_pictures_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
