/* Private to src/models: what the builder of the UNet and the checks of its options both must know. */
#ifndef IDDPM_MODELS_UNET_H
#define IDDPM_MODELS_UNET_H

#include "iddpm/models.h"

#define UNET_SKIPS_MAX 1024

/* Values that the way down keeps for the way up: of each level its blocks, and what it got from above. */
static inline int64_t unet_skips(const struct unet_options *o)
{
    return (int64_t)o->n_mult * (o->num_res_blocks + 1);
}

/* Whether the blocks at downsampling rate `ds` have attention; the middle block always has. */
static inline bool unet_attends(const struct unet_options *o, int ds)
{
    for (int i = 0; i < o->n_attention; i++)
        if (o->attention_ds[i] == ds) return true;
    return false;
}

/* The authors' multipliers for images of 32, 64 and 256 pixels into mult[UNET_LEVELS_MAX]; returns how many, 0 for any
 * other size. */
int unet_authors_channel_mult(int image_size, int *mult);

#endif
