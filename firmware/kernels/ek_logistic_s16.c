/* y = logistic(x), or tanh(x), both int16, y in 32,768ths; x and y of the same number of elements.
 * The table of the logistic function has steps of 1/24. Table int32 [256]. Params: multiplier and
 * right shift that turn x into 12,288ths, tanh (0 or 1). Scratch: none. Source:
 * tensorflow/lite/kernels/internal/reference/integer_ops/logistic.h and tanh.h, of int16_t. Twin:
 * edgekit/ops/wide_table.py, LOGISTIC_S16. */
#include "ek_wide.h"

enum { MULTIPLIER, SHIFT, TANH, PARAMS };

ek_status ek_logistic_s16_check(const ek_call *call, ek_need *need) {
    (void)need;
    const ek_tensor *table = &call->tensors[1];
    if (!ek_call_has(call, 2, 1, PARAMS, EK_S16) || table->type != EK_S32 || table->constant == 0 ||
        table->count != 256 || call->tensors[0].count != call->tensors[2].count) {
        return EK_ERR_SHAPE;
    }
    /* (2^15 * 32767 + 2^30) fits 31 bits. */
    if (!ek_params_in(call, MULTIPLIER, 1, 0, 32767) || !ek_params_in(call, SHIFT, 1, 0, 30) ||
        !ek_params_in(call, TANH, 1, 0, 1)) {
        return EK_ERR_RANGE;
    }
    for (uint32_t i = 0; i < 256; i++) {
        if (ek_get_u32(table->data + 4 * (size_t)i) > 65535) {
            return EK_ERR_RANGE;
        }
    }
    return EK_OK;
}

/* 65,536 * logistic(size / (24 << bits)), with bits more bits. */
static int32_t interpolate(const uint8_t *table, uint32_t size, uint32_t bits) {
    const uint32_t index = size >> bits;
    if (index >= 255) {
        return bits == 9 ? 0x7fff << 10 : 0xffff << 8;
    }
    const int32_t from = ek_get_i32(table + 4 * (size_t)index);
    const int32_t to = ek_get_i32(table + 4 * (size_t)index + 4);
    const int32_t part = (int32_t)(size & ((1u << bits) - 1u));
    return from * (1 << bits) + part * (to - from);
}

void ek_logistic_s16(const ek_call *call) {
    const int32_t multiplier = ek_param(call, MULTIPLIER);
    const int32_t shift = ek_param(call, SHIFT);
    const int32_t half = shift > 0 ? 1 << (shift - 1) : 0;
    const int is_tanh = (int)ek_param(call, TANH);
    const uint8_t *table = call->tensors[1].data;
    const int16_t *x = ek_s16(&call->tensors[0]);
    int16_t *y = ek_s16_write(&call->tensors[2]);
    for (uint32_t i = call->tensors[0].count; i != 0; i--) {
        const int32_t value = (*x++ * multiplier + half) >> shift;
        const uint32_t size = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
        int32_t result;
        if (is_tanh) {
            result = interpolate(table, size, 8) - (1 << 23);
            result = ((value < 0 ? -result - 1 : result) + (1 << 7)) >> 8;
        } else {
            result = interpolate(table, size, 9);
            result = ((value < 0 ? (1 << 25) - result - 1 : result) + (1 << 9)) >> 10;
        }
        *y++ = (int16_t)result;
    }
}
