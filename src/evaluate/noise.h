/* Private to src/evaluate: draws of noise, from a file or by Philox. */
#ifndef IDDPM_EVALUATE_NOISE_H
#define IDDPM_EVALUATE_NOISE_H

#include "iddpm/evaluate.h"

/* IDDPM_USAGE unless `noise` (or NULL) has this many draws of as many images, of `image` elements each. */
enum iddpm_status noise_check(const struct noise *noise, uint64_t draws, uint64_t images, size_t image);
/* What results say of it: the file's name with a checksum, or "philox" of NULL. */
const char *noise_label(const struct noise *noise);
/* Draw number `draw` of the image rng->slot out of `noise`, or out of rng when that is NULL. */
void noise_draw(const struct noise *noise, uint64_t draw, const struct rng *rng, size_t image, double *out);

#endif
