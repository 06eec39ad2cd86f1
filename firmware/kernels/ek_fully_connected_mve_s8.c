/* FULLY_CONNECTED, weights packed for cores with MVE: x [.., K] seen as [rows, K], w int8
 * [ceil(M / 4), 4 * K + 48] with K rounded up to 16 (ek_tile_mve.h), y [rows, M].
 * Params: terms (K), y_min, y_max, rounding; multiplier, shift, columns for reading back.
 * Scratch: two rows if K is no multiple of 16. Twin: edgekit/ops/mve.py, FULLY_CONNECTED_MVE. */
#include "ek_tile_mve.h"

enum { TERMS, Y_MIN, Y_MAX, ROUNDING, MULTIPLIER, SHIFT, COLUMNS, PARAMS };

static uint32_t rows_of(const ek_call *call) {
    return call->tensors[0].count / (uint32_t)ek_param(call, TERMS);
}

ek_status ek_fully_connected_mve_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *y = &call->tensors[2];
    if (!ek_call_is(call, 2, 1, PARAMS) || !ek_params_in(call, TERMS, 1, 1, EK_MAX_TERMS) ||
        x->count % (uint32_t)ek_param(call, TERMS) != 0 || y->count % rows_of(call) != 0 ||
        x->count > EK_MAX_INDEX || y->count > EK_MAX_INDEX) {
        return EK_ERR_SHAPE;
    }
    if (!ek_clamp_ok(call, Y_MIN) || !ek_params_in(call, ROUNDING, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    const uint32_t terms = (uint32_t)ek_param(call, TERMS);
    const uint32_t outputs = y->count / rows_of(call);
    if (!ek_mve_records_ok(&call->tensors[1], (outputs + 3) / 4,
                           ek_mve_record_bytes(ek_mve_steps(terms)))) {
        return EK_ERR_RANGE;
    }
    ek_pointwise_mve_need(rows_of(call), terms, outputs, need);
    return EK_OK;
}

void ek_fully_connected_mve_s8(const ek_call *call) {
    const ek_tensor *y = &call->tensors[2];
    const uint32_t rows = rows_of(call);
    const uint32_t terms = (uint32_t)ek_param(call, TERMS);
    const uint32_t outputs = y->count / rows;
    const ek_tile_mve t = {
        .x = (const int8_t *)call->tensors[0].data,
        .x_step = terms,
        .w = call->tensors[1].data,
        .y = (int8_t *)y->write,
        .y_step = outputs,
        .pixels = rows,
        .steps = ek_mve_steps(terms),
        .zero_point = y->zero_point,
        .low = ek_param(call, Y_MIN),
        .high = ek_param(call, Y_MAX),
    };
    ek_tile_mve_fn fn;
    if (ek_param(call, ROUNDING) == EK_ROUND_SINGLE) {
        fn = rows == 1 ? ek_row_single_mve : ek_tile_single_mve;
    } else {
        fn = rows == 1 ? ek_row_away_mve : ek_tile_away_mve;
    }
    ek_pointwise_mve(&t, fn, terms, outputs, call->scratch);
}
