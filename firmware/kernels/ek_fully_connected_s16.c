/* x int16 [.., K] seen as [rows, K], w int8 [M, K], requant int32 [M, 4] (bias, 48 bits as two
 * words; multiplier; shift), y int16 [rows, M]. All zero points are 0. Params: y_min, y_max.
 * Scratch: none. Source: tensorflow/lite/kernels/internal/reference/integer_ops/fully_connected.h,
 * with int64_t sums. Twin: edgekit/ops/wide_dense.py, FULLY_CONNECTED_S16. */
#include "ek_wide.h"

enum { Y_MIN, Y_MAX, PARAMS };

ek_status ek_fully_connected_s16_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    if (!ek_call_has(call, 3, 1, PARAMS, EK_S16) || w->type != EK_S8 || w->constant == 0 ||
        w->rank != 2 || w->dims[1] > EK_MAX_TERMS || x->count % w->dims[1] != 0 ||
        y->count % w->dims[0] != 0 || x->count / w->dims[1] != y->count / w->dims[0]) {
        return EK_ERR_SHAPE;
    }
    if (!ek_clamp_16_ok(call, Y_MIN) ||
        !ek_wide_rows_ok(&call->tensors[2], w->dims[0], INT32_MAX)) {
        return EK_ERR_RANGE;
    }
    return EK_OK;
}

void ek_fully_connected_s16(const ek_call *call) {
    const ek_tensor *w = &call->tensors[1];
    const uint32_t outputs = w->dims[0];
    const size_t terms = w->dims[1];
    const int32_t y_min = ek_param(call, Y_MIN);
    const int32_t y_max = ek_param(call, Y_MAX);
    const int16_t *x = ek_s16(&call->tensors[0]);
    int16_t *y = ek_s16_write(&call->tensors[3]);
    for (size_t rows = call->tensors[0].count / terms; rows != 0; rows--) {
        const int8_t *row = (const int8_t *)w->data;
        const uint8_t *requant = call->tensors[2].data;
        for (uint32_t m = outputs; m != 0; m--) {
            const int64_t sum = ek_wide_dot(x, row, terms) + ek_wide_bias(requant);
            *y++ = ek_clamp_s16(
                ek_multiply_long(sum, ek_get_i32(requant + 8), ek_get_i32(requant + 12)), y_min,
                y_max);
            row += terms;
            requant += EK_WIDE_ROW_BYTES;
        }
        x += terms;
    }
}
