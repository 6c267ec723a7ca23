/* LSUN: an LMDB environment made here, and what the authors' lsun_bedroom.py makes of it with Pillow 9.4. */
#include "importing.h"

#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <webp/encode.h>
#include <zlib.h>

enum { SIZE = 8, BYTES = SIZE * SIZE * 3 };

/* Pictures, and the CRC-32 of each at 8 pixels by the authors' script: smaller, larger, both ways, and the same. */
static const struct {
    const char *key;
    int width, height;
    uint32_t crc;
} pictures[] = {{"b", 23, 17, 0xa214fde4},
                {"e", 17, 23, 0x6bc1c378},
                {"a", 8, 8, 0x2ca19aa1},
                {"d", 5, 3, 0x59cc7f86},
                {"c", 12, 9, 0x050b3b43}};
enum { PICTURES = sizeof pictures / sizeof *pictures };
static const int sorted[PICTURES] = {2, 0, 4, 3, 1};

struct lmdb {
    char path[PATH_SIZE];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi database;
};

static void lmdb_begin(struct lmdb *lmdb, const char *name)
{
    must(path_join(lmdb->path, scratch, name));
    must(path_make_folders(lmdb->path));
    assert_int_equal(mdb_env_create(&lmdb->env), 0);
    assert_int_equal(mdb_env_open(lmdb->env, lmdb->path, 0, 0666), 0);
    assert_int_equal(mdb_txn_begin(lmdb->env, NULL, 0, &lmdb->txn), 0);
    assert_int_equal(mdb_dbi_open(lmdb->txn, NULL, 0, &lmdb->database), 0);
}

static void lmdb_put(struct lmdb *lmdb, const char *key, const void *bytes, size_t n)
{
    MDB_val name = {strlen(key), (void *)(uintptr_t)key}, value = {n, (void *)(uintptr_t)bytes};
    assert_int_equal(mdb_put(lmdb->txn, lmdb->database, &name, &value, 0), 0);
}

static void lmdb_end(struct lmdb *lmdb)
{
    char lock[PATH_SIZE];
    assert_int_equal(mdb_txn_commit(lmdb->txn), 0);
    mdb_env_close(lmdb->env);
    must(path_join(lock, lmdb->path, "lock.mdb"));
    remove(lock);
}

static size_t encode(int k, uint8_t **webp)
{
    int width = pictures[k].width, height = pictures[k].height;
    uint8_t pixels[23 * 23 * 3];
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) pixels[(y * width + x) * 3 + c] = (uint8_t)(x * 7 + y * 13 + c * 50 + k * 29);
    size_t n = WebPEncodeLosslessRGB(pixels, width, height, width * 3, webp);
    assert_true(n > 0);
    return n;
}

static void put_pictures(struct lmdb *lmdb)
{
    for (int k = 0; k < PICTURES; k++) {
        uint8_t *webp;
        size_t n = encode(k, &webp);
        lmdb_put(lmdb, pictures[k].key, webp, n);
        WebPFree(webp);
    }
}

static struct import_options options(const struct lmdb *lmdb)
{
    return (struct import_options){.kind = IMPORT_LSUN, .source = lmdb->path, .target = fresh(), .size = SIZE};
}

static void pictures_are_the_authors(void **state)
{
    struct lmdb lmdb;
    struct rng rng = {.seed = 0, .purpose = RNG_SHUFFLE};
    int64_t *labels;
    (void)state;
    lmdb_begin(&lmdb, "lsun");
    put_pictures(&lmdb);
    lmdb_end(&lmdb);
    assert_int_equal(chmod(lmdb.path, 0555), 0);
    struct import_options import_options = options(&lmdb);
    struct dataset *dataset = import_and_open(&import_options);
    assert_int_equal(scratch_entries(lmdb.path), 1); /* no lock file is made */
    assert_int_equal(dataset->images, PICTURES);
    assert_int_equal(dataset->classes, 0);
    uint8_t *images = read_all(dataset, &labels);
    for (int j = 0; j < PICTURES; j++) { /* dealt from the order of the keys */
        int k = sorted[rng_permute(&rng, PICTURES, (uint64_t)j)];
        assert_int_equal(labels[j], -1);
        if ((uint32_t)crc32(0, images + j * BYTES, BYTES) != pictures[k].crc)
            fail_msg("picture %s differs from the authors'", pictures[k].key);
    }
    free(images), free(labels);
    dataset_close(dataset);
}

/* Some dumps hold JPEG; what is neither is named by its key, counted and left out, or with `strict` refused. */
static void values_of_other_kinds(void **state)
{
    char path[PATH_SIZE];
    struct lmdb lmdb;
    uint8_t *webp;
    size_t n;
    (void)state;
    snprintf(path, sizeof path, "%s", carried("data/image-folder-awkward/nested/dog_000.jpg"));
    lmdb_begin(&lmdb, "kinds");
    put_pictures(&lmdb);
    uint8_t *jpeg = scratch_read(path, &n);
    lmdb_put(&lmdb, "jpeg", jpeg, n);
    n = encode(0, &webp);
    lmdb_put(&lmdb, "half", webp, n / 2);
    lmdb_put(&lmdb, "none", "", 0);
    lmdb_end(&lmdb);
    free(jpeg);
    WebPFree(webp);
    struct import_options import_options = options(&lmdb);
    struct import_result result = import(&import_options);
    assert_int_equal(result.images, PICTURES + 1);
    assert_int_equal(result.skipped, 2);
    import_options = options(&lmdb);
    import_options.strict = true;
    import_options.seed = 3;
    assert_refused(&import_options, IDDPM_FAILED, "kinds: ");
}

static void what_is_no_lsun_is_refused(void **state)
{
    struct lmdb lmdb;
    char path[PATH_SIZE];
    size_t n;
    (void)state;
    lmdb_begin(&lmdb, "cut");
    put_pictures(&lmdb);
    uint8_t large[20000] = {0};
    lmdb_put(&lmdb, "large", large, sizeof large); /* pages behind the tree's */
    lmdb_end(&lmdb);
    struct import_options import_options = options(&lmdb);
    must(path_join(path, lmdb.path, "data.mdb"));
    uint8_t *bytes = scratch_read(path, &n);
    for (size_t length = n - 4096; length >= 2 * 4096; length -= 4096) {
        scratch_write(path, bytes, length);
        assert_refused(&import_options, IDDPM_FAILED, "cut short");
    }
    scratch_write(path, bytes, 100);
    assert_refused(&import_options, IDDPM_FAILED, "not an LMDB environment");
    free(bytes);
    import_options.source = carried("data/cifar10-format");
    assert_refused(&import_options, IDDPM_FAILED, "LSUN's are folders with a data.mdb");
    lmdb_begin(&lmdb, "empty");
    lmdb_end(&lmdb);
    import_options.source = lmdb.path;
    assert_refused(&import_options, IDDPM_FAILED, "empty: holds no pictures");
    import_options.size = 5000;
    assert_refused(&import_options, IDDPM_USAGE, "--size 5000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_the_authors),
        cmocka_unit_test(values_of_other_kinds),
        cmocka_unit_test(what_is_no_lsun_is_refused),
    };
    return IMPORTING_RUN(tests);
}
