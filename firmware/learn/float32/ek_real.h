/* The number that learning computes with, on cores with an FPU and on the host: float32. The other
 * form is fixed/ek_real.h; one folder of the two is on the include path.
 * Twin: edgekit/runtime/learn_numbers.py, class Float32 */
#ifndef EK_REAL_H
#define EK_REAL_H

#include <stdint.h>

#include "../../link/ek_wire.h"
#include "../ek_exp.h"

typedef float ek_real; /* a value */
typedef float ek_wide; /* a sum of products */

/* A constant. */
#define EK_REAL(x) ((float)(x))

static inline ek_real ek_real_of(float x) {
    return x;
}

static inline float ek_real_float(ek_real x) {
    return x;
}

static inline ek_real ek_real_of_int(int32_t n) {
    return (float)n;
}

/* n step */
static inline ek_real ek_real_times(int32_t n, ek_real step) {
    return (float)n * step;
}

/* a / b */
static inline ek_real ek_real_quotient(uint32_t a, uint32_t b) {
    return (float)a / (float)b;
}

/* The nearest whole number within +-limit, ties away from zero; 0 for what is no number. */
static inline int32_t ek_real_round(ek_real x, int32_t limit) {
    const float most = (float)limit;
    const float held = x > most ? most : x < -most ? -most : x != x ? 0.0f : x;
    return (int32_t)(held + (held < 0.0f ? -0.5f : 0.5f));
}

static inline ek_real ek_add(ek_real a, ek_real b) {
    return a + b;
}

static inline ek_real ek_sub(ek_real a, ek_real b) {
    return a - b;
}

static inline ek_real ek_mul(ek_real a, ek_real b) {
    return a * b;
}

static inline ek_real ek_div(ek_real a, ek_real b) {
    return a / b;
}

static inline ek_wide ek_wide_of(ek_real x) {
    return x;
}

/* s + a b */
static inline ek_wide ek_wide_add(ek_wide s, ek_real a, ek_real b) {
    return s + a * b;
}

static inline ek_wide ek_wide_mul(ek_wide a, ek_wide b) {
    return a * b;
}

/* True for what a step may go on with: a finite number. */
static inline int ek_wide_sound(ek_wide s) {
    return (ek_wire_float_bits(s) & 0x7f800000U) != 0x7f800000U;
}

static inline ek_real ek_wide_real(ek_wide s) {
    return s;
}

/* a / b */
static inline ek_real ek_wide_ratio(ek_real a, ek_wide b) {
    return a / b;
}

/* 1 / x of x > 0 */
static inline ek_wide ek_wide_inverse(ek_real x) {
    return 1.0f / x;
}

static inline ek_wide ek_wide_sqrt(ek_wide s) {
    return ek_sqrt_f32(s);
}

static inline ek_real ek_wide_log(ek_wide s) {
    return ek_log_f32(s);
}

static inline ek_real ek_exp(ek_real x) {
    return ek_exp_f32(x);
}

static inline ek_real ek_tanh(ek_real x) {
    return ek_tanh_f32(x);
}

#endif
