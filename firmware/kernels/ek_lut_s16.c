/* y = f(x), both int16: a function as a table, interpolated. x and y of the same number of
 * elements, table int16 [513]. Params: none. Scratch: none. Source: ek_table_s16.h. Twin:
 * edgekit/ops/wide_table.py, LUT_S16. */
#include "ek_table_s16.h"

enum { PARAMS };

ek_status ek_lut_s16_check(const ek_call *call, ek_need *need) {
    (void)need;
    if (!ek_call_has(call, 2, 1, PARAMS, EK_S16) || !ek_table_ok(&call->tensors[1]) ||
        call->tensors[0].count != call->tensors[2].count) {
        return EK_ERR_SHAPE;
    }
    return EK_OK;
}

void ek_lut_s16(const ek_call *call) {
    const int16_t *x = ek_s16(&call->tensors[0]);
    const int16_t *table = ek_s16(&call->tensors[1]);
    int16_t *y = ek_s16_write(&call->tensors[2]);
    for (uint32_t i = call->tensors[0].count; i != 0; i--) {
        *y++ = (int16_t)ek_table_look(table, *x++);
    }
}
