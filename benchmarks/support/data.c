#include "data.h"

#include "iddpm/data.h"

#include <stdlib.h>

enum { IMAGES = 64 };

static enum iddpm_status import_npz(const char *folder, int size, const uint8_t *pixels, const int64_t *labels)
{
    char npz[PATH_SIZE], target[PATH_SIZE];
    struct npz_array arrays[] = {
        {.name = "arr_0",
         .type = STORE_U8,
         .ndim = 4,
         .dims = {IMAGES, (uint64_t)size, (uint64_t)size, 3},
         .data = (void *)pixels},
        {.name = "arr_1", .type = STORE_I64, .ndim = 1, .dims = {IMAGES}, .data = (void *)labels}};
    TRY(path_join(npz, folder, "images.npz"));
    TRY(path_join(target, folder, "data"));
    TRY(npz_write(npz, 2, arrays));
    struct import_options options = {.kind = IMPORT_NPZ, .source = npz, .target = target};
    struct import_result result;
    return data_import(&options, &result);
}

enum iddpm_status bench_data(const char *folder, int size, int classes)
{
    size_t n = (size_t)IMAGES * (size_t)size * (size_t)size * 3;
    int64_t labels[IMAGES];
    uint32_t *words;
    uint8_t *pixels;
    struct rng rng = {1, RNG_TEST, 0, 0};
    TRY(mem_alloc(&words, n, sizeof *words, "pixels"));
    TRY(mem_alloc(&pixels, n, 1, "pixels"));
    rng_uint32(&rng, 0, n, words);
    for (size_t i = 0; i < n; i++) pixels[i] = (uint8_t)words[i];
    for (int i = 0; i < IMAGES; i++) labels[i] = i % (classes > 0 ? classes : 1);
    enum iddpm_status status = import_npz(folder, size, pixels, labels);
    free(words);
    free(pixels);
    return status;
}

void bench_remove(const char *folder)
{
    char command[PATH_SIZE + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0) fprintf(stderr, "%s could not be removed\n", folder);
}
