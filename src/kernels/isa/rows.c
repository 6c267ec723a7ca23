/* Copies of rows and changes of their element. */
#include "element.h"

void copy_rows(enum element element, int64_t rows, int c, const void *x, int x_pitch, void *y, int y_pitch,
               bool accumulate)
{
    (void)element;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const elem *from = (const elem *)x + row * x_pitch;
        elem *to = (elem *)y + row * y_pitch;
        if (!accumulate)
            memcpy(to, from, (size_t)c * sizeof *to);
        else
#pragma omp simd
            for (int j = 0; j < c; j++) to[j] = elem_of(elem_float(to[j]) + elem_float(from[j]));
    }
}

void rows_from_float(enum element element, int64_t rows, int c, const float *x, int x_pitch, void *y, int y_pitch,
                     bool accumulate)
{
    (void)element;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const float *from = x + row * x_pitch;
        elem *to = (elem *)y + row * y_pitch;
#pragma omp simd
        for (int j = 0; j < c; j++) to[j] = elem_of((accumulate ? elem_float(to[j]) : 0) + from[j]);
    }
}

void rows_to_float(enum element element, int64_t rows, int c, const void *x, int x_pitch, float *y, int y_pitch,
                   bool accumulate)
{
    (void)element;
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const elem *from = (const elem *)x + row * x_pitch;
        float *to = y + row * y_pitch;
#pragma omp simd
        for (int j = 0; j < c; j++) to[j] = (accumulate ? to[j] : 0) + elem_float(from[j]);
    }
}
