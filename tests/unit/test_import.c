/* Importers of sets that have a form of their own, and dealing. */
#include "importing.h"

#include <stdlib.h>
#include <string.h>

/* ---- digits ------------------------------------------------------------------------------------------------------ */

static void the_digits_are_built_in(void **state)
{
    (void)state;
    struct dataset *train = import_and_open(&(struct import_options){.kind = IMPORT_DIGITS, .target = fresh()});
    struct dataset *test =
        import_and_open(&(struct import_options){.kind = IMPORT_DIGITS, .target = fresh(), .split = "test"});
    assert_int_equal(train->images, 1497);
    assert_int_equal(test->images, 300);
    assert_int_equal(train->shards, 16);
    assert_int_equal(train->classes, 10);
    assert_int_equal(train->channels, 1);
    assert_string_equal(train->license, "CC BY 4.0");
    /* row 0 of the file, a zero, is of the test part: 0,0,5,13,9,1,0,0, ... of 16 */
    static const uint8_t top[8] = {0, 0, 80, 207, 143, 16, 0, 0};
    int64_t *labels, found = -1;
    uint8_t *images = read_all(test, &labels);
    for (int64_t g = 0; g < 300; g++)
        if (memcmp(images + g * 64, top, 8) == 0 && labels[g] == 0) found = g;
    assert_true(found >= 0);
    int zeros = 0;
    for (int g = 0; g < 300; g++) zeros += labels[g] == 0;
    assert_int_equal(zeros, 32);
    free(images), free(labels);
    dataset_close(train);
    dataset_close(test);
}

static void a_file_of_digits_is_checked(void **state)
{
    char path[PATH_SIZE], line[4096], *at;
    struct import_options options = {.kind = IMPORT_DIGITS, .source = path, .target = fresh()};
    (void)state;
    assert_int_equal(path_join(path, scratch, "digits.csv"), IDDPM_OK);
    at = line;
    for (int i = 0; i < 64; i++) at += sprintf(at, "%d,", i % 17);
    strcpy(at, "7\r\n");
    size_t n = strlen(line);
    memcpy(line + n, line, n);
    scratch_write(path, line, 2 * n); /* row 0 is of the test part, row 1 of the training part */
    assert_int_equal(import(&options).images, 1);

    options.target = fresh();
    static const struct {
        size_t length;
        char at_end;
        const char *reason;
    } bad[] = {
        {0, 0, "holds no digits"}, {1, 0, "digits.csv:2:"}, {5, 'x', "digits.csv:2:"}, {5, '8', "digits.csv:2:"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t length = bad[i].length ? n + bad[i].length : 0;
        if (bad[i].at_end) line[length - 1] = bad[i].at_end;
        scratch_write(path, line, length);
        assert_refused(&options, IDDPM_FAILED, bad[i].reason);
    }
    uint8_t *packed = scratch_read(carried("../jobs/data/digits.csv.gz"), &n);
    scratch_write(path, packed, n / 2);
    assert_refused(&options, IDDPM_FAILED, "digits.csv");
    free(packed);
    options.source = "/nowhere.csv";
    assert_refused(&options, IDDPM_FAILED, "/nowhere.csv: cannot open: No such file");
}

static void import_changed_digits(const char *path)
{
    struct import_result result;
    char target[PATH_SIZE];
    assert_int_equal(path_join(target, scratch, "changed"), IDDPM_OK);
    data_import(&(struct import_options){.kind = IMPORT_DIGITS, .source = path, .target = target, .shards = 1},
                &result);
    scratch_remove(target);
}

static void changed_digits_do_no_harm(void **state)
{
    char path[PATH_SIZE];
    (void)state;
    assert_int_equal(path_join(path, scratch, "changed.csv"), IDDPM_OK);
    scratch_mutate(carried("../jobs/data/digits.csv.gz"), path, 20, import_changed_digits);
}

/* ---- CIFAR-10 ---------------------------------------------------------------------------------------------------- */

/* Record r of a carried file as [32][32][3], and its label byte. */
static int record(const char *name, int r, uint8_t *image)
{
    size_t n;
    uint8_t *bytes = scratch_read(carried(name), &n), *at = bytes + r * 3073;
    int label = *at++;
    for (int p = 0; p < 1024; p++)
        for (int c = 0; c < 3; c++) image[p * 3 + c] = at[c * 1024 + p];
    free(bytes);
    return label;
}

static void cifar10_is_read(void **state)
{
    uint8_t image[3072];
    int64_t *labels;
    (void)state;
    struct import_options options = {
        .kind = IMPORT_CIFAR10, .source = carried("data/cifar10-format"), .target = fresh(), .shards = 3};
    struct dataset *dataset = import_and_open(&options);
    assert_int_equal(dataset->images, 500);
    assert_int_equal(dataset->classes, 10);
    assert_string_equal(dataset->class_names[0], "activities");
    assert_string_equal(dataset->class_names[9], "travel-places");
    uint8_t *images = read_all(dataset, &labels);
    for (int r = 0; r < 100; r += 33) {
        int label = record("data/cifar10-format/data_batch_4.bin", r, image);
        int64_t g = find_image(dataset, images, image);
        assert_true(g >= 0);
        assert_int_equal(labels[g], label);
    }
    record("data/cifar10-format/test_batch.bin", 0, image);
    assert_int_equal(find_image(dataset, images, image), -1);
    free(images), free(labels);
    dataset_close(dataset);

    options.source = carried("data/cifar10-format");
    options.target = fresh();
    options.split = "test";
    assert_int_equal(import(&options).images, 100);
    options.source = carried("data/cifar10-format/data_batch_2.bin"); /* one of its files */
    options.target = fresh();
    options.split = NULL;
    assert_int_equal(import(&options).images, 100);
}

/* Writes a file of the binary version with `n` records of label 0 to 9 in turn, and `more` bytes. */
static void write_batch(const char *path, const char *name, int n, size_t more)
{
    char file[PATH_SIZE];
    assert_int_equal(path_join(file, path, name), IDDPM_OK);
    uint8_t *bytes = calloc((size_t)n * 3073 + more + 1, 1);
    for (int r = 0; r < n; r++) memset(bytes + r * 3073 + 1, r, 3072), bytes[r * 3073] = (uint8_t)(r % 10);
    scratch_write(file, bytes, (size_t)n * 3073 + more);
    free(bytes);
}

static void classes_of_cifar10_in_the_authors_order(void **state)
{
    static const char *const names[10] = {"bird", "car",   "cat",   "deer", "dog",
                                          "frog", "horse", "plane", "ship", "truck"};
    static const int theirs[10] = {7, 1, 0, 2, 3, 4, 5, 6, 8, 9}; /* of airplane, automobile, bird, ... */
    char source[PATH_SIZE];
    int64_t *labels;
    (void)state;
    assert_int_equal(path_join(source, scratch, "cifar-standard"), IDDPM_OK);
    assert_int_equal(path_make_folders(source), IDDPM_OK);
    write_batch(source, "test_batch.bin", 10, 0); /* no batches.meta.txt: CIFAR-10's own names */
    struct import_options options = {
        .kind = IMPORT_CIFAR10, .source = source, .target = fresh(), .split = "test", .authors_classes = true};
    struct dataset *dataset = import_and_open(&options);
    for (int i = 0; i < 10; i++) assert_string_equal(dataset->class_names[i], names[i]);
    uint8_t *images = read_all(dataset, &labels);
    for (int g = 0; g < 10; g++) assert_int_equal(labels[g], theirs[images[g * 3072]]);
    free(images), free(labels);
    dataset_close(dataset);
}

static void short_files_of_cifar10_are_named(void **state)
{
    char source[PATH_SIZE], batches[PATH_SIZE], names[PATH_SIZE];
    struct import_options options = {.kind = IMPORT_CIFAR10, .source = source, .target = fresh()};
    (void)state;
    assert_int_equal(path_join(source, scratch, "cifar-short"), IDDPM_OK);
    assert_int_equal(path_join(batches, source, "cifar-10-batches-bin"), IDDPM_OK); /* as the archive unpacks */
    assert_int_equal(path_make_folders(batches), IDDPM_OK);
    for (int i = 1; i <= 4; i++) write_batch(batches, (char[17]){"data_batch_0.bin"}, 0, 0);
    assert_refused(&options, IDDPM_FAILED, "data_batch_1.bin: cannot open: No such file");
    write_batch(batches, "data_batch_1.bin", 3, 0);
    write_batch(batches, "data_batch_2.bin", 2, 3072);
    assert_refused(&options, IDDPM_FAILED,
                   "data_batch_2.bin: 9218 bytes are 2 records of 3073 bytes and 3072 bytes more");
    write_batch(batches, "data_batch_2.bin", 0, 0);
    assert_refused(&options, IDDPM_FAILED, "data_batch_2.bin: 0 bytes");
    for (int i = 2; i <= 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        write_batch(batches, name, 11, 0);
    }
    assert_int_equal(path_join(names, batches, "batches.meta.txt"), IDDPM_OK);
    scratch_write(names, "one\ntwo\n", 8);
    assert_refused(&options, IDDPM_FAILED, "but there are 2 classes");
    scratch_write(names, "\n \n", 3);
    assert_refused(&options, IDDPM_FAILED, "names no class");
    remove(names);
    options.strict = true; /* whole records, but not all of them */
    assert_refused(&options, IDDPM_FAILED, "data_batch_1.bin: 3 records where CIFAR-10 has 10000");
    options.strict = false;
    assert_int_equal(import(&options).images, 3 + 4 * 11);
}

/* ---- NPZ --------------------------------------------------------------------------------------------------------- */

static void archives_are_read(void **state)
{
    (void)state;
    struct dataset *dataset = import_and_open(&(struct import_options){
        .kind = IMPORT_NPZ, .source = carried("data/npz/compressed.npz"), .target = fresh(), .shards = 2});
    uint8_t image[60];
    int64_t *labels;
    uint8_t *images = read_all(dataset, &labels);
    assert_int_equal(dataset->images, 6);
    assert_int_equal(dataset->height, 4);
    assert_int_equal(dataset->width, 5);
    assert_int_equal(dataset->classes, 3);
    for (int i = 0; i < 6; i++) {
        for (int k = 0; k < 60; k++) image[k] = (uint8_t)((i * 60 + k) * 7);
        int64_t g = find_image(dataset, images, image);
        assert_true(g >= 0);
        assert_int_equal(labels[g], ((int[]){2, 0, 1, 2, 0, 2})[i]);
    }
    free(images), free(labels);
    dataset_close(dataset);
}

static void archives_without_images_are_refused(void **state)
{
    char path[PATH_SIZE];
    uint8_t pixels[12] = {0};
    struct npz_array arrays[] = {{"arr_0", STORE_U8, 3, {3, 2, 2}, pixels},
                                 {"arr_1", STORE_I64, 1, {2}, (int64_t[2]){0}}};
    struct import_options options = {.kind = IMPORT_NPZ, .source = carried("data/npz/kinds.npz"), .target = fresh()};
    (void)state;
    assert_refused(&options, IDDPM_FAILED, "has no array arr_0");
    assert_int_equal(path_join(path, scratch, "bad.npz"), IDDPM_OK);
    options.source = path;
    assert_int_equal(npz_write(path, 2, arrays), IDDPM_OK);
    assert_refused(&options, IDDPM_FAILED, "a whole number for each of the 3 images");
    arrays[1] = (struct npz_array){"arr_1", STORE_I32, 1, {3}, (int32_t[3]){0, 1, -2}};
    assert_int_equal(npz_write(path, 2, arrays), IDDPM_OK);
    assert_refused(&options, IDDPM_FAILED, "label -2 of image 2");
    arrays[0] = (struct npz_array){"arr_0", STORE_U8, 4, {3, 2, 1, 2}, pixels};
    assert_int_equal(npz_write(path, 1, arrays), IDDPM_OK);
    assert_refused(&options, IDDPM_FAILED, "must be uint8 images");
    arrays[0] = (struct npz_array){"arr_0", STORE_U8, 3, {3, 2, 2}, pixels}; /* grey, unlabelled */
    assert_int_equal(npz_write(path, 1, arrays), IDDPM_OK);
    struct dataset *dataset = import_and_open(&options);
    assert_int_equal(dataset->channels, 1);
    assert_int_equal(dataset->classes, 0);
    assert_int_equal(dataset->unlabelled, 3);
    assert_int_equal(dataset->shards, 3); /* not 16: there are no more images */
    dataset_close(dataset);
}

/* ---- dealing ----------------------------------------------------------------------------------------------------- */

static void dealing_does_not_depend_on_shards(void **state)
{
    struct import_options options = {.kind = IMPORT_DIGITS, .split = "test", .target = fresh(), .shards = 1};
    char hash[65];
    (void)state;
    struct dataset *one = import_and_open(&options), *other;
    int64_t *labels, *others;
    uint8_t *images = read_all(one, &labels);
    strcpy(hash, one->hash);
    for (int shards = 7; shards <= 40; shards += 33) {
        options.target = fresh();
        options.shards = shards;
        other = import_and_open(&options);
        uint8_t *same = read_all(other, &others);
        assert_int_equal(other->shards, shards);
        assert_string_equal(other->hash, hash);
        assert_memory_equal(same, images, 300 * 64);
        assert_memory_equal(others, labels, 300 * sizeof *labels);
        free(same), free(others);
        dataset_close(other);
    }
    options = (struct import_options){.kind = IMPORT_DIGITS, .split = "test", .target = fresh(), .seed = 1};
    other = import_and_open(&options);
    assert_string_not_equal(other->hash, hash); /* another seed, another order */
    dataset_close(other);
    dataset_close(one);
    free(images), free(labels);
}

static void wrong_use_is_named(void **state)
{
    static const struct {
        struct import_options options;
        const char *reason;
    } cases[] = {
        {{.kind = IMPORT_FOLDER, .source = "x"}, "--size N is needed"},
        {{.kind = IMPORT_FOLDER, .source = "x", .size = 5000}, "--size N is needed"},
        {{.kind = IMPORT_FOLDER, .source = "x", .size = 8, .split = "test"}, "--split is for"},
        {{.kind = IMPORT_FOLDER, .source = "x", .size = 8, .authors_classes = true}, "--authors-classes is for"},
        {{.kind = IMPORT_DIGITS, .size = 8}, "--size is for"},
        {{.kind = IMPORT_DIGITS, .split = "dev"}, "--split dev"},
        {{.kind = IMPORT_DIGITS, .shards = 4097}, "--shards 4097"},
        {{.kind = IMPORT_DIGITS, .shards = -1}, "--shards -1"},
        {{.kind = IMPORT_DIGITS, .split = "test", .shards = 301}, "301 shards are more than there are images (300)"},
        {{.kind = IMPORT_CIFAR10}, "source is missing"},
        {{.kind = IMPORT_NPZ, .source = "x", .split = "train"}, "--split is for"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct import_options options = cases[i].options;
        options.target = fresh();
        assert_refused(&options, IDDPM_USAGE, cases[i].reason);
    }
    assert_refused(&(struct import_options){.kind = IMPORT_DIGITS}, IDDPM_USAGE, "folder to make is missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_digits_are_built_in),
        cmocka_unit_test(a_file_of_digits_is_checked),
        cmocka_unit_test(changed_digits_do_no_harm),
        cmocka_unit_test(cifar10_is_read),
        cmocka_unit_test(classes_of_cifar10_in_the_authors_order),
        cmocka_unit_test(short_files_of_cifar10_are_named),
        cmocka_unit_test(archives_are_read),
        cmocka_unit_test(archives_without_images_are_refused),
        cmocka_unit_test(dealing_does_not_depend_on_shards),
        cmocka_unit_test(wrong_use_is_named),
    };
    return IMPORTING_RUN(tests);
}
