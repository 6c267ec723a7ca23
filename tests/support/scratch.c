#include "scratch.h"

#include "check.h"

#include <dirent.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void scratch_make(char *out)
{
    const char *parent = getenv("TMPDIR");
    snprintf(out, PATH_SIZE, "%s/iddpm-test-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(out));
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

void scratch_remove(const char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int scratch_entries(const char *folder)
{
    DIR *stream = opendir(folder);
    int n = 0;
    if (!stream) return -1;
    for (struct dirent *entry; (entry = readdir(stream));)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(stream);
    return n;
}

void scratch_write(const char *path, const void *bytes, size_t n)
{
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, n, stream), n);
    assert_int_equal(fclose(stream), 0);
}

uint8_t *scratch_read(const char *path, size_t *n)
{
    FILE *stream = fopen(path, "rb");
    if (!stream) fail_msg("%s cannot be opened", path);
    fseek(stream, 0, SEEK_END);
    *n = (size_t)ftell(stream);
    rewind(stream);
    uint8_t *bytes = malloc(*n + 1);
    assert_int_equal(fread(bytes, 1, *n, stream), *n);
    fclose(stream);
    return bytes;
}

void scratch_mutate(const char *path, const char *copy, int count, void (*read)(const char *copy))
{
    size_t n;
    uint8_t *bytes = scratch_read(path, &n), *variant = malloc(n);
    for (int k = 0; k < count; k++) {
        uint32_t draws[12];
        rng_uint32(&(struct rng){.seed = 1, .purpose = RNG_TEST, .slot = (uint32_t)k}, 0, 12, draws);
        memcpy(variant, bytes, n);
        /* half of the changes fall on the first bytes, where the headers are */
        for (uint32_t i = 0; i < 1 + draws[0] % 5; i++)
            variant[draws[2 * i + 1] % (draws[1] & 1 || n < 128 ? n : 128)] ^= (uint8_t)(1 + draws[2 * i + 2] % 255);
        scratch_write(copy, variant, draws[0] & 0x80 ? draws[11] % n : n);
        read(copy);
    }
    free(variant);
    free(bytes);
}
