/* fully_connected with weights packed for small cores: x [.., K] seen as [rows, K], w [groups of 4
 * outputs, K, 4] + 128, requant int32 [M, 3] (bias, multiplier, shift) or [M, 1] (bias), y
 * [rows, M]. Params: those of fully_connected, then tiled: 1 to compute four rows at a time.
 * Scratch: ek_matmul_small_scratch_bytes. Twin: edgekit/ops/small.py, FULLY_CONNECTED_SMALL. */
#include "ek_matmul_small.h"

enum { MULTIPLIER, SHIFT, Y_MIN, Y_MAX, ROUNDING, TILED, PARAMS };

ek_status ek_fully_connected_small_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *q = &call->tensors[2];
    const ek_tensor *y = &call->tensors[3];
    if (!ek_call_is(call, 3, 1, PARAMS) || q->rank != 2 || !ek_small_weights_ok(w, q->dims[0]) ||
        x->count % w->dims[1] != 0 || y->count % q->dims[0] != 0 ||
        x->count / w->dims[1] != y->count / q->dims[0]) {
        return EK_ERR_SHAPE;
    }
    if (!ek_scale_ok(call, MULTIPLIER) || !ek_clamp_ok(call, Y_MIN) ||
        !ek_params_in(call, ROUNDING, 1, 0, 1) || !ek_params_in(call, TILED, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    if (q->dims[1] == 1) {
        if (q->type != EK_S32 || q->constant == 0) {
            return EK_ERR_SHAPE;
        }
        if (ek_param(call, MULTIPLIER) != 0 && ek_param(call, SHIFT) >= 0) {
            return EK_ERR_RANGE;
        }
    } else if (!ek_small_rows_ok(q, q->dims[0])) {
        return EK_ERR_RANGE;
    }
    need->scratch_bytes = ek_matmul_small_scratch_bytes(w->dims[1], ek_param(call, TILED), 0);
    need->lead = ek_small_rows_lead(x->count / w->dims[1], w->dims[1], q->dims[0]);
    return EK_OK;
}

void ek_fully_connected_small_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *w = &call->tensors[1];
    const ek_tensor *q = &call->tensors[2];
    const ek_tensor *y = &call->tensors[3];
    const ek_small_matmul m = {
        .weights = w->data,
        .requant = q->data,
        .requant_stride = 4u * q->dims[1],
        .multiplier = ek_param(call, MULTIPLIER),
        .shift = ek_param(call, SHIFT),
        .n = q->dims[0],
        .k = w->dims[1],
        .tiled = (uint32_t)ek_param(call, TILED),
        .out = {y->zero_point, ek_param(call, Y_MIN), ek_param(call, Y_MAX)},
        .rounding = ek_param(call, ROUNDING),
        .x = (const int8_t *)x->data,
        .scratch = call->scratch,
    };
    ek_matmul_small(&m, x->count / m.k, (int8_t *)y->write);
}
