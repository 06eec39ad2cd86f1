/* y = x as int32: an int8 of 0 and 1 that was a truth value. Params: none. Scratch: none.
 * Source: tensorflow/lite/kernels/cast.cc. Twin: edgekit/ops/logic.py, WIDEN. */
#include "ek_kernel.h"

ek_status ek_widen_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (call->inputs != 1 || call->outputs != 1 || call->param_count != 0 ||
        call->tensors[0].type != EK_S8 || call->tensors[1].type != EK_S32 ||
        call->tensors[0].count != call->tensors[1].count) {
        return EK_ERR_SHAPE;
    }
    return EK_OK;
}

void ek_widen_s8(const ek_call *call) {
    const int8_t *x = (const int8_t *)call->tensors[0].data;
    uint8_t *y = call->tensors[1].write;
    for (uint32_t i = call->tensors[0].count; i != 0; i--) {
        ek_put_u32(y, (uint32_t)(int32_t)*x++);
        y += 4;
    }
}
