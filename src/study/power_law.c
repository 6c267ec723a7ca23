/* L(C) = L_inf + (C_0 / C)^alpha by least squares (Levenberg-Marquardt of cminpack).
 *
 * The parameters are log of the power's value in the middle of the data (C_0 itself lies far outside and is tied to
 * alpha), log alpha, and L_inf: the power and alpha stay positive, and L_inf may become negative, which tells that the
 * data do not say where the fall ends. */
#include "power_law.h"

#include <cminpack.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#define RANGE_LEAST 4. /* largest compute over the smallest */
#define FALL_LEAST 2.  /* errors */
#define ALPHA_LEAST 0.005
#define ALPHA_MOST 5.
#define EXPONENT_MOST 300. /* its square is still a number */
enum { HEIGHT, LOG_ALPHA, FLOOR, PARAMETERS, TRIES_MOST = 400 };

struct problem {
    int n, parameters; /* 2: L_inf is kept */
    double l_inf, middle;
    double *x;                /* log compute from the middle */
    const double *y, *weight; /* weight NULL: equal */
    double *work;
};

/* ---- cminpack ---------------------------------------------------------------------------------------------------- */

static int residuals(void *context, int n, int parameters, const double *p, double *f, double *jacobian, int pitch,
                     int what)
{
    const struct problem *problem = context;
    double alpha = exp(fmin(p[LOG_ALPHA], EXPONENT_MOST));
    double floor = parameters > FLOOR ? p[FLOOR] : problem->l_inf;
    for (int i = 0; i < n; i++) {
        double weight = problem->weight ? problem->weight[i] : 1;
        double power = exp(fmin(p[HEIGHT] - alpha * problem->x[i], EXPONENT_MOST));
        if (what == 1) {
            f[i] = weight * (floor + power - problem->y[i]);
            continue;
        }
        jacobian[i + HEIGHT * pitch] = weight * power;
        jacobian[i + LOG_ALPHA * pitch] = -weight * power * alpha * problem->x[i];
        if (parameters > FLOOR) jacobian[i + FLOOR * pitch] = weight;
    }
    return 0;
}

/* Goes downhill from p; returns the sum of squares there. */
static double descend(const struct problem *problem, double p[PARAMETERS])
{
    int n = problem->n, m = problem->parameters, evaluations, jacobians, pivots[PARAMETERS];
    double *f = problem->work, *jacobian = f + n, *w4 = jacobian + n * PARAMETERS;
    double scale[PARAMETERS], qtf[PARAMETERS], w1[PARAMETERS], w2[PARAMETERS], w3[PARAMETERS], squares = 0;
    lmder(residuals, (void *)problem, n, m, p, f, jacobian, n, 1e-10, 1e-10, 0, TRIES_MOST, scale, 1, 10, 0,
          &evaluations, &jacobians, pivots, qtf, w1, w2, w3, w4);
    residuals((void *)problem, n, m, p, f, NULL, n, 1);
    for (int i = 0; i < n; i++) squares += f[i] * f[i];
    return isfinite(squares) ? squares : DBL_MAX;
}

/* ---- problem and law --------------------------------------------------------------------------------------------- */

static enum iddpm_status problem_create(struct problem *problem, int n, const double *compute, const double *loss,
                                        double l_inf)
{
    *problem = (struct problem){.n = n, .parameters = isnan(l_inf) ? 3 : 2, .l_inf = l_inf, .y = loss};
    TRY(mem_alloc(&problem->x, (size_t)n * (PARAMETERS + 3), sizeof(double), "a fit"));
    problem->work = problem->x + n;
    for (int i = 0; i < n; i++) problem->middle += log(compute[i]) / n;
    for (int i = 0; i < n; i++) problem->x[i] = log(compute[i]) - problem->middle;
    return IDDPM_OK;
}

static struct power_law law_of(const struct problem *problem, const double p[PARAMETERS], double squares)
{
    double alpha = exp(p[LOG_ALPHA]);
    return (struct power_law){.l_inf = problem->parameters > FLOOR ? p[FLOOR] : problem->l_inf,
                              .alpha = alpha,
                              .c_0 = exp(problem->middle + p[HEIGHT] / alpha),
                              .residual = sqrt(squares / problem->n)};
}

double power_law_at(const struct power_law *law, double compute)
{
    return law->l_inf + exp(law->alpha * (log(law->c_0) - log(compute)));
}

/* ---- from one start ---------------------------------------------------------------------------------------------- */

void power_law_refit(int n, const double *compute, const double *loss, double l_inf, const struct power_law *start,
                     struct power_law *out)
{
    struct problem problem;
    *out = *start;
    if (problem_create(&problem, n, compute, loss, l_inf) != IDDPM_OK) return;
    double p[PARAMETERS] = {start->alpha * (log(start->c_0) - problem.middle), log(start->alpha), start->l_inf};
    double squares = descend(&problem, p);
    *out = law_of(&problem, p, squares);
    free(problem.x);
}

/* ---- from several ------------------------------------------------------------------------------------------------ */

/* With L_inf known, log (L - L_inf) is a straight line; losses below it do not count. */
static void start_from(const struct problem *problem, double floor, double p[PARAMETERS])
{
    double n = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (int i = 0; i < problem->n; i++) {
        if (problem->y[i] <= floor) continue;
        double x = problem->x[i], y = log(problem->y[i] - floor);
        n++, sx += x, sy += y, sxx += x * x, sxy += x * y;
    }
    double spread = n * sxx - sx * sx, slope = spread > 0 ? (n * sxy - sx * sy) / spread : 0;
    p[LOG_ALPHA] = log(fmin(fmax(-slope, 0.02), 2));
    p[HEIGHT] = n > 0 ? (sy - slope * sx) / n : 0;
    p[FLOOR] = floor;
}

static double best_of_starts(const struct problem *problem, double best[PARAMETERS])
{
    static const double below[] = {0.02, 0.1, 0.3, 1, 3, 10}; /* so many falls under the least loss */
    double least = INFINITY, most = -INFINITY, squares = INFINITY;
    for (int i = 0; i < problem->n; i++) {
        least = fmin(least, problem->y[i]);
        most = fmax(most, problem->y[i]);
    }
    int starts = problem->parameters > FLOOR ? (int)(sizeof below / sizeof *below) : 1;
    for (int k = 0; k < starts; k++) {
        double p[PARAMETERS];
        start_from(problem, starts > 1 ? least - below[k] * (most - least) : problem->l_inf, p);
        double found = descend(problem, p);
        if (found >= squares) continue;
        squares = found;
        for (int j = 0; j < PARAMETERS; j++) best[j] = p[j];
    }
    return squares;
}

int power_law_least(double l_inf)
{
    return isnan(l_inf) ? 4 : 3;
}

/* ---- what data can support --------------------------------------------------------------------------------------- */

static enum iddpm_status check_data(int n, const double *compute, const double *loss, const double *error, double l_inf)
{
    int first = 0, last = 0, least = power_law_least(l_inf);
    if (n < least)
        return iddpm_error(IDDPM_FAILED, "%d points are too few: at least %d are needed to fit %d parameters", n, least,
                           least - 1);
    for (int i = 0; i < n; i++) {
        if (!(compute[i] > 0) || !isfinite(compute[i]) || !isfinite(loss[i]) || (error && !(error[i] > 0)))
            return iddpm_error(IDDPM_FAILED, "a compute, loss or error is no positive number");
        if (compute[i] < compute[first]) first = i;
        if (compute[i] > compute[last]) last = i;
    }
    if (compute[last] < RANGE_LEAST * compute[first])
        return iddpm_error(IDDPM_FAILED,
                           "the range of compute is too small: the largest is %.2g times the smallest, and %g times "
                           "are needed",
                           compute[last] / compute[first], RANGE_LEAST);
    double fall = loss[first] - loss[last], noise = error ? hypot(error[first], error[last]) : 0;
    if (fall <= FALL_LEAST * noise)
        return iddpm_error(
            IDDPM_FAILED, "no fall beyond errors: %.4g from the smallest compute to the largest, +- %.2g", fall, noise);
    if (!isnan(l_inf) && loss[last] <= l_inf)
        return iddpm_error(IDDPM_FAILED, "L_inf = %.6g is given, but the loss at the largest compute is %.6g", l_inf,
                           loss[last]);
    return IDDPM_OK;
}

static enum iddpm_status check_law(const struct power_law *law, double l_inf)
{
    if (isnan(l_inf) && (law->l_inf < 0 || law->alpha < ALPHA_LEAST))
        return iddpm_error(IDDPM_FAILED,
                           "L_inf is not identified: the fall does not bend yet in this range of compute; "
                           "give L_inf (--l-inf)");
    if (law->alpha < ALPHA_LEAST || law->alpha > ALPHA_MOST)
        return iddpm_error(IDDPM_FAILED, "alpha is at its bound, %.3g: the losses do not follow a power of compute",
                           law->alpha);
    if (!isfinite(law->c_0) || !(law->c_0 > 0))
        return iddpm_error(IDDPM_FAILED, "C_0 is out of range: the losses do not follow a power of compute");
    return IDDPM_OK;
}

enum iddpm_status power_law_fit(int n, const double *compute, const double *loss, const double *error, double l_inf,
                                struct power_law *out)
{
    struct problem problem;
    double p[PARAMETERS] = {0}, *weight = NULL;
    *out = (struct power_law){NAN, NAN, NAN, NAN};
    TRY(check_data(n, compute, loss, error, l_inf));
    TRY(problem_create(&problem, n, compute, loss, l_inf));
    enum iddpm_status status = error ? mem_alloc(&weight, (size_t)n, sizeof *weight, "a fit") : IDDPM_OK;
    if (status == IDDPM_OK) {
        for (int i = 0; i < n && error; i++) weight[i] = 1 / error[i];
        problem.weight = weight;
        best_of_starts(&problem, p);
        problem.weight = NULL;
        residuals(&problem, n, problem.parameters, p, problem.work, NULL, n, 1);
        double squares = 0;
        for (int i = 0; i < n; i++) squares += problem.work[i] * problem.work[i];
        struct power_law law = law_of(&problem, p, squares);
        status = check_law(&law, l_inf);
        if (status == IDDPM_OK) *out = law;
    }
    free(weight);
    free(problem.x);
    return status;
}

/* ---- the frontier ------------------------------------------------------------------------------------------------ */

struct curve_points {
    const double *compute, *loss;
};

static int by_compute(const void *a, const void *b, void *context)
{
    const struct curve_points *points = context;
    int i = *(const int *)a, j = *(const int *)b;
    double x = points->compute[i], y = points->compute[j], u = points->loss[i], v = points->loss[j];
    return x != y ? (x > y) - (x < y) : (u > v) - (u < v);
}

int compute_frontier(int n, const double *compute, const double *loss, int *keep)
{
    struct curve_points points = {compute, loss};
    for (int i = 0; i < n; i++) keep[i] = i;
    qsort_r(keep, (size_t)n, sizeof *keep, by_compute, &points);
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (kept == 0 || loss[keep[i]] < loss[keep[kept - 1]]) keep[kept++] = keep[i];
    return kept;
}
