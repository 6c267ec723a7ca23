/* Reading: images by global index, streams of leaves, damage. Data sets of numbered images are made from an NPZ file:
 * image i has the pixels i % 256, i / 256, ... and the label i % 5. */
#include "check.h"
#include "iddpm/data.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { IMAGES = 300, CLASSES = 5, H = 2, W = 3, BYTES = H * W * 3 };

static char folder[PATH_SIZE];

static void paint(int i, uint8_t *image)
{
    for (int k = 0; k < BYTES; k++) image[k] = (uint8_t)(k ? i / 256 + k : i);
}

static int number_of(const uint8_t *image)
{
    uint8_t want[BYTES];
    int i = image[0] + 256 * (image[1] - 1);
    paint(i, want);
    assert_memory_equal(image, want, BYTES);
    return i;
}

/* A new data set of n numbered images into path[PATH_SIZE]. */
static struct dataset *make(int n, int shards, char *path)
{
    static int count;
    uint8_t images[IMAGES * BYTES];
    int64_t labels[IMAGES];
    char npz[PATH_SIZE], name[32];
    struct import_result result;
    struct dataset *dataset;
    for (int i = 0; i < n; i++) {
        paint(i, images + i * BYTES);
        labels[i] = i % CLASSES;
    }
    const struct npz_array arrays[] = {{"arr_0", STORE_U8, 4, {(uint64_t)n, H, W, 3}, images},
                                       {"arr_1", STORE_I64, 1, {(uint64_t)n}, labels}};
    snprintf(name, sizeof name, "set-%d", count++);
    assert_int_equal(path_join(path, folder, name), IDDPM_OK);
    assert_int_equal(path_join(npz, folder, "images.npz"), IDDPM_OK);
    assert_int_equal(npz_write(npz, 2, arrays), IDDPM_OK);
    const struct import_options options = {.kind = IMPORT_NPZ, .source = npz, .target = path, .shards = shards};
    if (data_import(&options, &result) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    assert_int_equal(result.shards, shards);
    if (dataset_open(&dataset, path) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return dataset;
}

static void the_index_says_what_there_is(void **state)
{
    char path[PATH_SIZE];
    struct dataset *dataset = make(23, 4, path);
    (void)state;
    assert_int_equal(dataset->images, 23);
    assert_int_equal(dataset->unlabelled, 0);
    assert_int_equal(dataset->height, H);
    assert_int_equal(dataset->width, W);
    assert_int_equal(dataset->channels, 3);
    assert_int_equal(dataset->classes, CLASSES);
    assert_string_equal(dataset->class_names[4], "4");
    assert_int_equal(strlen(dataset->hash), 64);
    assert_int_equal(dataset->shards, 4);
    for (int s = 0; s < 4; s++) assert_int_equal(dataset->shard_images[s], s < 3 ? 6 : 5);
    assert_int_equal(dataset_verify(dataset), IDDPM_OK);
    dataset_close(dataset);
}

static void any_range_of_images_is_read(void **state)
{
    char path[PATH_SIZE];
    struct dataset *dataset = make(23, 4, path);
    uint8_t all[23 * BYTES], part[23 * BYTES];
    int64_t labels[23], part_labels[23];
    bool seen[23] = {false};
    (void)state;
    assert_int_equal(dataset_read(dataset, 0, 23, all, labels), IDDPM_OK);
    for (int g = 0; g < 23; g++) {
        int i = number_of(all + g * BYTES);
        assert_false(seen[i]);
        seen[i] = true;
        assert_int_equal(labels[g], i % CLASSES);
    }
    for (uint64_t first = 0; first <= 23; first++)
        for (uint64_t count = 0; first + count <= 23; count++) {
            assert_int_equal(dataset_read(dataset, first, count, part, count % 2 ? part_labels : NULL), IDDPM_OK);
            assert_memory_equal(part, all + first * BYTES, count * BYTES);
            if (count % 2) assert_memory_equal(part_labels, labels + first, count * sizeof *labels);
        }
    assert_int_equal(dataset_read(dataset, 20, 4, part, NULL), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "holds 23 images"));
    assert_int_equal(dataset_read(dataset, UINT64_MAX, 2, part, NULL), IDDPM_FAILED);
    dataset_close(dataset);
}

/* ---- leaves ------------------------------------------------------------------------------------------------------ */

static struct leaf_reader *reader_of(const struct dataset *dataset, int leaf, int leaves, uint64_t cache)
{
    struct leaf_reader *reader;
    if (leaf_reader_create(&reader, dataset, leaf, leaves, 7, cache) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return reader;
}

/* Every image of the set is in exactly one leaf, and in each of its epochs exactly once. */
static void check_cover(int images, int shards, int leaves, uint64_t cache)
{
    char path[PATH_SIZE];
    struct dataset *dataset = make(images, shards, path);
    int seen[IMAGES] = {0};
    uint64_t total = 0;
    for (int m = 0; m < leaves; m++) {
        struct leaf_reader *reader = reader_of(dataset, m, leaves, cache);
        uint64_t n = leaf_reader_images(reader), all = n * (BYTES + sizeof(int64_t));
        assert_int_equal(leaf_cache_bytes(dataset, m, leaves, all), all);
        assert_int_equal(leaf_cache_bytes(dataset, m, leaves, all - 1), 0);
        total += n;
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            uint8_t pixels[IMAGES * BYTES];
            int64_t labels[IMAGES];
            assert_int_equal(leaf_reader_get(reader, epoch * n, (int)n, pixels, labels), IDDPM_OK);
            for (uint64_t k = 0; k < n; k++) {
                int i = number_of(pixels + k * BYTES);
                assert_int_equal(labels[k], i % CLASSES);
                seen[i]++;
            }
        }
        leaf_reader_destroy(reader);
    }
    assert_int_equal(total, images);
    for (int i = 0; i < images; i++) assert_int_equal(seen[i], 3);
    dataset_close(dataset);
}

static void leaves_cover_the_data_once_an_epoch(void **state)
{
    static const int cases[][3] = {{300, 16, 1}, {300, 16, 4}, {299, 16, 16}, {300, 5, 4}, {300, 3, 8},
                                   {300, 1, 16}, {37, 7, 2},   {17, 16, 16},  {16, 1, 16}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_cover(cases[i][0], cases[i][1], cases[i][2], i % 2 ? 1 << 20 : 0);
}

static void leaves_read_their_own_shards(void **state)
{
    char path[PATH_SIZE];
    struct dataset *dataset = make(60, 6, path);
    uint8_t all[60 * BYTES], pixels[60 * BYTES];
    int place[60];
    (void)state;
    assert_int_equal(dataset_read(dataset, 0, 60, all, NULL), IDDPM_OK);
    for (int g = 0; g < 60; g++) place[number_of(all + g * BYTES)] = g;
    for (int leaves = 4; leaves <= 16; leaves *= 4)
        for (int m = 0; m < leaves; m++) {
            struct leaf_reader *reader = reader_of(dataset, m, leaves, 0);
            int n = (int)leaf_reader_images(reader);
            assert_int_equal(leaf_reader_get(reader, 0, n, pixels, NULL), IDDPM_OK);
            for (int k = 0; k < n; k++) {
                int g = place[number_of(pixels + k * BYTES)], shard = g % 6, within = g / 6;
                if (leaves <= 6)
                    assert_int_equal(shard % leaves, m);
                else { /* shards 0 to 3 belong to three leaves, 4 and 5 to two */
                    assert_int_equal(shard, m % 6);
                    assert_int_equal(within % (shard < 4 ? 3 : 2), m / 6);
                }
            }
            leaf_reader_destroy(reader);
        }
    dataset_close(dataset);
}

static void a_place_in_the_stream_is_a_function(void **state)
{
    char path[PATH_SIZE];
    struct dataset *dataset = make(50, 3, path);
    struct leaf_reader *kept = reader_of(dataset, 1, 2, 1 << 20), *unkept = reader_of(dataset, 1, 2, 0);
    uint8_t run[120 * BYTES], one[BYTES];
    int64_t labels[120], label;
    uint64_t n = leaf_reader_images(kept);
    (void)state;
    assert_int_equal(n, 17); /* shard 1 of 17, 17, 16 images */
    assert_int_equal(leaf_reader_get(kept, 3, 120, run, labels), IDDPM_OK);
    for (int k = 119; k >= 0; k--) { /* backwards, from a reader that keeps nothing */
        assert_int_equal(leaf_reader_get(unkept, 3 + (uint64_t)k, 1, one, &label), IDDPM_OK);
        assert_memory_equal(one, run + k * BYTES, BYTES);
        assert_int_equal(label, labels[k]);
    }
    assert_memory_not_equal(run, run + n * BYTES, n * BYTES); /* another order in the next epoch */
    leaf_reader_destroy(kept);
    leaf_reader_destroy(unkept);

    struct leaf_reader *other;
    uint8_t different[17 * BYTES];
    assert_int_equal(leaf_reader_create(&other, dataset, 1, 2, 8, 0), IDDPM_OK);
    assert_int_equal(leaf_reader_get(other, 3, 17, different, NULL), IDDPM_OK);
    assert_memory_not_equal(run, different, sizeof different); /* and with another seed */
    leaf_reader_destroy(other);
    dataset_close(dataset);
}

/* Reads all images twice: by global index and as one leaf. */
static void read_all_ways(const struct dataset *dataset)
{
    static uint8_t pixels[IMAGES * BYTES];
    int seen[IMAGES] = {0};
    struct leaf_reader *reader = reader_of(dataset, 0, 1, 0);
    for (int way = 0; way < 2; way++) {
        enum iddpm_status status =
            way ? leaf_reader_get(reader, 0, IMAGES, pixels, NULL) : dataset_read(dataset, 0, IMAGES, pixels, NULL);
        if (status != IDDPM_OK) fail_msg("%s", iddpm_error_text());
        for (int k = 0; k < IMAGES; k++) seen[number_of(pixels + k * BYTES)]++;
    }
    leaf_reader_destroy(reader);
    for (int i = 0; i < IMAGES; i++) assert_int_equal(seen[i], 2);
}

static void there_may_be_more_shards_than_files(void **state)
{
    char path[PATH_SIZE], shard[PATH_SIZE], other[PATH_SIZE];
    struct dataset *dataset = make(IMAGES, IMAGES, path);
    uint8_t image[BYTES];
    struct rlimit limit, few;
    (void)state;
    getrlimit(RLIMIT_NOFILE, &limit);
    few = limit;
    few.rlim_cur = 200;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    read_all_ways(dataset);
    setrlimit(RLIMIT_NOFILE, &limit);

    /* shard 0 rests by now; another one in its place is noticed */
    assert_int_equal(path_join(shard, path, "shard-0000.h5"), IDDPM_OK);
    assert_int_equal(path_join(other, path, "shard-0001.h5"), IDDPM_OK);
    assert_int_equal(rename(other, shard), 0);
    assert_int_equal(dataset_read(dataset, 0, 1, image, NULL), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "was replaced"));
    dataset_close(dataset);
}

static void a_leaf_without_images_is_refused(void **state)
{
    char path[PATH_SIZE];
    struct dataset *dataset = make(3, 2, path);
    struct leaf_reader *reader;
    (void)state;
    assert_int_equal(leaf_reader_create(&reader, dataset, 7, 8, 7, 0), IDDPM_USAGE);
    assert_null(reader);
    assert_non_null(strstr(iddpm_error_text(), "too few for 8 leaves"));
    dataset_close(dataset);
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

/* Of the index and shard 1 alone. */
static void copy_some(const char *path, char *copy)
{
    static int count;
    char name[32];
    snprintf(name, sizeof name, "copy-%d", count++);
    assert_int_equal(path_join(copy, folder, name), IDDPM_OK);
    assert_int_equal(path_make_folders(copy), IDDPM_OK);
    static const char *const files[] = {"index.json", "shard-0001.h5"};
    for (int i = 0; i < 2; i++) {
        char from[PATH_SIZE], to[PATH_SIZE];
        size_t n;
        assert_int_equal(path_join(from, path, files[i]), IDDPM_OK);
        assert_int_equal(path_join(to, copy, files[i]), IDDPM_OK);
        uint8_t *bytes = scratch_read(from, &n);
        scratch_write(to, bytes, n);
        free(bytes);
    }
}

static void shards_are_read_from_the_copy(void **state)
{
    char path[PATH_SIZE], copy[PATH_SIZE], original[PATH_SIZE];
    struct dataset *dataset = make(20, 2, path);
    uint8_t want[10 * BYTES], pixels[10 * BYTES];
    struct leaf_reader *reader = reader_of(dataset, 1, 2, 0);
    (void)state;
    assert_int_equal(leaf_reader_get(reader, 0, 10, want, NULL), IDDPM_OK);
    leaf_reader_destroy(reader);

    copy_some(path, copy);
    assert_int_equal(path_join(original, path, "shard-0001.h5"), IDDPM_OK);
    remove(original);
    assert_int_equal(dataset_use_copy(dataset, copy), IDDPM_OK);
    reader = reader_of(dataset, 1, 2, 0);
    assert_int_equal(leaf_reader_get(reader, 0, 10, pixels, NULL), IDDPM_OK);
    assert_memory_equal(pixels, want, sizeof want);
    leaf_reader_destroy(reader);
    assert_int_equal(leaf_reader_create(&reader, dataset, 0, 2, 7, 0), IDDPM_FAILED); /* shard 0 was not copied */
    assert_non_null(strstr(iddpm_error_text(), path));
    assert_non_null(strstr(iddpm_error_text(), copy));
    dataset_close(dataset);
}

static void what_is_no_copy_is_refused(void **state)
{
    char path[PATH_SIZE], copy[PATH_SIZE], other[PATH_SIZE], absent[PATH_SIZE];
    struct dataset *dataset = make(20, 2, path);
    (void)state;
    dataset_close(make(21, 2, other));
    copy_some(other, copy);
    assert_int_equal(dataset_use_copy(dataset, copy), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), path));
    assert_non_null(strstr(iddpm_error_text(), copy));
    dataset_close(make(20, 4, other)); /* the same images, dealt otherwise */
    copy_some(other, copy);
    assert_int_equal(dataset_use_copy(dataset, copy), IDDPM_FAILED);
    assert_int_equal(path_join(absent, folder, "absent"), IDDPM_OK);
    assert_int_equal(dataset_use_copy(dataset, absent), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "absent: no such folder"));
    dataset_close(dataset);
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

/* Opens and verifies the set in `path`, which must fail with `reason` and name `file`. */
static void assert_damaged(const char *path, const char *file, const char *reason)
{
    struct dataset *dataset;
    enum iddpm_status status = dataset_open(&dataset, path);
    if (status == IDDPM_OK) {
        status = dataset_verify(dataset);
        dataset_close(dataset);
    }
    assert_int_equal(status, IDDPM_FAILED);
    if (!strstr(iddpm_error_text(), file) || !strstr(iddpm_error_text(), reason))
        fail_msg("no '%s' and '%s' in: %s", file, reason, iddpm_error_text());
}

static void damaged_shards_are_noticed(void **state)
{
    char path[PATH_SIZE], other[PATH_SIZE], shard[PATH_SIZE], from[PATH_SIZE];
    uint8_t image[BYTES], *bytes, *at;
    size_t n;
    (void)state;
    struct dataset *dataset = make(23, 4, path);
    assert_int_equal(dataset_read(dataset, 2, 1, image, NULL), IDDPM_OK);
    dataset_close(dataset);
    dataset_close(make(29, 4, other));
    assert_int_equal(path_join(shard, path, "shard-0002.h5"), IDDPM_OK);
    bytes = scratch_read(shard, &n);

    at = memmem(bytes, n, image, BYTES);
    assert_non_null(at);
    at[4] ^= 1;
    scratch_write(shard, bytes, n);
    assert_damaged(path, "shard-0002.h5", "damaged: written with checksum");
    at[4] ^= 1;
    scratch_write(shard, bytes, n / 2);
    assert_damaged(path, "shard-0002.h5", "cannot");
    remove(shard);
    assert_damaged(path, "shard-0002.h5", "No such file");
    scratch_write(shard, "no HDF5", 7);
    assert_damaged(path, "shard-0002.h5", "no HDF5 file");
    free(bytes);

    assert_int_equal(path_join(from, other, "shard-0002.h5"), IDDPM_OK); /* of another import: 7 images, not 6 */
    bytes = scratch_read(from, &n);
    scratch_write(shard, bytes, n);
    assert_damaged(path, "shard-0002.h5", "holds [7][2][3][3] but the index says [6][2][3][3]");
    free(bytes);
    assert_int_equal(path_join(from, path, "shard-0001.h5"), IDDPM_OK); /* as many images, but others */
    bytes = scratch_read(from, &n);
    scratch_write(shard, bytes, n);
    assert_damaged(path, "shard-0002.h5", "belongs to another import");
    free(bytes);
}

/* HDF5 would give zeroes. */
static void a_shard_cut_off_while_it_is_read_is_noticed(void **state)
{
    char path[PATH_SIZE], shard[PATH_SIZE];
    uint8_t pixels[50 * BYTES];
    (void)state;
    struct dataset *dataset = make(50, 1, path);
    struct leaf_reader *reader = reader_of(dataset, 0, 1, 0);
    assert_int_equal(leaf_reader_get(reader, 0, 50, pixels, NULL), IDDPM_OK);
    assert_int_equal(path_join(shard, path, "shard-0000.h5"), IDDPM_OK);
    assert_int_equal(truncate(shard, 4000), 0);
    assert_int_equal(leaf_reader_get(reader, 50, 50, pixels, NULL), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "shard-0000.h5: has become shorter"));
    leaf_reader_destroy(reader);
    dataset_close(dataset);
}

/* Its size cannot be asked for any more when it rests, and it is not opened again for that. */
static void a_shard_cut_off_before_it_rests_is_noticed(void **state)
{
    enum { OTHERS = 128 };
    char path[PATH_SIZE], name[PATH_SIZE];
    uint8_t pixels[BYTES];
    struct shard *shard, *others[OTHERS];
    (void)state;
    dataset_close(make(OTHERS + 1, 1, path));
    assert_int_equal(path_join(name, path, "shard-0000.h5"), IDDPM_OK);
    assert_int_equal(shard_open(&shard, name), IDDPM_OK);
    assert_int_equal(shard_read(shard, 0, 1, pixels, NULL), IDDPM_OK);
    assert_int_equal(shard_check(shard), IDDPM_OK);
    assert_int_equal(shard_read(shard, 1, 1, pixels, NULL), IDDPM_OK);
    assert_int_equal(truncate(name, 4000), 0);
    dataset_close(make(OTHERS, 1, path));
    assert_int_equal(path_join(name, path, "shard-0000.h5"), IDDPM_OK);
    for (int i = 0; i < OTHERS; i++) assert_int_equal(shard_open(&others[i], name), IDDPM_OK);
    assert_int_equal(shard_check(shard), IDDPM_FAILED);
    assert_non_null(strstr(iddpm_error_text(), "shard-0000.h5: has become shorter"));
    for (int i = 0; i < OTHERS; i++) shard_close(others[i]);
    shard_close(shard);
}

static void damaged_indices_are_noticed(void **state)
{
    static const struct {
        const char *from, *to, *reason;
    } changes[] = {
        {"\"images\": 23", "\"images\": 24", "\"images\""},
        {"\"height\": 2", "\"height\": 0", "\"height\""},
        {"iddpm data set 1", "iddpm data set 9", "\"format\""},
        {"\"width\"", "\"width", "damaged"},
        {"\"crc32\": \"", "\"crc32\": \"x", "\"crc32\""},
        {"shard-0001", "../d-0001", "\"file\""},
        {"\"sha256\"", "\"sha255\"", "\"sha256\""},
        {"\"channels\": 3", "\"channels\": -3", "\"channels\""},
        {"\"shards\": [", "\"shards\": [], \"x\": [", "\"shards\""},
    };
    char path[PATH_SIZE], index[PATH_SIZE];
    (void)state;
    dataset_close(make(23, 4, path));
    assert_int_equal(path_join(index, path, "index.json"), IDDPM_OK);
    char *text;
    assert_int_equal(path_read_text(index, 1 << 20, &text), IDDPM_OK);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        char *at = strstr(text, changes[i].from), changed[8192];
        assert_non_null(at);
        snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, changes[i].to,
                 at + strlen(changes[i].from));
        scratch_write(index, changed, strlen(changed));
        assert_damaged(path, "index.json", changes[i].reason);
    }
    for (size_t length = strlen(text) - 3; length > 0; length = length * 7 / 8) { /* cut off */
        scratch_write(index, text, length);
        assert_damaged(path, "index.json", "damaged");
    }
    free(text);
    remove(index);
    assert_damaged(path, path, "no data set");
    assert_damaged("/nowhere", "/nowhere", "no such folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_says_what_there_is),
        cmocka_unit_test(any_range_of_images_is_read),
        cmocka_unit_test(leaves_cover_the_data_once_an_epoch),
        cmocka_unit_test(leaves_read_their_own_shards),
        cmocka_unit_test(a_place_in_the_stream_is_a_function),
        cmocka_unit_test(a_leaf_without_images_is_refused),
        cmocka_unit_test(shards_are_read_from_the_copy),
        cmocka_unit_test(what_is_no_copy_is_refused),
        cmocka_unit_test(there_may_be_more_shards_than_files),
        cmocka_unit_test(damaged_shards_are_noticed),
        cmocka_unit_test(a_shard_cut_off_while_it_is_read_is_noticed),
        cmocka_unit_test(a_shard_cut_off_before_it_rests_is_noticed),
        cmocka_unit_test(damaged_indices_are_noticed),
    };
    log_set_quiet(true);
    scratch_make(folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
