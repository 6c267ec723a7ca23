/* Private to src/study: names of points and evaluations, and of kinds of points. */
#ifndef IDDPM_STUDY_NAMES_H
#define IDDPM_STUDY_NAMES_H

#include "iddpm/study.h"

/* Appends "KEY-VALUE", after "_" unless it is the first part, in letters that files and shells take; key "" for the
 * value alone. */
void name_add(char name[STUDY_NAME], const char *key, const char *value);
/* "lr" of "train.lr". */
const char *key_end(const char *key);
/* Appends "KEY VALUE", after ", " unless it is the first part, or the value alone; what would be longer than size is
 * cut and ends with a sum of the whole, so that different labels stay different. */
void label_add(char *label, size_t size, const char *key, const char *value);
/* "" when it has none for the key. */
const char *point_value(const struct study_point *point, const char *key);

#endif
