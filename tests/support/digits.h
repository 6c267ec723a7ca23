/* The built-in digits as the data set of a test on ranks. */
#ifndef TESTS_DIGITS_H
#define TESTS_DIGITS_H

#include "iddpm/base.h"

/* Collective, for cmocka_run_group_tests: kernels are chosen, and a new folder, the same on all ranks, is in
 * digits_folder; the data set is its folder data. And its removal. */
extern char digits_folder[PATH_SIZE];
int digits_setup(void **state);
int digits_teardown(void **state);

#endif
