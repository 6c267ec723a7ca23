/* Private to src/study: fits without their checks, for resampled data. */
#ifndef IDDPM_STUDY_POWER_LAW_H
#define IDDPM_STUDY_POWER_LAW_H

#include "iddpm/study.h"

/* Least squares with equal weights from one start; whatever comes out of it. */
void power_law_refit(int n, const double *compute, const double *loss, double l_inf, const struct power_law *start,
                     struct power_law *out);
/* Points that a fit needs, with L_inf given or fitted. */
int power_law_least(double l_inf);

#endif
