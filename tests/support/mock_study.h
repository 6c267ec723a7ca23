/* A study without training: points, and results by a power law with the noise of images and runs. */
#ifndef TEST_MOCK_STUDY_H
#define TEST_MOCK_STUDY_H

#include "iddpm/study.h"

struct mock {
    int sizes, seeds, budgets; /* points: all of them crossed; the b-th budget is 2^b times the first */
    int checkpoints;           /* of each, factors of 2 in compute apart */
    int images, columns;       /* of the evaluation "curve", and its timesteps */
    double l_inf, c_0, alpha;  /* of the frontier */
    double bend;               /* a model is that much above it, times ln^2 of compute over its own best compute */
    double image_noise;        /* standard deviation between images, the same for all rows */
    double row_noise;          /* and of each image of each row */
    double seed_noise;         /* and of runs */
    uint64_t seed;
    const char *data_hash; /* NULL: one for all */
    int64_t nll_seed;      /* 0: the run's */
};
extern const struct mock mock_default; /* 3 sizes, a seed, a budget, 6 checkpoints, 64 images */

/* A study in `folder` with points, configurations and the evaluations "curve" (nll) and "grid" (sample); nothing is
 * written. */
struct study *mock_study(const struct mock *mock, const char *folder);
void mock_study_destroy(struct study *study);
/* bits/dim of the law for a point at a compute, without noise. */
double mock_loss(const struct mock *mock, const struct study_point *point, double compute);

/* Results as if all points were trained and evaluated; learning curves of 20 lines. Works for any study. */
struct study_results *mock_results(const struct mock *mock, const struct study *study);
/* The same as files of the runs: RUN/metrics.jsonl and RUN/nll/EVALUATION/step-NNNNNNNN.h5. */
void mock_runs(const struct mock *mock, const struct study *study);
/* One of them. */
void mock_nll(const struct mock *mock, const struct study *study, int point, int evaluation, int save);

#endif
