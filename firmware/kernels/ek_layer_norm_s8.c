/* Normalizes rows of x [.., N] over the last dimension: with centred = 1 y = (x - mean) / sqrt(var
 * + epsilon) * gamma + beta, with 0 y = x / sqrt(mean of squares + epsilon) * gamma + beta. An
 * operator of our own. Mean and variance are exact, the inverse root is right to 2^-24.
 * rows int32 [N, 2]: gamma, beta, scaled for the output as edgekit/ops/norm.py does; beta contains
 * the output's zero point and a half, |beta| < 2^30. Params: centred; eps_high, eps_low: epsilon,
 * in units of x squared, times N^2 2^8, its bits from 31 up and below; fraction: bits of beta
 * behind the point; y_min, y_max. Scratch: none. Twin: edgekit/ops/norm.py, LAYER_NORM and
 * layer_norm. */
#include "ek_norm_row.h"

enum { CENTRED, EPS_HIGH, EPS_LOW, FRACTION, Y_MIN, Y_MAX, PARAMS };

ek_status ek_layer_norm_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *rows = &call->tensors[1];
    if (!ek_call_is(call, 2, 1, PARAMS) || x->rank == 0 || !ek_same_dims(x, &call->tensors[2]) ||
        x->dims[x->rank - 1] > EK_MAX_TERMS || rows->type != EK_S32 || rows->constant == 0 ||
        rows->rank != 2 || rows->dims[0] != x->dims[x->rank - 1] || rows->dims[1] != 2) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, CENTRED, 1, 0, 1) || !ek_params_in(call, EPS_HIGH, 2, 0, INT32_MAX) ||
        !ek_params_in(call, FRACTION, 1, 0, 30) || !ek_clamp_ok(call, Y_MIN)) {
        return EK_ERR_RANGE;
    }
    for (uint32_t i = 0; i < rows->dims[0]; i++) {
        int32_t beta = ek_get_i32(rows->data + 8 * (size_t)i + 4);
        if (beta <= -(1 << 30) || beta >= 1 << 30) {
            return EK_ERR_RANGE;
        }
    }
    return EK_OK;
}

void ek_layer_norm_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const uint32_t n = x->dims[x->rank - 1];
    const ek_norm norm = {
        .rows = call->tensors[1].data,
        .count = n,
        .zero_point = x->zero_point,
        .centred = (int)ek_param(call, CENTRED),
        .epsilon = ((uint64_t)ek_param(call, EPS_HIGH) << 31) + (uint64_t)ek_param(call, EPS_LOW),
        .fraction = ek_param(call, FRACTION),
        .y_min = ek_param(call, Y_MIN),
        .y_max = ek_param(call, Y_MAX),
        .format = ek_norm_format_of(n),
    };
    const int8_t *from = (const int8_t *)x->data;
    int8_t *to = (int8_t *)call->tensors[2].write;
    for (uint32_t rows = x->count / n; rows != 0; rows--) {
        ek_norm_row(&norm, from, to);
        from += n;
        to += n;
    }
}
