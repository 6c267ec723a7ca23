/* The built-in digits as the data set of a test on ranks. */
#ifndef TESTS_DIGITS_H
#define TESTS_DIGITS_H

#include "iddpm/base.h"

/* Collective: a new folder, the same on all ranks, into folder[PATH_SIZE]; the data set is folder/data. And its
 * removal.
 */
void digits_make(char *folder);
void digits_remove(const char *folder);

#endif
