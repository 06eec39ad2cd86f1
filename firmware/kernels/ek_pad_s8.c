/* y = x with a border of one value.
 * Params: elements before x, 6 values, of which the first rank count; value. Scratch: none.
 * Twin: edgekit/ops/layout.py, PAD. */
#include "ek_kernel.h"

enum { BEFORE, VALUE = EK_MAX_RANK, PARAMS };

ek_status ek_pad_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    if (!ek_call_is(call, 1, 1, PARAMS) || x->rank != y->rank || x->rank == 0) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, BEFORE, x->rank, 0, INT32_MAX) ||
        !ek_params_in(call, VALUE, 1, -128, 127)) {
        return EK_ERR_RANGE;
    }
    for (uint32_t i = 0; i < x->rank; i++) {
        if ((uint64_t)ek_param(call, BEFORE + i) + x->dims[i] > y->dims[i]) {
            return EK_ERR_SHAPE;
        }
    }
    return EK_OK;
}

void ek_pad_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    size_t steps[EK_MAX_RANK]; /* of y */
    uint32_t counters[EK_MAX_RANK] = {0};
    size_t step = 1;
    size_t offset = 0;
    for (uint32_t i = x->rank; i != 0; i--) {
        steps[i - 1] = step;
        offset += (size_t)ek_param(call, BEFORE + i - 1) * step;
        step *= y->dims[i - 1];
    }
    memset(y->write, ek_param(call, VALUE), y->count);
    const uint32_t row = x->dims[x->rank - 1];
    const uint8_t *from = x->data;
    for (uint32_t rows = x->count / row; rows != 0; rows--) {
        memcpy(y->write + offset, from, row);
        from += row;
        for (uint32_t i = x->rank - 1; i != 0; i--) {
            offset += steps[i - 1];
            counters[i - 1]++;
            if (counters[i - 1] < x->dims[i - 1]) {
                break;
            }
            offset -= steps[i - 1] * x->dims[i - 1];
            counters[i - 1] = 0;
        }
    }
}
