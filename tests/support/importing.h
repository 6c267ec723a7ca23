/* Imports for tests: into a folder of the test program's own. */
#ifndef TEST_IMPORTING_H
#define TEST_IMPORTING_H

#include "check.h"
#include "iddpm/data.h"
#include "reference.h"
#include "scratch.h"

extern char scratch[PATH_SIZE]; /* made by importing_run */

/* Runs the tests quietly with the scratch folder in place; the number of failed ones. */
int importing_run(const char *name, const struct CMUnitTest *tests, size_t n);
#define IMPORTING_RUN(tests) importing_run(#tests, tests, sizeof(tests) / sizeof *(tests))

/* Static until the next call: a path inside scratch that nothing has yet; one of a carried file below tests/. */
char *fresh(void);
const char *carried(const char *name);

/* End the test when the import fails. */
struct import_result import(const struct import_options *options);
struct dataset *import_and_open(const struct import_options *options);
/* The import must fail with this status, say `reason` and leave the target as it was. */
void assert_refused(const struct import_options *options, enum iddpm_status status, const char *reason);

/* All images in global order, and their labels; free() both. */
uint8_t *read_all(const struct dataset *dataset, int64_t **labels);
/* Global index of the first of `images` with these bytes, -1 when there is none. */
int64_t find_image(const struct dataset *dataset, const uint8_t *images, const uint8_t *image);

#endif
