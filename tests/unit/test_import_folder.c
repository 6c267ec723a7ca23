/* Importing folders of pictures. */
#include "importing.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void the_awkward_folder_is_read(void **state)
{
    static const char *const names[] = {"alpha", "bad",     "cat",   "dog",  "emu", "grey",
                                        "mono",  "palette", "photo", "tiny", "wide"};
    static const struct {
        const char *file;
        int64_t label;
    } some[] = {
        {"alpha_rgba.png", 0}, {"cat_003.png", 2},  {"nested/dog_007.jpg", 3}, {"nested/deeper/emu_002.JPEG", 4},
        {"mono_1bit.png", 6},  {"nolabel.png", -1}, {"photo_cmyk.jpg", 8},     {"photo_progressive.jpg", 8},
        {"tiny_5x3.png", 9}};
    (void)state;
    struct import_options options = {
        .kind = IMPORT_FOLDER, .source = carried("data/image-folder-awkward"), .target = fresh(), .size = 32};
    struct import_result result = import(&options);
    assert_int_equal(result.images, 31);
    assert_int_equal(result.skipped, 4);
    assert_int_equal(result.classes, 11);
    struct dataset *dataset;
    int64_t *labels;
    assert_int_equal(dataset_open(&dataset, options.target), IDDPM_OK);
    assert_int_equal(dataset->unlabelled, 1);
    for (int i = 0; i < 11; i++) assert_string_equal(dataset->class_names[i], names[i]);
    uint8_t *images = read_all(dataset, &labels);
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        char path[PATH_SIZE];
        struct picture picture, sized;
        assert_int_equal(path_join(path, carried("data/image-folder-awkward"), some[i].file), IDDPM_OK);
        assert_int_equal(picture_read_stored(&picture, path), IDDPM_OK);
        assert_int_equal(picture_to_size(&picture, 32, &sized), IDDPM_OK);
        bool found = false; /* some pictures are there twice, with and without alpha */
        for (int g = 0; g < 31; g++)
            found |= memcmp(images + g * 3072, sized.pixels, 3072) == 0 && labels[g] == some[i].label;
        if (!found) fail_msg("%s is not in the data set with label %d", some[i].file, (int)some[i].label);
        picture_destroy(&picture);
        picture_destroy(&sized);
    }
    free(images), free(labels);
    dataset_close(dataset);
}

static void strict_refuses_a_broken_picture(void **state)
{
    (void)state;
    assert_refused(&(struct import_options){.kind = IMPORT_FOLDER,
                                            .source = carried("data/image-folder-awkward"),
                                            .target = fresh(),
                                            .size = 32,
                                            .strict = true},
                   IDDPM_FAILED, "/bad_");
}

static void write_picture(const char *parent, const char *name, uint8_t level)
{
    char path[PATH_SIZE];
    uint8_t pixels[4] = {level, level, level, level};
    assert_int_equal(path_join(path, parent, name), IDDPM_OK);
    assert_int_equal(picture_write_png(&(struct picture){2, 2, 1, pixels}, path), IDDPM_OK);
}

static void names_make_the_classes(void **state)
{
    static const struct {
        const char *name;
        int64_t label; /* rank in .hidden, Ant, ant, müll, zebra */
    } files[] = {{"zebra_1.png", 4}, {"ant_b_2.PNG", 2}, {"Ant_3.JpEg", 1}, {".hidden_4.png", 0},    {"_5.png", -1},
                 {"ant_6.gif", 2},   {"ant_7.webp", 2},  {"ant8.jpg", -1},  {"m\xc3\xbcll_9.png", 3}};
    char source[PATH_SIZE], path[PATH_SIZE], link[PATH_SIZE];
    int64_t *labels;
    (void)state;
    assert_int_equal(path_join(source, scratch, "names"), IDDPM_OK);
    assert_int_equal(path_join(path, source, "deep/deeper.png"), IDDPM_OK); /* a folder with a picture's ending */
    assert_int_equal(path_make_folders(path), IDDPM_OK);
    assert_int_equal(path_join(link, path, "up"), IDDPM_OK);
    assert_int_equal(symlink("../..", link), 0); /* round and round */
    assert_int_equal(path_join(link, path, "ant_lost.png"), IDDPM_OK);
    assert_int_equal(symlink("nowhere", link), 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        write_picture(i % 2 ? source : path, files[i].name, (uint8_t)(i + 1));
    write_picture(source, "._ant_2.png", 4); /* what macOS leaves beside ant_2.png */
    struct import_options options = {.kind = IMPORT_FOLDER, .source = source, .target = fresh(), .size = 2};
    struct import_result result = import(&options);
    assert_int_equal(result.images, 8);  /* all but the GIF */
    assert_int_equal(result.skipped, 3); /* the GIF, the link that leads nowhere, the one that leads up */
    struct dataset *dataset;
    assert_int_equal(dataset_open(&dataset, options.target), IDDPM_OK);
    assert_int_equal(dataset->classes, 5);
    assert_string_equal(dataset->class_names[0], ".hidden");
    assert_string_equal(dataset->class_names[4], "zebra");
    assert_string_equal(dataset->class_names[3], "m\xc3\xbcll");
    uint8_t *images = read_all(dataset, &labels);
    for (uint64_t g = 0; g < dataset->images; g++) {
        int number = images[g * 12];
        assert_true(number != 6);
        assert_int_equal(labels[g], files[number - 1].label);
    }
    free(images), free(labels);
    dataset_close(dataset);
}

static void odd_class_names_survive_the_index(void **state)
{
    static const char *const names[] = {"\x01\x02",
                                        "\"q\"",
                                        "a: b # c",
                                        "back\\slash",
                                        "del\x7f",
                                        "\xe2\x98\x83",
                                        "\xf0\x9f\x98\x80",
                                        "\xff"
                                        "bad"};
    char source[PATH_SIZE];
    (void)state;
    assert_int_equal(path_join(source, scratch, "odd"), IDDPM_OK);
    assert_int_equal(path_make_folders(source), IDDPM_OK);
    for (int i = 0; i < 8; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s_1.png", names[i]);
        write_picture(source, name, 9);
    }
    struct dataset *dataset = import_and_open(
        &(struct import_options){.kind = IMPORT_FOLDER, .source = source, .target = fresh(), .size = 2});
    assert_int_equal(dataset->classes, 8);
    for (int i = 0; i < 7; i++) assert_string_equal(dataset->class_names[i], names[i]);
    assert_string_equal(dataset->class_names[7], "\xef\xbf\xbd"
                                                 "bad"); /* no UTF-8: U+FFFD */
    dataset_close(dataset);
}

static void folders_without_pictures_are_refused(void **state)
{
    char source[PATH_SIZE];
    struct import_options options = {.kind = IMPORT_FOLDER, .source = source, .target = fresh(), .size = 8};
    (void)state;
    assert_int_equal(path_join(source, scratch, "empty"), IDDPM_OK);
    assert_refused(&options, IDDPM_FAILED, "empty: not a folder");
    assert_int_equal(path_make_folders(source), IDDPM_OK);
    assert_refused(&options, IDDPM_FAILED, "empty: holds no pictures");
    char path[PATH_SIZE];
    assert_int_equal(path_join(path, source, "a_1.png"), IDDPM_OK);
    scratch_write(path, "nothing", 7);
    assert_refused(&options, IDDPM_FAILED, "no image could be imported");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_awkward_folder_is_read),
        cmocka_unit_test(strict_refuses_a_broken_picture),
        cmocka_unit_test(names_make_the_classes),
        cmocka_unit_test(odd_class_names_survive_the_index),
        cmocka_unit_test(folders_without_pictures_are_refused),
    };
    return IMPORTING_RUN(tests);
}
