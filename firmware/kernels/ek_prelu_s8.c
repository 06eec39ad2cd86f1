/* y = a where a is not negative, else a * b, with broadcasting.
 * Params: multiplier, shift of a; multiplier, shift of a * b. Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/prelu.h, BroadcastPrelu4DSlow.
 * Twin: edgekit/ops/elementwise.py, PRELU. */
#include "ek_broadcast.h"
#include "ek_fixed.h"
#include "ek_kernel.h"

enum { POSITIVE_MULTIPLIER, POSITIVE_SHIFT, NEGATIVE_MULTIPLIER, NEGATIVE_SHIFT, PARAMS };

ek_status ek_prelu_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (!ek_call_is(call, 2, 1, PARAMS) ||
        !ek_broadcast_ok(&call->tensors[0], &call->tensors[1], &call->tensors[2])) {
        return EK_ERR_SHAPE;
    }
    if (!ek_scale_ok(call, POSITIVE_MULTIPLIER) || !ek_scale_ok(call, NEGATIVE_MULTIPLIER)) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

void ek_prelu_s8(const ek_call *call) {
    const ek_tensor *ta = &call->tensors[0];
    const ek_tensor *tb = &call->tensors[1];
    const ek_tensor *ty = &call->tensors[2];
    const int32_t positive_multiplier = ek_param(call, POSITIVE_MULTIPLIER);
    const int32_t positive_shift = ek_param(call, POSITIVE_SHIFT);
    const int32_t negative_multiplier = ek_param(call, NEGATIVE_MULTIPLIER);
    const int32_t negative_shift = ek_param(call, NEGATIVE_SHIFT);
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
            int32_t value = *a - ta->zero_point;
            if (value >= 0) {
                value = ek_multiply_double(value, positive_multiplier, positive_shift);
            } else {
                value = ek_multiply_double(value * (*b - tb->zero_point), negative_multiplier,
                                           negative_shift);
            }
            *y++ = ek_clamp_s8(ek_add_wrap(value, ty->zero_point), -128, 127);
            a += a_step;
            b += b_step;
        }
        ek_broadcast_next(&plan, counters, &a_offset, &b_offset);
    }
}
