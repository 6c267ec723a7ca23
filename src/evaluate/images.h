/* Private to src/evaluate: images of a data set for a model. */
#ifndef IDDPM_EVALUATE_IMAGES_H
#define IDDPM_EVALUATE_IMAGES_H

#include "batches.h"
#include "iddpm/evaluate.h"

/* IDDPM_USAGE unless the data set has that many images of the model's size, with labels if it needs them. */
enum iddpm_status images_check(const struct model *model, const struct dataset *data, uint64_t images);
/* IDDPM_USAGE when one of n labels, which are of `name`, is none of the classes of a class-conditional model. */
enum iddpm_status images_check_labels(const struct model *model, const char *name, uint64_t n, const int64_t *labels);
/* Reads a batch and its labels, which it checks, and makes signals of it: x, and for a super-resolution model low_res,
 * their area averages, unless that is NULL. pixels is room for the batch. */
enum iddpm_status images_read(const struct model *model, const struct dataset *data, struct batch batch,
                              uint8_t *pixels, int64_t *labels, double *x, double *low_res);

#endif
