/* x [.., K] seen as [rows, K], w [M, K], requant int32 [M, 3] (bias, multiplier, shift) or [M, 1]
 * (bias), y [rows, M]. Params: multiplier, shift (for [M, 1]), y_min, y_max, rounding. Source:
 * tensorflow/lite/kernels/internal/reference/integer_ops/fully_connected.h. Twin:
 * edgekit/ops/dense.py, FULLY_CONNECTED. */
#include "ek_lead.h"
#include "ek_matmul_s8.h"

enum { MULTIPLIER, SHIFT, Y_MIN, Y_MAX, ROUNDING, PARAMS };

ek_status ek_fully_connected_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *q = &call->tensors[2];
    const ek_tensor *y = &call->tensors[3];
    if (!ek_call_is(call, 3, 1, PARAMS) || w->type != EK_S8 || w->constant == 0 || w->rank != 2 ||
        w->dims[1] > EK_MAX_TERMS || x->count % w->dims[1] != 0 || y->count % w->dims[0] != 0 ||
        x->count / w->dims[1] != y->count / w->dims[0]) {
        return EK_ERR_SHAPE;
    }
    if (!ek_scale_ok(call, MULTIPLIER) || !ek_clamp_ok(call, Y_MIN) ||
        !ek_params_in(call, ROUNDING, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    if (q->rank == 2 && q->dims[1] == 1) {
        if (q->type != EK_S32 || q->constant == 0 || q->dims[0] != w->dims[0]) {
            return EK_ERR_SHAPE;
        }
    } else if (!ek_requant_rows_ok(q, w->dims[0])) {
        return EK_ERR_RANGE;
    }
    const uint32_t rows = x->count / w->dims[1];
    need->lead = ek_rows_lead(rows, w->dims[1], w->dims[0]);
    return EK_OK;
}

void ek_fully_connected_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *y = &call->tensors[3];
    const ek_matmul m = {
        .weights = (const int8_t *)w->data,
        .requant = call->tensors[2].data,
        .requant_stride = 4u * call->tensors[2].dims[1],
        .multiplier = ek_param(call, MULTIPLIER),
        .shift = ek_param(call, SHIFT),
        .n = w->dims[0],
        .k = w->dims[1],
        .y_zero_point = y->zero_point,
        .y_min = ek_param(call, Y_MIN),
        .y_max = ek_param(call, Y_MAX),
        .rounding = ek_param(call, ROUNDING),
        .x = (const int8_t *)x->data,
    };
    ek_matmul_s8(&m, x->count / m.k, (int8_t *)y->write);
}
