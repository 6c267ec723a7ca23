#include "iddpm/data.h"

void pixels_to_signal(size_t n, const uint8_t *pixels, double *x)
{
    for (size_t i = 0; i < n; i++) x[i] = pixels[i] / 127.5 - 1;
}

void signal_to_pixels(size_t n, const double *x, uint8_t *pixels)
{
    for (size_t i = 0; i < n; i++) {
        double level = (x[i] + 1) * 127.5;
        pixels[i] = (uint8_t)(level > 0 ? level < 255 ? level : 255 : 0); /* not a number gives 0 */
    }
}
