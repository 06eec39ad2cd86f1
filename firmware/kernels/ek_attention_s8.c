/* y = softmax(scale * q k' + bias) v, row block by row block: the map of scores is never whole in
 * memory. An operator of our own. q [H, L, D], k [H, S, D], v [H, S, E], y [H, L, E] and bias
 * [H, L, S] are views: strides in elements, the last of the first four is 1. exp int32 [256]:
 * 2^(1 - i / 256) 2^bits. Scores are in octaves, with 8 + FRACTION bits behind the point.
 * Params: counts H, L, S, D, E; strides of q, k, v, y over heads and rows, of bias also over keys;
 * SCORE_LEFT, SCORE_MULTIPLIER: octaves of a sum of products are
 * (sum << left) * multiplier / 2^32; FRACTION; BIAS_MULTIPLIER: octaves of a step of bias;
 * Y_MULTIPLIER, Y_SHIFT: scale of v over that of y. Scratch: int32 [S, 4], int16 [D, 4], D rounded
 * up to 4. Twin: edgekit/ops/attention.py, ATTENTION and attention. */
#include "ek_fixed.h"
#include "ek_kernel.h"
#include "ek_weigh.h"

enum {
    HEADS,
    ROWS,
    KEYS,
    DEPTH,
    WIDTH,
    Q_HEAD,
    Q_ROW,
    K_HEAD,
    K_ROW,
    V_HEAD,
    V_ROW,
    Y_HEAD,
    Y_ROW,
    BIAS_HEAD,
    BIAS_ROW,
    BIAS_KEY,
    SCORE_LEFT,
    SCORE_MULTIPLIER,
    FRACTION,
    BIAS_MULTIPLIER,
    Y_MULTIPLIER,
    Y_SHIFT,
    PARAMS
};

enum { Q, K, V, EXP, BIAS };

/* Sums of 2^15 * 128 over so many keys, twice as large with a zero point, fit 31 bits. */
enum { MAX_KEYS = 8192, MAX_DEPTH = 32768, MAX_WEIGHTS = 1 << 23, LEAST_EXP = 1 << 11 };

/* True if no index of a view leaves its tensor. */
static int view_ok(const ek_call *call, const ek_tensor *t, uint32_t strides, uint32_t rows,
                   uint32_t last) {
    const uint64_t end = (uint64_t)(ek_param(call, HEADS) - 1) * (uint64_t)ek_param(call, strides) +
                         (uint64_t)(rows - 1) * (uint64_t)ek_param(call, strides + 1) + last;
    return t->type == EK_S8 && end < t->count;
}

/* Index of a row's first element. */
static size_t place(const ek_call *call, uint32_t strides, uint32_t head, uint32_t row) {
    return (size_t)head * (size_t)ek_param(call, strides) +
           (size_t)row * (size_t)ek_param(call, strides + 1);
}

static int exp_ok(const ek_tensor *exp, uint32_t keys) {
    if (exp->type != EK_S32 || exp->constant == 0 || exp->count != 256 ||
        ek_get_i32(exp->data) < LEAST_EXP) {
        return 0;
    }
    for (uint32_t i = 0; i < 256; i++) {
        const int32_t value = ek_get_i32(exp->data + 4 * (size_t)i);
        if (value < 0 || value > 65534 || (uint32_t)(value + 1) / 2 * keys > MAX_WEIGHTS) {
            return 0;
        }
    }
    return 1;
}

ek_status ek_attention_s8_check(const ek_call *call, ek_need *need) {
    const int biased = call->inputs == 5;
    if (!ek_call_is(call, biased ? 5 : 4, 1, PARAMS)) {
        return EK_ERR_SHAPE;
    }
    if (!ek_params_in(call, HEADS, 2, 1, EK_MAX_INDEX) ||
        !ek_params_in(call, KEYS, 1, 1, MAX_KEYS) || !ek_params_in(call, DEPTH, 1, 1, MAX_DEPTH) ||
        !ek_params_in(call, WIDTH, 1, 1, EK_MAX_INDEX) ||
        !ek_params_in(call, Q_HEAD, 11, 0, EK_MAX_INDEX) ||
        !ek_params_in(call, SCORE_LEFT, 1, 0, 15) ||
        !ek_params_in(call, SCORE_MULTIPLIER, 1, 0, INT32_MAX) ||
        !ek_params_in(call, FRACTION, 1, 0, 16) ||
        !ek_params_in(call, BIAS_MULTIPLIER, 1, 0, 1 << 22) ||
        !ek_params_in(call, Y_MULTIPLIER, 1, 0, INT32_MAX) ||
        !ek_params_in(call, Y_SHIFT, 1, -9, 8)) {
        return EK_ERR_RANGE;
    }
    const uint32_t rows = (uint32_t)ek_param(call, ROWS);
    const uint32_t keys = (uint32_t)ek_param(call, KEYS);
    const uint32_t depth = (uint32_t)ek_param(call, DEPTH);
    const uint32_t width = (uint32_t)ek_param(call, WIDTH);
    if (!view_ok(call, &call->tensors[Q], Q_HEAD, rows, depth - 1) ||
        !view_ok(call, &call->tensors[K], K_HEAD, keys, depth - 1) ||
        !view_ok(call, &call->tensors[V], V_HEAD, keys, width - 1) ||
        !view_ok(call, &call->tensors[call->inputs], Y_HEAD, rows, width - 1) ||
        (uint64_t)(uint32_t)ek_param(call, HEADS) * rows * width !=
            call->tensors[call->inputs].count ||
        !exp_ok(&call->tensors[EXP], keys) ||
        depth > (uint32_t)INT32_MAX >> (16 + ek_param(call, SCORE_LEFT))) {
        return EK_ERR_SHAPE;
    }
    if (biased) {
        const uint64_t last = (uint64_t)(keys - 1) * (uint64_t)ek_param(call, BIAS_KEY);
        if (last >= EK_MAX_INDEX ||
            !view_ok(call, &call->tensors[BIAS], BIAS_HEAD, rows, (uint32_t)last)) {
            return EK_ERR_SHAPE;
        }
    }
    need->scratch_bytes = 4u * EK_ATTEND_ROWS * keys + 2u * ek_attend_lanes(depth);
    return EK_OK;
}

/* Turns sums of products into octaves and adds the bias of one row. */
static void scale_scores(const ek_call *call, const int8_t *bias, int32_t *scores) {
    const uint32_t keys = (uint32_t)ek_param(call, KEYS);
    const int32_t left = ek_param(call, SCORE_LEFT);
    const int32_t multiplier = ek_param(call, SCORE_MULTIPLIER);
    const int32_t step = ek_param(call, BIAS_MULTIPLIER);
    const size_t bias_key = (size_t)ek_param(call, BIAS_KEY);
    for (uint32_t j = 0; j < keys; j++) {
        const int32_t sum = (int32_t)((uint32_t)*scores << left);
        int32_t octaves = (int32_t)(((int64_t)sum * multiplier) >> 32);
        if (bias != NULL) {
            octaves += bias[j * bias_key] * step;
        }
        *scores = octaves;
        scores += EK_ATTEND_ROWS;
    }
}

/* One block of rows of one head. */
static void block(const ek_call *call, uint32_t head, uint32_t first, uint32_t rows) {
    const ek_tensor *y = &call->tensors[call->inputs];
    const uint32_t keys = (uint32_t)ek_param(call, KEYS);
    const uint32_t depth = (uint32_t)ek_param(call, DEPTH);
    int32_t *scores = (int32_t *)(void *)call->scratch;
    int16_t *lanes = (int16_t *)(void *)(scores + (size_t)EK_ATTEND_ROWS * keys);
    ek_attend_expand((const int8_t *)call->tensors[Q].data + place(call, Q_HEAD, head, first),
                     (size_t)ek_param(call, Q_ROW), rows, depth, call->tensors[Q].zero_point,
                     lanes);
    ek_attend_scores(lanes, (const int8_t *)call->tensors[K].data + place(call, K_HEAD, head, 0),
                     (size_t)ek_param(call, K_ROW), keys, depth, scores);
    ek_attend attend;
    attend.weights = scores;
    attend.v = (const int8_t *)call->tensors[V].data + place(call, V_HEAD, head, 0);
    attend.v_stride = (size_t)ek_param(call, V_ROW);
    attend.keys = keys;
    attend.width = (uint32_t)ek_param(call, WIDTH);
    attend.rows = rows;
    attend.y = (int8_t *)y->write + place(call, Y_HEAD, head, first);
    attend.y_stride = (size_t)ek_param(call, Y_ROW);
    attend.y_zero = y->zero_point;
    for (uint32_t row = 0; row < rows; row++) {
        const int8_t *bias = call->inputs < 5 ? NULL
                                              : (const int8_t *)call->tensors[BIAS].data +
                                                    place(call, BIAS_HEAD, head, first + row);
        scale_scores(call, bias, scores + row);
        const int32_t total = ek_weigh(call->tensors[EXP].data, (uint32_t)ek_param(call, FRACTION),
                                       keys, scores + row);
        attend.row[row] = ek_attend_row_of(ek_param(call, Y_MULTIPLIER), ek_param(call, Y_SHIFT),
                                           call->tensors[V].zero_point, total);
    }
    ek_attend_mix(&attend);
}

void ek_attention_s8(const ek_call *call) {
    const uint32_t heads = (uint32_t)ek_param(call, HEADS);
    const uint32_t rows = (uint32_t)ek_param(call, ROWS);
    for (uint32_t head = 0; head < heads; head++) {
        for (uint32_t first = 0; first < rows; first += EK_ATTEND_ROWS) {
            const uint32_t rest = rows - first;
            block(call, head, first, rest < EK_ATTEND_ROWS ? rest : EK_ATTEND_ROWS);
        }
    }
}
