/* A data set for benchmarks. */
#ifndef IDDPM_BENCH_DATA_H
#define IDDPM_BENCH_DATA_H

#include "iddpm/base.h"

/* FOLDER/data: pictures of noise, `size` pixels high and wide, RGB, with labels in `classes` classes. Not collective.
 */
enum iddpm_status bench_data(const char *folder, int size, int classes);
/* Removes a folder and what is in it. */
void bench_remove(const char *folder);

#endif
