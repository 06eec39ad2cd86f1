/* y = a where the condition is not 0, else b, with broadcasting of all three. Condition int8; a, b
 * and y all int8 with one scale, or all int32. Params: none. Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/select.h. Twin: edgekit/ops/logic.py, SELECT.
 */
#include "ek_broadcast.h"
#include "ek_kernel.h"

enum { OPERANDS = 3 };

ek_status ek_select_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *y = &call->tensors[OPERANDS];
    if (call->inputs != OPERANDS || call->outputs != 1 || call->param_count != 0 ||
        !ek_broadcast_fits(&call->tensors[0], y, EK_S8) ||
        !ek_broadcast_fits(&call->tensors[1], y, y->type) ||
        !ek_broadcast_fits(&call->tensors[2], y, y->type)) {
        return EK_ERR_SHAPE;
    }
    return EK_OK;
}

/* How far an operand moves, in elements, per dimension of y. */
static void steps_of(const ek_tensor *t, const ek_tensor *y, uint32_t steps[EK_MAX_RANK]) {
    uint32_t size = 1;
    for (uint32_t i = 0; i < y->rank; i++) {
        const uint32_t dim = i < t->rank ? t->dims[t->rank - 1 - i] : 1;
        steps[y->rank - 1 - i] = dim == 1 ? 0 : size;
        size *= dim;
    }
}

void ek_select_s8(const ek_call *call) {
    const ek_tensor *ty = &call->tensors[OPERANDS];
    const size_t width = ek_type_bytes(ty->type);
    uint32_t steps[OPERANDS][EK_MAX_RANK];
    uint32_t counters[EK_MAX_RANK] = {0};
    size_t at[OPERANDS] = {0};
    for (uint32_t t = 0; t < OPERANDS; t++) {
        steps_of(&call->tensors[t], ty, steps[t]);
    }
    uint8_t *y = ty->write;
    for (uint32_t left = ty->count; left != 0; left--) {
        const uint32_t t = call->tensors[0].data[at[0]] != 0 ? 1 : 2;
        memcpy(y, call->tensors[t].data + width * at[t], width);
        y += width;
        for (uint32_t d = ty->rank; d != 0; d--) {
            const uint32_t dim = ty->dims[d - 1];
            const int wraps = ++counters[d - 1] == dim;
            for (uint32_t o = 0; o < OPERANDS; o++) {
                at[o] += steps[o][d - 1];
                at[o] -= wraps ? (size_t)steps[o][d - 1] * dim : 0;
            }
            if (!wraps) {
                break;
            }
            counters[d - 1] = 0;
        }
    }
}
