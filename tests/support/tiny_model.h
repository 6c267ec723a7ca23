/* A small model and a small data set for tests of evaluation. */
#ifndef IDDPM_TESTS_TINY_MODEL_H
#define IDDPM_TESTS_TINY_MODEL_H

#include "iddpm/evaluate.h"

enum { TINY_SIZE = 8 }; /* pixels of a side; one channel */

/* Parameters by the rule; cosine schedule of 12 timesteps, of which 0, 3, 6, 8 and 11 are kept; learned range. With
 * classes it has also that of no class. */
struct model *tiny_model(int batch, int classes);
/* The same with blocks kept (unet_options.features), and a configuration, which says nothing true of it. */
struct model *tiny_model_of_blocks(int batch, int classes, const char *features);
/* Collective. The test part of the digits in a folder of its own, and kernels selected. */
void tiny_digits(char folder[PATH_SIZE], struct dataset **data);
void tiny_digits_end(const char *folder, struct dataset *data);

#endif
