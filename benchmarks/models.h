/* The networks that benchmarks run, as configuration overrides. */
#ifndef IDDPM_BENCH_MODELS_H
#define IDDPM_BENCH_MODELS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iddpm/config.h"

#define BENCH_OVERRIDES 24

/* The networks of the paper: "cifar10" (128 channels, dropout 0.3), "imagenet64" (128 channels), "imagenet64_class"
 * (192 channels, 1,000 classes, 270 M parameters), "lsun256". Ends the program on another name. Returns how many. */
static inline int bench_model(const char *name, const char *overrides[BENCH_OVERRIDES])
{
    static const struct {
        const char *name, *overrides[BENCH_OVERRIDES];
    } models[] = {
        {"cifar10", {"model.image_size=32", "model.dropout=0.3"}},
        {"imagenet64", {"model.image_size=64"}},
        {"imagenet64_class",
         {"model.image_size=64", "model.num_channels=192", "model.class_cond=true", "model.num_classes=1000"}},
        {"lsun256",
         {"model.image_size=256", "model.num_res_blocks=2", "model.num_heads=1", "model.use_scale_shift_norm=false",
          "model.attention_resolutions=16"}},
    };
    int n = 0;
    overrides[n++] = "model.num_channels=128"; /* what comes later counts */
    overrides[n++] = "model.num_res_blocks=3";
    overrides[n++] = "diffusion.diffusion_steps=4000";
    overrides[n++] = "diffusion.noise_schedule=cosine";
    overrides[n++] = "diffusion.learn_sigma=true";
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        if (strcmp(name, models[i].name) != 0) continue;
        for (int k = 0; models[i].overrides[k]; k++) overrides[n++] = models[i].overrides[k];
        return n;
    }
    fprintf(stderr, "%s: no such model; cifar10, imagenet64, imagenet64_class or lsun256\n", name);
    exit(2);
}

/* Ends the program with the error text. */
static inline void bench_check(enum iddpm_status status)
{
    if (status == IDDPM_OK) return;
    fprintf(stderr, "%s\n", iddpm_error_text());
    exit(status);
}

#endif
