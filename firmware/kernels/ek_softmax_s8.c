/* y = softmax(x) over the last dimension; y has scale 1/256 and zero point -128.
 * exp int32 [256]: exp(-i * scale * beta) as Q0.31, 0 where LiteRT cuts it off.
 * Params: beta, float32 bits, for reading back. Scratch: none.
 * Source: tensorflow/lite/kernels/internal/reference/softmax.h; gemmlowp, fixedpoint.h.
 * Twin: edgekit/ops/softmax.py, SOFTMAX. */
#include "ek_fixed.h"
#include "ek_kernel.h"

enum { BETA, PARAMS };

/* More would not fit 31 bits: each adds at most 2^19. */
enum { MAX_DEPTH = 4095 };

ek_status ek_softmax_s8_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *x = &call->tensors[0];
    const ek_tensor *exp = &call->tensors[1];
    const ek_tensor *y = &call->tensors[2];
    if (!ek_call_is(call, 2, 1, PARAMS) || exp->type != EK_S32 || exp->constant == 0 ||
        exp->count != 256 || x->rank == 0 || !ek_same_dims(x, y) ||
        x->dims[x->rank - 1] > MAX_DEPTH) {
        return EK_ERR_SHAPE;
    }
    for (uint32_t i = 0; i < 256; i++) {
        if (ek_get_i32(exp->data + 4 * (size_t)i) < (i == 0 ? 1 << 30 : 0)) {
            return EK_ERR_RANGE;
        }
    }
    return EK_OK;
}

static void row(const int8_t *x, uint32_t depth, const uint8_t *exp, int8_t *y) {
    int32_t top = -128;
    for (uint32_t i = 0; i < depth; i++) {
        top = x[i] > top ? x[i] : top;
    }
    int32_t sum = 0;
    for (uint32_t i = 0; i < depth; i++) {
        int32_t e = ek_get_i32(exp + 4 * (size_t)(top - x[i]));
        sum += (e >> 12) + ((e & 0xfff) > 0x7ff);
    }
    int32_t headroom = 0;
    while (((uint32_t)sum << headroom) < 0x80000000u) {
        headroom++;
    }
    const int32_t over = (int32_t)(((uint32_t)sum << headroom) - 0x80000000u);
    const int32_t scale = ek_reciprocal_of_one_plus(over);
    const int32_t shift = 12 - headroom + 31 - 8;
    for (uint32_t i = 0; i < depth; i++) {
        int64_t value = ek_high_mul(scale, ek_get_i32(exp + 4 * (size_t)(top - x[i])));
        value = (value + (INT64_C(1) << (shift - 1))) >> shift;
        y[i] = (int8_t)(value > 255 ? 127 : value - 128);
    }
}

void ek_softmax_s8(const ek_call *call) {
    const ek_tensor *x = &call->tensors[0];
    const uint32_t depth = x->dims[x->rank - 1];
    const int8_t *from = (const int8_t *)x->data;
    int8_t *to = (int8_t *)call->tensors[2].write;
    for (uint32_t rows = x->count / depth; rows != 0; rows--) {
        row(from, depth, call->tensors[1].data, to);
        from += depth;
        to += depth;
    }
}
