/* Support of the reference tests: values made by the authors' PyTorch code in float64, kept as HDF5 files in
 * tests/reference/small, or in the folder IDDPM_REFERENCE. Inputs and parameters are not stored; both sides make them
 * by one rule (rule.h). Cases, sizes, schedules and names are taken from the files, never from constants in a test.
 *
 * Everything here ends the running cmocka test with a message when a file, group or attribute is not as asked. */
#ifndef TEST_REFERENCE_H
#define TEST_REFERENCE_H

#include "check.h"
#include "json.h"
#include "rule.h"

#define TEST_PATH_SIZE 4096

/* tests/NAME into out[TEST_PATH_SIZE]: of IDDPM_TESTS_DIR, else of the sources this program was compiled from. */
void tests_path(char *out, const char *name);

struct reference;
struct reference *reference_open(const char *name); /* "ops" opens ops.h5 */
void reference_close(struct reference *reference);

/* A sorted list of names; names_free. */
struct names {
    int n;
    char **name;
};
/* The groups directly below `group` ("" is the root). */
struct names reference_groups(const struct reference *reference, const char *group);
/* The paths of all groups below `group`, however deep, that hold data sets or attributes: the cases of a file. */
struct names reference_cases(const struct reference *reference, const char *group);
void names_free(struct names *names);

/* A data set of any float or integer type as double, C order; size 1 and ndim 0 for a scalar. array_free. */
#define ARRAY_DIMS 8
struct array {
    int ndim;
    size_t dims[ARRAY_DIMS], size;
    double *data;
};
bool reference_has(const struct reference *reference, const char *group, const char *name);
struct array reference_array(const struct reference *reference, const char *group, const char *name);
void array_free(struct array *array);

/* Attributes of `group`. */
bool reference_has_attribute(const struct reference *reference, const char *group, const char *name);
double reference_number(const struct reference *reference, const char *group, const char *name);
/* A list of numbers ("image": channels, height, width), at most `room`; returns how many. */
int reference_numbers(const struct reference *reference, const char *group, const char *name, int room, double *out);
char *reference_text(const struct reference *reference, const char *group, const char *name);        /* free() */
struct json *reference_json(const struct reference *reference, const char *group, const char *name); /* json_free */

#endif
