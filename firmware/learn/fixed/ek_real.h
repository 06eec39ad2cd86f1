/* The number that learning computes with on cores without an FPU: fixed point with 24 bits behind
 * the point, from -128 to 128. A product is rounded to nearest, ties up; sums are 64 bits wide;
 * what leaves the range stays at its end. The other form is float32/ek_real.h. Twin:
 * edgekit/runtime/learn_numbers.py, class Fixed24 */
#ifndef EK_REAL_H
#define EK_REAL_H

#include <stdint.h>

#define EK_REAL_BITS 24
#define EK_REAL_ONE (1 << EK_REAL_BITS)

typedef int32_t ek_real; /* a value */
typedef int64_t ek_wide; /* a sum of products, in the same unit */

/* A constant. */
#define EK_REAL(x) ((ek_real)((x) * (double)EK_REAL_ONE + ((x) < 0 ? -0.5 : 0.5)))

static inline ek_real ek_wide_real(ek_wide s) {
    return s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : (ek_real)s;
}

/* Rounds to nearest, ties away from zero; what is no number becomes 0. */
ek_real ek_real_of(float x);
/* Rounds to the nearest float, ties to even. */
float ek_real_float(ek_real x);

static inline ek_real ek_real_of_int(int32_t n) {
    return ek_wide_real((ek_wide)n * EK_REAL_ONE);
}

/* n step, though n itself may be beyond the range. */
static inline ek_real ek_real_times(int32_t n, ek_real step) {
    return ek_wide_real((ek_wide)n * step);
}

/* a / b, rounded down. b is not 0. */
static inline ek_real ek_real_quotient(uint32_t a, uint32_t b) {
    return ek_wide_real((ek_wide)a * EK_REAL_ONE / b);
}

/* The nearest whole number, ties away from zero. limit: at least 128. */
static inline int32_t ek_real_round(ek_real x, int32_t limit) {
    (void)limit;
    return (int32_t)(((ek_wide)x + (x < 0 ? -EK_REAL_ONE / 2 : EK_REAL_ONE / 2)) / EK_REAL_ONE);
}

static inline ek_real ek_add(ek_real a, ek_real b) {
    return ek_wide_real((ek_wide)a + b);
}

static inline ek_real ek_sub(ek_real a, ek_real b) {
    return ek_wide_real((ek_wide)a - b);
}

static inline ek_wide ek_wide_of(ek_real x) {
    return x;
}

/* s + a b; the sum of 2^32 products is not too wide. */
static inline ek_wide ek_wide_add(ek_wide s, ek_real a, ek_real b) {
    return s + (((ek_wide)a * b + EK_REAL_ONE / 2) >> EK_REAL_BITS);
}

static inline ek_real ek_mul(ek_real a, ek_real b) {
    return ek_wide_real(ek_wide_add(0, a, b));
}

/* Rounds towards zero. b is not 0. */
static inline ek_real ek_div(ek_real a, ek_real b) {
    return ek_wide_real((ek_wide)a * EK_REAL_ONE / b);
}

/* True for what a step may go on with: a value within the range. */
static inline int ek_wide_sound(ek_wide s) {
    return s <= INT32_MAX && s >= INT32_MIN;
}

/* a / b, rounded towards zero. b is not 0. */
static inline ek_real ek_wide_ratio(ek_real a, ek_wide b) {
    return ek_wide_real((ek_wide)a * EK_REAL_ONE / b);
}

/* 1 / x of x > 0, rounded down. */
static inline ek_wide ek_wide_inverse(ek_real x) {
    return (ek_wide)EK_REAL_ONE * EK_REAL_ONE / x;
}

/* a b of numbers >= 0; at most 2^38. */
ek_wide ek_wide_mul(ek_wide a, ek_wide b);
/* Square root of a number >= 0, rounded down. */
ek_wide ek_wide_sqrt(ek_wide s);
/* Natural logarithm of a number >= 1. */
ek_real ek_wide_log(ek_wide s);
/* e^x of x <= 0; of a larger x, 1. */
ek_real ek_exp(ek_real x);
ek_real ek_tanh(ek_real x);

#endif
