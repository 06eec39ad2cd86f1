/* y = running sums of x along one dimension, both int32; sums wrap. exclusive 1: without the
 * element itself; reverse 1: from the end. Params: axis, exclusive, reverse. Scratch: none. Source:
 * tensorflow/lite/kernels/internal/optimized/optimized_ops.h, CumSum. Twin: edgekit/ops/logic.py,
 * CUMULATE. */
#include "ek_kernel.h"

enum { AXIS, EXCLUSIVE, REVERSE, PARAMS };

ek_status ek_cumulate_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    if (call->inputs != 1 || call->outputs != 1 || call->param_count != PARAMS ||
        x->type != EK_S32 || call->tensors[1].type != EK_S32 || x->rank == 0 ||
        !ek_same_dims(x, &call->tensors[1])) {
        return EK_ERR_SHAPE;
    }
    return ek_params_in(call, AXIS, 1, 0, (int32_t)x->rank - 1) &&
                   ek_params_in(call, EXCLUSIVE, 2, 0, 1)
               ? EK_OK
               : EK_ERR_RANGE;
}

void ek_cumulate_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const uint32_t axis = (uint32_t)ek_param(call, AXIS);
    const int32_t exclusive = ek_param(call, EXCLUSIVE);
    const int32_t reverse = ek_param(call, REVERSE);
    const size_t length = x->dims[axis];
    size_t inner = 1;
    for (uint32_t d = axis + 1; d < x->rank; d++) {
        inner *= x->dims[d];
    }
    const size_t lines = x->count / length;
    for (size_t line = 0; line < lines; line++) {
        const size_t first = line / inner * inner * length + line % inner;
        uint32_t sum = 0;
        for (size_t i = 0; i < length; i++) {
            const size_t at = 4 * (first + inner * (reverse ? length - 1 - i : i));
            const uint32_t value = ek_get_u32(x->data + at);
            ek_put_u32(call->tensors[1].write + at, exclusive ? sum : sum + value);
            sum += value;
        }
    }
}
