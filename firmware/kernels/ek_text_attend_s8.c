/* The attention branch of a sentence model, four rows at a time: y = base + (softmax((n Wq + bq)
 * n') n) Wo + bo, keys and values are n itself. base, n, y [1, L, d], count int32 [1], Wq, Wo [d,
 * d] with requant as of ek_fully_connected_s8, exp int32 [256]. With adds = 0 base is not read. y
 * may be base if adds = 1. An operator of our own. Params: adds; q multiplier, shift, zero; score
 * left, multiplier, fraction; mix multiplier, shift, zero; multiplier, shift, zero of the product
 * with Wo; factors and offset of the sum; rounding. Scratch: scores of four rows, three times four
 * rows. Twin: edgekit/ops/text.py, _attend */
#include "ek_sentence.h"
#include "ek_weigh.h"

enum {
    ADDS,
    Q_MULTIPLIER,
    Q_SHIFT,
    Q_ZERO,
    SCORE_LEFT,
    SCORE_MULTIPLIER,
    FRACTION,
    MIX_MULTIPLIER,
    MIX_SHIFT,
    MIX_ZERO,
    MULTIPLIER,
    SHIFT,
    ZERO,
    JOIN,
    JOIN_FACTOR,
    JOIN_OFFSET,
    ROUNDING,
    PARAMS
};
enum { BASE, N, COUNT, WQ, RQ, WO, RO, EXP, Y };

ek_status ek_text_attend_s8_check(const ek_call *call, ek_need *need) {
    const ek_tensor *t = call->tensors;
    if (!ek_call_is(call, 8, 1, PARAMS) || !ek_states_ok(&t[N]) || !ek_states_ok(&t[BASE]) ||
        !ek_same_dims(&t[N], &t[BASE]) || !ek_same_dims(&t[N], &t[Y]) || !ek_count_ok(&t[COUNT])) {
        return EK_ERR_SHAPE;
    }
    const uint32_t keys = t[N].dims[1];
    const uint32_t d = t[N].dims[2];
    if (keys > 8192 || !ek_weights_ok(&t[WQ], &t[RQ], d, d) ||
        !ek_weights_ok(&t[WO], &t[RO], d, d) || t[EXP].type != EK_S32 || t[EXP].constant == 0 ||
        t[EXP].count != 256) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, ADDS, 1, 0, 1) || !ek_scale_ok(call, Q_MULTIPLIER) ||
        !ek_params_in(call, Q_ZERO, 1, -128, 127) || !ek_params_in(call, SCORE_LEFT, 1, 0, 15) ||
        !ek_params_in(call, SCORE_MULTIPLIER, 1, 0, INT32_MAX) ||
        !ek_params_in(call, FRACTION, 1, 0, 8) ||
        !ek_params_in(call, MIX_MULTIPLIER, 1, 0, INT32_MAX) ||
        !ek_params_in(call, MIX_SHIFT, 1, -9, 8) || !ek_params_in(call, MIX_ZERO, 1, -128, 127) ||
        !ek_scale_ok(call, MULTIPLIER) || !ek_params_in(call, ZERO, 1, -128, 127) ||
        !ek_join_ok(call, JOIN) || !ek_params_in(call, ROUNDING, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    if (d > (uint32_t)INT32_MAX >> (16 + ek_param(call, SCORE_LEFT))) {
        return EK_ERR_RANGE;
    }
    /* Weights are at most half the largest of the table, rounded up; their sum stays below 2^23. */
    for (uint32_t i = 0; i < 256; i++) {
        const int32_t value = ek_get_i32(t[EXP].data + 4 * (size_t)i);
        if (value < 0 || value > 65534 || ((int64_t)value + 1) / 2 * keys > 1 << 23 ||
            (i == 0 && value == 0)) {
            return EK_ERR_RANGE;
        }
    }
    need->scratch_bytes = 4u * EK_ATTEND_ROWS * keys + 2u * ek_attend_lanes(d) + 2u * EK_ROWS * d;
    if (ek_param(call, ADDS) != 0) {
        need->lead = 0;
    }
    return EK_OK;
}

static ek_matmul product(const ek_call *call, uint32_t weights, uint32_t scale, const int8_t *x) {
    const ek_tensor *w = &call->tensors[weights];
    const ek_tensor *requant = &call->tensors[weights + 1u];
    const ek_matmul m = {
        .weights = (const int8_t *)w->data,
        .requant = requant->data,
        .requant_stride = 4u * requant->dims[1],
        .multiplier = ek_param(call, scale),
        .shift = ek_param(call, scale + 1u),
        .n = w->dims[0],
        .k = w->dims[1],
        .y_zero_point = ek_param(call, scale + 2u),
        .y_min = -128,
        .y_max = 127,
        .rounding = ek_param(call, ROUNDING),
        .x = x,
    };
    return m;
}

/* Attends from rows of queries q to all keys; writes mixed. */
static void attend_block(const ek_call *call, const int8_t *q, uint32_t rows, uint32_t keys,
                         int8_t *mixed) {
    const ek_tensor *n = &call->tensors[N];
    const uint32_t d = n->dims[2];
    const int32_t left = ek_param(call, SCORE_LEFT);
    const int32_t multiplier = ek_param(call, SCORE_MULTIPLIER);
    int32_t *scores = (int32_t *)(void *)call->scratch;
    int16_t *lanes = (int16_t *)(void *)(scores + (size_t)EK_ATTEND_ROWS * n->dims[1]);
    ek_attend_expand(q, d, rows, d, ek_param(call, Q_ZERO), lanes);
    ek_attend_scores(lanes, (const int8_t *)n->data, d, keys, d, scores);
    for (uint32_t i = 0; i < EK_ATTEND_ROWS * keys; i++) {
        const int32_t sum = (int32_t)((uint32_t)scores[i] << left);
        scores[i] = (int32_t)(((int64_t)sum * multiplier) >> 32);
    }
    ek_attend attend = {
        .weights = scores,
        .v = (const int8_t *)n->data,
        .v_stride = d,
        .keys = keys,
        .width = d,
        .rows = rows,
        .y = mixed,
        .y_stride = d,
        .y_zero = ek_param(call, MIX_ZERO),
    };
    for (uint32_t row = 0; row < rows; row++) {
        const int32_t total = ek_weigh(call->tensors[EXP].data, (uint32_t)ek_param(call, FRACTION),
                                       keys, scores + row);
        attend.row[row] = ek_attend_row_of(ek_param(call, MIX_MULTIPLIER),
                                           ek_param(call, MIX_SHIFT), n->zero_point, total);
    }
    ek_attend_mix(&attend);
}

void ek_text_attend_s8(const ek_call *call) {
    const ek_tensor *n = &call->tensors[N];
    const uint32_t d = n->dims[2];
    const uint32_t keys = ek_count(&call->tensors[COUNT], n->dims[1]);
    const int8_t *base = (const int8_t *)call->tensors[BASE].data;
    int8_t *y = (int8_t *)call->tensors[Y].write;
    int8_t *rows = (int8_t *)call->scratch + 4u * EK_ATTEND_ROWS * (size_t)n->dims[1] +
                   2u * (size_t)ek_attend_lanes(d);
    int8_t *mixed = rows + EK_ROWS * (size_t)d;
    const ek_matmul out = product(call, WO, MULTIPLIER, mixed);
    ek_matmul query = product(call, WQ, Q_MULTIPLIER, (const int8_t *)n->data);
    for (uint32_t first = 0; first < keys; first += EK_ROWS) {
        const uint32_t block = keys - first < EK_ROWS ? keys - first : EK_ROWS;
        const size_t bytes = (size_t)block * d;
        ek_matmul_s8(&query, block, rows);
        attend_block(call, rows, block, keys, mixed);
        if (ek_param(call, ADDS) != 0) {
            ek_matmul_s8(&out, block, rows);
            ek_join_rows(call, JOIN, base, rows, y, bytes);
        } else {
            ek_matmul_s8(&out, block, y);
        }
        query.x += bytes;
        base += bytes;
        y += bytes;
    }
}
