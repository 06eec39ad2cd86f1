/* Pools the rows of a sentence up to the count: x [1, L, d], count int32 [1] -> y: the mean of the
 * rows, then the largest of each column, as asked; the first row if neither is. x and y have one
 * scale. Params: mean, max. Scratch: none. Twin: edgekit/ops/text.py, _pool */
#include "ek_sentence.h"

enum { MEAN, MAX, PARAMS };
enum { X, COUNT, Y };

ek_status ek_text_pool_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *t = call->tensors;
    if (!ek_call_is(call, 2, 1, PARAMS) || !ek_states_ok(&t[X]) || !ek_count_ok(&t[COUNT]) ||
        t[X].dims[1] > EK_MAX_TERMS) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, MEAN, 2, 0, 1)) {
        return EK_ERR_RANGE;
    }
    const uint32_t parts = (uint32_t)(ek_param(call, MEAN) + ek_param(call, MAX));
    return t[Y].count == (parts == 2 ? 2u : 1u) * t[X].dims[2] ? EK_OK : EK_ERR_SHAPE;
}

void ek_text_pool_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[X];
    const uint32_t d = x->dims[2];
    const uint32_t count = ek_count(&call->tensors[COUNT], x->dims[1]);
    const int mean = ek_param(call, MEAN) != 0;
    const int most = ek_param(call, MAX) != 0;
    int8_t *y = (int8_t *)call->tensors[Y].write;
    int8_t *top = y + (mean ? d : 0);
    if (!mean && !most) {
        ek_copy_bytes(y, (const int8_t *)x->data, d);
        return;
    }
    for (uint32_t c = 0; c < d; c++) {
        const int8_t *p = (const int8_t *)x->data + c;
        uint32_t sum = 0; /* of values from 0 up */
        int32_t largest = -128;
        for (uint32_t row = count; row != 0; row--) {
            const int32_t value = *p;
            sum += (uint32_t)(value + 128);
            largest = value > largest ? value : largest;
            p += row == 1 ? 0 : d;
        }
        if (mean) {
            y[c] = (int8_t)((int32_t)((2u * sum + count) / (2u * count)) - 128);
        }
        if (most) {
            top[c] = (int8_t)largest;
        }
    }
}
