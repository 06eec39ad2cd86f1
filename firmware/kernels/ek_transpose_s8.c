/* y[i0, i1, ..] = x with dimension perm[d] of x as dimension d of y.
 * Params: perm, 6 values, of which the first rank count. Scratch: none.
 * Twin: edgekit/ops/layout.py, TRANSPOSE. */
#include "ek_kernel.h"

enum { PERM, PARAMS = EK_MAX_RANK };

ek_status ek_transpose_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    uint32_t seen = 0;
    if (!ek_call_is(call, 1, 1, PARAMS) || x->rank != y->rank || x->rank == 0) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, PERM, x->rank, 0, (int32_t)x->rank - 1)) {
        return EK_ERR_RANGE;
    }
    for (uint32_t i = 0; i < x->rank; i++) {
        uint32_t from = (uint32_t)ek_param(call, PERM + i);
        if ((seen & (1u << from)) != 0 || y->dims[i] != x->dims[from]) {
            return EK_ERR_SHAPE;
        }
        seen |= 1u << from;
    }
    return EK_OK;
}

void ek_transpose_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[1];
    const uint32_t rank = x->rank;
    size_t steps[EK_MAX_RANK]; /* of x, by dimension of y */
    uint32_t counters[EK_MAX_RANK] = {0};
    for (uint32_t i = 0; i < rank; i++) {
        size_t step = 1;
        for (uint32_t d = (uint32_t)ek_param(call, PERM + i) + 1; d < rank; d++) {
            step *= x->dims[d];
        }
        steps[i] = step;
    }
    const uint32_t row = y->dims[rank - 1];
    const size_t row_step = steps[rank - 1];
    int8_t *out = (int8_t *)y->write;
    size_t offset = 0;
    for (uint32_t rows = y->count / row; rows != 0; rows--) {
        const int8_t *p = (const int8_t *)x->data + offset;
        if (row_step == 1) {
            memcpy(out, p, row);
            out += row;
        } else {
            for (uint32_t i = row; i != 0; i--) {
                *out++ = *p;
                p += row_step;
            }
        }
        for (uint32_t i = rank - 1; i != 0; i--) {
            offset += steps[i - 1];
            counters[i - 1]++;
            if (counters[i - 1] < y->dims[i - 1]) {
                break;
            }
            offset -= steps[i - 1] * y->dims[i - 1];
            counters[i - 1] = 0;
        }
    }
}
