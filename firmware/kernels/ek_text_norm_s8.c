/* Normalizes the rows of a sentence up to the count: x [1, L, d], count int32 [1], rows int32 [d,
 * 2] as of ek_layer_norm_s8 with centred = 0 -> y [1, L, d]. Params: eps_high, eps_low, fraction. y
 * may be x. Scratch: none. Twin: edgekit/ops/text.py, _norm */
#include "ek_norm_row.h"
#include "ek_sentence.h"

enum { EPS_HIGH, EPS_LOW, FRACTION, PARAMS };
enum { X, COUNT, ROWS, Y };

ek_status ek_text_norm_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *t = call->tensors;
    if (!ek_call_is(call, 3, 1, PARAMS) || !ek_states_ok(&t[X]) || !ek_same_dims(&t[X], &t[Y]) ||
        !ek_count_ok(&t[COUNT]) || t[ROWS].type != EK_S32 || t[ROWS].constant == 0 ||
        t[ROWS].rank != 2 || t[ROWS].dims[0] != t[X].dims[2] || t[ROWS].dims[1] != 2) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, EPS_HIGH, 2, 0, INT32_MAX) || !ek_params_in(call, FRACTION, 1, 0, 30)) {
        return EK_ERR_RANGE;
    }
    for (uint32_t i = 0; i < t[ROWS].dims[0]; i++) {
        const int32_t beta = ek_get_i32(t[ROWS].data + 8 * (size_t)i + 4);
        if (beta <= -(1 << 30) || beta >= 1 << 30) {
            return EK_ERR_RANGE;
        }
    }
    need->lead = 0;
    return EK_OK;
}

void ek_text_norm_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[X];
    const uint32_t d = x->dims[2];
    const ek_norm norm = {
        .rows = call->tensors[ROWS].data,
        .count = d,
        .zero_point = x->zero_point,
        .centred = 0,
        .epsilon = ((uint64_t)ek_param(call, EPS_HIGH) << 31) + (uint64_t)ek_param(call, EPS_LOW),
        .fraction = ek_param(call, FRACTION),
        .y_min = -128,
        .y_max = 127,
        .format = ek_norm_format_of(d),
    };
    const int8_t *from = (const int8_t *)x->data;
    int8_t *to = (int8_t *)call->tensors[Y].write;
    for (uint32_t rows = ek_count(&call->tensors[COUNT], x->dims[1]); rows != 0; rows--) {
        ek_norm_row(&norm, from, to);
        from += d;
        to += d;
    }
}
