#include "importing.h"

#include <stdlib.h>
#include <string.h>

char scratch[PATH_SIZE];

int importing_run(const char *name, const struct CMUnitTest *tests, size_t n)
{
    log_set_quiet(true);
    scratch_make(scratch);
    int failed = _cmocka_run_group_tests(name, tests, n, NULL, NULL);
    scratch_remove(scratch);
    return failed;
}

char *fresh(void)
{
    static char path[PATH_SIZE];
    static int count;
    char name[32];
    snprintf(name, sizeof name, "set-%d", count++);
    assert_int_equal(path_join(path, scratch, name), IDDPM_OK);
    return path;
}

const char *carried(const char *name)
{
    static char path[PATH_SIZE];
    tests_path(path, name);
    return path;
}

struct import_result import(const struct import_options *options)
{
    struct import_result result;
    if (data_import(options, &result) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return result;
}

struct dataset *import_and_open(const struct import_options *options)
{
    struct dataset *dataset;
    import(options);
    if (dataset_open(&dataset, options->target) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return dataset;
}

void assert_refused(const struct import_options *options, enum iddpm_status status, const char *reason)
{
    struct import_result result;
    int before = options->target ? scratch_entries(options->target) : 0;
    assert_int_equal(data_import(options, &result), status);
    if (!strstr(iddpm_error_text(), reason)) fail_msg("no '%s' in: %s", reason, iddpm_error_text());
    if (options->target) assert_int_equal(scratch_entries(options->target), before);
}

uint8_t *read_all(const struct dataset *dataset, int64_t **labels)
{
    uint8_t *images = malloc(dataset->images * (size_t)(dataset->height * dataset->width * dataset->channels));
    *labels = malloc(dataset->images * sizeof **labels);
    if (dataset_read(dataset, 0, dataset->images, images, *labels) != IDDPM_OK) fail_msg("%s", iddpm_error_text());
    return images;
}

int64_t find_image(const struct dataset *dataset, const uint8_t *images, const uint8_t *image)
{
    size_t bytes = (size_t)(dataset->height * dataset->width * dataset->channels);
    for (uint64_t g = 0; g < dataset->images; g++)
        if (memcmp(images + g * bytes, image, bytes) == 0) return (int64_t)g;
    return -1;
}
