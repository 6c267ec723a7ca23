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

static double area_mean(int size, int channels, const double *x, int top, int bottom, int left, int right)
{
    double sum = 0;
    for (int row = top; row < bottom; row++)
        for (int column = left; column < right; column++)
            sum += x[((size_t)row * (size_t)size + (size_t)column) * (size_t)channels];
    return sum / ((double)(bottom - top) * (right - left));
}

void signal_area_average(int size, int channels, const double *x, int small, double *out)
{
    for (int i = 0; i < small; i++)
        for (int j = 0; j < small; j++) {
            int top = i * size / small, bottom = ((i + 1) * size + small - 1) / small;
            int left = j * size / small, right = ((j + 1) * size + small - 1) / small;
            for (int c = 0; c < channels; c++) *out++ = area_mean(size, channels, x + c, top, bottom, left, right);
        }
}

void pixels_mirror(int height, int width, int channels, uint8_t *pixels)
{
    size_t c = (size_t)channels;
    for (int row = 0; row < height; row++, pixels += (size_t)width * c)
        for (size_t left = 0, right = (size_t)width - 1; left < right; left++, right--)
            for (size_t k = 0; k < c; k++) {
                uint8_t pixel = pixels[left * c + k];
                pixels[left * c + k] = pixels[right * c + k];
                pixels[right * c + k] = pixel;
            }
}
