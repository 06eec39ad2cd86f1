/* y = x in another shape. The planner lays y on x where it can; then nothing moves. Params: none.
 * Scratch: none. Twin: edgekit/ops/layout.py, RESHAPE. */
#include "ek_kernel.h"

ek_status ek_copy_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (!ek_call_is(call, 1, 1, 0) || call->tensors[0].count != call->tensors[1].count) {
        return EK_ERR_SHAPE;
    }
    return EK_OK;
}

void ek_copy_s8(const ek_call *call) {
    if (call->tensors[1].write != call->tensors[0].data) {
        memcpy(call->tensors[1].write, call->tensors[0].data, call->tensors[0].count);
    }
}
