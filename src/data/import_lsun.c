/* LSUN (Yu et al. 2015): an LMDB environment whose values are WebP pictures, some dumps' JPEG, under hashes as keys. In
 * the order of the keys, and brought to one size as by the authors' script (lsun_bedroom.py). Unlabelled: what the
 * script writes in front of each file's name is one class for all.
 *
 * One read transaction stays open, for as long as which LMDB keeps its values in place: an image is two pointers. */
#include "import.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_SHOWN 64 /* bytes of a key in messages */
#define STOP_EVERY 4096

struct entry {
    const void *key, *value; /* in LMDB's map */
    uint32_t key_size, value_size;
};

struct lsun {
    const char *path;
    int size;
    MDB_env *env;
    MDB_txn *txn;
    struct entry *entries;
    size_t count, capacity;
};

static void lsun_close(void *state)
{
    struct lsun *lsun = state;
    if (lsun->txn) mdb_txn_abort(lsun->txn);
    if (lsun->env) mdb_env_close(lsun->env);
    free(lsun->entries);
    free(lsun);
}

static void key_text(const struct entry *entry, char out[KEY_SHOWN + 1])
{
    const unsigned char *key = entry->key;
    size_t n = entry->key_size < KEY_SHOWN ? entry->key_size : KEY_SHOWN;
    for (size_t i = 0; i < n; i++) out[i] = key[i] > ' ' && key[i] < 0x7f ? (char)key[i] : '?';
    out[n] = 0;
}

static enum iddpm_status decode(const struct lsun *lsun, const struct entry *entry, uint8_t *image)
{
    struct picture picture, sized;
    TRY(picture_read_bytes(&picture, entry->value, entry->value_size));
    enum iddpm_status status = picture_to_size_lsun(&picture, lsun->size, &sized);
    picture_destroy(&picture);
    if (status != IDDPM_OK) return status;
    memcpy(image, sized.pixels, (size_t)lsun->size * (size_t)lsun->size * 3);
    picture_destroy(&sized);
    return IDDPM_OK;
}

static enum iddpm_status lsun_fetch(void *state, uint64_t i, uint8_t *image, int64_t *label)
{
    const struct lsun *lsun = state;
    char key[KEY_SHOWN + 1];
    *label = -1;
    enum iddpm_status status = decode(lsun, &lsun->entries[i], image);
    if (status == IDDPM_OK) return status;
    key_text(&lsun->entries[i], key);
    return iddpm_error_context(status, "%s: %s", lsun->path, key);
}

/* Only a hint. */
static void lsun_expect(void *state, uint64_t i)
{
    const struct entry *entry = &((const struct lsun *)state)->entries[i];
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)entry->value, from = at - at % page;
    posix_madvise((void *)from, entry->value_size + (at - from), POSIX_MADV_WILLNEED);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status lmdb_error(const struct lsun *lsun, int code)
{
    return iddpm_error(IDDPM_FAILED,
                       "%s: not an LMDB environment that can be read: %s; LSUN's are folders with a data.mdb",
                       lsun->path, mdb_strerror(code));
}

/* LMDB reads through a map, in which a page behind the end of the file would be the end of this process. */
static enum iddpm_status check_size(const struct lsun *lsun)
{
    MDB_envinfo info;
    MDB_stat pages;
    struct stat file;
    int fd, code = mdb_env_info(lsun->env, &info);
    if (!code) code = mdb_env_stat(lsun->env, &pages);
    if (!code) code = mdb_env_get_fd(lsun->env, &fd);
    if (!code && fstat(fd, &file) != 0) code = errno;
    if (code) return lmdb_error(lsun, code);
    uint64_t need = ((uint64_t)info.me_last_pgno + 1) * pages.ms_psize;
    if ((uint64_t)file.st_size >= need) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cut short: %llu bytes where the database has %llu; fetch it again",
                       lsun->path, (unsigned long long)file.st_size, (unsigned long long)need);
}

/* Without a lock file: the folder may be read-only. Values are read at random, each announced by lsun_expect. */
static enum iddpm_status open_environment(struct lsun *lsun)
{
    unsigned flags = MDB_RDONLY | MDB_NOLOCK | MDB_NORDAHEAD | (path_is_folder(lsun->path) ? 0 : MDB_NOSUBDIR);
    int code = mdb_env_create(&lsun->env);
    if (!code) code = mdb_env_open(lsun->env, lsun->path, flags, 0);
    if (code) return lmdb_error(lsun, code);
    TRY(check_size(lsun));
    code = mdb_txn_begin(lsun->env, NULL, MDB_RDONLY, &lsun->txn);
    return code ? lmdb_error(lsun, code) : IDDPM_OK;
}

static enum iddpm_status add(struct lsun *lsun, const MDB_val *key, const MDB_val *value)
{
    if (value->mv_size > UINT32_MAX) return iddpm_error(IDDPM_FAILED, "%s: a value of 4 GB or more", lsun->path);
    TRY(mem_grow(&lsun->entries, &lsun->capacity, lsun->count + 1, sizeof *lsun->entries, "the list of pictures"));
    lsun->entries[lsun->count++] =
        (struct entry){key->mv_data, value->mv_data, (uint32_t)key->mv_size, (uint32_t)value->mv_size};
    return lsun->count % STOP_EVERY == 0 ? import_stopped() : IDDPM_OK;
}

static enum iddpm_status list(struct lsun *lsun)
{
    MDB_dbi database;
    MDB_cursor *cursor;
    MDB_val key, value;
    int code = mdb_dbi_open(lsun->txn, NULL, 0, &database);
    if (!code) code = mdb_cursor_open(lsun->txn, database, &cursor);
    if (code) return lmdb_error(lsun, code);
    enum iddpm_status status = IDDPM_OK;
    while (status == IDDPM_OK && (code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
        status = add(lsun, &key, &value);
    mdb_cursor_close(cursor);
    if (status == IDDPM_OK && code != MDB_NOTFOUND) return lmdb_error(lsun, code);
    if (status == IDDPM_OK && !lsun->count) return iddpm_error(IDDPM_FAILED, "%s: holds no pictures", lsun->path);
    return status;
}

enum iddpm_status import_lsun_open(const struct import_options *options, struct dataset *dataset,
                                   struct import_source *source)
{
    char file[PATH_SIZE];
    struct lsun *lsun;
    TRY(mem_alloc(&lsun, 1, sizeof *lsun, options->source));
    source->state = lsun;
    source->may_skip = true;
    source->fetch = lsun_fetch;
    source->expect = lsun_expect;
    source->close = lsun_close;
    lsun->path = options->source;
    lsun->size = options->size ? options->size : LSUN_SIZE;
    TRY(open_environment(lsun));
    TRY(list(lsun));
    source->count = lsun->count;
    TRY(path_join(file, options->source, "data.mdb"));
    import_identify(source, path_is_folder(options->source) ? file : options->source);
    return import_describe(dataset, lsun->size, lsun->size, 3, options->source, "not stated");
}
