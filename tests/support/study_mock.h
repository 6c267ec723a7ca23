/* What figures and reports are made of: a study read from a file, with mock results (mock_study.h) in which objectives
 * and sampling steps differ. */
#ifndef TEST_STUDY_MOCK_H
#define TEST_STUDY_MOCK_H

#include "iddpm/study.h"

struct study_mock {
    struct study *study;
    struct study_results *results;
    struct study_fits fits; /* the frontier, and one that could not be fitted */
};

/* Writes FOLDER/s.yaml (whose `study` is FOLDER/out; `text` is what follows it: grid, budget, evaluate, ...), its base,
 * and reads it. `samples`: also the grids of sample evaluations. */
void study_mock_make(struct study_mock *mock, const char *folder, const char *text, bool samples);
void study_mock_free(struct study_mock *mock);

#endif
