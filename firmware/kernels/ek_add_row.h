/* A row of ADD: the inside of ek_add_s8.c. */
#ifndef EK_ADD_ROW_H
#define EK_ADD_ROW_H

#include "ek_fixed.h"

/* How an input or the output is scaled. */
typedef struct ek_add_scale {
    int32_t zero_point;
    int32_t multiplier;
    int32_t shift;
} ek_add_scale;

typedef struct ek_add_row {
    ek_add_scale a;
    ek_add_scale b;
    ek_add_scale y;
    int32_t a_one;   /* what 1 counts before scaling: 2^20 */
    int32_t b_one;   /* the same, or -2^20 */
    uint32_t a_step; /* 1, or 0: the same again */
    uint32_t b_step;
    int32_t low;
    int32_t high;
} ek_add_row;

static inline int8_t ek_add_one(const ek_add_row *row, int32_t a, int32_t b) {
    const int32_t left =
        ek_multiply_double((a - row->a.zero_point) * row->a_one, row->a.multiplier, row->a.shift);
    const int32_t right =
        ek_multiply_double((b - row->b.zero_point) * row->b_one, row->b.multiplier, row->b.shift);
    const int32_t value =
        ek_multiply_double(ek_add_wrap(left, right), row->y.multiplier, row->y.shift);
    return ek_clamp_s8(ek_add_wrap(value, row->y.zero_point), row->low, row->high);
}

/* y may lie exactly on a or b. */
void ek_add_row_s8(const ek_add_row *row, const int8_t *a, const int8_t *b, int8_t *y,
                   uint32_t count);

#endif
