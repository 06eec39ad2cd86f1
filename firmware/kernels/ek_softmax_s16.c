/* y = softmax(x) over the last dimension, both int16; y has scale 1/32768. Tables int16 [513]: exp
 * on
 * [-10, 0], and 1 / (1 + x) on [0, 1]. Params: multiplier and shift that turn a difference of
 * inputs into 65,535ths of 10. Scratch: none. Source:
 * tensorflow/lite/kernels/internal/reference/softmax.h, SoftmaxInt16. Twin:
 * edgekit/ops/wide_table.py, SOFTMAX_S16. */
#include "ek_table_s16.h"

enum { MULTIPLIER, SHIFT, PARAMS };

/* More would not fit 31 bits: each adds at most 2^15. */
enum { MAX_DEPTH = 65535 };

ek_status ek_softmax_s16_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    if (!ek_call_has(call, 3, 1, PARAMS, EK_S16) || !ek_table_ok(&call->tensors[1]) ||
        !ek_table_ok(&call->tensors[2]) || x->rank == 0 || !ek_same_dims(x, &call->tensors[3]) ||
        x->dims[x->rank - 1] > MAX_DEPTH) {
        return EK_ERR_SHAPE;
    }
    return ek_scale_ok(call, MULTIPLIER) ? EK_OK : EK_ERR_RANGE;
}

static int32_t exponential(const ek_call *call, int32_t difference) {
    const int32_t scaled =
        ek_multiply_double(difference, ek_param(call, MULTIPLIER), ek_param(call, SHIFT));
    const int32_t centred = scaled < -65535 ? INT16_MIN : ek_add_wrap(scaled, 32767);
    return ek_table_look(ek_s16(&call->tensors[1]), ek_clamp_s16(centred, INT16_MIN, INT16_MAX));
}

static void row(const ek_call *call, const int16_t *x, uint32_t depth, int16_t *y) {
    int32_t top = INT16_MIN;
    for (uint32_t i = 0; i < depth; i++) {
        top = x[i] > top ? x[i] : top;
    }
    int32_t sum = 0;
    for (uint32_t i = 0; i < depth; i++) {
        const int32_t e = exponential(call, x[i] - top);
        sum += e;
        y[i] = (int16_t)e;
    }
    /* A table of a hostile image may sum to nothing. */
    sum = sum < 2 ? 2 : sum;
    int32_t headroom = 0;
    while (((uint32_t)sum << headroom) < 0x40000000u) {
        headroom++;
    }
    const int32_t over = (int32_t)((((uint32_t)sum << headroom) + (1u << 13)) >> 14) - 98304;
    const int32_t reciprocal =
        ek_table_look(ek_s16(&call->tensors[2]), ek_clamp_s16(over, INT16_MIN, INT16_MAX));
    const int32_t shift = 30 - headroom;
    const int64_t half = INT64_C(1) << (shift - 1);
    for (uint32_t i = 0; i < depth; i++) {
        y[i] = ek_clamp_s16((int32_t)(((int64_t)y[i] * reciprocal + half) >> shift), 0, INT16_MAX);
    }
}

void ek_softmax_s16(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const uint32_t depth = x->dims[x->rank - 1];
    const int16_t *from = ek_s16(x);
    int16_t *to = ek_s16_write(&call->tensors[3]);
    for (uint32_t rows = x->count / depth; rows != 0; rows--) {
        row(call, from, depth, to);
        from += depth;
        to += depth;
    }
}
