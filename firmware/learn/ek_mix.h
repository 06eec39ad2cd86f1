/* A hash from 32 bits to 32 bits.
 * Source: C. Wellons, "lowbias32", in "Prospecting for Hash Functions", 2018. Twin:
 * edgekit/federated/payload.py, mix */
#ifndef EK_MIX_H
#define EK_MIX_H

#include <stdint.h>

static inline uint32_t ek_mix(uint32_t x) {
    x ^= x >> 16;
    x *= 0x7feb352dU;
    x ^= x >> 15;
    x *= 0x846ca68bU;
    x ^= x >> 16;
    return x;
}

/* 0 .. 1 of a seed. */
static inline float ek_mix_chance(uint32_t seed) {
    return (float)(ek_mix(seed) >> 8) * 5.9604644775390625e-8f;
}

#endif
