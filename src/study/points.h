/* Private to src/study: from lists to points. */
#ifndef IDDPM_STUDY_POINTS_H
#define IDDPM_STUDY_POINTS_H

#include "file.h"

enum iddpm_status points_make(const struct study_file *file, struct study *study);
void points_free(struct study *study);

#endif
