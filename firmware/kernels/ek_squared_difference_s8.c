/* y = (a - b)^2 with broadcasting; a and b are first scaled to a common scale.
 * Params: a_multiplier, a_shift, b_multiplier, b_shift, y_multiplier, y_shift; shifts of a and b at
 * most 0. Scratch: none. Source: tensorflow/lite/kernels/squared_difference.cc, SquaredDifference.
 * Twin: edgekit/ops/elementwise.py, SQUARED_DIFFERENCE. */
#include "ek_broadcast.h"
#include "ek_fixed.h"
#include "ek_kernel.h"

enum { A_MULTIPLIER, A_SHIFT, B_MULTIPLIER, B_SHIFT, Y_MULTIPLIER, Y_SHIFT, PARAMS };

enum { LEFT_SHIFT = 7 };

ek_status ek_squared_difference_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (!ek_call_is(call, 2, 1, PARAMS) ||
        !ek_broadcast_ok(&call->tensors[0], &call->tensors[1], &call->tensors[2])) {
        return EK_ERR_SHAPE;
    }
    if (!ek_scale_ok(call, A_MULTIPLIER) || !ek_scale_ok(call, B_MULTIPLIER) ||
        !ek_scale_ok(call, Y_MULTIPLIER) || ek_param(call, A_SHIFT) > 0 ||
        ek_param(call, B_SHIFT) > 0) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

void ek_squared_difference_s8(const ek_call *call) {
    const ek_tensor *ta = &call->tensors[0];
    const ek_tensor *tb = &call->tensors[1];
    const ek_tensor *ty = &call->tensors[2];
    const int32_t a_multiplier = ek_param(call, A_MULTIPLIER);
    const int32_t a_shift = ek_param(call, A_SHIFT);
    const int32_t b_multiplier = ek_param(call, B_MULTIPLIER);
    const int32_t b_shift = ek_param(call, B_SHIFT);
    const int32_t y_multiplier = ek_param(call, Y_MULTIPLIER);
    const int32_t y_shift = ek_param(call, Y_SHIFT);
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
            int32_t va = (*a - ta->zero_point) * (1 << LEFT_SHIFT);
            int32_t vb = (*b - tb->zero_point) * (1 << LEFT_SHIFT);
            int32_t difference = ek_multiply_double(va, a_multiplier, a_shift) -
                                 ek_multiply_double(vb, b_multiplier, b_shift);
            int32_t square = (int32_t)((uint32_t)difference * (uint32_t)difference);
            int32_t value = ek_multiply_double(square, y_multiplier, y_shift);
            *y++ = ek_clamp_s8(ek_add_wrap(value, ty->zero_point), -128, 127);
            a += a_step;
            b += b_step;
        }
        ek_broadcast_next(&plan, counters, &a_offset, &b_offset);
    }
}
