/* Comparison with reference values. A check that fails ends the running test after printing case, element and error. */
#ifndef TEST_CHECK_H
#define TEST_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "iddpm/base.h"

/* How close float32 networks under double diffusion maths come to the authors' code in float64, each several times
 * what PyTorch reaches in float32. */
#define TOLERANCE_MATHS 1e-9       /* relative, of double-precision maths */
#define TOLERANCE_MATHS_ZERO 1e-14 /* and absolute */
#define TOLERANCE_OUTPUT 2e-5      /* of the largest magnitude of an output or gradient */
#define TOLERANCE_DOT 2e-5         /* of a tensor's own norm, for its dot and norm */
#define TOLERANCE_DOT_SET 1e-6     /* and of the largest norm in the set */
#define TOLERANCE_LOSS 1e-5        /* relative, of losses and bounds per image */
#define TOLERANCE_LOSS_SET 1e-6    /* and of the largest */
#define TOLERANCE_EMBEDDING 1e-6   /* absolute, of timestep embeddings */

/* |got - want| <= relative |want| + absolute for each element. `what` names the case, printf style. */
void check_close(size_t n, const double *got, const double *want, double relative, double absolute, const char *what,
                 ...) __attribute__((format(printf, 6, 7)));
/* |got - want| <= tolerance max |want|: an array against its own scale. */
void check_scaled(size_t n, const double *got, const double *want, double tolerance, const char *what, ...)
    __attribute__((format(printf, 5, 6)));
/* Tensors known by dot and norm: |got - want| <= own want_norm[j] + set max(want_norm) for both. */
void check_dots(size_t n, const double *got_dot, const double *want_dot, const double *got_norm,
                const double *want_norm, double own, double set, const char *what, ...)
    __attribute__((format(printf, 8, 9)));
double largest_magnitude(size_t n, const double *x);
/* Ends the running test with the error's text unless all is well. */
void must(enum iddpm_status status);

#endif
