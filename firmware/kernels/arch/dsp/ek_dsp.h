/* Instructions of ARMv7E-M and ARMv8-M with DSP that C has no operators for. */
#ifndef EK_DSP_H
#define EK_DSP_H

#include <stdint.h>
#include <string.h>

/* Four int8 of a word as they lie in memory, at any alignment. */
static inline uint32_t ek_load_s8x4(const int8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* The first count int8 of a word, 1 to 3, then zeros. */
static inline uint32_t ek_load_s8_tail(const int8_t *p, uint32_t count) {
    uint32_t word = 0;
    if ((count & 2) != 0) {
        uint16_t two;
        memcpy(&two, p, sizeof two);
        word = two;
        p += 2;
    }
    if ((count & 1) != 0) {
        word |= (uint32_t)(uint8_t)*p << 8 * (count - 1);
    }
    return word;
}

/* Bytes 0 and 2, sign-extended to 16 bits each. */
static inline uint32_t ek_even_s16(uint32_t word) {
    uint32_t lanes;
    __asm__("sxtb16 %0, %1" : "=r"(lanes) : "r"(word));
    return lanes;
}

/* Bytes 1 and 3. */
static inline uint32_t ek_odd_s16(uint32_t word) {
    uint32_t lanes;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(lanes) : "r"(word));
    return lanes;
}

/* Sum of both lanes' products, added to sum; wraps. */
static inline int32_t ek_multiply_lanes(uint32_t a, uint32_t b, int32_t sum) {
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

static inline uint32_t ek_double_lanes(uint32_t lanes) {
    uint32_t doubled;
    __asm__("sadd16 %0, %1, %1" : "=r"(doubled) : "r"(lanes));
    return doubled;
}

/* Four int8 sums, differences, saturated. */
static inline uint32_t ek_add_s8x4(uint32_t a, uint32_t b) {
    uint32_t result;
    __asm__("qadd8 %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

static inline uint32_t ek_subtract_s8x4(uint32_t a, uint32_t b) {
    uint32_t result;
    __asm__("qsub8 %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

#endif
