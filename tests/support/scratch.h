/* A folder of a test's own, and files in it. */
#ifndef TEST_SCRATCH_H
#define TEST_SCRATCH_H

#include "iddpm/base.h"

void scratch_make(char *out); /* a new folder under TMPDIR or /tmp into out[PATH_SIZE] */
void scratch_remove(const char *folder);
int scratch_entries(const char *folder); /* files and folders in it, -1 when it is none */
/* Whole files; scratch_read gives malloc'ed bytes. */
void scratch_write(const char *path, const void *bytes, size_t n);
uint8_t *scratch_read(const char *path, size_t *n);

/* `count` variants of the file `path`, each with some bytes changed or its end cut off by a fixed rule, are written to
 * `copy` one after another and given to read(copy), which must come to its end, whatever it thinks of them. */
void scratch_mutate(const char *path, const char *copy, int count, void (*read)(const char *copy));

#endif
