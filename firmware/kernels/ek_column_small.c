#include "ek_small.h"

void ek_column_small(const uint8_t *w, const int8_t *x, uint32_t terms, uint32_t *sums) {
    uint32_t s0 = 0;
    uint32_t s1 = 0;
    uint32_t s2 = 0;
    uint32_t s3 = 0;
    for (; terms >= 4; terms -= 4) {
        for (uint32_t i = 0; i < 4; i++) {
            const uint32_t p = (uint32_t)x[i];
            s0 += p * w[4 * i];
            s1 += p * w[4 * i + 1];
            s2 += p * w[4 * i + 2];
            s3 += p * w[4 * i + 3];
        }
        x += 4;
        w += 16;
    }
    for (; terms != 0; terms--) {
        const uint32_t p = (uint32_t)*x++;
        s0 += p * w[0];
        s1 += p * w[1];
        s2 += p * w[2];
        s3 += p * w[3];
        w += 4;
    }
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}
