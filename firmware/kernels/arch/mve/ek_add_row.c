#include <arm_mve.h>

#include "ek_add_row.h"

/* An input in a form that needs no case: one * (x - zero_point), then a shift to the right. */
typedef struct operand {
    int32_t one;
    int32_t offset;
    int32_t multiplier;
    int32_t shift;
} operand;

/* Half, the scale of the coarser input, becomes twice the value and a shift by 1, which is exact
 * for even values; other scales without a shift to the right are not taken. */
static int operand_of(const ek_add_scale *scale, int32_t one, operand *to) {
    const int half = scale->multiplier == 1 << 30 && scale->shift == 0;
    to->one = half ? 2 * one : one;
    to->offset = -scale->zero_point * to->one;
    to->multiplier = scale->multiplier;
    to->shift = half ? -1 : scale->shift;
    return to->shift < 0;
}

/* Rounds twice, ties away from zero at the second. one: 1. */
static inline int32x4_t scaled(int32x4_t value, int32_t multiplier, int32_t shift, int32_t one) {
    value = vqrdmulhq_n_s32(value, multiplier);
    value = vqdmlahq_n_s32(value, value, one);
    return vrshlq_n_s32(value, shift);
}

static inline int32x4_t four(const ek_add_row *row, const operand *left, const operand *right,
                             int32x4_t a, int32x4_t b, int32_t one) {
    a = vaddq_n_s32(vmulq_n_s32(a, left->one), left->offset);
    b = vaddq_n_s32(vmulq_n_s32(b, right->one), right->offset);
    a = scaled(a, left->multiplier, left->shift, one);
    b = scaled(b, right->multiplier, right->shift, one);
    a = scaled(vaddq_s32(a, b), row->y.multiplier, row->y.shift, one);
    a = vaddq_n_s32(a, row->y.zero_point);
    return vminq_s32(vmaxq_s32(a, vdupq_n_s32(row->low)), vdupq_n_s32(row->high));
}

void ek_add_row_s8(const ek_add_row *row, const int8_t *a, const int8_t *b, int8_t *y,
                   uint32_t count) {
    const ek_add_row p = *row;
    operand left;
    operand right;
    const int exact = operand_of(&p.a, p.a_one, &left) & operand_of(&p.b, p.b_one, &right);
    if (exact && p.y.shift < 0 && p.a_step == 1 && p.b_step == 1) {
        for (uint32_t fours = count / 4; fours != 0; fours--) {
            vstrbq_s32(y, four(&p, &left, &right, vldrbq_s32(a), vldrbq_s32(b), 1));
            a += 4;
            b += 4;
            y += 4;
        }
        count %= 4;
    }
    for (; count != 0; count--) {
        *y++ = ek_add_one(&p, *a, *b);
        a += p.a_step;
        b += p.b_step;
    }
}
