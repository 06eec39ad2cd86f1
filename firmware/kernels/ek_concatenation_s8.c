/* y = the inputs one after the other along one dimension; all have the same scale. Inputs that lie
 * in y already, where it is so laid out that they follow one another, are not moved.
 * Params: axis. Scratch: none.
 * Twin: edgekit/ops/layout.py, CONCATENATION. */
#include "ek_kernel.h"

enum { AXIS, PARAMS };

static size_t outer_of(const ek_tensor *y, uint32_t axis) {
    size_t outer = 1;
    for (uint32_t d = 0; d < axis; d++) {
        outer *= y->dims[d];
    }
    return outer;
}

ek_status ek_concatenation_s8_check(const ek_call *call, ek_need *need) {
    const uint32_t inputs = call->inputs;
    const ek_tensor *y = &call->tensors[inputs];
    uint64_t sum = 0;
    if (inputs == 0 || !ek_call_is(call, inputs, 1, PARAMS) || y->rank == 0) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, AXIS, 1, 0, (int32_t)y->rank - 1)) {
        return EK_ERR_RANGE;
    }
    const uint32_t axis = (uint32_t)ek_param(call, AXIS);
    for (uint32_t i = 0; i < inputs; i++) {
        const ek_tensor *x = &call->tensors[i];
        if (x->type != EK_S8 || x->rank != y->rank) {
            return EK_ERR_SHAPE;
        }
        for (uint32_t d = 0; d < y->rank; d++) {
            if (d != axis && x->dims[d] != y->dims[d]) {
                return EK_ERR_SHAPE;
            }
        }
        sum += x->dims[axis];
    }
    need->joins = outer_of(y, axis) == 1;
    return sum == y->dims[axis] ? EK_OK : EK_ERR_SHAPE;
}

void ek_concatenation_s8(const ek_call *call) {
    const ek_tensor *y = &call->tensors[call->inputs];
    const uint32_t axis = (uint32_t)ek_param(call, AXIS);
    const size_t outer = outer_of(y, axis);
    const size_t inner = y->count / (outer * y->dims[axis]);
    uint8_t *start = y->write;
    for (uint32_t i = 0; i < call->inputs; i++) {
        const size_t run = call->tensors[i].dims[axis] * inner;
        const uint8_t *from = call->tensors[i].data;
        uint8_t *to = start;
        for (size_t n = from == start ? 0 : outer; n != 0; n--) {
            memcpy(to, from, run);
            from += run;
            to += y->dims[axis] * inner;
        }
        start += run;
    }
}
