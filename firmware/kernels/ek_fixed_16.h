/* Functions of one fixed-point number of 16 bits, as gemmlowp computes them. A number with n
 * integer bits is raw / 2^(15 - n). Source: gemmlowp, fixedpoint.h, of int16_t. */
#ifndef EK_FIXED_16_H
#define EK_FIXED_16_H

#include <stdint.h>

static inline int32_t ek_saturate_16(int32_t value) {
    value = value < INT16_MIN ? INT16_MIN : value;
    return value > INT16_MAX ? INT16_MAX : value;
}

/* round(a * b / 2^15), ties away from zero, saturated. */
static inline int32_t ek_high_mul_16(int32_t a, int32_t b) {
    const int32_t product = a * b;
    const int32_t nudge = product >= 0 ? 1 << 14 : 1 - (1 << 14);
    return ek_saturate_16((product + nudge) / (1 << 15));
}

/* round(value / 2^bits), ties away from zero. bits: 1 .. 30. */
static inline int32_t ek_divide_16(int32_t value, int32_t bits) {
    const int32_t mask = (int32_t)((1u << bits) - 1u);
    return (value >> bits) + ((value & mask) > (mask >> 1) + (value < 0));
}

/* exp(a) with 0 integer bits, a <= 0 with so many integer bits, 0 .. 7. */
static inline int32_t ek_exp_16(int32_t a, int32_t integer_bits) {
    static const int16_t factors[7] = {25520, 19875, 12055, 4435, 600, 11, 0};
    const int32_t fraction_bits = 15 - integer_bits;
    const int32_t quarter = 1 << (fraction_bits - 2);
    if (a == 0) {
        return INT16_MAX;
    }
    if (integer_bits > 5 && a < -(1 << (fraction_bits + 5))) {
        return 0;
    }
    const int32_t low = (a & (quarter - 1)) - quarter;
    /* Taylor around -1/8. */
    const int32_t x = ek_saturate_16(low * (1 << integer_bits)) + 4096;
    const int32_t x2 = ek_high_mul_16(x, x);
    const int32_t x3 = ek_high_mul_16(x2, x);
    const int32_t x4 = ek_high_mul_16(x2, x2);
    const int32_t inner = ek_high_mul_16(ek_divide_16(x4, 2) + x3, 10923) + x2;
    int32_t result = 28918 + ek_high_mul_16(28918, x + ek_divide_16(inner, 1));
    result = ek_saturate_16(result);
    const int32_t rest = low - a;
    for (int32_t exponent = -2; exponent < integer_bits && exponent <= 4; exponent++) {
        if ((rest & (1 << (fraction_bits + exponent))) != 0) {
            result = ek_high_mul_16(result, factors[exponent + 2]);
        }
    }
    return result;
}

/* 1 / ((1 + a) / 2) with 2 integer bits, a in [0, 1] with 0. */
static inline int32_t ek_reciprocal_16(int32_t a) {
    const int32_t half = (a + INT16_MAX + 1) / 2;
    int32_t x = 23130 + ek_high_mul_16(half, -15420);
    for (int i = 0; i < 3; i++) {
        const int32_t error = (1 << 13) - ek_high_mul_16(half, x);
        x += ek_saturate_16(ek_high_mul_16(x, error) * 4);
    }
    return x;
}

/* Logistic function with 0 integer bits, a: int16 with so many. */
static inline int32_t ek_logistic_16(int32_t a, int32_t integer_bits) {
    if (a == 0) {
        return 1 << 14;
    }
    const int32_t e = ek_exp_16(a < 0 ? a : -a, integer_bits);
    const int32_t positive = ek_saturate_16(ek_reciprocal_16(e) * 2);
    return a > 0 ? positive : INT16_MAX - positive;
}

/* tanh with 0 integer bits, a: int16 with so many, 0 .. 6. */
static inline int32_t ek_tanh_16(int32_t a, int32_t integer_bits) {
    if (a == 0) {
        return 0;
    }
    const int32_t e = ek_exp_16(a < 0 ? a : -a, integer_bits + 1);
    const int32_t size = ek_saturate_16((ek_reciprocal_16(e) - (1 << 13)) * 4);
    return a > 0 ? size : -size;
}

#endif
