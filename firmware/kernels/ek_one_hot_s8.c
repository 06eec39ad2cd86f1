/* y = on where its coordinate along one dimension equals the index, else off. Indices int32, y int8
 * with that dimension more. Params: axis, on, off. Scratch: none.
 * Source: tensorflow/lite/kernels/one_hot.cc. Twin: edgekit/ops/gather.py, ONE_HOT. */
#include "ek_kernel.h"

enum { AXIS, ON, OFF, PARAMS };

ek_status ek_one_hot_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    if (call->inputs != 1 || call->outputs != 1 || call->param_count != PARAMS ||
        x->type != EK_S32 || y->type != EK_S8 || y->rank != x->rank + 1) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, AXIS, 1, 0, (int32_t)x->rank) ||
        !ek_params_in(call, ON, 2, -128, 127)) {
        return EK_ERR_RANGE;
    }
    const uint32_t axis = (uint32_t)ek_param(call, AXIS);
    for (uint32_t d = 0; d < x->rank; d++) {
        if (x->dims[d] != y->dims[d + (d >= axis)]) {
            return EK_ERR_SHAPE;
        }
    }
    return y->dims[axis] <= INT32_MAX ? EK_OK : EK_ERR_RANGE;
}

void ek_one_hot_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    const uint32_t axis = (uint32_t)ek_param(call, AXIS);
    const int32_t depth = (int32_t)y->dims[axis];
    const size_t outer = y->count / y->dims[axis];
    size_t inner = 1;
    for (uint32_t d = axis + 1; d < y->rank; d++) {
        inner *= y->dims[d];
    }
    memset(y->write, (int8_t)ek_param(call, OFF), y->count);
    for (size_t i = 0; i < outer; i++) {
        const int32_t index = ek_get_i32(x->data + 4 * i);
        if (index >= 0 && index < depth) {
            const size_t at = i / inner * inner * (size_t)depth + i % inner;
            y->write[at + inner * (size_t)index] = (uint8_t)ek_param(call, ON);
        }
    }
}
