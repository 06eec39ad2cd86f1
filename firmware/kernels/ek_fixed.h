/* Fixed-point arithmetic of LiteRT's reference kernels: scaling of 32-bit accumulators to 8 bits.
 */
#ifndef EK_FIXED_H
#define EK_FIXED_H

#include <stdint.h>

enum {
    EK_ROUND_DOUBLE = 0, /* convolutions, and all of TFLM: two roundings */
    EK_ROUND_SINGLE = 1  /* LiteRT's dense kernels: one rounding */
};

/* round(a * multiplier * 2^(shift - 31)), rounded at bit 31 and again at the shift, ties away from
 * zero at the second. multiplier: [0, 2^31). shift: [-31, 30], positive shifts left; bits lost on
 * the left wrap. Source: gemmlowp, fixedpoint.h, SaturatingRoundingDoublingHighMul and
 * RoundingDivideByPOT. Twin: edgekit/ops/fixed.py, multiply. */
static inline int32_t ek_multiply_double(int32_t a, int32_t multiplier, int32_t shift) {
    if (shift >= 0) {
        int64_t product = (int64_t)(int32_t)((uint32_t)a << shift) * multiplier;
        return (int32_t)((product + (INT64_C(1) << 30)) >> 31);
    }
    int32_t high = (int32_t)(((int64_t)a * multiplier + (INT64_C(1) << 30)) >> 31);
    high += high >> 31;
    /* floor((high + 2^(-shift - 1)) / 2^-shift) without the sum, which might not fit. */
    return ((high >> (-shift - 1)) + 1) >> 1;
}

/* round(a * multiplier * 2^(shift - 31)), rounded once, ties up. Same ranges.
 * Source: tensorflow/lite/kernels/internal/common.cc, MultiplyByQuantizedMultiplier with
 * TFLITE_SINGLE_ROUNDING. Twin: edgekit/ops/fixed.py, multiply. */
static inline int32_t ek_multiply_single(int32_t a, int32_t multiplier, int32_t shift) {
    int64_t product = (int64_t)a * multiplier;
    if (shift >= 0) {
        int32_t total = 31 - shift;
        return (int32_t)((product + (INT64_C(1) << (total - 1))) >> total);
    }
    /* As above; the sign of a tie does not matter here. */
    return (((int32_t)(product >> 31) >> (-shift - 1)) + 1) >> 1;
}

/* a + b that wraps. */
static inline int32_t ek_add_wrap(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

static inline int8_t ek_clamp_s8(int32_t value, int32_t low, int32_t high) {
    value = value < low ? low : value;
    value = value > high ? high : value;
    return (int8_t)value;
}

/* How one output is finished: constants that stay in registers over a loop. */
typedef struct ek_output {
    int32_t zero_point;
    int32_t low;
    int32_t high;
} ek_output;

/* Scales a sum and moves it to the output's zero point, two roundings. */
static inline int8_t ek_finish_double(int32_t sum, int32_t multiplier, int32_t shift,
                                      ek_output out) {
    int32_t value = ek_multiply_double(sum, multiplier, shift);
    return ek_clamp_s8(ek_add_wrap(value, out.zero_point), out.low, out.high);
}

static inline int8_t ek_finish_single(int32_t sum, int32_t multiplier, int32_t shift,
                                      ek_output out) {
    int32_t value = ek_multiply_single(sum, multiplier, shift);
    return ek_clamp_s8(ek_add_wrap(value, out.zero_point), out.low, out.high);
}

/* round(a * b / 2^31), ties up. */
static inline int32_t ek_high_mul(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

/* 1 / (1 + x) for x in [0, 1), Q0.31: three Newton steps on Q2.29. Source: gemmlowp, fixedpoint.h,
 * one_over_one_plus_x_for_x_in_0_1. Twin: edgekit/ops/fixed.py, _newton_reciprocal. */
static inline int32_t ek_reciprocal_of_one_plus(int32_t x) {
    const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
    int32_t r = 1515870810 + ek_high_mul(half, -1010580540);
    for (int i = 0; i < 3; i++) {
        int32_t error = (1 << 29) - ek_high_mul(half, r);
        r += (int32_t)((uint32_t)ek_high_mul(r, error) << 2);
    }
    return r > (1 << 30) - 1 ? INT32_MAX : (int32_t)((uint32_t)r << 1);
}

#endif
