/* y = the larger (sign 1) or the smaller (sign -1) of a and b, with broadcasting; all three have
 * the same scale. Params: sign. Scratch: none. Source:
 * tensorflow/lite/kernels/internal/reference/maximum_minimum.h. Twin: edgekit/ops/elementwise.py,
 * MAXIMUM. */
#include "ek_broadcast.h"
#include "ek_kernel.h"

enum { SIGN, PARAMS };

ek_status ek_maximum_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (!ek_call_is(call, 2, 1, PARAMS) ||
        !ek_broadcast_ok(&call->tensors[0], &call->tensors[1], &call->tensors[2])) {
        return EK_ERR_SHAPE;
    }
    if (ek_param(call, SIGN) != 1 && ek_param(call, SIGN) != -1) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

void ek_maximum_s8(const ek_call *call) {
    const ek_tensor *ta = &call->tensors[0];
    const ek_tensor *tb = &call->tensors[1];
    const ek_tensor *ty = &call->tensors[2];
    const int32_t sign = ek_param(call, SIGN);
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
            *y++ = *a * sign > *b * sign ? *a : *b;
            a += a_step;
            b += b_step;
        }
        ek_broadcast_next(&plan, counters, &a_offset, &b_offset);
    }
}
