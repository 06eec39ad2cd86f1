/* y = a * b of int16 with broadcasting, all zero points 0.
 * Params: multiplier, shift, y_min, y_max. Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/integer_ops/mul.h, MulElementwise.
 * Twin: edgekit/ops/wide.py, MUL_S16. */
#include "ek_broadcast.h"
#include "ek_wide.h"

enum { MULTIPLIER, SHIFT, Y_MIN, Y_MAX, PARAMS };

ek_status ek_mul_s16_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (!ek_call_has(call, 2, 1, PARAMS, EK_S16) ||
        !ek_broadcast_fits(&call->tensors[0], &call->tensors[2], EK_S16) ||
        !ek_broadcast_fits(&call->tensors[1], &call->tensors[2], EK_S16)) {
        return EK_ERR_SHAPE;
    }
    if (!ek_scale_ok(call, MULTIPLIER) || !ek_clamp_16_ok(call, Y_MIN)) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

void ek_mul_s16(const ek_call *call) {
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
    int16_t *y = ek_s16_write(ty);
    for (uint32_t rows = ty->count / row; rows != 0; rows--) {
        const int16_t *a = ek_s16(ta) + a_offset;
        const int16_t *b = ek_s16(tb) + b_offset;
        for (uint32_t i = row; i != 0; i--) {
            int32_t product = *a * *b;
            int32_t value = ek_multiply_double(product, multiplier, shift);
            *y++ = ek_clamp_s16(value, y_min, y_max);
            a += a_step;
            b += b_step;
        }
        ek_broadcast_next(&plan, counters, &a_offset, &b_offset);
    }
}
