/* Private to src/evaluate: pictures drawn by gnuplot, which is given its commands and data through a pipe. */
#ifndef IDDPM_EVALUATE_GNUPLOT_H
#define IDDPM_EVALUATE_GNUPLOT_H

#include "iddpm/base.h"

struct gnuplot {
    FILE *script; /* commands go here, the style of our pictures stands at its head */
    char *text;
    size_t length;
    char path[PATH_SIZE], temporary[PATH_SIZE + 8];
};

/* Begins the PNG `path`. */
enum iddpm_status gnuplot_begin(struct gnuplot *plot, const char *path);
/* 'text' as a gnuplot string, to the script. */
void gnuplot_string(struct gnuplot *plot, const char *text);
/* A data block $name of n rows x, y; y that are no positive finite number (nothing for a logarithmic axis) are left
 * out.
 */
void gnuplot_data(struct gnuplot *plot, const char *name, size_t n, const double *x, const double *y);
/* Runs gnuplot on the script and puts the picture in its place; `status` is passed through when it is an error already.
 * IDDPM_FAILED names the package when there is no gnuplot. */
enum iddpm_status gnuplot_end(struct gnuplot *plot, enum iddpm_status status);

#endif
