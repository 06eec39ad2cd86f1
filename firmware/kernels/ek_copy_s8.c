/* y = the bytes of x, in another shape or type. The planner lays y on x where it can; then nothing
 * moves. Params: none. Scratch: none. Twin: edgekit/ops/layout.py, COPY. */
#include "ek_kernel.h"

static size_t bytes_of(const ek_tensor *t) {
    return t->count * (size_t)ek_type_bytes(t->type);
}

ek_status ek_copy_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (call->inputs != 1 || call->outputs != 1 || call->param_count != 0 ||
        bytes_of(&call->tensors[0]) != bytes_of(&call->tensors[1])) {
        return EK_ERR_SHAPE;
    }
    return EK_OK;
}

void ek_copy_s8(const ek_call *call) {
    if (call->tensors[1].write != call->tensors[0].data) {
        memcpy(call->tensors[1].write, call->tensors[0].data, bytes_of(&call->tensors[0]));
    }
}
