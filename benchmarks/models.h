/* The networks that benchmarks run, as configuration overrides. */
#ifndef IDDPM_BENCH_MODELS_H
#define IDDPM_BENCH_MODELS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iddpm/config.h"

#define BENCH_OVERRIDES 16

/* "cifar10": the paper's 128-channel network with dropout 0.3; "imagenet64": the 128-channel one without. Ends the
 * program on another name. Returns how many. */
static inline int bench_model(const char *name, const char *overrides[BENCH_OVERRIDES])
{
    bool cifar = strcmp(name, "cifar10") == 0;
    if (!cifar && strcmp(name, "imagenet64") != 0) {
        fprintf(stderr, "%s: no such model; cifar10 or imagenet64\n", name);
        exit(2);
    }
    int n = 0;
    overrides[n++] = cifar ? "model.image_size=32" : "model.image_size=64";
    overrides[n++] = cifar ? "model.dropout=0.3" : "model.dropout=0";
    overrides[n++] = "model.num_channels=128";
    overrides[n++] = "model.num_res_blocks=3";
    overrides[n++] = "diffusion.diffusion_steps=4000";
    overrides[n++] = "diffusion.noise_schedule=cosine";
    overrides[n++] = "diffusion.learn_sigma=true";
    return n;
}

/* Ends the program with the error text. */
static inline void bench_check(enum iddpm_status status)
{
    if (status == IDDPM_OK) return;
    fprintf(stderr, "%s\n", iddpm_error_text());
    exit(status);
}

#endif
