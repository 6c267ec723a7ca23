#include "check.h"

#include <math.h>
#include <stdio.h>

double largest_magnitude(size_t n, const double *x)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(x[i]));
    return largest;
}

/* Compares element by element, allowing relative |want| + absolute + own scale[i] (scale may be NULL), and ends the
 * test at the element that exceeds its tolerance by most. A NaN exceeds everything unless both are NaN. */
static void compare(size_t n, const double *got, const double *want, double relative, double absolute, double own,
                    const double *scale, const char *part, const char *format, va_list args)
{
    size_t worst = 0, failures = 0;
    double excess = 0;
    for (size_t i = 0; i < n; i++) {
        double allowed = relative * fabs(want[i]) + absolute + (scale ? own * scale[i] : 0);
        double error = fabs(got[i] - want[i]);
        if (error <= allowed || got[i] == want[i] || (isnan(got[i]) && isnan(want[i]))) continue;
        double ratio = isnan(error) || !(allowed > 0) ? INFINITY : error / allowed;
        if (!failures++ || ratio > excess) excess = ratio, worst = i;
    }
    if (!failures) return;
    char what[256];
    vsnprintf(what, sizeof what, format, args);
    fail_msg(
        "%s%s: %zu of %zu elements differ; worst is [%zu]: %.17g, should be %.17g (error %.3g, %.3g times allowed)",
        what, part, failures, n, worst, got[worst], want[worst], fabs(got[worst] - want[worst]), excess);
}

void check_close(size_t n, const double *got, const double *want, double relative, double absolute, const char *what,
                 ...)
{
    va_list args;
    va_start(args, what);
    compare(n, got, want, relative, absolute, 0, NULL, "", what, args);
    va_end(args);
}

void check_scaled(size_t n, const double *got, const double *want, double tolerance, const char *what, ...)
{
    va_list args;
    va_start(args, what);
    compare(n, got, want, 0, tolerance * largest_magnitude(n, want), 0, NULL, "", what, args);
    va_end(args);
}

void check_dots(size_t n, const double *got_dot, const double *want_dot, const double *got_norm,
                const double *want_norm, double own, double set, const char *what, ...)
{
    double absolute = set * largest_magnitude(n, want_norm);
    va_list args;
    va_start(args, what);
    compare(n, got_norm, want_norm, 0, absolute, own, want_norm, ", norm", what, args);
    va_end(args);
    va_start(args, what);
    compare(n, got_dot, want_dot, 0, absolute, own, want_norm, ", dot", what, args);
    va_end(args);
}

void must(enum iddpm_status status)
{
    if (status != IDDPM_OK) fail_msg("%s", iddpm_error_text());
}
