/* Arithmetic of 16-bit activations with 8-bit weights: 64-bit sums. */
#ifndef EK_WIDE_H
#define EK_WIDE_H

#include "ek_fixed.h"
#include "ek_kernel.h"

enum {
    EK_WIDE_ROW_BYTES = 16, /* of a requantisation row: bias low, bias high, multiplier, shift */
    EK_WIDE_SHIFT_MAX = 14, /* of a multiplier for such a sum */
    EK_WIDE_RUN = 512       /* products of int16 and int8 that a 32-bit sum takes */
};

/* round(a * multiplier * 2^(shift - 15)), ties up; bits lost on the left wrap. a: 48 bits.
 * multiplier: [0, 32767]. shift: [-31, 14]. Source: tensorflow/lite/kernels/internal/common.cc,
 * MultiplyByQuantizedMultiplier of int64_t. */
static inline int32_t ek_multiply_wide(int64_t a, int32_t multiplier, int32_t shift) {
    const int32_t total = 15 - shift;
    return (int32_t)((a * multiplier + (INT64_C(1) << (total - 1))) >> total);
}

/* round(a * multiplier * 2^(shift - 31)), ties up, in two halves that fit; bits lost on the left
 * wrap. a: 48 bits. multiplier: [0, 2^31). shift: [-31, 14]. Source: experiments with LiteRT
 * 2.3.0, whose dense layers keep all 31 bits. */
static inline int32_t ek_multiply_long(int64_t a, int32_t multiplier, int32_t shift) {
    const int32_t total = 31 - shift;
    const int64_t low = (a & INT32_MAX) * multiplier + (INT64_C(1) << (total - 1));
    const int64_t high = (a >> 31) * multiplier;
    if (total >= 31) {
        return (int32_t)((high + (low >> 31)) >> (total - 31));
    }
    return (int32_t)(high * (INT64_C(1) << (31 - total)) + (low >> total));
}

static inline int16_t ek_clamp_s16(int32_t value, int32_t low, int32_t high) {
    value = value < low ? low : value;
    value = value > high ? high : value;
    return (int16_t)value;
}

/* True if params [first], [first + 1] are a multiplier of 15 bits and its shift. */
static inline int ek_wide_scale_ok(const ek_call *call, uint32_t first) {
    return ek_params_in(call, first, 1, 0, 32767) &&
           ek_params_in(call, first + 1u, 1, -31, EK_WIDE_SHIFT_MAX);
}

/* True if q is a constant int32 [n, 4] of bias (48 bits as two words), multiplier up to `most`,
 * shift. */
static inline int ek_wide_rows_ok(const ek_tensor *q, uint32_t n, int32_t most) {
    if (q->type != EK_S32 || q->constant == 0 || q->rank != 2 || q->dims[0] != n ||
        q->dims[1] != 4) {
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *row = q->data + EK_WIDE_ROW_BYTES * (size_t)i;
        const int32_t high = ek_get_i32(row + 4);
        const int32_t multiplier = ek_get_i32(row + 8);
        const int32_t shift = ek_get_i32(row + 12);
        if (high < -32768 || high > 32767 || multiplier < 0 || multiplier > most || shift < -31 ||
            shift > EK_WIDE_SHIFT_MAX) {
            return 0;
        }
    }
    return 1;
}

/* The bias of a requantisation row. */
static inline int64_t ek_wide_bias(const uint8_t *row) {
    return (int64_t)ek_get_i32(row + 4) * INT64_C(0x100000000) + ek_get_u32(row);
}

/* Finishes a sum of products with the row of its channel, whose multiplier has 15 bits. */
static inline int16_t ek_wide_finish(const uint8_t *row, int64_t sum, int32_t low, int32_t high) {
    const int64_t total = sum + ek_wide_bias(row);
    return ek_clamp_s16(ek_multiply_wide(total, ek_get_i32(row + 8), ek_get_i32(row + 12)), low,
                        high);
}

/* Sum of products of count elements. */
static inline int64_t ek_wide_dot(const int16_t *x, const int8_t *w, size_t count) {
    int64_t sum = 0;
    while (count != 0) {
        const size_t run = count < EK_WIDE_RUN ? count : EK_WIDE_RUN;
        int32_t part = 0;
        for (size_t i = run; i != 0; i--) {
            part += *x++ * *w++;
        }
        sum += part;
        count -= run;
    }
    return sum;
}

static inline const int16_t *ek_s16(const ek_tensor *tensor) {
    return (const int16_t *)(const void *)tensor->data;
}

static inline int16_t *ek_s16_write(const ek_tensor *tensor) {
    return (int16_t *)(void *)tensor->write;
}

#endif
