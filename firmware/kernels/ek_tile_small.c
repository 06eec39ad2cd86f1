#include "ek_small.h"

void ek_tile_small(const uint8_t *w, const uint32_t *x, uint32_t terms, uint32_t *sums) {
    uint32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0;
    uint32_t s10 = 0, s11 = 0, s12 = 0, s13 = 0;
    uint32_t s20 = 0, s21 = 0, s22 = 0, s23 = 0;
    uint32_t s30 = 0, s31 = 0, s32 = 0, s33 = 0;
    for (const uint32_t *end = x + 4 * (size_t)terms; x != end; x += 4) {
        const uint32_t w0 = w[0];
        const uint32_t w1 = w[1];
        const uint32_t w2 = w[2];
        const uint32_t w3 = w[3];
        uint32_t p = x[0];
        s00 += p * w0;
        s01 += p * w1;
        s02 += p * w2;
        s03 += p * w3;
        p = x[1];
        s10 += p * w0;
        s11 += p * w1;
        s12 += p * w2;
        s13 += p * w3;
        p = x[2];
        s20 += p * w0;
        s21 += p * w1;
        s22 += p * w2;
        s23 += p * w3;
        p = x[3];
        s30 += p * w0;
        s31 += p * w1;
        s32 += p * w2;
        s33 += p * w3;
        w += 4;
    }
    sums[0] = s00;
    sums[1] = s01;
    sums[2] = s02;
    sums[3] = s03;
    sums += EK_SMALL_CHUNK;
    sums[0] = s10;
    sums[1] = s11;
    sums[2] = s12;
    sums[3] = s13;
    sums += EK_SMALL_CHUNK;
    sums[0] = s20;
    sums[1] = s21;
    sums[2] = s22;
    sums[3] = s23;
    sums += EK_SMALL_CHUNK;
    sums[0] = s30;
    sums[1] = s31;
    sums[2] = s32;
    sums[3] = s33;
}
