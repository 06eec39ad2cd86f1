#include "ek_small.h"

void ek_band_small(const ek_small_band *band, const int32_t *w, uint32_t *sums) {
    const uint32_t w0 = (uint32_t)w[0], w1 = (uint32_t)w[1], w2 = (uint32_t)w[2];
    const uint32_t w3 = (uint32_t)w[3], w4 = (uint32_t)w[4], w5 = (uint32_t)w[5];
    const uint32_t w6 = (uint32_t)w[6], w7 = (uint32_t)w[7], w8 = (uint32_t)w[8];
    const size_t line = band->line;
    const size_t step = band->step_w;
    const uint8_t *row = band->plane;
    for (uint32_t y = band->rows; y != 0; y--) {
        const uint8_t *a = row;
        const uint8_t *b = a + line;
        const uint8_t *c = b + line;
        for (uint32_t x = band->columns; x != 0; x--) {
            uint32_t sum = a[0] * w0 + a[1] * w1 + a[2] * w2;
            sum += b[0] * w3 + b[1] * w4 + b[2] * w5;
            sum += c[0] * w6 + c[1] * w7 + c[2] * w8;
            *sums++ = sum;
            a += step;
            b += step;
            c += step;
        }
        row += band->step_h;
    }
}
