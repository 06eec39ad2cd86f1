/* y = a / b with broadcasting; a division by 0 gives 0.
 * Params: multiplier, shift (at most 20), y_min, y_max. Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/div.h, DivElementwise for int8; where it
 * shifts by 32 bits or more, which C++ does not define, the quotient rounds to 0. Twin:
 * edgekit/ops/divide.py, quotient. */
#include "ek_broadcast.h"
#include "ek_fixed.h"
#include "ek_kernel.h"

enum { MULTIPLIER, SHIFT, Y_MIN, Y_MAX, PARAMS };

ek_status ek_div_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (!ek_call_is(call, 2, 1, PARAMS) ||
        !ek_broadcast_ok(&call->tensors[0], &call->tensors[1], &call->tensors[2])) {
        return EK_ERR_SHAPE;
    }
    if (!ek_scale_ok(call, MULTIPLIER) || !ek_params_in(call, SHIFT, 1, -31, 20) ||
        !ek_clamp_ok(call, Y_MIN)) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

/* Significant bits of a value from 0 up. */
static int32_t bits_of(uint32_t value) {
    int32_t bits = 0;
    for (; value != 0; value >>= 1) {
        bits++;
    }
    return bits;
}

/* a / b * multiplier * 2^(shift - 31); |a|, |b| at most 255. */
static int32_t quotient(int32_t a, int32_t b, int32_t multiplier, int32_t shift) {
    if (b == 0) {
        return 0;
    }
    const uint32_t divisor = (uint32_t)(b < 0 ? -b : b);
    const int32_t whole = bits_of(divisor) - 1;
    const int32_t reciprocal =
        ek_reciprocal_of_one_plus((int32_t)((divisor << (31 - whole)) - (UINT32_C(1) << 31)));
    const int32_t headroom = 31 - bits_of((uint32_t)(a < 0 ? ~a : a));
    const int32_t unscaled =
        ek_high_mul((int32_t)((uint32_t)a << headroom), b < 0 ? -reciprocal : reciprocal);
    const int32_t right = headroom + whole - shift;
    int32_t high = ek_high_mul(unscaled, multiplier);
    if (right > 31) {
        return 0;
    }
    high += high >> 31;
    return ((high >> (right - 1)) + 1) >> 1;
}

void ek_div_s8(const ek_call *call) {
    const ek_tensor *ta = &call->tensors[0];
    const ek_tensor *tb = &call->tensors[1];
    const ek_tensor *ty = &call->tensors[2];
    const int32_t multiplier = ek_param(call, MULTIPLIER);
    const int32_t shift = ek_param(call, SHIFT);
    const int32_t y_min = ek_param(call, Y_MIN);
    const int32_t y_max = ek_param(call, Y_MAX);
    ek_broadcast plan;
    uint32_t counters[EK_MAX_RANK] = {0};
    size_t a_offset = 0;
    size_t b_offset = 0;
    ek_broadcast_plan(&plan, ta, tb, ty);
    const uint32_t row = plan.dims[plan.rank - 1];
    const uint32_t a_step = plan.a_steps[plan.rank - 1];
    const uint32_t b_step = plan.b_steps[plan.rank - 1];
    int8_t *y = (int8_t *)ty->write;
    for (uint32_t rows = ty->count / row; rows != 0; rows--) {
        const int8_t *a = (const int8_t *)ta->data + a_offset;
        const int8_t *b = (const int8_t *)tb->data + b_offset;
        for (uint32_t i = row; i != 0; i--) {
            const int32_t value =
                quotient(*a - ta->zero_point, *b - tb->zero_point, multiplier, shift);
            *y++ = ek_clamp_s8(ek_add_wrap(value, ty->zero_point), y_min, y_max);
            a += a_step;
            b += b_step;
        }
        ek_broadcast_next(&plan, counters, &a_offset, &b_offset);
    }
}
