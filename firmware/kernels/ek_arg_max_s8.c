/* y = index of the largest (sign 1) or smallest (sign -1) element of x along one dimension, the
 * first of equal ones. x int8 of any rank, y int32, x without that dimension. Params: axis, sign.
 * Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/arg_min_max.h.
 * Twin: edgekit/ops/gather.py, ARG_MAX. */
#include "ek_kernel.h"

enum { AXIS, SIGN, PARAMS };

ek_status ek_arg_max_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    if (call->inputs != 1 || call->outputs != 1 || call->param_count != PARAMS ||
        x->type != EK_S8 || y->type != EK_S32 || x->rank == 0) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, AXIS, 1, 0, (int32_t)x->rank - 1) ||
        (ek_param(call, SIGN) != 1 && ek_param(call, SIGN) != -1)) {
        return EK_ERR_RANGE;
    }
    if (x->count / x->dims[ek_param(call, AXIS)] != y->count) {
        return EK_ERR_SHAPE;
    }
    return EK_OK;
}

void ek_arg_max_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    const uint32_t axis = (uint32_t)ek_param(call, AXIS);
    const int32_t sign = ek_param(call, SIGN);
    const uint32_t length = x->dims[axis];
    size_t step = 1;
    for (uint32_t d = axis + 1; d < x->rank; d++) {
        step *= x->dims[d];
    }
    const int8_t *start = (const int8_t *)x->data;
    uint8_t *out = y->write;
    for (size_t outer = y->count / step; outer != 0; outer--) {
        for (size_t inner = 0; inner < step; inner++) {
            const int8_t *p = start + inner;
            int32_t best = *p * sign;
            uint32_t found = 0;
            for (uint32_t i = 1; i < length; i++) {
                p += step;
                if (*p * sign > best) {
                    best = *p * sign;
                    found = i;
                }
            }
            ek_put_u32(out, found);
            out += 4;
        }
        start += step * length;
    }
}
