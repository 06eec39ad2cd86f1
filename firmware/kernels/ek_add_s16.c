/* y = a + sign * b of int16 with broadcasting; each on its own scale, all zero points 0. Also
 * subtraction.
 * Params: a multiplier, a shift, b multiplier, b shift, y multiplier, y shift, sign (1 or -1),
 * y_min, y_max. Scratch: none. Source: tensorflow/lite/kernels/internal/reference/add.h,
 * AddElementwise, left shift 15. Twin: edgekit/ops/wide.py, ADD_S16. */
#include "ek_broadcast.h"
#include "ek_wide.h"

enum {
    A_MULTIPLIER,
    A_SHIFT,
    B_MULTIPLIER,
    B_SHIFT,
    Y_MULTIPLIER,
    Y_SHIFT,
    SIGN,
    Y_MIN,
    Y_MAX,
    PARAMS
};

ek_status ek_add_s16_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (!ek_call_has(call, 2, 1, PARAMS, EK_S16) ||
        !ek_broadcast_fits(&call->tensors[0], &call->tensors[2], EK_S16) ||
        !ek_broadcast_fits(&call->tensors[1], &call->tensors[2], EK_S16)) {
        return EK_ERR_SHAPE;
    }
    if (!ek_scale_ok(call, A_MULTIPLIER) || !ek_scale_ok(call, B_MULTIPLIER) ||
        !ek_scale_ok(call, Y_MULTIPLIER) || !ek_params_in(call, SIGN, 1, -1, 1) ||
        !ek_clamp_16_ok(call, Y_MIN)) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

void ek_add_s16(const ek_call *call) {
    const ek_tensor *ta = &call->tensors[0];
    const ek_tensor *tb = &call->tensors[1];
    const ek_tensor *ty = &call->tensors[2];
    const int32_t a_multiplier = ek_param(call, A_MULTIPLIER);
    const int32_t a_shift = ek_param(call, A_SHIFT);
    const int32_t b_multiplier = ek_param(call, B_MULTIPLIER);
    const int32_t b_shift = ek_param(call, B_SHIFT);
    const int32_t y_multiplier = ek_param(call, Y_MULTIPLIER);
    const int32_t y_shift = ek_param(call, Y_SHIFT);
    const int32_t y_min = ek_param(call, Y_MIN);
    const int32_t y_max = ek_param(call, Y_MAX);
    const int32_t a_one = 1 << 15;
    const int32_t b_one = ek_param(call, SIGN) * (1 << 15);
    ek_broadcast plan;
    uint32_t counters[EK_MAX_RANK] = {0};
    size_t a_offset = 0;
    size_t b_offset = 0;
    ek_broadcast_plan(&plan, ta, tb, ty);
    const uint32_t row = plan.dims[plan.rank - 1];
    const uint32_t a_step = plan.a_steps[plan.rank - 1];
    const uint32_t b_step = plan.b_steps[plan.rank - 1];
    int16_t *y = ek_s16_write(ty);
    for (uint32_t rows = ty->count / row; rows != 0; rows--) {
        const int16_t *a = ek_s16(ta) + a_offset;
        const int16_t *b = ek_s16(tb) + b_offset;
        for (uint32_t i = row; i != 0; i--) {
            int32_t left = ek_multiply_double(*a * a_one, a_multiplier, a_shift);
            int32_t right = ek_multiply_double(*b * b_one, b_multiplier, b_shift);
            int32_t value = ek_multiply_double(ek_add_wrap(left, right), y_multiplier, y_shift);
            *y++ = ek_clamp_s16(value, y_min, y_max);
            a += a_step;
            b += b_step;
        }
        ek_broadcast_next(&plan, counters, &a_offset, &b_offset);
    }
}
