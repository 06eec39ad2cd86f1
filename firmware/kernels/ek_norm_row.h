/* One row of a normalization: what ek_layer_norm_s8 and ek_text_norm_s8 share. */
#ifndef EK_NORM_ROW_H
#define EK_NORM_ROW_H

#include "ek_fixed.h"
#include "ek_kernel.h"

/* Bits of a row's numbers that depend on N only. */
typedef struct ek_norm_format {
    uint32_t whole; /* bits before the point of a normalized value: N < 4^whole */
    uint32_t room;  /* bits by which a difference may be shifted left */
} ek_norm_format;

static inline ek_norm_format ek_norm_format_of(uint32_t n) {
    ek_norm_format format = {1, 0};
    while (n >> (2u * format.whole) != 0) {
        format.whole++;
    }
    uint32_t bits = 0;
    while (n > 1u << bits) {
        bits++;
    }
    format.room = (format.whole < 2 ? 23u : 25u - format.whole) - bits;
    return format;
}

/* What does not change from row to row. */
typedef struct ek_norm {
    const uint8_t *rows; /* int32 [count, 2]: gamma, beta */
    uint32_t count;
    int32_t zero_point; /* of x */
    int centred;
    uint64_t epsilon;
    int32_t fraction;
    int32_t y_min;
    int32_t y_max;
    ek_norm_format format;
} ek_norm;

/* What every value of a row is multiplied by: 2^31 / (2 sqrt(m)), m = value 4^pairs / 2^64 in
 * [1/4, 1). Three Newton steps, right to 2^-24. */
static inline int32_t ek_inverse_root(uint64_t value, int32_t *pairs) {
    *pairs = 0;
    for (int32_t step = 16; step != 0; step /= 2) {
        if (value >> (64 - 2 * step) == 0) {
            value <<= 2 * step;
            *pairs += step;
        }
    }
    const uint64_t m = value >> 32;
    uint64_t root = UINT64_C(2287070085) - (m * UINT64_C(1305670057) >> 32);
    for (int i = 0; i < 3; i++) {
        const uint64_t square = root * root >> 31;
        root = root * ((UINT64_C(3) << 29) - (m * square >> 32)) >> 30;
    }
    return root > INT32_MAX ? INT32_MAX : (int32_t)root;
}

static inline void ek_norm_row(const ek_norm *p, const int8_t *x, int8_t *y) {
    const ek_norm_format format = p->format;
    const int32_t n = (int32_t)p->count;
    const int32_t zero = p->zero_point;
    const int centred = p->centred;
    int32_t sum = 0;
    int32_t squares = 0;
    const int8_t *end = x + n;
    for (const int8_t *each = x; each != end; each++) {
        const int32_t value = *each;
        sum += value;
        squares += value * value;
    }
    /* N^2 times the variance or the mean square, exactly: at most N^2 2^16. */
    const int64_t spread = centred
                               ? (int64_t)n * squares - (int64_t)sum * sum
                               : n * (squares - 2 * (int64_t)zero * sum + (int64_t)zero * zero * n);
    const uint64_t epsilon = p->epsilon;
    const uint64_t value = ((uint64_t)spread << 8) + epsilon;
    int32_t pairs = 0;
    int32_t root = value == 0 ? 0 : ek_inverse_root(value, &pairs);
    int32_t left = pairs + 5 - (int32_t)(format.whole + format.room);
    if (left < 0) {
        root = left < -30 ? 0 : root >> -left;
        left = 0;
    }
    const int32_t scale = (int32_t)((uint32_t)n << format.room);
    const int32_t offset = (int32_t)((uint32_t)(centred ? sum : n * zero) << format.room);
    const int32_t fraction = p->fraction;
    const int32_t y_min = p->y_min;
    const int32_t y_max = p->y_max;
    const uint8_t *constants = p->rows;
    for (; x != end; x++) {
        const int32_t difference = *x * scale - offset;
        const uint32_t high = (uint32_t)(int32_t)(((int64_t)difference * root) >> 32);
        const int32_t normal = (int32_t)(high << left);
        const int32_t scaled = (int32_t)(((int64_t)normal * ek_get_i32(constants)) >> 32);
        *y++ = ek_clamp_s8((scaled + ek_get_i32(constants + 4)) >> fraction, y_min, y_max);
        constants += 8;
    }
}

#endif
