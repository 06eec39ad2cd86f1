/* y = table[x + 128]: every function of one int8, its table computed when the model is compiled.
 * x and y of the same number of elements, table int8 [256]. Params: none. Scratch: none.
 * Twin: edgekit/ops/activation.py. */
#include "ek_kernel.h"

ek_status ek_lut_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *table = &call->tensors[1];
    if (!ek_call_is(call, 2, 1, 0) || table->type != EK_S8 || table->constant == 0 ||
        table->count != 256 || call->tensors[0].count != call->tensors[2].count) {
        return EK_ERR_SHAPE;
    }
    need->lead = 0;
    return EK_OK;
}

void ek_lut_s8(const ek_call *call) {
    const int8_t *x = (const int8_t *)call->tensors[0].data;
    const int8_t *middle = (const int8_t *)call->tensors[1].data + 128;
    int8_t *y = (int8_t *)call->tensors[2].write;
    for (uint32_t i = call->tensors[0].count; i != 0; i--) {
        *y++ = middle[*x++];
    }
}
