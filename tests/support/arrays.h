/* A small checkpoint's arrays, with everything that makes slices awkward. */
#ifndef TESTS_ARRAYS_H
#define TESTS_ARRAYS_H

#include "iddpm/store.h"

#define ARRAYS 11

/* The same shapes always; contents are a function of `seed`, of array and element. Zeroes when `fill` is false. */
void arrays_create(struct store_array *arrays, int seed, bool fill);
void arrays_destroy(struct store_array *arrays);
/* Fails the running test when the contents of array i differ from those made with `seed`. */
void arrays_check(const struct store_array *array, int i, int seed);
/* Collective: checkpoint_write of whole arrays that every rank has, in equal slices, with arrays_options. */
extern const struct checkpoint_options *arrays_options; /* at first NULL */
enum iddpm_status arrays_write(const struct parallel *parallel, const char *path, int64_t step, const char *text, int n,
                               const struct store_array *arrays);
size_t arrays_bytes(const struct store_array *array);

#endif
