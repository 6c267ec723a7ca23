/* A small image with its noise for tests of the diffusion room: [pixels][channels], channels last. */
#ifndef TEST_EXAMPLE_H
#define TEST_EXAMPLE_H

#include "iddpm/diffusion.h"

enum { EXAMPLE_PIXELS = 5, EXAMPLE_CHANNELS = 3, EXAMPLE_SIZE = EXAMPLE_PIXELS * EXAMPLE_CHANNELS };

struct example {
    double x_start[EXAMPLE_SIZE]; /* 8-bit levels; the first pixel is all -1, the second all 1 */
    double noise[EXAMPLE_SIZE], x_t[EXAMPLE_SIZE];
};

/* The example at timestep t, x_t by q_sample. */
struct example example_at(const struct diffusion *diffusion, int t);
/* Ends the test when the options are not accepted. respacing NULL. */
struct diffusion *example_diffusion(const char *schedule, int steps, enum mean_type mean, enum var_type var,
                                    enum loss_type loss);
/* What an output's mean part must be so that it says exactly x_0 = xstart, by the diffusion's mean type. */
double example_output(const struct diffusion *diffusion, int t, double x_t, double xstart);

#endif
